"""What differs between two answers, word by word. Marked by brackets, not by colour alone."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

from textual.content import Content

from tuiwb.text import inert

Change = Literal["same", "gone", "new"]

# Space belongs to the word before it: as a word of its own it would match everywhere, which costs
# most of the time.
_WORDS = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_SPACE = re.compile(r"\s*\Z")
# Comparing is quadratic: above this many words whole lines are compared.
MOST_WORDS = 2000
STYLES = {"same": "", "gone": "strike $text-error", "new": "bold underline $text-success"}
MARKS = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}


@lru_cache(maxsize=64)
def word_diff(one: str, other: str) -> Sequence[tuple[Change, str]]:
    """Pieces that turn `one` into `other`, in order: joining same and gone gives `one`, joining
    same and new gives `other`. What two changes have between them in common by chance (a space, a
    comma) belongs to the change."""
    before, after = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(before), len(after)) > MOST_WORDS:
        before, after = one.splitlines(keepends=True), other.splitlines(keepends=True)
    words = [word.rstrip() for word in before], [word.rstrip() for word in after]
    pieces: list[tuple[Change, str]] = []
    gone = new = ""
    i = j = 0
    for start, there, size in SequenceMatcher(None, *words, autojunk=False).get_matching_blocks():
        gone, new = gone + "".join(before[i:start]), new + "".join(after[j:there])
        i, j = start + size, there + size
        was, now = before[start:i], after[there:j]
        by_chance = bool(was) and not any(map(str.isalnum, "".join(was))) and i < len(before)
        if by_chance and (gone or new):
            gone, new = gone + "".join(was), new + "".join(now)
            continue
        pieces += _change(gone, new)
        gone = new = ""
        for one_word, other_word in zip(was, now, strict=True):
            pieces += _same(one_word, other_word)
    return _joined(pieces)


def _same(was: str, now: str) -> Iterator[tuple[Change, str]]:
    """A word both have; the space behind it may differ."""
    if was == now:
        yield "same", was
    else:
        word = was.rstrip()
        yield "same", word
        yield "gone", was[len(word) :]
        yield "new", now[len(word) :]


def _joined(pieces: Sequence[tuple[Change, str]]) -> list[tuple[Change, str]]:
    """Neighbours of one kind as one piece, none empty."""
    found: list[tuple[Change, str]] = []
    for change, text in pieces:
        if found and found[-1][0] == change:
            found[-1] = (change, found[-1][1] + text)
        elif text:
            found.append((change, text))
    return found


def _change(gone: str, new: str) -> Iterator[tuple[Change, str]]:
    """A change, the space that both its ends share left out of it."""
    ends = [found[0] for text in (gone, new) if (found := _SPACE.search(text))]
    shared = ends[0] if len(set(ends)) == 1 and gone and new else ""
    if gone:
        yield "gone", gone.removesuffix(shared)
    if new:
        yield "new", new.removesuffix(shared)
    if shared:
        yield "same", shared


def diff_content(one: str, other: str) -> Content:
    """The diff as wdiff writes it: [-gone-] struck out, {+new+} underlined."""
    pieces = [
        (f"{MARKS[change][0]}{inert(text)}{MARKS[change][1]}", STYLES[change])
        for change, text in word_diff(one, other)
    ]
    return Content.assemble(*pieces) if pieces else Content("")
