"""Words near a number: what a text calls it decides what it is.

In: a list of words and phrases, a star at the end for any ending. Out: which of them stand in the
stretch of text before or after a place, and how late.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Generic, TypeVar

from tuiwb.data.checks.pii.tables import table

_TOKEN = re.compile(r"[^\W_]+|[#№☎📞📱]")
_LONGEST = 4
_HEAD = 3
T = TypeVar("T")


class Phrases(Generic[T]):
    """Phrases of up to four words, each with what it stands for."""

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, list[T]] = {}
        self._stems: dict[str, list[tuple[str, T]]] = {}
        self._firsts: set[str] = set()
        for phrase, meaning in phrases:
            if phrase.endswith("*"):
                stem = phrase[:-1]
                self._stems.setdefault(stem[:_HEAD], []).append((stem, meaning))
            else:
                self._exact.setdefault(phrase, []).append(meaning)
            if " " in phrase:
                self._firsts.add(phrase.partition(" ")[0])
        self._single = frozenset((*self._exact, *self._firsts))
        self._heads = frozenset(self._stems)

    def found(self, tokens: list[str]) -> Iterator[tuple[int, T]]:
        """(place of its first word, meaning) of each phrase among the tokens."""
        exact, stems, firsts = self._exact, self._stems, self._firsts
        single, heads = self._single, self._heads
        for place, token in enumerate(tokens):
            if token not in single and token[:_HEAD] not in heads:
                continue
            for meaning in exact.get(token, ()):
                yield place, meaning
            for stem, meaning in stems.get(token[:_HEAD], ()):
                if token.startswith(stem):
                    yield place, meaning
            if token in firsts:
                for size in range(2, _LONGEST + 1):
                    phrase = " ".join(tokens[place : place + size])
                    for meaning in exact.get(phrase, ()):
                        yield place, meaning
                    for stem, meaning in stems.get(phrase[:_HEAD], ()):
                        if stem.count(" ") == size - 1 and phrase.startswith(stem):
                            yield place, meaning

    def last(self, tokens: list[str]) -> int:
        """The place of the last phrase among the tokens, -1 where there is none."""
        return max((place for place, _ in self.found(tokens)), default=-1)


def words_anchor(phrases: Iterable[str]) -> str:
    """A pattern for the engine that is in every text with one of the phrases."""
    made = sorted({_phrase_anchor(phrase) for phrase in phrases})
    return rf"(?i)(?:^|[^0-9a-z])(?:{'|'.join(made)})"


def _phrase_anchor(phrase: str) -> str:
    """Its words with anything between that is no letter or digit, in any case."""
    words = phrase.removesuffix("*").split(" ")
    shape = r"[^0-9a-z\x00]+".join("".join(map(_any_case, word)) for word in words)
    shape = shape.replace(r"+\#", r"*\#")
    closed = phrase[-1] not in "*#" and phrase[-1].isascii()
    return shape + ("(?:[^0-9a-z]|$)" if closed else "")


def _any_case(character: str) -> str:
    if character.isascii():
        return re.escape(character)
    return f"(?:{'|'.join(sorted({character.lower(), character.upper()}))})"


@cache
def context(name: str) -> Phrases[None]:
    """A list of numbers.toml."""
    return Phrases((phrase, None) for phrase in table("numbers")["context"][name])


def words_before(text: str, start: int, size: int) -> list[str]:
    """The words of the paragraph among the `size` characters before `start`, in lower case."""
    begin = max(0, start - size)
    lead = text[begin:start].rpartition("\n\n")[2]
    tokens = _TOKEN.findall(lead.lower())
    cut = begin > 0 and len(lead) == size and text[begin - 1].isalnum() and lead[0].isalnum()
    return tokens[1:] if cut else tokens


def words_after(text: str, end: int, size: int) -> list[str]:
    """The words of the paragraph among the `size` characters after `end`, in lower case."""
    return _TOKEN.findall(text[end : end + size].partition("\n\n")[0].lower())
