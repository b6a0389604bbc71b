"""What the table of rows says of each row, in a few words."""

from collections.abc import Sequence

from tuiwb.app.widgets.virtual_table import Column
from tuiwb.data.checks.finding import Finding
from tuiwb.data.rows import Row
from tuiwb.text import short_count

SHORT_NAMES = {
    "exact_duplicate": "same as",
    "near_duplicate": "nearly as",
    "case_or_space": "same but case",
    "role_order": "order",
    "too_long": "too long",
    "national_id": "national id",
    "same_answers": "no preference",
    "both_labels": "both labels",
    "control_token": "control token",
    "override": "injection",
    "persona": "injection",
    "leak": "injection",
    "leakage": "leaks",
    "synthetic_share": "few human rows",
    "no_answer": "no answer",
    "other_language": "language",
    "one_answer": "one answer",
    "too_small": "too few rows",
    "blank_start": "blank start",
    "nearly_same": "no preference",
    "cut_off": "cut off",
    "double_bos": "double BOS",
}


def columns(rows: int) -> tuple[Column, ...]:
    """The table's columns, the first wide enough for the last row's number."""
    return (
        Column("row", max(3, len(str(rows))), right=True),
        Column("mark", 8),
        Column("found", 16, mark=True),
        Column("turns", 5, right=True),
        Column("chars", 5, right=True),
        Column("text"),
    )


def row_cells(row: Row, findings: Sequence[Finding], mark: str = "") -> tuple[str, ...]:
    """Number, mark, findings, turns, characters, the first words of the first turns."""
    kinds = list(dict.fromkeys(_name(finding) for finding in findings))
    found = f"! {kinds[0]}" + (f" +{len(kinds) - 1}" if len(kinds) > 1 else "") if kinds else ""
    if row.shape == "broken":
        return (str(row.index), mark, found or "! broken", "", "", (row.text or "")[:400])
    size = sum(len(text) for _, _, text in row.fields())
    turns = row.conversation()
    said = [m.content for _, m in turns if m.role not in ("system", "developer") and m.content]
    text = "  →  ".join(part[:200] for part in said[:3])
    return (str(row.index), mark, found, str(len(turns)), short_count(size), text)


def _name(finding: Finding) -> str:
    name = finding.kind or finding.check
    of = f" {finding.of}" if finding.of is not None and finding.kind == "" else ""
    return SHORT_NAMES.get(name, name.replace("_", " ")) + of
