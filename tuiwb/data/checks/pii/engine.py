"""Which patterns may be in which texts: many patterns and many texts at once.

In: texts as UTF-8. Out: for each the numbers of the patterns found in it. Hyperscan where it is
installed (x86-64), else one automaton of RE2, else `re` one by one; the patterns keep to what all
three read alike: bytes, no look-around, no back-reference, `\\b` and `(?i)` in ASCII. Texts are
scanned together with a NUL between two of them; a pattern that can begin at the start of a text
takes a NUL before it as well. A match across a NUL only says more than is there: a pattern found
is a question to the class that confirms.
"""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

from tuiwb.data.checks.pii.automaton import compiled

Scan = Callable[[Sequence[bytes]], list[list[int]]]

# Bytes of texts that are scanned at once; a longer text is asked once for each pattern.
_TOGETHER = 1 << 18


def as_bytes(pattern: str) -> str:
    """The pattern with each letter outside ASCII spelled as its UTF-8 bytes."""
    return "".join(
        c if c.isascii() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in pattern
    )


@cache
def keys(pattern: str) -> Any:
    """A compiled pattern whose `finditer` is fast in long texts: RE2's, else `re`'s."""
    try:
        import re2
    except ImportError:
        return re.compile(pattern)
    return re2.compile(pattern)


def scanner(patterns: Sequence[str]) -> Scan:
    """The fastest scan this machine has; the numbers are in ascending order."""
    shapes = [as_bytes(pattern) for pattern in patterns]
    return _hyperscan(shapes) or _re2(shapes) or plain(shapes)


def lazy_scanner(patterns: Sequence[str]) -> Scan:
    """The scan that is ready soonest, for patterns that few texts are asked about."""
    shapes = [as_bytes(pattern) for pattern in patterns]
    return _re2(shapes) or plain(shapes)


def plain_scanner(patterns: Sequence[str]) -> Scan:
    """`re` alone."""
    return plain([as_bytes(pattern) for pattern in patterns])


def _hyperscan(patterns: list[str]) -> Scan | None:
    if compiled(tuple(patterns), once=False) is None:
        return None
    own = threading.local()

    def hits(data: bytes, once: bool) -> list[tuple[int, int]]:
        """(end, number) of each match, with `once` of one match a pattern."""
        database, scratch = compiled(tuple(patterns), once=once)
        scratches = own.__dict__.setdefault("scratches", {})
        if once not in scratches:
            scratches[once] = scratch.clone()
        found: list[tuple[int, int]] = []
        add = found.append

        def on_match(number: int, _start: int, end: int, _flags: int, _context: Any) -> None:
            add((end, number))

        database.scan(data, on_match, scratch=scratches[once])
        return found

    def together(texts: Sequence[bytes]) -> Iterator[list[int]]:
        if len(texts) == 1:
            once = len(texts[0]) > _TOGETHER
            yield sorted({number for _end, number in hits(texts[0], once)})
            return
        starts = list(accumulate((len(data) + 1 for data in texts), initial=0))
        fired: dict[int, set[int]] = {}
        for end, number in hits(b"\0".join(texts), once=False):
            # What takes in the NUL behind a text is that text's.
            fired.setdefault(bisect_right(starts, end - 1) - 1, set()).add(number)
        for text in range(len(texts)):
            yield sorted(fired[text]) if text in fired else []

    def scan(texts: Sequence[bytes]) -> list[list[int]]:
        found: list[list[int]] = []
        first, size = 0, 0
        for here, data in enumerate(texts):
            if size and size + len(data) > _TOGETHER:
                found += together(texts[first:here])
                first, size = here, 0
            size += len(data) + 1
        return found + list(together(texts[first:])) if texts else found

    return scan


def _re2(patterns: list[str]) -> Scan | None:
    try:
        import re2
    except ImportError:
        return None
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.max_mem = 1 << 28
    options.log_errors = False
    automaton = re2.Set.SearchSet(options)
    last = len(patterns)
    try:
        for pattern in patterns:
            automaton.Add(pattern)
        # Found in every text: its absence says that the automaton ran out of memory.
        automaton.Add("")
        automaton.Compile()
    except re2.error:
        return None

    def scan(texts: Sequence[bytes]) -> list[list[int]]:
        found = []
        for data in texts:
            some = automaton.Match(data)
            complete = some and max(some) == last
            found.append(sorted(some)[:-1] if complete else slow((data,))[0])
        return found

    slow = plain(patterns)
    return scan


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


def plain(patterns: list[str]) -> Scan:
    """`re`, one pattern after the other: slow, and everywhere."""
    return lambda texts: [
        [n for n, p in enumerate(patterns) if _compiled(p).search(data)] for data in texts
    ]
