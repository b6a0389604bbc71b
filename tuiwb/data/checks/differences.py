"""The words in which two texts differ, in one line, in time linear in their lengths."""

from collections.abc import Sequence

SHOWN = 6


def differences(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """What became of the words only one text has.

    "tent -> sack" where words stand in each other's place (after the same shared word), "+ blue"
    for words only `after` has, both in reading order; then "- red" for words only `before` has.
    """
    gone = dict(_runs(before, frozenset(after)))
    changes: list[str] = []
    for anchor, words in _runs(after, frozenset(before)):
        replaced = gone.pop(anchor, None)
        changes.append(f"+ {words}" if replaced is None else f"{replaced} -> {words}")
    changes.extend(f"- {words}" for words in gone.values())
    return changes


def as_line(changes: Sequence[str]) -> str:
    """The first of the changes and how many more there are; "" for the same words."""
    more = f", and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return ", ".join(changes[:SHOWN]) + more


def _runs(words: Sequence[str], others: frozenset[str]) -> list[tuple[tuple[str, int], str]]:
    """Runs of words the other text lacks, each with the shared word before it and its count."""
    runs: list[tuple[tuple[str, int], list[str]]] = []
    seen: dict[str, int] = {}
    anchor, open_ = ("", 0), False
    for word in words:
        if word in others:
            seen[word] = count = seen.get(word, 0) + 1
            anchor, open_ = (word, count), False
        elif open_:
            runs[-1][1].append(word)
        else:
            runs.append((anchor, [word]))
            open_ = True
    return [(anchor, " ".join(run)) for anchor, run in runs]
