"""Texts to spans: the engine says what may be in a text, each class confirms its own."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial

from tuiwb.data.checks.pii import bank, card, ids, mail, network, people, phone, places, secret
from tuiwb.data.checks.pii.engine import Scan, scanner
from tuiwb.data.checks.pii.span import Span

Find = Callable[[str], Iterator[Span]]
Make = Callable[[Sequence[str]], Scan]


class Finder:
    """The patterns of every class in the order in which they take their place in a text.

    An earlier class keeps what it found: a password in a URL is no address of mail, a card's
    number no phone's.
    """

    def __init__(self, make: Make = scanner) -> None:
        finds: list[tuple[str, Find]] = []
        for key in secret.shapes():
            finds.append((key.anchor, partial(secret.vendor_secrets, shape=key)))
        finds.append((secret.assigned_anchor(), secret.assigned_secrets))
        finds.append((mail.ANCHOR, mail.emails))
        finds.append((mail.SPELLED_ANCHOR, mail.spelled_emails))
        finds.append((bank.anchor(), bank.ibans))
        finds.append((network.ANCHOR6, network.ips6))
        finds.append((network.ANCHOR, network.ips))
        finds.append((card.ANCHOR, card.cards))
        finds.append((ids.ANCHOR, ids.ids))
        finds.append((phone.ANCHOR, phone.phones))
        finds.append((phone.VANITY_ANCHOR, phone.vanity))
        start = len(finds)
        for place in places.places():
            finds.append((place.anchor, partial(places.addresses, place=place)))
        # Of addresses found by two patterns the longer one stays.
        self._places = (start, len(finds))
        for number, anchor in enumerate(people.anchors()):
            finds.append((anchor, partial(people.names, number=number)))
        self._finds = [find for _anchor, find in finds]
        self._scan = make([anchor for anchor, _find in finds])

    def spans(self, text: str) -> list[Span]:
        """What is in one text, in order, none overlapping."""
        try:
            data = text.encode()
        except UnicodeEncodeError:  # a lone surrogate: one "?" takes its place
            data = text.encode("utf-8", "replace")
            text = data.decode()
        fired = self._scan(data)
        if not fired:
            return []
        taken: list[Span] = []
        finds, first, last = self._finds, *self._places
        streets: list[Span] = []
        for number in fired:
            if first <= number < last:
                streets.extend(finds[number](text))
                continue
            if streets and number >= last:
                _take(taken, sorted(streets, key=lambda s: s.start - s.end))
                streets = []
            _take(taken, finds[number](text))
        _take(taken, sorted(streets, key=lambda s: s.start - s.end))
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
    """One for the process; it takes some 0.3 s to build."""
    return Finder()


def spans(text: str) -> list[Span]:
    """Every piece of personal data or secret in `text`, in order, none overlapping."""
    return finder().spans(text)


def spans_of(texts: Sequence[str]) -> list[list[Span]]:
    """The spans of each of many texts."""
    find = finder().spans
    return [find(text) for text in texts]
