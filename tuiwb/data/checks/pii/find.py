"""Texts to spans: the engine says what may be in a text, each class confirms its own."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from tuiwb.data.checks.pii import bank, card, ids, mail, network, people, phone, places, secret
from tuiwb.data.checks.pii.engine import Scan, scanner
from tuiwb.data.checks.pii.span import Span

# Texts that one class goes over before the next does.
_TOGETHER = 256
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
        self._finds: dict[int, Find] = {}
        # For each pattern its class's first one.
        self._firsts: list[int] = []
        for anchors, find in _classes():
            self._finds[len(patterns)] = find
            self._firsts += [len(patterns)] * len(anchors)
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
        fired = self._scan(data)
        found: list[list[Span]] = []
        for first in range(0, len(texts), _TOGETHER):
            some = slice(first, first + _TOGETHER)
            found += self._confirmed(texts[some], fired[some])
        return found

    def _confirmed(self, texts: Sequence[str], fired: Sequence[Sequence[int]]) -> list[list[Span]]:
        """What the classes say to the patterns that are in each text.

        One class goes over all texts before the next does: its tables and patterns stay in the
        processor's cache.
        """
        taken: list[list[Span]] = [[] for _ in texts]
        asked: dict[int, list[tuple[int, list[int]]]] = {}
        for text, numbers in enumerate(fired):
            last = -1
            for number in numbers:
                first = self._firsts[number]
                if first != last:
                    own: list[int] = []
                    asked.setdefault(first, []).append((text, own))
                    last = first
                own.append(number - first)
        for first in sorted(asked):
            find = self._finds[first]
            for text, own in asked[first]:
                _take(taken[text], find(texts[text], own, taken[text]))
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
    """One for the process; it takes some 2 s to build the first time on a machine."""
    return Finder()


def spans(text: str) -> list[Span]:
    """Every piece of personal data or secret in `text`, in order, none overlapping."""
    return finder().spans(text)


def spans_of(texts: Sequence[str]) -> list[list[Span]]:
    """The spans of each of many texts."""
    return finder().spans_of(texts)
