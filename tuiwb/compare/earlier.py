"""Whether two comparisons ask the same, and the earlier one of a run that asked it already."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.compare.sides import Side, identity, prints_of, spec_sides
from tuiwb.compare.vote.records import Undo, Vote, read_records
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import JOB, Job, load
from tuiwb.jobs.reopen import set_aside

COMPARE = "compare"
# What changes no answer, or says who answers, which is compared side by side.
_NOT_THE_QUESTION = frozenset(
    {
        "sides",
        "batch_size",
        "max_usd",
        "engine",
        "vllm_python",
        "without_vllm",
        "base",
        "revision",
        "adapter",
    }
)


def fingerprints(spec: dict[str, Any]) -> dict[str, str]:
    """sha256 of the prompts and of every file of the sides."""
    prints = {"prompts": jobs.fingerprint(Path(spec["prompts"]))}
    for side in spec_sides(spec):
        prints |= prints_of(side)
    return prints


def same_question(old: Job, spec: dict[str, Any], prints: dict[str, str]) -> bool:
    """Whether a job asked the same prompts in the same way, whoever answered."""

    def question(asked: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in asked.items() if k not in _NOT_THE_QUESTION}

    return question(msgspec.to_builtins(old.spec)) == question(spec) and (
        old.fingerprints.get("prompts") == prints["prompts"]
    )


def whole(side: Side, prints: dict[str, str]) -> tuple[str, tuple[str, ...]]:
    """What a side is and what its files hold."""
    own = sorted((k, v) for k, v in prints.items() if k.startswith(f"{side['name']}/"))
    return identity(side), tuple(f"{k.partition('/')[2]} {v}" for k, v in own)


def same_pair(old: Job, spec: dict[str, Any], prints: dict[str, str]) -> bool:
    """Whether the same sides, from the same files, hold the two roles."""
    ours = [whole(side, prints) for side in spec_sides(spec)[:2]]
    return ours == [whole(side, old.fingerprints) for side in spec_sides(old.spec)[:2]]


def standing(spec: dict[str, Any], prints: dict[str, str]) -> Path:
    """The folder of the comparison that `spec` goes on with: the run's present one, or the one
    set aside before that asked the same of the same pair; with votes before without, else the
    last."""
    folder = Path(spec["run"]) / COMPARE

    def asked_it(path: Path) -> bool:
        try:
            job = load(path)
            return same_question(job, spec, prints) and same_pair(job, spec, prints)
        except (TuiwbError, KeyError, TypeError):
            return False  # another program's folder, or one of an older version

    if asked_it(folder):
        return folder
    earlier = [path for path in set_aside_before(folder) if asked_it(path)]
    return max(earlier, key=lambda path: votes_in(path) > 0, default=folder)


def votes_in(folder: Path) -> int:
    """How many votes stand in a comparison, of all raters on all its pairs of sides."""
    count = 0
    for path in folder.glob("votes*.jsonl"):
        try:
            records = read_records(path)
        except OSError:
            continue
        count += sum(isinstance(r, Vote) - isinstance(r, Undo) for r in records)
    return max(0, count)


def make_room(folder: Path, tell: Callable[[str], object]) -> Path:
    """Set the comparison in `folder` aside; where it holds votes, `tell` a sentence of it."""
    votes, aside = votes_in(folder), set_aside(folder)
    if votes:
        tell(
            f"the comparison that stood here, with {_count(votes)}, is set aside as "
            f"{aside.parent.name}/{aside.name}: asking the same as it did brings it back"
        )
    return aside


def take_back(folder: Path, earlier: Path, tell: Callable[[str], object]) -> Path | None:
    """Put `earlier` in the place of `folder`, votes, rulings and all; `tell` says so. Where what
    stood there is then, None if nothing did. BadInput while that runs."""
    aside = make_room(folder, tell) if folder.exists() else None
    earlier.rename(folder)
    votes = f", with {_count(votes_in(folder))}" if votes_in(folder) else ""
    tell(f"{folder.parent.name}/{earlier.name} asked the same: it is taken back{votes}")
    return aside


def set_aside_before(folder: Path) -> list[Path]:
    """Comparisons of the run that were set aside, the latest first."""
    found = []
    for path in folder.parent.glob(f"{folder.name}-*"):
        number = path.name.removeprefix(f"{folder.name}-")
        if number.isdecimal() and (path / JOB).is_file():
            found.append((path.joinpath(JOB).stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _count(votes: int) -> str:
    return f"{votes} vote{'s' * (votes != 1)}"
