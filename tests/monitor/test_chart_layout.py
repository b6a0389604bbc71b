"""Which charts a wall has, what they are called, where they stand, what is kept."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tuiwb.monitor.layout import Layout, read_layout, write_layout
from tuiwb.monitor.metric_names import charts_of
from tuiwb.monitor.wall import LEAST_HEIGHT, grid

KEYS = st.lists(st.sampled_from("abcdefgh"), unique=True)


def test_train_and_held_out_values_of_a_metric_share_a_chart() -> None:
    charts = {c.key: c for c in charts_of(["loss", "eval_loss", "eval_rewards/chosen"])}
    assert charts["loss"].names == ("loss", "eval_loss")
    assert charts["loss"].title == "loss"
    assert charts["rewards/chosen"].title == "held-out reward of chosen"


def test_every_metric_has_a_chart_known_or_not_and_the_known_ones_come_first() -> None:
    names = ["my/own_score", "grad_norm", "eval_loss", "learning_rate", "epoch", "kl"]
    charts = charts_of(names)
    assert [c.key for c in charts] == ["loss", "learning_rate", "grad_norm", "kl", "my/own_score"]
    assert [c.title for c in charts] == [
        "held-out loss", "learning rate", "gradient norm", "KL divergence", "my/own_score"
    ]  # fmt: skip


def test_the_names_of_other_tools_are_understood() -> None:
    charts = charts_of(["train/loss", "eval/loss", "train/grad_norm"])
    assert [(c.key, c.names) for c in charts] == [
        ("loss", ("train/loss", "eval/loss")), ("grad_norm", ("train/grad_norm",))
    ]  # fmt: skip


def test_two_names_of_one_metric_both_get_a_chart() -> None:
    charts = charts_of(["loss", "train/loss"])
    assert sorted(name for chart in charts for name in chart.names) == ["loss", "train/loss"]


@given(names=st.lists(st.text(max_size=12), max_size=12))
def test_no_metric_is_lost_whatever_its_name(names: list[str]) -> None:
    shown = [name for chart in charts_of(names) for name in chart.names]
    assert sorted(shown) == sorted({n for n in names if n not in ("epoch",)} & set(shown))
    missing = set(names) - set(shown)
    assert all(name.rpartition("/")[2].removeprefix("eval_") == "epoch" for name in missing)


def test_a_filter_is_words_or_a_pattern_over_titles_and_raw_names() -> None:
    charts = charts_of(["loss", "eval_loss", "grad_norm", "rewards/chosen", "rewards/rejected"])

    def found(words: str) -> list[str]:
        return [c.key for c in charts if c.matches(words)]

    assert found("") == [c.key for c in charts]
    assert found("Gradient") == ["grad_norm"]
    assert found("rewards rej") == ["rewards/rejected"]
    assert found("^loss|norm$") == ["loss", "grad_norm"]
    assert found("chosen)") == []
    assert found("eval_") == ["loss"]


def test_the_user_order_holds_and_new_charts_stand_where_they_usually_do() -> None:
    layout = Layout(order=("c", "a"))
    assert layout.arrange(["a", "b", "c", "d"]) == ["c", "d", "a", "b"]
    assert layout.changed(pinned=("d", "x")).arrange(["a", "b", "c", "d"])[0] == "d"


@given(usual=KEYS, order=KEYS, pinned=KEYS, hidden=KEYS)
def test_any_arrangement_holds_every_chart_once(
    usual: list[str], order: list[str], pinned: list[str], hidden: list[str]
) -> None:
    layout = Layout(order=tuple(order), pinned=tuple(pinned), hidden=frozenset(hidden))
    assert sorted(layout.arrange(usual)) == sorted(usual)


@given(usual=KEYS, hidden=KEYS, pinned=KEYS, at=st.integers(0, 7), by=st.sampled_from([-1, 1]))
def test_a_moved_chart_changes_places_with_its_neighbour_on_the_wall(
    usual: list[str], hidden: list[str], pinned: list[str], at: int, by: int
) -> None:
    layout = Layout(hidden=frozenset(hidden), pinned=tuple(pinned))
    before = [k for k in layout.arrange(usual) if k not in layout.hidden]
    if not before:
        return
    key = before[at % len(before)]
    moved = layout.moved(key, by, usual)
    after = [k for k in moved.arrange(usual) if k not in moved.hidden]
    here = before.index(key)
    there = max(0, min(len(before) - 1, here + by))
    expected = list(before)
    expected.remove(key)
    expected.insert(there, key)
    assert after == expected


def test_a_layout_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / ".tuiwb" / "charts.json"
    layout = Layout(
        order=("kl", "loss"), pinned=("kl",), hidden=frozenset({"entropy"}), axis="time",
        smoothing=0.9, log_y=frozenset({"loss"}), clip=False, big_first=False,
    )  # fmt: skip
    write_layout(path, layout)
    assert read_layout(path) == layout


def test_a_broken_or_foreign_file_is_no_layout(tmp_path: Path) -> None:
    path = tmp_path / "charts.json"
    for text in (b"", b"{", b"[]", b'{"smoothing": "much"}', b'{"axis": "mood"}', b"\xff\xfe"):
        path.write_bytes(text)
        assert read_layout(path) == Layout()
    path.write_bytes(b'{"smoothing": 7}')
    assert read_layout(path).smoothing == 0
    path.write_bytes(b'{"pinned": ["kl"], "of a newer version": 1}')
    assert read_layout(path).pinned == ("kl",)


def test_a_layout_that_can_not_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_layout(tmp_path / "file" / "charts.json", Layout())
    write_layout(None, Layout())


def test_eighty_by_twenty_four_has_charts_two_high() -> None:
    for height in (14, 18):
        fits = grid(9, 80, height, big_first=True)
        assert fits.columns == 2
        assert sum(fits.heights[:2]) == height


@given(
    charts=st.integers(0, 60), width=st.integers(1, 300), height=st.integers(1, 100),
    big=st.booleans(),
)  # fmt: skip
def test_a_grid_has_a_place_for_every_chart_and_wastes_no_height(
    charts: int, width: int, height: int, big: bool
) -> None:
    fits = grid(charts, width, height, big)
    assert fits.columns >= 1
    if not charts:
        return
    places = fits.columns * (len(fits.heights) - fits.big_first) + fits.big_first
    assert charts <= places < charts + fits.columns
    assert all(h >= 1 for h in fits.heights)
    assert sum(fits.heights) >= height
    if len(fits.heights) * LEAST_HEIGHT <= height:
        assert sum(fits.heights) == height
    if height >= LEAST_HEIGHT:
        assert min(fits.heights) >= LEAST_HEIGHT - (height < 2 * LEAST_HEIGHT)


def test_the_pace_of_an_evaluation_is_not_called_the_runs() -> None:
    names = ["loss", "eval_steps_per_second", "eval_samples_per_second", "eval_runtime"]
    titles = {chart.key: chart.title for chart in charts_of(names)}
    assert titles["steps_per_second"] == "evaluation steps/s"
    assert titles["samples_per_second"] == "evaluation samples/s"
    assert titles["runtime"] == "seconds to evaluate"
    assert charts_of(["steps_per_second"])[0].title == "steps/s"
