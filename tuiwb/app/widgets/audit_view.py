"""What a check counted over the whole file, to read in the row's pane."""

from collections.abc import Mapping
from typing import Any

from textual.content import Content

from tuiwb.data.audit_text import audit_lines
from tuiwb.text import inert


def audit_content(audit: Mapping[str, Any]) -> Content:
    """The audit's lines; headings bold, warnings marked and coloured."""
    parts: list[Content | str | tuple[str, str]] = []
    for line in audit_lines(audit):
        style = {"head": "bold $primary", "warn": "$text-warning"}.get(line.kind, "")
        mark = {"warn": "! ", "head": ""}.get(line.kind, "  ")
        # Runs of blanks hold the columns apart: a wrapped text would lose those at its start.
        text = (mark + inert(line.text, one_line=True)).replace("  ", "\u00a0\u00a0")
        parts += [(text, style), "\n"]
    return Content.assemble(*parts)
