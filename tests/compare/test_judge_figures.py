"""What verdicts add up to, folded without any judge."""

import pytest

from tuiwb.compare.completions import Completion
from tuiwb.compare.judge import FailureRecord, Usage, Verdict, VerdictRecord
from tuiwb.compare.judge_summary import summarise_verdicts


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
