"""How much of a run's training data was mixed in beside its task's own rows, in words."""

from collections.abc import Sequence
from pathlib import Path

from tuiwb.data.manifest import ROWS, Version, read_manifest
from tuiwb.errors import TuiwbError

LARGEST = 256 << 20  # bytes of a file beyond which its rows are not counted
CHUNK = 1 << 20
MOST_PARENTS = 50  # of versions made of each other; only a manifest that was tampered with has more


def mixed_in(files: Sequence[Path]) -> str:
    """What of the training files `data mix` took from general rows, also before a split or a
    cleaning; '' where nothing is known to be general."""
    told = []
    for file in files:
        share, exact, name = _general(file)
        if share:
            told.append(f"{'' if exact else 'about '}{share:.0%} of {name} is general already")
    return "; ".join(told)


def further_files(files: Sequence[Path]) -> str:
    """The files after the first one and their share of all rows; '' for one file. What is in them
    only their owner knows."""
    if len(files) < 2:
        return ""
    counts = [_rows(file) for file in files]
    known = [count for count in counts if count is not None]
    names = [_name(file) for file in files[1:]]
    total = sum(known)
    if len(known) < len(files) or not total:
        return f"it has rows of {', '.join(names)} too"
    shares = [f"{n / total:.0%} of the rows" for n in known[1:]]
    return ", ".join(f"{share} are from {name}" for share, name in zip(shares, names, strict=True))


def _general(file: Path) -> tuple[float, bool, str]:
    """The share of general rows in a version's file, whether it is counted or that of what the
    version was made of, and the version's name; 0 where it was never mixed."""
    left_own, followed, name = 1.0, 0, ""
    share, exact = 0.0, True
    while (version := _version(file)) is not None and followed < MOST_PARENTS:
        name = name or version.name
        mixes = [each for each in version.operations if each.op == "mix"]
        if mixes:
            found = mixes[-1].counts.get("share")
            if isinstance(found, int | float) and 0 <= found <= 1:
                share += left_own * found
                left_own *= 1 - found
                exact = exact and not followed
        parent = next((each for each in version.parents if each.role == ROWS), None)
        if parent is None or parent.manifest is None:
            break
        file = file.parent / parent.path
        followed += 1
    return share, exact, name


def _version(file: Path) -> Version | None:
    """The version that a file belongs to; None where it is none's."""
    try:
        version = read_manifest(file.parent)
    except TuiwbError:
        return None
    return version if file.name in {output.file for output in version.outputs} else None


def _name(file: Path) -> str:
    """A file by its name, one of a version by the version's too."""
    return file.name if _version(file) is None else f"{file.parent.name}/{file.name}"


def _rows(file: Path) -> int | None:
    """Lines of a JSONL file; None for another kind, or one too large to be counted in passing."""
    try:
        if file.suffix != ".jsonl" or file.stat().st_size > LARGEST:
            return None
        with file.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(CHUNK), b""))
    except (OSError, ValueError):
        return None
