"""Which key of a YAML text the cursor stands on, told from its indentation. Pure."""

import re
from collections.abc import Sequence

_KEY = re.compile(r"^(\s*)([A-Za-z_][\w-]*)\s*:")


def key_path(lines: Sequence[str], row: int) -> str:
    """The dotted path of the key at line `row` (from 0), '' where there is none.

    On a comment, a blank line or a list item: the key it belongs to, the nearest one above.
    """
    if not lines:
        return ""
    names: list[str] = []
    limit: int | None = None
    for at in range(min(row, len(lines) - 1), -1, -1):
        match = _KEY.match(lines[at])
        if match is None:
            continue
        indent = len(match[1].expandtabs())
        if limit is None or indent < limit:
            names.append(match[2])
            limit = indent
        if limit == 0:
            break
    return ".".join(reversed(names))


def row_of(lines: Sequence[str], path: str) -> int:
    """The line (from 0) where the key of a dotted path stands; where it has none of its own, that
    of the section it belongs to; 0 where that is not there either."""
    while path:
        for row, line in enumerate(lines):
            if _KEY.match(line) and key_path(lines, row) == path:
                return row
        path = path.rpartition(".")[0]
    return 0
