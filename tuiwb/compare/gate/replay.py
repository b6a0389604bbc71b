"""How much of a run's training data was mixed in beside its task's own rows, in words."""

from collections.abc import Sequence
from pathlib import Path

from tuiwb.data.manifest import read_manifest
from tuiwb.errors import TuiwbError

LARGEST = 256 << 20  # bytes of a file beyond which its rows are not counted
CHUNK = 1 << 20


def mixed_in(files: Sequence[Path]) -> str:
    """What of the training files is a replay: a version's share of general rows, or the files
    after the first one and their share of all rows; '' where there is none, or it can't be told."""
    told = [words for file in files if (words := _of_version(file))]
    if told:
        return "; ".join(told)
    if len(files) < 2:
        return ""
    names = ", ".join(file.name for file in files[1:])
    counts = [_rows(file) for file in files]
    known = [count for count in counts if count is not None]
    if len(known) < len(files) or not sum(known):
        return f"{names} is in it already"
    return f"{names} is {sum(known[1:]) / sum(known):.0%} of it already"


def _of_version(file: Path) -> str:
    try:
        version = read_manifest(file.parent)
    except TuiwbError:
        return ""
    shares = [operation.counts.get("share") for operation in version.operations]
    share = next((s for s in reversed(shares) if isinstance(s, float)), None)
    return "" if share is None else f"{share:.0%} of {version.name} is already"


def _rows(file: Path) -> int | None:
    """Lines of a JSONL file; None for another kind, or one too large to be counted in passing."""
    try:
        if file.suffix != ".jsonl" or file.stat().st_size > LARGEST:
            return None
        with file.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(CHUNK), b""))
    except OSError:
        return None
