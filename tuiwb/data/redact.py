"""Personal data and secrets replaced by typed placeholders: [EMAIL_1], [PHONE_2].

In: a row. Out: the row with every span that the PII rules find replaced, in its texts, in the
arguments of its tool calls and in its other columns, and how many of each kind. Within a row the
same value has the same placeholder wherever it stands, so that a conversation still makes sense.
What the rules miss stays: see docs/checks/pii.md.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from tuiwb.data.checks.pii import KINDS as KIND_WORDS
from tuiwb.data.checks.pii import spans, spans_of
from tuiwb.data.json_text import Shown
from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

KINDS = tuple(KIND_WORDS)

# Columns that say where a row came from: hashes and file names, nobody's data.
LEFT = frozenset(("provenance", "source"))
_PLACEHOLDER = re.compile(r"\[([A-Z][A-Z_]*)_(\d{1,6})\]")
_WORD = re.compile(r"\w+")
_NOT_ALNUM = re.compile(r"[\W_]+")
_PARTS = ("messages", "prompt", "completion", "chosen", "rejected")
# A bare number says what it is only by its name: {"phone": 5551234567}.
_NUMBERS = frozenset(("phone", "card", "iban", "national_id"))
_DIGITS = 7
# Shorter values would be found inside other words.
_TELLING = 5
# A value that nothing but its name gives away: {"password": "..."}.
_SECRET_NAME = re.compile(r"(?i)pass|pwd|secret|token|key|auth|credential")
_LONGEST_SECRET = 300

Found = tuple[int, int, str]


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
    _rewritten(row, names.take)
    names.learn()
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
        self._spelled: dict[str, str] = {}
        self._read: dict[tuple[str, str], tuple[Shown, list[Found]]] = {}
        self._elsewhere: _Elsewhere | None = None

    def take(self, text: str, name: str = "", key: bool = False) -> str:
        """Remember `text`, a value called `name`, for `learn`; the text unchanged."""
        for match in _PLACEHOLDER.finditer(text):
            kind, number = match[1].lower(), int(match[2])
            self._last[kind] = max(self._last.get(kind, 0), number)
        if (name, text) not in self._read:
            self._read[name, text] = Shown(text), []
        return text

    def learn(self) -> None:
        """Find what is to be replaced in the texts that were taken, in all at once."""
        read = list(self._read.items())
        texts = [shown.text for _key, (shown, _found) in read]
        for ((name, _text), (shown, found)), some in zip(read, spans_of(texts), strict=True):
            found += [(s.start, s.end, s.kind) for s in some if s.kind in self._kinds]
            if name and not found:
                found += self._by_name(shown.text, name)
            for start, end, kind in found:
                self.known.setdefault(shown.text[start:end], kind)

    def replace(self, text: str, name: str = "", key: bool = False) -> str:
        """`text` with placeholders; JSON stays JSON. `key`: two spellings must stay two."""
        shown, found = self._read[name, text]
        pieces, at = [], 0
        for start, end, kind in self._all(shown.text, found):
            value = shown.text[start:end]
            for place in shown.places(start, end):
                if place.start < at:  # a number of which another span has a part
                    continue
                mark = self._placeholder(kind, value, key or place.kind == "key")
                pieces += [text[at : place.start], f'"{mark}"' if place.kind == "number" else mark]
                at = place.end
            self.counts[kind] += 1
        return "".join((*pieces, text[at:])) if pieces else text

    def _by_name(self, text: str, name: str) -> list[Found]:
        found: list[Found] = []
        if sum(map(str.isdigit, text)) >= _DIGITS:
            found = self._named(f"{name.replace('_', ' ')}: ", text, "", _NUMBERS)
        if not found and len(text) <= _LONGEST_SECRET and _SECRET_NAME.search(name):
            found = self._named(f'"{name}": "', text, '"', frozenset(("secret",)))
        return found

    def _named(self, lead: str, text: str, tail: str, kinds: frozenset[str]) -> list[Found]:
        """What is in a text because of the name before it."""
        shift, size = len(lead), len(text)
        return [
            (s.start - shift, min(s.end - shift, size), s.kind)
            for s in spans(f"{lead}{text}{tail}")
            if shift <= s.start < shift + size and s.kind in kinds & self._kinds
        ]

    def _all(self, text: str, found: list[Found]) -> list[Found]:
        """The spans of a text, and what was learned elsewhere where nothing is yet."""
        if self._elsewhere is None:
            self._elsewhere = _Elsewhere(self.known)
        starts = [start for start, _end, _kind in found]
        more = []
        for start, end in self._elsewhere.find(text):
            before = bisect_left(starts, end)
            if not before or found[before - 1][1] <= start:
                more.append((start, end, self.known[text[start:end]]))
        return sorted(found + more) if more else found

    def _placeholder(self, kind: str, value: str, key: bool) -> str:
        mark = self._numbered(kind, _same(kind, value))
        if key and self._spelled.setdefault(mark, value) != value:
            return self._numbered(kind, f"{value}\0")
        return mark

    def _numbered(self, kind: str, same: str) -> str:
        if (kind, same) not in self._same:
            self._last[kind] = self._last.get(kind, 0) + 1
            self._same[kind, same] = f"[{kind.upper()}_{self._last[kind]}]"
        return self._same[kind, same]


class _Elsewhere:
    """Finds known values as whole words, in time linear in the text however many they are."""

    def __init__(self, values: Iterable[str]) -> None:
        by_word: dict[str, dict[tuple[int, int], set[str]]] = {}
        for value in values:
            word = _WORD.search(value)
            if len(value) >= _TELLING and word is not None:
                shapes = by_word.setdefault(word[0], {})
                shapes.setdefault((-len(value), word.start()), set()).add(value)
        self._by_word = {word: sorted(shapes.items()) for word, shapes in by_word.items()}

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where values stand, the longest of those that begin with the same word, in order."""
        if not self._by_word:
            return
        done = 0
        for word in _WORD.finditer(text):
            for (size, lead), values in self._by_word.get(word[0], ()):
                start, end = word.start() - lead, word.start() - lead - size
                if start < done or text[start:end] not in values or _WORD.match(text, end):
                    continue
                if lead and _WORD.match(text[start - 1 : start]):
                    continue
                yield start, end
                done = end
                break


def _same(kind: str, value: str) -> str:
    """What two spellings of one value have in common; secrets are told apart by letter case."""
    if kind in _NUMBERS:
        return _NOT_ALNUM.sub("", value).casefold()
    return value if kind == "secret" else " ".join(value.split()).casefold()


# What becomes of a text, of the name of its field, and of whether it is a name itself.
Change = Callable[[str, str, bool], str]


def _rewritten(row: Row, change: Change) -> dict[str, Any]:
    """Every text of the row passed through `change`, in reading order; the fields that changed."""
    changed: dict[str, Any] = {}
    if row.text is not None:
        changed["text"] = change(row.text, "", False)
    for part in _PARTS:
        value: Turns | None = getattr(row, part)
        if isinstance(value, str):
            changed[part] = change(value, "", False)
        elif value is not None:
            changed[part] = [_turn(turn, change) for turn in value]
    changed["tags"] = {
        change(k, "", True): v if k in LEFT else _value(v, k, change) for k, v in row.tags.items()
    }
    return {name: value for name, value in changed.items() if value != getattr(row, name)}


def _turn(turn: Message, change: Change) -> Message:
    content = change(turn.content, "", False)
    name = None if turn.name is None else change(turn.name, "", False)
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
        return change(value, name, False)
    if isinstance(value, dict):
        return {
            change(str(key), "", True): _value(inner, str(key), change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_value(inner, name, change) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**6:
        text = change(str(value), name, False)
        return value if text == str(value) else text
    return value
