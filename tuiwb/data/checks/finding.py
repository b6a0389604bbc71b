"""What a check says: one place in one row, why it matters, as a sentence."""

from typing import Any

import msgspec

from tuiwb.data.rows import Row
from tuiwb.text import inert

SHOWN = 80
# Every name a finding's `check` may have, as docs/checks explains them.
CHECKS = (
    *("malformed", "empty", "role_order", "tool_calls", "exact_duplicate", "near_duplicate"),
    *("leakage", "pii", "injection", "format", "preference", "encoding", "refusal", "repetition"),
    *("language", "length", "system_prompt", "sizing", "synthetic_share", "too_long", "untrained"),
    *("template", "stop_token", "double_bos"),
)
# Kinds of finding by which a person may look for a check, as the table of rows shows them; those
# of several checks are left out.
KINDS = {
    "pii": ("email", "phone", "card", "iban", "ip", "secret", "name", "address", "national_id"),
    "injection": ("override", "persona", "leak", "payload", "tool_instruction", "encoded"),
    "encoding": ("replacement", "control", "html", "escaped"),
    "preference": ("same_answers", "nearly_same", "reversed", "both_labels"),
    "sizing": ("too_small", "one_sided", "one_answer"),
    "refusal": ("boilerplate", "refusal_beside_tools"),
    "language": ("mismatch", "other_language"),
    "template": ("refused", "no_generation"),
    "too_long": ("unread",),
    "near_duplicate": ("case_or_space",),
    "empty": ("placeholder",),
    "length": ("cut_off",),
    "untrained": ("blank_start",),
}


class Finding(msgspec.Struct, kw_only=True):
    """One finding. `row` is 0-based, `line` 1-based; start and end are characters of `field`.

    `kind` is the class of personal data or the like; `of` the row it repeats (in `of_file` when
    that is another file); `score` a similarity or token count; severity is error or warning.
    """

    file: str
    row: int
    line: int
    check: str
    sentence: str
    severity: str = "warning"
    field: str = ""
    start: int | None = None
    end: int | None = None
    kind: str = ""
    text: str = ""
    of: int | None = None
    of_file: str | None = None
    score: float | None = None


class Report(msgspec.Struct, kw_only=True):
    """Everything a check of a dataset found; `audit` holds counts over the whole file."""

    rows: int
    seconds: float
    findings: list[Finding]
    audit: dict[str, Any]


def found(row: Row, check: str, sentence: str, **more: Any) -> Finding:
    """A finding in `row`. Text that no encoder takes is made encodable, file names too."""
    return Finding(
        file=encodable(row.file),
        row=row.index,
        line=row.line,
        check=check,
        sentence=encodable(sentence),
        **{name: encodable(value) for name, value in more.items()},
    )


def encodable(value: Any) -> Any:
    """A plain value whose texts UTF-8 can hold: lone surrogates, in keys too, become '?'."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {encodable(key): encodable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [encodable(inner) for inner in value]
    return value


def quote(text: str) -> str:
    """The beginning of a text, inert and on one line, for use inside a sentence."""
    words = " ".join(text.split())
    return inert(words if len(words) <= SHOWN else words[: SHOWN - 1] + "…", one_line=True)
