"""Texts to spans: the engine says what may be in a text, each class confirms its own."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from tuiwb.data.checks.pii import bank, card, ids, mail, network, people, phone, places, secret
from tuiwb.data.checks.pii.engine import Scan, scanner
from tuiwb.data.checks.pii.span import Span

# A text, which of the class's patterns are in it, what is taken already.
Find = Callable[[str, Sequence[int], Sequence[Span]], Iterable[Span]]
Make = Callable[[Sequence[str]], Scan]


def _alone(find: Callable[[str], Iterator[Span]]) -> Find:
    """A class of one pattern."""
    return lambda text, _numbers, _taken: find(text)


def _classes() -> list[tuple[Sequence[str], Find]]:
    """Each class's patterns, in the order in which they take their place in a text."""
    return [
        (secret.anchors(), secret.vendor_secrets),
        ((secret.assigned_anchor(),), _alone(secret.assigned_secrets)),
        ((mail.ANCHOR,), _alone(mail.emails)),
        ((mail.SPELLED_ANCHOR,), _alone(mail.spelled_emails)),
        ((bank.anchor(),), _alone(bank.ibans)),
        ((network.ANCHOR6,), _alone(network.ips6)),
        ((network.ANCHOR,), _alone(network.ips)),
        ((card.ANCHOR,), card.cards),
        (ids.anchors(), ids.ids),
        (phone.anchors(), phone.phones),
        (places.anchors(), places.addresses),
        (people.anchors(), people.names),
    ]


class Finder:
    """The patterns of every class.

    An earlier class keeps what it found: a password in a URL is no address of mail, a card's
    number no phone's.
    """

    def __init__(self, make: Make = scanner) -> None:
        patterns: list[str] = []
        # For each pattern: its class's first pattern, its class.
        self._owners: list[tuple[int, Find]] = []
        for anchors, find in _classes():
            self._owners += [(len(patterns), find)] * len(anchors)
            patterns += anchors
        self._scan = make(patterns)

    def spans(self, text: str) -> list[Span]:
        """What is in one text, in order, none overlapping."""
        return self.spans_of((text,))[0]

    def spans_of(self, texts: Sequence[str]) -> list[list[Span]]:
        """What is in each of many texts."""
        data = []
        for here, text in enumerate(texts):
            try:
                data.append(text.encode())
            except UnicodeEncodeError:  # a lone surrogate: one "?" takes its place
                data.append(text.encode("utf-8", "replace"))
                texts = [*texts[:here], data[-1].decode(), *texts[here + 1 :]]
        return [
            self._confirmed(text, fired) if fired else []
            for text, fired in zip(texts, self._scan(data), strict=True)
        ]

    def _confirmed(self, text: str, fired: Sequence[int]) -> list[Span]:
        """What the classes say to the patterns that are in the text."""
        taken: list[Span] = []
        place = 0
        while place < len(fired):
            first, find = self._owners[fired[place]]
            numbers = []
            while place < len(fired) and self._owners[fired[place]][0] == first:
                numbers.append(fired[place] - first)
                place += 1
            _take(taken, find(text, numbers, taken))
        return taken


def _take(taken: list[Span], some: Iterable[Span]) -> None:
    """Put in those that overlap none of the sorted spans that are taken."""
    for span in some:
        place = bisect_left(taken, span)
        if place and taken[place - 1].end > span.start:
            continue
        if place < len(taken) and taken[place].start < span.end:
            continue
        taken.insert(place, span)


@cache
def finder() -> Finder:
    """One for the process; it takes a second to build the first time on a machine."""
    return Finder()


def spans(text: str) -> list[Span]:
    """Every piece of personal data or secret in `text`, in order, none overlapping."""
    return finder().spans(text)


def spans_of(texts: Sequence[str]) -> list[list[Span]]:
    """The spans of each of many texts."""
    return finder().spans_of(texts)
