"""A problem found in a config, with where it stands."""

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about a config. Lines and columns count from 1."""

    line: int
    column: int
    key: str
    message: str
    severity: Severity = "error"

    def at(self, path: object) -> str:
        """`file:line: message` as compilers print it; warnings and notes say so."""
        kind = "" if self.severity == "error" else f"{self.severity}: "
        return f"{path}:{self.line}: {kind}{self.message}"
