"""What verdicts add up to, folded without any judge."""

import pytest
from msgspec import structs

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.plan import all_questions
from tuiwb.compare.judge.protocol import (
    FailureRecord,
    Question,
    Usage,
    Verdict,
    VerdictRecord,
    on_record,
)
from tuiwb.compare.judge.summary import outcomes, summarise_verdicts


def completions(identical: int, asked: int) -> list[Completion]:
    return [
        Completion(
            id=f"id{i}",
            index=i,
            line=i + 1,
            prompt=[{"role": "user", "content": "?"}],
            base="same" if i < identical else "worse",
            adapter="same" if i < identical else "better",
        )
        for i in range(identical + asked)
    ]


def verdicts(pair: str) -> list[VerdictRecord]:
    return [
        VerdictRecord(
            key=f"{pair}-{first}",
            pair=pair,
            first=first,
            second=second,
            verdict=Verdict(
                reasoning="",
                attempted_manipulation="none",
                winner="1" if first == "adapter" else "2",
                strength="clear",
            ),
            raw="",
            model="m",
            mode="schema",
            usage=Usage(),
        )
        for first, second in (("adapter", "base"), ("base", "adapter"))
    ]


@pytest.mark.parametrize(
    ("identical", "invalid", "told"), [(80, 1, True), (0, 1, True), (0, 0, False)]
)
def test_identical_answers_do_not_water_down_how_many_calls_failed(identical, invalid, told):
    rows = completions(identical, 10)
    pairs = [row.id for row in rows[identical:]]
    said = summarise_verdicts(
        rows,
        [verdict for pair in pairs[invalid:] for verdict in verdicts(pair)],
        [FailureRecord(key=pair, pair=pair, reason="refusal") for pair in pairs[:invalid]],
        model="m",
        rubric="helpfulness",
    )
    assert (said.invalid, said.identical) == (invalid, identical)
    assert any("1 of 10 pairs asked are invalid" in doubt for doubt in said.doubts) is told


SPEC = {
    "model": "m",
    "base_url": "u",
    "seed": 0,
    "rubric": {"name": "r", "role": "a", "criteria": "b", "tie": "c"},
}


def adapter_wins(asked: list[Question]) -> dict[str, VerdictRecord]:
    """A verdict for the adapter on every question of a pair, by key."""
    told: dict[str, VerdictRecord] = {}
    for question in asked:
        by_first = {record.first: record for record in verdicts(question.pair)}
        if question.first in by_first:
            told[question.key] = structs.replace(by_first[question.first], key=question.key)
    return told


def test_a_verdict_counts_for_the_pair_whose_texts_were_judged_whatever_its_id_is_now():
    rows = completions(0, 3)
    for row in rows:
        row.base = f"worse {row.index}"
    before = all_questions(SPEC, rows[:2])
    told = adapter_wins([q for q in before if q.pair == "id0"])
    # A row was put before the first one: every id has moved on.
    rows[0].id, rows[1].id, rows[2].id = "id1", "id2", "id0"
    now, _ = on_record(all_questions(SPEC, rows), told)
    assert {record.pair for record in now} == {"id1"}
    assert [(pair.pair, pair.outcome) for pair in outcomes(rows, now)] == [("id1", "adapter")]


def test_pairs_of_the_same_texts_share_their_verdicts_and_failures():
    rows = completions(0, 2)
    asked = all_questions(SPEC, rows)
    told = adapter_wins(asked)
    assert len(told) == 2
    now, _ = on_record(asked, told)
    assert [pair.outcome for pair in outcomes(rows, now)] == ["adapter", "adapter"]
    foreign = {key: structs.replace(record, first="x", pair="y") for key, record in told.items()}
    assert on_record(asked, foreign)[0] == now
    lost = FailureRecord(key=asked[-1].key, pair="id1", reason="refusal")
    _, failures = on_record(asked, {}, [lost])
    assert [pair.outcome for pair in outcomes(rows, [], failures)] == ["invalid", "invalid"]
