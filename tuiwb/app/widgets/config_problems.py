"""A config's problems as the screen says them: the errors first, each with its line. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tuiwb.text import inert

if TYPE_CHECKING:
    from tuiwb.train.problems import Problem

ORDER = ("error", "warning", "note")
MARKS = {
    "error": ("✗", "$text-error"),
    "warning": ("!", "$text-warning"),
    "note": ("·", "$foreground 60%"),
}


def title_of(problems: "Sequence[Problem]") -> str:
    """How many there are of each kind, or that there are none."""
    counts = {
        "error": sum(p.severity == "error" and not p.here for p in problems),
        "missing here": sum(p.here for p in problems),
        "warning": sum(p.severity == "warning" for p in problems),
        "note": sum(p.severity == "note" for p in problems),
    }
    said = [
        f"{n} {kind}{'s' if n > 1 and kind != 'missing here' else ''}"
        for kind, n in counts.items()
        if n
    ]
    return f"Check: {', '.join(said) or 'fine'}"


def lines_of(problems: "Sequence[Problem]") -> Content:
    """A line each, and first whether the config can be trained here."""
    lines = [
        Content.assemble(
            (f"{MARKS[p.severity][0]} line {p.line}: ", MARKS[p.severity][1]),
            ("missing here: " if p.here else "", "bold"),
            inert(p.message),
        )
        for p in sorted(problems, key=lambda p: (ORDER.index(p.severity), p.here, p.line))
    ]
    if all(p.severity != "error" for p in problems):
        lines.insert(0, Content.styled("✓ ready: ctrl+t trains it", "$text-success"))
    return Content("\n").join(lines)
