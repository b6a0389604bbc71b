"""A problem found in a config, with where it stands."""

from collections.abc import Iterable
from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about a config. Lines and columns count from 1.

    `here`: an error of this machine, which lacks what the config wants; another may well run it.
    """

    line: int
    column: int
    key: str
    message: str
    severity: Severity = "error"
    here: bool = False

    @property
    def kind(self) -> str:
        """error, warning, note, or that this machine lacks something."""
        return "missing here" if self.here else self.severity

    def at(self, path: object) -> str:
        """`file:line: message` as compilers print it; what is no plain error says so."""
        kind = "" if self.kind == "error" else f"{self.kind}: "
        return f"{path}:{self.line}: {kind}{self.message}"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each once, in the order of the lines."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column))
