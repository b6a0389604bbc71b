"""What differs between two answers, word by word. Marked by brackets, not by colour alone."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

from textual.content import Content

from tuiwb.text import inert

Change = Literal["same", "gone", "new"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
# Comparing is quadratic: above this many words whole lines are compared.
MOST_WORDS = 3000
STYLES = {"same": "", "gone": "strike $text-error", "new": "bold underline $text-success"}
MARKS = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}


def word_diff(one: str, other: str) -> list[tuple[Change, str]]:
    """Pieces that turn `one` into `other`, in order: joining same and gone gives `one`, joining
    same and new gives `other`. What two changes have between them in common by chance (a space, a
    comma) belongs to the change."""
    before, after = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(before), len(after)) > MOST_WORDS:
        before, after = one.splitlines(keepends=True), other.splitlines(keepends=True)
    pieces: list[tuple[Change, str]] = []
    gone = new = ""
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    i = j = 0
    for start, there, size in blocks:
        gone, new = gone + "".join(before[i:start]), new + "".join(after[j:there])
        same = "".join(before[start : start + size])
        i, j = start + size, there + size
        by_chance = bool(same) and not any(map(str.isalnum, same)) and i < len(before)
        if by_chance and (gone or new):
            gone, new = gone + same, new + same
            continue
        pieces += _change(gone, new)
        gone = new = ""
        if same:
            pieces.append(("same", same))
    return pieces


def _change(gone: str, new: str) -> Iterator[tuple[Change, str]]:
    if gone:
        yield "gone", gone
    if new:
        yield "new", new


def diff_content(one: str, other: str) -> Content:
    """The diff as wdiff writes it: [-gone-] struck out, {+new+} underlined."""
    pieces = [
        (f"{MARKS[change][0]}{inert(text)}{MARKS[change][1]}", STYLES[change])
        for change, text in word_diff(one, other)
    ]
    return Content.assemble(*pieces) if pieces else Content("")
