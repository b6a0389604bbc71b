"""The words in which two texts differ, in one line, in time linear in their lengths.

Words are compared without regard to letter case, and shown as they are written; secrets are masked.
"""

import re
from collections.abc import Sequence

from tuiwb.data.checks.masking import masked_parts
from tuiwb.data.checks.words import words_in

SHOWN = 6
Anchor = tuple[str, int]
Run = tuple[int, int]


def differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What became of the words only one text has.

    "tent -> sack" where words stand in each other's place (after the same shared word), "+ blue"
    for words only `after` has, both in reading order; then "- red" for words only `before` has.
    """
    return [
        _change(gone and " ".join(before[slice(*gone)]), new and " ".join(after[slice(*new)]))
        for gone, new in _changes(before, after)
    ]


def as_line(changes: Sequence[str]) -> str:
    """The first of the changes and how many more there are; "" for the same words."""
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return ", ".join(changes[:SHOWN]) + more


def text_differences(before: str, after: str) -> str:
    """`as_line` of two texts' `differences`, as the texts spell them, with secrets masked."""
    ones, others = words_in(before), words_in(after)
    changes = _changes([w[0].casefold() for w in ones], [w[0].casefold() for w in others])
    shown = changes[:SHOWN]
    gone = _said(before, [ones[slice(*run)] if run else [] for run, _new in shown])
    new = _said(after, [others[slice(*run)] if run else [] for _gone, run in shown])
    told = [_change(*both) for both in zip(gone, new, strict=True)]
    return as_line([*told, *("" for _ in changes[SHOWN:])])


def _change(gone: str | None, new: str | None) -> str:
    if new is None:
        return f"- {gone}"
    return f"+ {new}" if gone is None else f"{gone} -> {new}"


def _said(text: str, runs: list[list[re.Match[str]]]) -> list[str | None]:
    """Runs of words; what is a secret only beside its neighbours is masked. None for none."""
    masked = masked_parts([(text, run[0].start(), run[-1].end()) for run in runs if run])
    hidden = iter(masked)
    return [(next(hidden) or " ".join(word[0] for word in run)) if run else None for run in runs]


def _changes(before: Sequence[str], after: Sequence[str]) -> list[tuple[Run | None, Run | None]]:
    """Runs of words that are gone and that came in their place, in the order of `differences`."""
    gone = dict(_runs(before, frozenset(after)))
    changes: list[tuple[Run | None, Run | None]] = [
        (gone.pop(anchor, None), run) for anchor, run in _runs(after, frozenset(before))
    ]
    changes.extend((run, None) for run in gone.values())
    return changes


def _runs(words: Sequence[str], others: frozenset[str]) -> list[tuple[Anchor, Run]]:
    """Runs words[a:b] that the other text lacks, with the shared word before and its count."""
    runs: list[tuple[Anchor, Run]] = []
    seen: dict[str, int] = {}
    anchor: Anchor = ("", 0)
    begun: int | None = None
    for place, word in enumerate(words):
        if word in others:
            if begun is not None:
                runs.append((anchor, (begun, place)))
                begun = None
            seen[word] = count = seen.get(word, 0) + 1
            anchor = (word, count)
        elif begun is None:
            begun = place
    if begun is not None:
        runs.append((anchor, (begun, len(words))))
    return runs
