"""One look at a comparison for the screen: two of its sides, their votes, their tokens."""

from dataclasses import dataclass, field
from pathlib import Path

from tuiwb.compare.completions import (
    TokenProbabilities,
    paired,
    read_token_probabilities,
    summarise,
)
from tuiwb.compare.judge.plan import all_questions, known_verdicts
from tuiwb.compare.judge.protocol import on_record
from tuiwb.compare.judge.review import Judged, read_judged
from tuiwb.compare.judge.summary import judge_folders, outcomes, read_judge_summary
from tuiwb.compare.look import Comparison, look
from tuiwb.compare.metrics.measure import Options
from tuiwb.compare.plan import COMPARE
from tuiwb.compare.vote.ballot import Ballot, VoteTally
from tuiwb.compare.vote.raters import Agreement, agreements, rater_of, read_ballots
from tuiwb.compare.vote.records import MAIN_PAIR
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import load
from tuiwb.project import Project


@dataclass(frozen=True)
class Looked:
    """`seen` has `sides` in the roles base and adapter; `ballot` is this rater's, `ballots` are
    all. `whole` is the comparison as it is on disk, `judged` what each judge said where there are
    several."""

    seen: Comparison
    whole: Comparison
    sides: tuple[str, str] = MAIN_PAIR
    ballot: Ballot | None = None
    ballots: list[Ballot] = field(default_factory=list)
    agreements: list[Agreement] = field(default_factory=list)
    probabilities: dict[str, TokenProbabilities] = field(default_factory=dict)
    judged: list[Judged] = field(default_factory=list)

    def tallies(self) -> list[VoteTally]:
        """Tallies that may be shown: the rater's own first once revealed, then others'."""
        if self.ballot is None or not self.ballot.revealed:
            return []
        others = [b for b in self.ballots if b.revealed and b.rater != self.ballot.rater]
        return [tally for b in (self.ballot, *others) if (tally := b.tally()) is not None]


def look_at(project: Project, run: Path, sides: tuple[str, str], before: Looked | None) -> Looked:
    """Read a run's comparison for two of its sides; the judge's word on them comes along."""
    whole = look(project, run, before.whole if before else None)
    folder = run / COMPARE
    seen = whole if sides == MAIN_PAIR else _other_pair(whole, sides, before)
    ballots = read_ballots(folder, seen.completions, sides)
    try:
        rater = rater_of(project)
    except BadInput:
        rater = None  # told when a vote is begun
    several = len(judge_folders(run, None if sides == MAIN_PAIR else sides)) > 1
    return Looked(
        seen=seen,
        whole=whole,
        sides=sides,
        ballot=next((b for b in ballots if b.rater == rater), None),
        ballots=ballots,
        agreements=agreements(ballots),
        probabilities=_tokens(folder, sides),
        judged=read_judged(run, seen.completions, sides) if several else [],
    )


def _other_pair(whole: Comparison, sides: tuple[str, str], before: Looked | None) -> Comparison:
    completions = paired(whole.completions, *sides)
    kept = before.seen.summary if before is not None and before.sides == sides else None
    if kept is None or kept.done != len(completions):
        quick = Options(overlap=False)
        kept = summarise(completions, len(completions), quick) if completions else None
        if kept is not None and whole.summary is not None:
            kept.left_out = whole.summary.left_out
    seen = Comparison(
        run=whole.run,
        spec=whole.spec,
        problem=whole.problem,
        completions=completions,
        summary=kept,
    )
    folders = judge_folders(whole.run, sides)
    if folders:
        asked = all_questions(load(folders[0]).spec, completions)
        told = on_record(asked, *known_verdicts(load(folders[0]).spec, asked))
        found = outcomes(completions, *told)
        seen.verdicts = {pair.pair: pair for pair in found if not pair.identical}
        seen.judge = read_judge_summary(folders[0])
    return seen


def _tokens(folder: Path, sides: tuple[str, str]) -> dict[str, TokenProbabilities]:
    found = read_token_probabilities(folder)
    if sides == MAIN_PAIR:
        return found
    for line in found.values():
        own = {"base": line.base, "adapter": line.adapter, **line.others}
        line.base, line.adapter = own.get(sides[0], []), own.get(sides[1], [])
    return found
