"""Rows in, their texts out as one buffer that the kernels read words and prompts from.

A word is a run of letters, digits, marks and underscores, codes with hyphens kept whole. Han
characters and kana are written without spaces, so each counts as a word; Thai, Lao, Khmer and
Burmese are too, and there every two neighbouring characters count as one.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tuiwb.data.rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

OTHER, SPACE, LETTER, SIGN, PAIRED = range(5)
_ASCII = 0x80
_ASSIGNED = 0x323B0
_SIGNS = (
    (0x2E80, 0x2FE0), (0x3005, 0x3008), (0x3021, 0x3030), (0x3038, 0x303D), (0x3041, 0x3130),
    (0x31A0, 0x3200), (0x3400, 0x4DC0), (0x4E00, 0xA000), (0xF900, 0xFB00), (0xFF66, 0xFFA0),
    (0x16FE0, 0x18D80), (0x1AFF0, 0x1B300), (0x20000, _ASSIGNED),
)  # fmt: skip
_PAIRED = ((0x0E00, 0x0F00), (0x1000, 0x10A0), (0x1780, 0x1800))
_WORD = re.compile(
    "[{}]|[{}]{{1,2}}|\\w+(?:-\\w+)*".format(
        *("".join(f"{chr(a)}-{chr(b - 1)}" for a, b in ranges) for ranges in (_SIGNS, _PAIRED))
    )
)

SPOKEN = frozenset(("user", "assistant", ""))
ASKED = frozenset(("user", ""))
_CALLS, _TOOLS, _NAME = "\0calls", "\0tools", "\0name"


class Gathered(NamedTuple):
    """The texts of a batch of rows as they stand there, whose each is, and where each row begins.

    Row j has texts[bounds[j]:bounds[j + 1]] and as many tags (see Texts).
    """

    texts: list[str]
    tags: list[int]
    bounds: list[int]

    def exactly(self) -> "NDArray[np.int64]":
        """A number for each row, equal where all its texts are, character for character.

        Sums of Python's own hashes of strings, SipHash keyed anew in every process (PEP 456): no
        text can be made to share another's.
        """
        import numpy as np

        from tuiwb.data.checks.hashes import MIX_2, ORDINAL

        hashes = np.fromiter(map(hash, self.texts), np.int64, len(self.texts)).view(np.uint64)
        bounds = np.array(self.bounds)
        nth = np.arange(len(hashes)) - np.repeat(bounds[:-1], np.diff(bounds))
        # A text counts by its place too: the same texts in another order are others.
        placed = (hashes + nth.astype(np.uint64) * np.uint64(ORDINAL)) * np.uint64(MIX_2)
        sums = np.zeros(len(hashes) + 1, np.uint64)
        np.cumsum(placed ^ (placed >> np.uint64(32)), out=sums[1:])
        numbers: NDArray[np.int64] = (sums[bounds[1:]] - sums[bounds[:-1]]).view(np.int64)
        return numbers

    def packed(self) -> "Texts":
        """The same as one buffer."""
        return _packed(self.texts, self.tags, self.bounds)


class Texts(NamedTuple):
    """The texts of a batch of rows.

    `buffer` is UTF-8 (lone surrogates kept), characters beyond ASCII case-folded, a newline
    after each text. Text i is buffer[starts[i]:ends[i]]; tags[i] says whose it is, odd where its
    words count. Row j has the texts bounds[j]:bounds[j + 1], none when it is broken.
    """

    buffer: bytes
    starts: "NDArray[np.int64]"
    ends: "NDArray[np.int64]"
    tags: "NDArray[np.uint64]"
    bounds: "NDArray[np.int64]"

    @property
    def kinds(self) -> "NDArray[np.uint8]":
        """The kind of each code point that can occur in the buffer."""
        return kinds(self.buffer.isascii())


def whole_texts(rows: Sequence[Row]) -> Texts:
    """Everything that is trained on; the words of users and assistants count.

    A system prompt repeats by design: it tells two rows apart, but its words count for nothing.
    """
    return gathered(rows).packed()


def folded(row: Row) -> list[tuple[int, str]]:
    """All that the row trains on and whose it is, letter case and white space aside."""
    texts, tags, _ = gathered([row])
    return [(tag, " ".join(text.casefold().split())) for text, tag in zip(texts, tags, strict=True)]


def gathered(rows: Sequence[Row]) -> Gathered:
    """Everything that is trained on, but for the ids of tool calls."""
    texts: list[str] = []
    tags: list[int] = []
    bounds = [0]
    for row in rows:
        if row.shape == "chat" and row.messages is not None:
            for message in row.messages:
                texts.append(message.content)
                tags.append(_tag(message.role))
                if message.name is not None:
                    texts.append(message.name)
                    tags.append(_tag(_NAME))
                if message.tool_calls is not None:
                    texts.append(_calls(message.tool_calls))
                    tags.append(_tag(_CALLS))
        elif row.shape != "broken":
            for part, message in row.conversation():
                texts.append(message.content)
                tags.append(_tag(part if part in ("chosen", "rejected") else message.role))
                if message.name is not None:
                    texts.append(message.name)
                    tags.append(_tag(_NAME))
                if message.tool_calls is not None:
                    texts.append(_calls(message.tool_calls))
                    tags.append(_tag(_CALLS))
        if row.tools and row.shape != "broken":
            texts.append(_plain(row.tools))
            tags.append(_tag(_TOOLS))
        bounds.append(len(texts))
    return Gathered(texts, tags, bounds)


def asked_texts(rows: Sequence[Row]) -> Texts:
    """What users ask: their turns, prompts, and bare texts, all alike."""
    texts: list[str] = []
    bounds = [0]
    for row in rows:
        if row.shape == "chat" and row.messages is not None:
            for message in row.messages:
                if message.role in ASKED:
                    texts.append(message.content)
        else:
            texts.extend(text for _field, role, text in row.fields() if role in ASKED)
        bounds.append(len(texts))
    return _packed(texts, [1] * len(texts), bounds)


def asks(row: Row) -> bool:
    """Whether users say anything in the row."""
    return any(role in ASKED and text.strip() for _field, role, text in row.fields())


def spoken_text(row: Row) -> str:
    """What users and assistants say and call, in order."""
    texts: list[str] = []
    for _part, message in row.conversation():
        if message.role in SPOKEN or message.role == "text":
            texts.append(message.content)
        if message.tool_calls:
            texts.append(_calls(message.tool_calls))
    return "\n".join(texts)


def words_of(text: str) -> Iterator[str]:
    """The lower-case words of a text; two neighbours at a time where characters are paired."""
    return (match[0] for match in _WORD.finditer(text.casefold()))


def words_in(text: str) -> list[re.Match[str]]:
    """The words of a text as they are written, with their places."""
    return list(_WORD.finditer(text))


@cache
def kinds(ascii_only: bool) -> "NDArray[np.uint8]":
    """The kind of every code point: SPACE, LETTER, SIGN, PAIRED or OTHER."""
    import numpy as np

    table = np.full(_ASCII if ascii_only else 0x110000, OTHER, np.uint8)
    for code in range(_ASCII if ascii_only else _ASSIGNED):
        character = chr(code)
        if character.isspace():
            table[code] = SPACE
        elif character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M":
            table[code] = LETTER
    if not ascii_only:
        for ranges, kind in ((_SIGNS, SIGN), (_PAIRED, PAIRED)):
            for first, end in ranges:
                part = table[first:end]
                part[part == LETTER] = kind
    return table


def _calls(calls: list[dict[str, Any]]) -> str:
    """What is called with what; the ids of the calls differ from row to row."""
    told = []
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else call
        if isinstance(function, dict) and "name" in function:
            told.append(f"{_plain(function['name'])} {_plain(function.get('arguments'))}")
        else:
            told.append(_plain(function))
    return "\n".join(told)


def _plain(value: object) -> str:
    try:
        return value if isinstance(value, str) else repr(value)
    except RecursionError:
        # Brackets in brackets beyond what Python prints.
        return "..."


@cache
def _tag(role: str) -> int:
    """A number for a role, odd where its words count."""
    role = "" if role == "text" else role
    counts = role in SPOKEN or role in ("chosen", "rejected", _CALLS)
    return zlib.crc32(role.encode("utf-8", "surrogatepass")) << 1 | counts


def _packed(texts: list[str], tags: list[int], bounds: list[int]) -> Texts:
    import numpy as np

    joined = "\n".join(texts)
    if joined.isascii():
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        buffer = f"{joined}\n".encode("ascii")
    else:
        encoded = [
            (text if text.isascii() else text.casefold()).encode("utf-8", "surrogatepass")
            for text in texts
        ]
        sizes = np.fromiter(map(len, encoded), np.int64, len(texts))
        buffer = b"\n".join(encoded) + b"\n"
    ends = np.cumsum(sizes + 1) - 1
    return Texts(buffer, ends - sizes, ends, np.array(tags, np.uint64), np.array(bounds, np.int64))
