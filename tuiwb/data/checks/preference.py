"""Pairs and thumbs that say nothing, or say both."""

from collections.abc import Iterator

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.rows import Row, Turns


def same_answers(row: Row) -> Iterator[Finding]:
    """Chosen and rejected alike: the pair has no preference in it."""
    if row.shape == "preference" and _texts(row.chosen) == _texts(row.rejected):
        yield found(
            row, "preference", "chosen and rejected are the same: the pair teaches nothing",
            severity="error", kind="same_answers", field="rejected",
        )  # fmt: skip


class Thumbs:
    """Remembers KTO answers: the same one marked good and bad cancels out."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, bool]] = {}

    def __call__(self, row: Row) -> Iterator[Finding]:
        """The finding when this row's answer was marked otherwise before."""
        if row.shape != "kto" or row.label is None:
            return
        key = hash((_texts(row.prompt), _texts(row.completion)))
        before = self._seen.setdefault(key, (row.index, row.label))
        if before[1] != row.label:
            words = ("bad", "good") if row.label is False else ("good", "bad")
            yield found(
                row, "preference", f"marked {words[0]} here and {words[1]} in row {before[0]}",
                severity="error", kind="both_labels", field="label", of=before[0],
            )  # fmt: skip


def _texts(part: Turns | None) -> tuple[str, ...]:
    if isinstance(part, str):
        return (part.strip(),)
    return tuple(f"{m.role}\0{m.content.strip()}\0{m.tool_calls}" for m in part or [])
