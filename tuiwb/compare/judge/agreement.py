"""How far several judges, and a person where the votes are revealed, agree on the same pairs."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import msgspec

from tuiwb.compare.completions import COMPLETIONS
from tuiwb.compare.judge.plan import all_questions, completions_of
from tuiwb.compare.judge.protocol import VERDICTS, PairVerdict, on_record, read_verdicts
from tuiwb.compare.judge.rubric import Rubric
from tuiwb.compare.judge.summary import LABELS, judge_folders, kappa_of, outcomes
from tuiwb.compare.stats.counts import Kappa
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import fingerprint, load


class Judgement(msgspec.Struct, kw_only=True):
    """What one judge said of a run's pairs: outcomes by pair, identical pairs and pairs without
    two verdicts left out. `rubric` is its name and system prompt, `endpoint` who was asked."""

    label: str
    model: str
    endpoint: tuple[str, str, str]
    rubric: tuple[str, str]
    folder: Path
    outcomes: dict[str, str]


class Agreement(msgspec.Struct, kw_only=True):
    """Two judges on the pairs that both decided: raw agreement and three-class Cohen's kappa with
    its interval and n, and the pairs on which they named opposite winners."""

    one: str
    other: str
    kappa: Kappa
    opposite: list[str] = []

    @property
    def sentence(self) -> str:
        """The same in one line."""
        said = self.kappa
        if said.agreement is None:
            return f"{self.one} and {self.other} share no pair"
        words = f"{self.one} and {self.other} agree on {100 * said.agreement:.1f}% of {said.n}"
        words += " pairs"
        if said.kappa is None:
            words += ", kappa not defined: one answer for all"
        elif said.interval is not None:
            low, high = said.interval.low, said.interval.high
            words += f", kappa {said.kappa:.2f} [{low:.2f}, {high:.2f}]"
        if not said.reliable:
            words += "; unreliable below 30 pairs"
        return words


def read_judgements(run: Path, sides: tuple[str, str] | None = None) -> list[Judgement]:
    """What each of a run's judges said of the answers that are there now, the first one first."""
    found = []
    for folder in judge_folders(run, sides):
        try:
            job = load(folder)
            answers = Path(str(job.spec["compare"])) / COMPLETIONS
            if job.fingerprints.get(COMPLETIONS) != fingerprint(answers):
                continue
            completions, rubric = completions_of(job.spec), Rubric(**job.spec["rubric"])
            asked = all_questions(job.spec, completions)
        except (TuiwbError, OSError, KeyError, TypeError, ValueError):
            continue  # a job of another version, or of no version at all
        verdicts, _ = read_verdicts(folder / VERDICTS)
        told, _ = on_record(asked, verdicts)
        said = outcomes(completions, told)
        found.append(
            Judgement(
                label=str(job.spec.get("label") or job.spec["model"]),
                model=str(job.spec["model"]),
                endpoint=(
                    str(job.spec.get("api", "anthropic")),
                    str(job.spec["base_url"]),
                    str(job.spec["model"]),
                ),
                rubric=(rubric.name, rubric.system),
                folder=folder,
                outcomes=decided(said),
            )
        )
    return found


def decided(verdicts: Sequence[PairVerdict]) -> dict[str, str]:
    """Outcomes by pair of what was really decided: no identical pairs, no invalid ones."""
    return {v.pair: v.outcome for v in verdicts if not v.identical and v.outcome in LABELS}


def agreements(judgements: Mapping[str, Mapping[str, str]]) -> list[Agreement]:
    """Every two of the judges against each other; each is a name and its outcomes by pair."""
    return [
        Agreement(
            one=one,
            other=other,
            kappa=kappa_of(said, told),
            opposite=sorted(
                pair
                for pair in said.keys() & told.keys()
                if {said[pair], told[pair]} == {"adapter", "base"}
            ),
        )
        for (one, said), (other, told) in combinations(judgements.items(), 2)
    ]


def judges_agreement(run: Path, sides: tuple[str, str] | None = None) -> list[Agreement]:
    """Every two of a run's judges by the first one's rubric against each other; empty for fewer
    than two."""
    found: dict[str, dict[str, str]] = {}
    judgements = read_judgements(run, sides)
    seen = set()
    for judge in judgements:
        # Judges by another rubric were asked another question; a judge that was asked alone and
        # among others has two folders.
        if judge.rubric != judgements[0].rubric or judge.endpoint in seen:
            continue
        seen.add(judge.endpoint)
        # Two endpoints may serve models of one name: their folders differ.
        name = judge.label if judge.label not in found else judge.folder.name
        found[name] = judge.outcomes
    return agreements(found)
