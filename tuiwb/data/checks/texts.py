"""The texts of a batch of rows, gathered once for all the checks that read them.

In: rows. Out: (row, field, role, text) entries, each row's last question and answer, and which
entries hold a pattern, found by RE2 in one pass over all their bytes: checks look closer only at
what this cheap pass lets through.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from tuiwb.data.checks.answers import last_answer, last_question
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

GATE_MEMORY = 64 << 20
# Turns by the model's owner and by the model itself; anyone may have written the others.
TRUSTED = frozenset(("system", "developer", "assistant"))
TOOLS = frozenset(("tool", "function", "ipython"))
_FIELDS = [f"messages[{i}].content" for i in range(64)]


class Entry(NamedTuple):
    """One text of a row; the role is '' for plain text, user or assistant for bare strings."""

    row: Row
    field: str
    role: str
    text: str


class Said(NamedTuple):
    """A row that can be read, with its last question and last answer as (field, text)."""

    row: Row
    question: tuple[str, str] | None
    answer: tuple[str, str] | None


class Group:
    """Some of a batch's entries, and their bytes to search."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @cached_property
    def _bytes(self) -> tuple[bytes, list[int]]:
        encoded = [entry.text.encode("utf-8", "replace") for entry in self.entries]
        starts = accumulate((len(one) + 1 for one in encoded), initial=0)
        return b"\n".join(encoded), list(starts)

    def holding(self, gate: "Regexp") -> Iterator[Entry]:
        """The entries that hold a match of the pattern, each once, in order."""
        joined, starts = self._bytes
        at, end = 0, len(joined)
        while at < end and (match := gate.search(joined, at)) is not None:
            which = bisect_right(starts, match.start()) - 1
            yield self.entries[which]
            at = starts[which + 1]


class Texts(Group):
    """All texts of a batch, in order, and parts of them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        super().__init__(list(_entries(rows)))

    @cached_property
    def said(self) -> list[Said]:
        """Each row that can be read, with its last question and answer."""
        return [
            Said(row, last_question(row), last_answer(row))
            for row in self.rows
            if row.shape != "broken"
        ]

    @cached_property
    def beyond_ascii(self) -> Group:
        """The texts that hold anything but ASCII."""
        return self._only(lambda entry: not entry.text.isascii())

    @cached_property
    def untrusted(self) -> Group:
        """What users, tools and plain texts say."""
        return self._only(lambda entry: entry.role not in TRUSTED)

    @cached_property
    def tools(self) -> Group:
        """What tools return."""
        return self._only(lambda entry: entry.role in TOOLS)

    @cached_property
    def answers(self) -> Group:
        """What assistants say."""
        return self._only(lambda entry: entry.role == "assistant")

    def _only(self, which: Callable[[Entry], bool]) -> Group:
        return Group([entry for entry in self.entries if which(entry)])


def _entries(rows: Sequence[Row]) -> Iterator[Entry]:
    make = Entry._make
    for row in rows:
        messages = row.messages
        if messages is None or row.text is not None or len(messages) > len(_FIELDS):
            for field, role, text in row.fields():
                yield Entry(row, field, role, text)
        else:
            for field, message in zip(_FIELDS, messages, strict=False):
                yield make((row, field, message.role, message.content))


def gate(words: Sequence[str]) -> "Regexp":
    """A pattern that any of the literal words matches, letter case aside."""
    import re2

    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = GATE_MEMORY
    options.never_capture = True
    literals = sorted({re2.escape(word) for word in words})
    return re2.compile("|".join(literals).encode(), options)


_last: tuple[Sequence[Row], Row, Row, Texts] | None = None


def texts_of(rows: Sequence[Row]) -> Texts:
    """The texts of a batch; asked again for the same batch, the same object."""
    global _last
    if not rows:
        return Texts(rows)
    last = _last
    if last is not None and last[0] is rows and last[1] is rows[0] and last[2] is rows[-1]:
        return last[3]
    texts = Texts(rows)
    _last = (rows, rows[0], rows[-1], texts)
    return texts
