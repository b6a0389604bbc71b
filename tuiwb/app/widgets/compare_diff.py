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
    same and new gives `other`."""
    before, after = _WORDS.findall(one), _WORDS.findall(other)
    if max(len(before), len(after)) > MOST_WORDS:
        before, after = one.splitlines(keepends=True), other.splitlines(keepends=True)
    return list(_joined(before, after))


def _joined(before: list[str], after: list[str]) -> Iterator[tuple[Change, str]]:
    for kind, i, j, k, m in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            yield "same", "".join(before[i:j])
            continue
        if i < j:
            yield "gone", "".join(before[i:j])
        if k < m:
            yield "new", "".join(after[k:m])


def diff_content(one: str, other: str) -> Content:
    """The diff as wdiff writes it: [-gone-] struck out, {+new+} underlined."""
    pieces = [
        (f"{MARKS[change][0]}{inert(text)}{MARKS[change][1]}", STYLES[change])
        for change, text in word_diff(one, other)
    ]
    return Content.assemble(*pieces) if pieces else Content("")
