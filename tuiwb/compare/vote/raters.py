"""Who votes, and how far raters agree with one another.

In: a project's settings and environment, the votes of a compare folder. Out: a rater's name, each
rater's ballot, Cohen's kappa of every two.
"""

import getpass
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import Completion, side_names
from tuiwb.compare.stats.counts import Kappa, cohens_kappa
from tuiwb.compare.vote.ballot import Ballot, Outcome, still_stands
from tuiwb.compare.vote.records import MAIN_PAIR, Session, read_records, votes_name
from tuiwb.errors import BadInput
from tuiwb.project import Project

VARIABLE = "TUIWB_RATER"
REMEMBERED = "rater"
LONGEST = 40
UNNAMED = "unnamed"
CLASSES: tuple[Outcome, ...] = ("adapter", "tie", "base")


class Agreement(msgspec.Struct, kw_only=True):
    """Three-class agreement of two raters on the pairs both decided."""

    one: str
    other: str
    kappa: Kappa


def check_rater(name: str) -> str:
    """A rater's name as it is kept; BadInput when it can't be one."""
    name = " ".join(name.split())
    if not name or len(name) > LONGEST or not name.isprintable():
        raise BadInput(
            f"{name[:LONGEST]!r} is no rater's name: give 1 to {LONGEST} printable characters"
        )
    return name


def rater_of(project: Project, given: str | None = None) -> str | None:
    """Who votes: the name given, TUIWB_RATER, the project's setting, or the one that answered
    here before; None when nobody has said yet."""
    named = given or os.environ.get(VARIABLE) or project.settings.rater
    if named:
        return check_rater(named)
    try:
        return check_rater((project.cache / REMEMBERED).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, BadInput):
        return None


def remember_rater(project: Project, name: str) -> str:
    """Keep who votes in this checkout, so that it is asked once; the name as it is kept."""
    name = check_rater(name)
    project.cache.mkdir(parents=True, exist_ok=True)
    (project.cache / REMEMBERED).write_text(name + "\n", "utf-8")
    return name


def likely_rater() -> str:
    """A name to propose: who is logged in."""
    try:
        return check_rater(getpass.getuser())
    except (OSError, KeyError, ImportError, BadInput):
        return "me"


def raters_in(folder: Path, sides: tuple[str, str] = MAIN_PAIR) -> list[str]:
    """Everyone with a session on two sides, in the order they began."""
    records = read_records(folder / votes_name(*sides))
    return list(dict.fromkeys(r.rater for r in records if isinstance(r, Session)))


def read_ballots(
    folder: Path, completions: Sequence[Completion], sides: tuple[str, str] = MAIN_PAIR
) -> list[Ballot]:
    """The ballot of every rater on these very texts, in the order they began; nothing is written.

    `completions` hold the two sides as base and adapter.
    """
    if not completions or any(c.adapter is None for c in completions):
        return []
    first: dict[str, Session] = {}
    for record in read_records(folder / votes_name(*sides)):
        if isinstance(record, Session):
            first.setdefault(record.rater, record)
    return [
        Ballot(folder, completions, rater=rater, sides=sides)
        for rater, session in first.items()
        if still_stands(session, completions)
    ]


def progress(ballot: Ballot) -> str:
    """How far a rater is, in words: a pair that was skipped has no vote."""
    skipped = sum(ballot.choice(pair) == "skip" for pair in ballot.pairs)
    said = f"{ballot.voted - skipped} of {len(ballot.pairs)} pairs have a vote"
    return f"{said}, {skipped} skipped" if skipped else said


def repeats_in(ballot: Ballot) -> str:
    """What the pairs beyond the prompts are, '' where there are none; never which ones."""
    count = sum(pair.repeat for pair in ballot.pairs)
    if not count:
        return ""
    return (
        f"{count} of them {'repeats that check' if count > 1 else 'a repeat that checks'} the rater"
    )


def agreements(ballots: Iterable[Ballot]) -> list[Agreement]:
    """Every two raters that revealed, on the pairs both decided; identical answers, which nobody
    was asked about, are left out."""
    told = [ballot for ballot in ballots if ballot.revealed]
    return [
        Agreement(one=a.rater, other=b.rater, kappa=agreement_of(a.decided(), b.decided()))
        for a, b in itertools.combinations(told, 2)
    ]


def agreement_of(one: Mapping[str, str], other: Mapping[str, str]) -> Kappa:
    """Three-class Cohen's kappa of two sets of winners by completion id, on the ids in both."""
    table = [[0] * 3 for _ in CLASSES]
    for key, said in one.items():
        if said in CLASSES and other.get(key) in CLASSES:
            table[CLASSES.index(said)][CLASSES.index(other[key])] += 1
    return cohens_kappa(table)


def majority(ballots: Iterable[Ballot]) -> dict[str, Outcome]:
    """Who won each completion by the raters that revealed: the side with more votes for it than
    the other, 'tie' where neither has."""
    votes: dict[str, list[Outcome]] = {}
    for ballot in ballots:
        for key, who in ballot.winners().items():
            votes.setdefault(key, []).append(who)
    return {key: _leader(said) for key, said in votes.items()}


def side_pairs(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every two sides of a comparison that can be looked at and voted on, the main pair first."""
    return list(itertools.combinations(side_names(dict(spec)), 2))


def _leader(said: Sequence[Outcome]) -> Outcome:
    lead = said.count("adapter") - said.count("base")
    return "adapter" if lead > 0 else "base" if lead < 0 else "tie"
