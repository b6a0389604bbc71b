"""JSON answers whose keys, types or values are not those of the others.

In: decoded objects with the number of their place. Out: (place, kind, sentence) of what drifts.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from tuiwb.data.checks.finding import quote

MOST = 0.8
ENOUGH = 10
ONE_TYPE = 0.95
TYPED = 20
# A field is a choice among few values when these make up nearly all it holds.
LISTED = 50
DISTINCT = 200
FREQUENT = 5
COVERED = 0.98
CLOSED = 0.99
CHOICES = 20
RARE = 2
SHORT = 60
ALIKE = 0.85
DEEPEST = 6
# Objects with other keys each time are no form: beyond these nothing new is kept.
KINDS = 5000
PATHS = 1000

Shape = tuple[tuple[str, str], ...]


class JsonDrift:
    """Counts the shapes of objects (which keys, which types, where) and the values of fields."""

    def __init__(self) -> None:
        self._places = array("q")
        self._shape_of = array("q")
        self._ids: dict[Any, int] = {}
        self._shapes: list[Shape] = []
        self._counts: Counter[int] = Counter()
        self._values: dict[str, dict[str, list[int]]] = defaultdict(dict)
        self._free: set[str] = set()

    def add(self, value: dict[str, Any], place: int) -> bool:
        """Count one object; whether its shape is the most frequent so far."""
        pairs: set[tuple[str, str]] = set()
        self._walk(value, "", place, pairs, 0)
        shape = tuple(sorted(pairs))
        number = self._ids.get(shape)
        if number is None:
            if len(self._ids) >= KINDS:
                return True
            number = self._ids[shape] = len(self._ids)
            self._shapes.append(shape)
        self._places.append(place)
        self._shape_of.append(number)
        self._counts[number] += 1
        return self._counts[number] * 2 > len(self._places)

    def _walk(
        self, value: Any, path: str, place: int, pairs: set[tuple[str, str]], depth: int
    ) -> None:
        if isinstance(value, str):
            pairs.add((path, "string"))
            if path not in self._free:
                self._count(path, value, place)
        elif isinstance(value, dict):
            pairs.add((path, "object"))
            pairs.add((path, "\0" + "\0".join(sorted(value))))
            if depth < DEEPEST:
                for key, inner in value.items():
                    self._walk(inner, f"{path}.{key}" if path else key, place, pairs, depth + 1)
        elif isinstance(value, list):
            pairs.add((path, "array"))
            if depth < DEEPEST:
                for inner in value:
                    self._walk(inner, f"{path}[]", place, pairs, depth + 1)
        elif value is None:
            pairs.add((path, "null"))
        else:
            pairs.add((path, "boolean" if isinstance(value, bool) else "number"))

    def _count(self, path: str, value: str, place: int) -> None:
        if path not in self._values and len(self._values) + len(self._free) >= PATHS:
            return
        values = self._values[path]
        if len(value) > SHORT or (value not in values and len(values) >= DISTINCT):
            self._free.add(path)
            del self._values[path]
            return
        # The count, and the places of the first ones: all that a rare value has.
        entry = values.setdefault(value, [0])
        entry[0] += 1
        if len(entry) <= RARE:
            entry.append(place)

    def drifts(self) -> Iterator[tuple[int, str, str]]:
        """Everything that drifts."""
        odd = self._odd_shapes()
        for place, number in zip(self._places, self._shape_of, strict=True):
            for kind, sentence in odd.get(number, ()):
                yield place, kind, sentence
        yield from self._odd_values()

    def _odd_shapes(self) -> dict[int, list[tuple[str, str]]]:
        """The sentences on each shape that is unlike the others, by its number."""
        keys: dict[str, Counter[str]] = defaultdict(Counter)
        types: dict[str, Counter[str]] = defaultdict(Counter)
        for number, count in self._counts.items():
            for path, what in self._shapes[number]:
                (keys if what[0] == "\0" else types)[path][what] += count
        most = {path: (*seen.most_common(1)[0], seen.total()) for path, seen in keys.items()}
        odd: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for number in self._counts:
            for path, what in self._shapes[number]:
                if what[0] == "\0":
                    sentence = _keys_drift(path, what, most[path])
                    if sentence:
                        odd[number].append(("keys", sentence))
                elif sentence := _type_drift(path, what, types[path]):
                    odd[number].append(("type", sentence))
        return odd

    def _odd_values(self) -> Iterator[tuple[int, str, str]]:
        for path, values in self._values.items():
            total = sum(entry[0] for entry in values.values())
            usual = [value for value, entry in values.items() if entry[0] >= FREQUENT]
            covered = sum(values[value][0] for value in usual)
            if total < LISTED or covered < COVERED * total or not 0 < len(usual) <= LISTED:
                continue
            for value, (count, *places) in values.items():
                if count > RARE:
                    continue
                like = next((one for one in usual if _alike(value, one)), None)
                if like is None and (covered < CLOSED * total or len(usual) > CHOICES):
                    continue
                words = (
                    f"nearly “{quote(like)}”, which {values[like][0]} answers have"
                    if like is not None
                    else f"none of the {len(usual)} values that {covered} answers have"
                )
                for place in places:
                    yield place, "value", f"{path} is “{quote(value)}”: {words}"


def _keys_drift(path: str, what: str, most: tuple[str, int, int]) -> str:
    usual, count, total = most
    if what == usual or total < ENOUGH or count < MOST * total:
        return ""
    have, want = what.split("\0")[1:], usual.split("\0")[1:]
    lacks = ", ".join(quote(key) for key in want if key not in have)
    adds = ", ".join(quote(key) for key in have if key not in want)
    words = " and ".join(
        part for part in (f"lacks {lacks}" if lacks else "", f"adds {adds}" if adds else "") if part
    )
    at = f" in {quote(path)}" if path else ""
    usual_keys = ", ".join(map(quote, want))
    return f"the answer's keys drift{at}: it {words} ({count} of {total} have {usual_keys})"


def _type_drift(path: str, what: str, seen: "Counter[str]") -> str:
    # Null beside another type is an optional value.
    some = Counter({name: count for name, count in seen.items() if name != "null"})
    if what == "null" or some.total() < TYPED:
        return ""
    usual, count = some.most_common(1)[0]
    if what == usual or count < ONE_TYPE * some.total():
        return ""
    return f"{quote(path)} is a {what} here and a {usual} in {count} answers"


def _alike(value: str, usual: str) -> bool:
    if value.strip().casefold() == usual.strip().casefold():
        return True
    one, other = ("".join(c for c in text.casefold() if c.isalnum()) for text in (value, usual))
    if one == other:
        return True
    digits = any(map(str.isdigit, one + other))
    return not digits and SequenceMatcher(None, one, other, autojunk=False).ratio() >= ALIKE
