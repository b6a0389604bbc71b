"""Slices by tag and prompt length: their figures, their order, what is too small to tell."""

import pytest

from tuiwb.compare.metrics.measure import MOST_TAGS, Options, measure
from tuiwb.compare.metrics.scored import Answered, Asked
from tuiwb.compare.metrics.slices import LENGTH, MISSING, REST
from tuiwb.compare.stats.paired import holm
from tuiwb.errors import BadInput


def prompt(right, *, base="no", size=10, **tags):
    return Asked(
        base=Answered(base),
        adapter=Answered("yes" if right else "no"),
        reference="yes",
        tags=tags,
        prompt_tokens=size,
        prompt_characters=5 * size,
    )


def prompts():
    return [
        *(prompt(True, kind="refund") for _ in range(20)),
        *(prompt(i < 3, kind="cancel", base="yes") for i in range(12)),
        *(prompt(i % 2 == 0, kind="return") for i in range(12)),
        *(prompt(False, kind="rare", base="yes") for _ in range(3)),
        *(prompt(True) for _ in range(11)),
    ]


def test_the_worst_slice_comes_first_and_small_ones_last():
    found = measure(prompts()).slices
    assert [s.value for s in found] == ["cancel", "return", "refund", MISSING, "rare"]
    assert [s.small for s in found] == [False, False, False, False, True]
    worst = found[0].line
    assert (worst.n, worst.base_right, worst.adapter_right) == (12, 12, 3)
    assert worst.difference == pytest.approx(-9 / 12)
    assert worst.difference_interval.high < 0
    assert worst.verdict == "worse"
    assert worst.p_holm == pytest.approx(min(4 * worst.p, 1.0), abs=0.02)


def test_a_verdict_on_a_slice_counts_in_the_slices_of_every_tag():
    rows = [
        prompt(True, kind=i % 2, city=i % 3, tone=i % 5) if i < 24 else prompt(False, kind=i % 2)
        for i in range(48)
    ]
    found = [s.line for s in measure(rows).slices]
    assert len({s.by for s in measure(rows).slices}) == 3
    assert [line.p_holm for line in found] == pytest.approx(holm([line.p for line in found]))
    assert any(line.p <= 0.05 < line.p_holm for line in found)


def test_every_prompt_is_in_one_slice_of_a_tag():
    found = measure(prompts()).slices
    assert sum(s.line.n for s in found) == 58
    assert {s.by for s in found} == {"kind"}


def test_prompt_lengths_make_thirds():
    rows = [prompt(i >= 20, size=size) for i, size in enumerate(range(1, 31))]
    found = measure(rows, Options(by=["length"])).slices
    assert {s.by for s in found} == {LENGTH}
    assert {s.value: s.line.n for s in found} == {
        "up to 10 tokens": 10,
        "11 to 20 tokens": 10,
        "over 20 tokens": 10,
    }
    assert found[-1].value == "over 20 tokens"


def test_without_tokens_lengths_are_in_characters():
    rows = [Asked(Answered("a"), None, "a", prompt_characters=n) for n in (1, 5, 9)]
    values = {s.value for s in measure(rows).slices}
    assert values == {
        "up to 1 characters",
        "2 to 5 characters",
        "over 5 characters",
    }


def test_a_tag_that_names_each_row_or_none_slices_nothing():
    rows = [prompt(True, id=str(i), always="x", half=i % 2) for i in range(20)]
    assert {s.by for s in measure(rows).slices} == {"half"}


def test_many_rare_values_are_taken_together():
    rows = [prompt(True, city=f"c{min(i // 2, 30)}") for i in range(60)]
    values = [s.value for s in measure(rows).slices]
    assert len(values) == 12
    assert REST in values


def test_a_file_with_a_column_for_everything_is_sliced_by_the_first_and_by_those_asked_for():
    rows = [prompt(True, size=1 + i, **{f"c{n}": i % 2 for n in range(50)}) for i in range(12)]
    names = {s.by for s in measure(rows).slices}
    assert len(names) == MOST_TAGS
    assert {"c0", LENGTH} < names
    assert {s.by for s in measure(rows, Options(by=["c49"])).slices} == {"c49"}
    # A tag of that name is meant by it, not the prompts' length.
    rows = [prompt(True, size=1 + i, length="ab"[i % 2]) for i in range(12)]
    assert {s.by for s in measure(rows, Options(by=["length"])).slices} == {"length"}


def test_one_side_is_sliced_by_its_own_score():
    rows = [
        Asked(Answered("yes" if right else "no"), None, "yes", tags={"kind": kind})
        for kind, right in [("a", True)] * 10 + [("b", False)] * 10
    ]
    found = measure(rows).slices
    assert [s.value for s in found] == ["b", "a"]
    assert found[0].line.adapter is None


def test_another_metric_can_be_asked_for_and_a_wrong_one_is_named():
    found = measure(prompts(), Options(sliced="token_f1", by=["kind"])).slices
    assert {s.line.name for s in found} == {"token_f1"}
    with pytest.raises(BadInput, match="no slices by the metric 'wit': there are exact_match"):
        measure(prompts(), Options(sliced="wit"))
    with pytest.raises(BadInput, match="can't be sliced by 'colour': there are kind"):
        measure(prompts(), Options(by=["colour"]))
