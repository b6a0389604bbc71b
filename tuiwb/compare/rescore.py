"""A run's kept answers measured again, without any model; and the page of all that is known.

In: a compare folder, the votes in it and the judges beside it. Out: figures, or a report's page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuiwb.compare.completions import (
    Completion,
    Summary,
    label_of,
    paired,
    read_completions,
    read_summary,
    side_called,
    side_names,
    summarise,
)
from tuiwb.compare.judge.agreement import Judgement, agreements, read_judgements
from tuiwb.compare.judge.summary import manipulated, read_judge_summary
from tuiwb.compare.metrics.measure import Options
from tuiwb.compare.plan import COMPARE
from tuiwb.compare.report.page import Agreed, Page, Preferred, page_of, preferred
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import agreements as rater_agreements
from tuiwb.compare.vote.raters import majority, read_ballots
from tuiwb.compare.vote.records import MAIN_PAIR
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import load
from tuiwb.project import Project


@dataclass(frozen=True)
class Rescored:
    """Two sides of a comparison, by name, in the roles base and adapter, and their figures."""

    run: Path
    spec: dict[str, Any]
    sides: tuple[str, str]
    completions: list[Completion]
    summary: Summary

    @property
    def labels(self) -> tuple[str, str]:
        """How the sides are called before people."""
        return label_of(self.spec, self.sides[0]), label_of(self.spec, self.sides[1])


def rescore(
    project: Project,
    run_name: str,
    options: Options | None = None,
    sides: tuple[str, str] = MAIN_PAIR,
) -> Rescored:
    """Measure what was answered so far. BadInput without answers or without such a side."""
    run = project.run(run_name)
    folder = run / COMPARE
    if not (folder / "job.yaml").is_file():
        raise BadInput(f"run {run_name} has not been compared yet: 'tuiwb compare {run_name}'")
    spec = load(folder).spec
    names = side_names(spec)
    sides = (side_called(spec, sides[0]), side_called(spec, sides[1]))
    for name in sides:
        if name not in (*MAIN_PAIR, *names):
            raise BadInput(
                f"the comparison of {run_name} has no side {name!r}: there are {', '.join(names)}"
            )
    if sides[0] == sides[1]:
        raise BadInput(
            f"{sides[0]!r} can't be measured against itself: there are {', '.join(names)}"
        )
    answered = read_completions(folder)
    completions = paired(answered, *sides)
    if not completions:
        raise BadInput(
            f"nothing is answered yet in {folder}: 'tuiwb compare {run_name}' goes on with it"
        )
    before = read_summary(folder)
    total = before.total if before is not None else int(spec.get("limit") or 0)
    summary = summarise(completions, max(total, len(completions)), options)
    if before is not None:
        summary.device, summary.dtype = before.device, before.dtype
        summary.engine, summary.seconds, summary.usd = before.engine, before.seconds, before.usd
        summary.left_out = before.left_out
        if sides == MAIN_PAIR:
            summary.max_logit_difference = before.max_logit_difference
            summary.adapter_applied = before.adapter_applied
    return Rescored(run=run, spec=spec, sides=sides, completions=completions, summary=summary)


def page(rescored: Rescored) -> Page:
    """All that is known of the two sides. Votes are told only once their rater has revealed."""
    ballots = read_ballots(rescored.run / COMPARE, rescored.completions, rescored.sides)
    judges = read_judgements(rescored.run, None if rescored.sides == MAIN_PAIR else rescored.sides)
    said: list[Preferred] = []
    for ballot in ballots:
        tally = ballot.tally()
        if tally is not None:
            name = f"votes of {ballot.rater}" if ballot.rater else "votes"
            notes = [f"{tally.identical} pairs were identical and never asked."]
            if tally.both_bad:
                notes.append(f"Ties that are 'both bad': {tally.both_bad}.")
            if tally.repeated:
                notes.append(
                    f"Asked again: the same answer {tally.consistent} of {tally.repeated}."
                )
            if tally.not_blind:
                notes.append(f"{tally.not_blind} votes were on pairs read with names: not blind.")
            if tally.open:
                notes.append(f"{tally.open} pairs are still open.")
            said.append(preferred(name, tally.counts, rescored.labels, notes))
    doubts = []
    for judge in judges:
        one, doubt = _judge(judge, rescored.labels)
        said += one
        doubts += doubt
    return page_of(
        rescored.spec,
        rescored.summary,
        rescored.completions,
        names=rescored.sides,
        preferences=said,
        agreements=_agreements(ballots, judges),
        doubts=doubts,
    )


def _agreements(ballots: list[Ballot], judges: list[Judgement]) -> list[Agreed]:
    """Raters with each other, then the votes together and each judge with each other."""
    named: dict[str, Mapping[str, str]] = {f"judge {j.label}": j.outcomes for j in judges}
    # Pairs that look alike are ties that nobody was asked about: no judgement to agree with.
    asked = {key for ballot in ballots for key in ballot.decided()}
    if votes := {key: who for key, who in majority(ballots).items() if key in asked}:
        named = {"the votes": votes, **named}
    return [
        *(Agreed(a.one, a.other, a.kappa) for a in rater_agreements(ballots)),
        *(Agreed(a.one, a.other, a.kappa) for a in agreements(named)),
    ]


def _judge(judge: Judgement, sides: tuple[str, str]) -> tuple[list[Preferred], list[str]]:
    """What a judge that ended said, and why it should not be trusted."""
    summary = read_judge_summary(judge.folder)
    if summary is None:
        return [], []
    notes = [
        f"Rubric {summary.rubric}: {summary.flips} flips, {summary.weak} half wins, "
        f"{summary.invalid} invalid, {summary.identical} identical.",
        f"The first response won {_share(summary.first_slot_share)} of the decisive verdicts, the "
        f"longer one {_share(summary.longer_win_share)} of the decided pairs.",
    ]
    if told := manipulated(summary):
        notes.append(f"{told.capitalize()}.")
    doubts = [f"judge {judge.label} is not trusted: {doubt}" for doubt in summary.doubts]
    return [preferred(f"judge {judge.label}", summary.preference.counts, sides, notes)], doubts


def _share(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f}%"
