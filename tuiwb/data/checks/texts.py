"""The texts of a batch of rows, gathered once for all the checks that read them.

In: rows. Out: (row, field, role, text) entries, each row's last question and answer, and which
entries hold a pattern, found by RE2 in one pass over all their bytes: checks look closer only at
what this cheap pass lets through.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from tuiwb.data.checks.answers import content_field, last_answer, last_question
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

GATE_MEMORY = 64 << 20
TOOLS = frozenset(("tool", "function", "ipython"))


# One text of a row: (row, field, role, text). The role is '' for plain text, user or assistant for
# bare strings. A plain tuple: there are millions.
Entry = tuple[Row, str, str, str]
# A row that can be read, with its last question and last answer as (field, text).
Said = tuple[Row, tuple[str, str] | None, tuple[str, str] | None]


class Group:
    """Some of a batch's entries, and their bytes to search."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries

    @cached_property
    def _bytes(self) -> tuple[bytes, list[int]]:
        encoded = [entry[3].encode("utf-8", "replace") for entry in self.entries]
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


class Texts:
    """All texts of a batch, in order, apart by whom they come from."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.entries: list[Entry] = []
        owner: list[Entry] = []
        answers: list[Entry] = []
        untrusted: list[Entry] = []
        keep, other = self.entries.append, untrusted.append
        group = {"assistant": answers.append, "system": owner.append, "developer": owner.append}.get
        for row in rows:
            if row.shape == "chat" and row.messages is not None:
                for i, message in enumerate(row.messages):
                    role = message.role
                    entry = (row, content_field("messages", i), role, message.content)
                    keep(entry)
                    group(role, other)(entry)
                continue
            for field, role, text in row.fields():
                entry = (row, field, role, text)
                keep(entry)
                group(role, other)(entry)
        # What assistants say; what users, tools and plain texts say; what the owner says.
        self.answers, self.untrusted, self.owner = Group(answers), Group(untrusted), Group(owner)

    @cached_property
    def said(self) -> list[Said]:
        """Each row that can be read, with its last question and answer."""
        return [
            (row, last_question(row), last_answer(row))
            for row in self.rows
            if row.shape != "broken"
        ]

    @cached_property
    def beyond_ascii(self) -> Group:
        """The texts that hold anything but ASCII."""
        return Group([entry for entry in self.entries if not entry[3].isascii()])

    @cached_property
    def tools(self) -> Group:
        """What tools return."""
        return Group([entry for entry in self.untrusted.entries if entry[2] in TOOLS])

    @property
    def groups(self) -> tuple[Group, Group, Group]:
        """All texts, in three parts."""
        return self.owner, self.untrusted, self.answers


def gate(words: Sequence[str], exact: Sequence[str] = ()) -> "Regexp":
    """A pattern that any of the words matches, letter case aside, or any of the exact ones."""
    import re2

    options = re2.Options()
    options.max_mem = GATE_MEMORY
    options.never_capture = True
    literals = "|".join(sorted({r"\s+".join(map(re2.escape, word.split())) for word in words}))
    exactly = "".join(f"|{re2.escape(word)}" for word in sorted(exact))
    return re2.compile(f"(?i:{literals}){exactly}".encode(), options)


_last: tuple[Sequence[Row], Row, Row, Texts] | None = None


def texts_of(rows: Sequence[Row]) -> Texts:
    """The texts of a batch; asked again for the same batch, the same object."""
    global _last
    if len(rows) < 2:
        return Texts(rows)
    last = _last
    if last is not None and last[0] is rows and last[1] is rows[0] and last[2] is rows[-1]:
        return last[3]
    texts = Texts(rows)
    _last = (rows, rows[0], rows[-1], texts)
    return texts
