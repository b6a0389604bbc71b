"""Personal data and secrets replaced by typed placeholders: [EMAIL_1], [PHONE_2].

In: a row. Out: the row with every span that the PII rules find replaced, in its texts, in the
arguments of its tool calls and in its other columns, and how many of each kind. Within a row the
same value has the same placeholder wherever it stands, so that a conversation still makes sense.
What the rules miss stays: see docs/checks/pii.md.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from tuiwb.data.checks.pii import KINDS as KIND_WORDS
from tuiwb.data.checks.pii import spans
from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

KINDS = tuple(KIND_WORDS)

# Columns that say where a row came from: hashes and file names, nobody's data.
LEFT = frozenset(("provenance", "source"))
_PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]*)_(\d{1,6})\]")
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NOT_ALNUM = re.compile(r"[\W_]+")
_PARTS = ("messages", "prompt", "completion", "chosen", "rejected")
# A bare number says what it is only by its name: {"phone": 5551234567}.
_NUMBERS = frozenset(("phone", "card", "iban", "national_id"))
_DIGITS = 7
# Shorter values would be found inside other words.
_TELLING = 5


def kinds_named(kinds: Iterable[str]) -> tuple[str, ...]:
    """The kinds, or all of them for none; BadInput for one the rules don't know."""
    chosen = tuple(kinds)
    for kind in chosen:
        if kind not in KINDS:
            raise BadInput(f"{kind!r} is no kind of personal data: one of {', '.join(KINDS)}")
    return chosen or KINDS


def redact(row: Row, kinds: Sequence[str] = KINDS) -> tuple[Row, dict[str, int]]:
    """The row without the personal data of `kinds`, and how many spans of each were replaced."""
    if row.shape == "broken":
        return row, {}
    names = _Names(frozenset(kinds))
    # Twice: what words give away in one turn ("my name is") is replaced in every other too.
    _rewritten(row, names.learn)
    if not names.known:
        return row, {}
    changed = _rewritten(row, names.replace)
    return (replace(row, **changed) if changed else row), dict(names.counts)


class _Names:
    """The placeholders of one row: a number per kind, one per value."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self.known: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._kinds = kinds
        self._last: dict[str, int] = {}
        self._same: dict[tuple[str, str], str] = {}
        self._spans: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
        self._anywhere: re.Pattern[str] | None = None

    def learn(self, text: str, name: str = "") -> str:
        """Find what is to be replaced in `text`, a value called `name`; the text unchanged."""
        for match in _PLACEHOLDER.finditer(text):
            kind, number = match[1].lower(), int(match[2])
            self._last[kind] = max(self._last.get(kind, 0), number)
        if (name, text) not in self._spans:
            found = self._found(text, name)
            self._spans[name, text] = found
            for start, end, kind in found:
                self.known.setdefault(text[start:end], kind)
        return text

    def replace(self, text: str, name: str = "") -> str:
        """`text` with placeholders; JSON stays JSON."""
        found = self._all(text, name)
        if not found:
            return text
        strings = _strings(text)
        pieces, at = [], 0
        for start, end, kind in found:
            mark = self._placeholder(kind, text[start:end])
            bare = strings is not None and not any(a < start and end < b for a, b in strings)
            pieces += [text[at:start], f'"{mark}"' if bare else mark]
            at = end
            self.counts[kind] += 1
        return "".join((*pieces, text[at:]))

    def _found(self, text: str, name: str) -> list[tuple[int, int, str]]:
        found = [(s.start, s.end, s.kind) for s in spans(text) if s.kind in self._kinds]
        if not found and name and sum(map(str.isdigit, text)) >= _DIGITS:
            shift = len(name) + 2
            named = spans(f"{name.replace('_', ' ')}: {text}")
            found = [
                (s.start - shift, s.end - shift, s.kind)
                for s in named
                if s.start >= shift and s.kind in _NUMBERS & self._kinds
            ]
        return found

    def _all(self, text: str, name: str) -> list[tuple[int, int, str]]:
        """The spans of a text, and what was learned elsewhere where nothing is yet."""
        taken = list(self._spans.get((name, text), ()))
        if self._anywhere is None:
            telling = sorted((v for v in self.known if len(v) >= _TELLING), key=len, reverse=True)
            words = "|".join(map(re.escape, telling))
            self._anywhere = re.compile(rf"(?<!\w)(?:{words})(?!\w)" if words else r"(?!)")
        for match in self._anywhere.finditer(text):
            start, end = match.span()
            if all(end <= a or start >= b for a, b, _kind in taken):
                taken.append((start, end, self.known[match[0]]))
        return sorted(taken)

    def _placeholder(self, kind: str, value: str) -> str:
        same = (kind, _same(kind, value))
        if same not in self._same:
            self._last[kind] = self._last.get(kind, 0) + 1
            self._same[same] = f"[{kind.upper()}_{self._last[kind]}]"
        return self._same[same]


def _same(kind: str, value: str) -> str:
    """What two spellings of one value have in common; secrets are told apart by letter case."""
    if kind in _NUMBERS:
        return _NOT_ALNUM.sub("", value).casefold()
    return value if kind == "secret" else " ".join(value.split()).casefold()


Change = Callable[[str, str], str]


def _rewritten(row: Row, change: Change) -> dict[str, Any]:
    """Every text of the row passed through `change`, in reading order; the fields that changed."""
    changed: dict[str, Any] = {}
    if row.text is not None:
        changed["text"] = change(row.text, "")
    for part in _PARTS:
        value: Turns | None = getattr(row, part)
        if isinstance(value, str):
            changed[part] = change(value, "")
        elif value is not None:
            changed[part] = [_turn(turn, change) for turn in value]
    tags = {k: v if k in LEFT else _value(v, k, change) for k, v in row.tags.items()}
    changed["tags"] = tags
    return {name: value for name, value in changed.items() if value != getattr(row, name)}


def _turn(turn: Message, change: Change) -> Message:
    content = change(turn.content, "")
    name = None if turn.name is None else change(turn.name, "")
    calls = None
    if turn.tool_calls is not None:
        calls = [_call(call, change) for call in turn.tool_calls]
    return replace(turn, content=content, name=name, tool_calls=calls)


def _call(call: dict[str, Any], change: Change) -> dict[str, Any]:
    function = call["function"]
    arguments = _value(function.get("arguments"), "", change)
    return {**call, "function": {**function, "arguments": arguments}}


def _value(value: Any, name: str, change: Change) -> Any:
    """A JSON value with its strings and telling numbers changed; `name` is that of its field."""
    if isinstance(value, str):
        return change(value, name)
    if isinstance(value, dict):
        return {key: _value(inner, str(key), change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner, name, change) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**6:
        text = change(str(value), name)
        return value if text == str(value) else text
    return value


def _strings(text: str) -> list[tuple[int, int]] | None:
    """Where the string literals of a JSON text are; None when the text is not JSON."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return [match.span() for match in _LITERAL.finditer(text)]
