"""Which patterns may be in a text: many at once, each answered yes or no.

In: bytes, UTF-8. Out: the numbers of the patterns found in them. Hyperscan where it is installed
(x86-64), else one automaton of RE2, else `re` one by one; the patterns keep to what all three read
alike: bytes, no look-around, no back-reference, `\\b` and `(?i)` in ASCII.
"""

import re
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

Scan = Callable[[bytes], list[int]]


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
    """The fastest scan this machine has; results are in ascending order."""
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
    try:
        import hyperscan
    except ImportError:
        return None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL
    try:
        database.compile(
            expressions=[pattern.encode() for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
    except hyperscan.error:  # a processor without what the library was built for
        return None
    scratch = hyperscan.Scratch(database)
    own = threading.local()

    def scan(data: bytes) -> list[int]:
        found: list[int] = []
        if not hasattr(own, "scratch"):
            own.scratch = scratch.clone()

        def on_match(number: int, _start: int, _end: int, _flags: int, _context: Any) -> None:
            found.append(number)

        database.scan(data, on_match, scratch=own.scratch)
        found.sort()
        return found

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

    def scan(data: bytes) -> list[int]:
        found = automaton.Match(data)
        if not found or max(found) != last:
            return slow(data)
        return sorted(found)[:-1]

    slow = plain(patterns)
    return scan


@cache
def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode(), re.DOTALL)


def plain(patterns: list[str]) -> Scan:
    """`re`, one pattern after the other: slow, and everywhere."""
    return lambda data: [n for n, p in enumerate(patterns) if _compiled(p).search(data)]
