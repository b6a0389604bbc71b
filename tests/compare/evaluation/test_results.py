"""The paired figures of a suite, folded from its items; the bundled probe."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compare.builders import chat, write_rows
from tuiwb.compare.evaluation.general import chosen, read_probe
from tuiwb.compare.evaluation.prompts import read_suite, seen_in_training
from tuiwb.compare.evaluation.results import (
    AGAIN,
    ITEMS,
    RERUNS,
    Item,
    discordant,
    fold,
    graded,
    paired,
    read_items,
)
from tuiwb.compare.gate.line import regression_of
from tuiwb.compare.prompts import held_out
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines


def item(n: int, base: bool | None, adapter: bool | None, number: int = 0, **more) -> Item:
    return Item(
        suite="canary", id=f"{n}", index=n, round=number, base_ok=base, adapter_ok=adapter, **more
    )


def test_a_regression_is_what_was_lost_less_what_was_won_over_all_items():
    items = [item(n, True, n >= 6) for n in range(80)] + [item(80, False, True)]
    suite = fold("canary", items)
    assert (suite.n, suite.worse, suite.better) == (81, 6, 1)
    assert suite.regression == pytest.approx(5 / 81)
    # scipy.stats.binomtest(6, 7, alternative="greater") and two-sided
    assert suite.p_worse == pytest.approx(0.0625)
    assert suite.p == pytest.approx(0.125)
    assert suite.interval is not None
    assert suite.interval.low < -suite.regression < suite.interval.high


def test_an_item_that_nothing_can_check_counts_for_neither_side():
    suite = fold("canary", [item(0, True, True), item(1, None, None)])
    assert (suite.n, suite.unchecked) == (1, 1)
    assert fold("canary", [item(1, None, None)]).state == "not run"


def test_the_base_answered_twice_gives_the_flips_and_the_false_alarms():
    first = [item(n, True, True) for n in range(100)]
    again = [item(n, n >= 4, True, AGAIN) for n in range(100)]
    suite = fold("canary", first + again)
    assert (suite.flips, suite.flip_n) == (4, 100)
    # 2% each way on 100 items: shared table of false alarms.
    assert suite.false_alarm == pytest.approx(0.004, abs=5e-4)
    assert suite.false_alarm_high is not None
    assert suite.false_alarm_high > suite.false_alarm
    assert fold("canary", first).false_alarm is None


def test_the_majority_of_three_reruns_decides_what_came_out_different():
    first = [item(0, True, False), item(1, True, False), item(2, True, True)]
    reruns = [
        item(n, True, good, number)
        for number, pair in zip(RERUNS, [(True, False), (True, False), (False, True)], strict=True)
        for n, good in enumerate(pair)
    ]
    suite = fold("canary", first + reruns)
    assert (suite.rerun, suite.overturned) == (2, 1)
    assert (suite.worse, suite.better) == (1, 0)
    assert [i.id for i in discordant(first, "canary")] == ["0", "1"]


def test_reruns_that_are_not_complete_change_nothing():
    suite = fold("canary", [item(0, True, False), item(0, True, True, RERUNS[0])])
    assert (suite.worse, suite.rerun) == (1, 0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_paired_figures_agree_with_counting(outcomes):
    suite = paired("x", outcomes)
    n = len(outcomes)
    assert suite.base - suite.adapter == pytest.approx(suite.regression)
    assert suite.better + suite.worse == sum(a != b for a, b in outcomes)
    assert suite.interval is not None
    assert suite.interval.low - 1e-9 <= -suite.regression <= suite.interval.high + 1e-9
    assert suite.n == n


def test_graded_scores_are_compared_by_their_mean_and_whole_ones_as_right_or_wrong():
    suite = graded("truthfulqa_mc2", [(0.5, 0.25), (0.75, 0.75), (0.1, 0.2)], "mc2")
    assert suite.regression == pytest.approx(0.05)
    assert (suite.better, suite.worse, suite.metric) == (1, 1, "mc2")
    # One item lost more than the other won: a mean that fell, by as many items each way.
    assert suite.p_worse == pytest.approx(suite.p / 2)
    turned = graded("truthfulqa_mc2", [(0.25, 0.5), (0.75, 0.75), (0.2, 0.1)], "mc2")
    assert turned.p_worse == pytest.approx(1 - suite.p / 2)
    assert graded("mc2", [(0.5, float("nan")), (0.5, 0.25)], "mc2").n == 1
    assert graded("arc", [(1.0, 0.0), (0.0, 0.0)], "acc").worse == 1
    assert graded("arc", [], "acc").state == "not run"


def test_items_are_read_back_as_written_and_a_torn_line_is_passed_over(tmp_path):
    append_lines(tmp_path / ITEMS, [item(0, True, False), item(0, True, True), item(1, True, True)])
    with (tmp_path / ITEMS).open("ab") as file:
        file.write(b'{"suite": "canary", "id": "2", "base')
    assert [(i.id, i.adapter_ok) for i in read_items(tmp_path)] == [("0", True), ("1", True)]


def test_the_bundled_probe_has_200_items_in_8_balanced_categories():
    probe = read_probe()
    assert len(probe.items) == 200
    assert set(collections.Counter(i.category for i in probe.items).values()) == {25}
    assert {len(i.options) for i in probe.items} == {4}
    # Guessing by place, or always the longest, gets no more than chance or little above.
    places = collections.Counter(i.answer for i in probe.items)
    assert places == {0: 50, 1: 50, 2: 50, 3: 50}
    longest = sum(
        max(range(4), key=lambda n, i=i: len(i.options[n])) == i.answer for i in probe.items
    )
    assert longest <= 0.35 * len(probe.items)
    assert probe.chance == 0.25
    assert probe.date
    assert probe.source


def test_the_probe_asks_nothing_twice_and_offers_no_option_twice():
    probe = read_probe()
    assert len({(i.ask, i.begin) for i in probe.items}) == 200
    assert all(len(set(i.options)) == 4 for i in probe.items)
    assert all(i.options[i.answer].strip() for i in probe.items)


def test_the_likeliest_option_is_chosen_and_the_first_of_equals():
    assert chosen([-2.0, -0.5, -1.0]) == 1
    assert chosen([-1.0, -1.0]) == 0


def test_a_suite_is_read_with_what_its_rows_expect(tmp_path):
    path = write_rows(
        tmp_path / "canary.jsonl",
        [
            chat("2 + 2?", "4", regex="4"),
            chat("hi", "Hello.", expect="greets"),
            {"messages": [{"role": "user", "content": "x"}], "expect": {"json": True}},
        ],
    )
    first, second, third = read_suite(path)
    assert first.expect is not None
    assert first.expect.regex == "4"
    assert (second.expect, second.words, second.text) == (None, "greets", "hi")
    assert third.expect is not None
    assert third.expect.json is True


def test_a_row_that_expects_nonsense_is_named_by_its_line(tmp_path):
    rows = [chat("a", "b"), chat("a", "b", expect={"regex": "("})]
    path = write_rows(tmp_path / "canary.jsonl", rows)
    with pytest.raises(BadInput, match=r"canary.jsonl:2 has a regex"):
        read_suite(path)


def test_held_out_prompts_are_found_among_the_training_rows_whatever_the_answer(tmp_path):
    heldout = write_rows(tmp_path / "heldout.jsonl", [chat(f"q{n}", "a") for n in range(4)])
    train = write_rows(
        tmp_path / "train.jsonl", [chat("other", "a"), chat(" q2 ", "another answer")]
    )
    seen = seen_in_training(held_out(heldout, limit=10).prompts, [train])
    assert (seen.n, seen.seen, seen.rows, seen.whole) == (4, 1, 2, True)
    assert seen.where[0].endswith("train.jsonl:2")


def test_a_loss_too_sure_for_a_float_is_confirmed_all_the_same():
    lost = paired("canary", [(True, False)] * 1200)
    assert lost.p_worse == 0.0
    assert "confirmed" in regression_of(lost)
    assert "confirmed" not in regression_of(paired("canary", [(True, False)] * 3))
