"""The table of runs: columns that fit, order, marks, and how little is painted."""

from pathlib import Path

import pytest
from textual.app import App, ComposeResult

from tests.app.conftest import until
from tuiwb.app.run_rows import cells_of, chosen_columns
from tuiwb.app.widgets.runs_table import RunsTable
from tuiwb.monitor.runs import RunSummary

NOW = 1_700_000_000.0


def run(name: str, **more: object) -> RunSummary:
    """A finished run of an hour ago, with what is given."""
    values: dict[str, object] = {
        "kind": "train",
        "state": "finished",
        "running": False,
        "loss": 0.5,
        "best_loss": 0.4,
        "created": NOW - 3600,
        **more,
    }
    return RunSummary(name=name, folder=Path("/runs") / name, **values)  # type: ignore[arg-type]


class OneTable(App[None]):
    """A table alone on the screen."""

    def compose(self) -> ComposeResult:
        yield RunsTable(id="runs")

    @property
    def table(self) -> RunsTable:
        return self.query_one(RunsTable)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_columns_never_take_more_than_the_width(width: int) -> None:
    runs = [
        run(
            "a-run-with-a-rather-long-name-v12",
            eval_loss=0.6,
            tokens_per_second=7200.0,
            peak_memory=60 << 30,
            cost=3.5,
            method="grpo",
            base="meta-llama/Llama-3.1-8B-Instruct",
            dataset_version="support-v3 0123456789ab",
            tags=("good", "baseline"),
            note="slower but better",
            alerts=3,
        )
    ]
    columns = chosen_columns(runs, width, NOW)
    fixed = sum(column.width + 1 for column in columns if column.width)
    assert fixed <= width
    names = [column.name for column in columns]
    assert {"*", "", "name"} <= set(names)
    if width >= 80:
        assert {"state", "loss", "best", "age", "tokens/s"} <= set(names)
    if width >= 200:
        assert {"method", "base", "data", "cost", "memory", "tags"} <= set(names)


@pytest.mark.parametrize("width", range(50, 130))
def test_the_age_stays_beside_short_names_and_a_best_loss_of_the_training(width: int) -> None:
    runs = [
        run(
            "m1",
            state="died",
            best_loss=0.725,
            best_of="loss",
            alerts=1,
            step=7,
            total_steps=30,
            tokens_per_second=7200.0,
            peak_memory=60 << 30,
        )
    ]
    columns = chosen_columns(runs, width, NOW)
    assert sum(column.width + 1 for column in columns) <= width
    assert {"best", "age"} <= {column.name for column in columns}


def test_a_column_that_says_nothing_of_any_run_is_left_out() -> None:
    names = [column.name for column in chosen_columns([run("one")], 200, NOW)]
    assert "cost" not in names
    assert "!" not in names


def test_nan_stays_visible_and_a_mark_tells_the_state_without_colour() -> None:
    odd = run("one", loss=float("nan"), state="died")
    columns = chosen_columns([odd], 80, NOW)
    cells = dict(
        zip([c.name for c in columns], cells_of(odd, columns, NOW, marked=True), strict=True)
    )
    assert cells["loss"] == "NaN"
    assert cells[""] == "†"
    assert cells["*"] == "◆"


async def test_sorting_by_a_column_puts_the_unknown_last_either_way() -> None:
    app = OneTable()
    async with app.run_test(size=(120, 20)) as pilot:
        app.table.show_runs([run("low", loss=0.1), run("none", loss=None), run("high", loss=0.9)])
        app.table.focus()
        while app.table.sort_by != "loss":
            await pilot.press("greater_than_sign")
        assert [r.name for r in app.table.runs] == ["low", "high", "none"]
        await pilot.press("o")
        assert [r.name for r in app.table.runs] == ["high", "low", "none"]


async def test_a_click_on_a_title_sorts_by_it() -> None:
    app = OneTable()
    async with app.run_test(size=(120, 20)) as pilot:
        app.table.show_runs([run("b"), run("a"), run("c")])
        await pilot.pause()
        await pilot.click("#runs", offset=(5, 0))
        await until(lambda: app.table.sort_by == "name")
        assert [r.name for r in app.table.runs] == ["a", "b", "c"]


async def test_the_cursor_stays_on_its_run_when_others_come_and_go() -> None:
    app = OneTable()
    async with app.run_test(size=(80, 20)):
        first = [run(name, created=NOW - n) for n, name in enumerate(("a", "b", "c"))]
        app.table.show_runs(first)
        assert app.table.put_cursor_on(Path("/runs/b"))
        app.table.show_runs([run("new", created=NOW), *first])
        assert app.table.current is not None
        assert app.table.current.name == "b"
        app.table.show_runs(first[1:])
        assert app.table.current.name == "b"


async def test_marks_survive_a_refresh_and_go_with_their_run() -> None:
    app = OneTable()
    async with app.run_test(size=(80, 20)) as pilot:
        runs = [run("a", created=NOW), run("b", created=NOW - 1)]
        app.table.show_runs(runs)
        app.table.focus()
        await pilot.press("space")
        app.table.show_runs(runs)
        assert app.table.marked == [Path("/runs/a")]
        app.table.show_runs(runs[1:])
        assert app.table.marked == []


async def test_only_the_line_that_changed_is_painted() -> None:
    app = OneTable()
    async with app.run_test(size=(80, 20)) as pilot:
        runs = [run(str(n), created=NOW - n) for n in range(10)]
        app.table.show_runs(runs, NOW)
        await pilot.pause()
        painted: list[int] = []
        original = app.table._repaint

        def spy(position: int) -> None:
            painted.append(position)
            original(position)

        app.table._repaint = spy  # type: ignore[method-assign]
        app.table.show_runs(runs, NOW)
        assert painted == []
        app.table.show_runs([*runs[:4], run("4", created=NOW - 4, loss=0.123), *runs[5:]], NOW)
        assert painted == [4]


async def test_ten_thousand_runs_are_shown() -> None:
    app = OneTable()
    async with app.run_test(size=(120, 30)) as pilot:
        app.table.show_runs([run(f"run-{n}", created=NOW - n) for n in range(10_000)])
        app.table.focus()
        await pilot.press("end")
        assert app.table.current is not None
        assert app.table.current.name == "run-9999"
