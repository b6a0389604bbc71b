"""Prompts that were left out because a model can't be asked them, and the sentence that says so."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

NAMED = 3


class LeftOut(msgspec.Struct, kw_only=True, frozen=True):
    """A row of a file that was not asked. `why` is worded to follow file:line; `side` is the name
    of the one side that was not asked, '' where nobody was."""

    file: str
    line: int
    why: str
    side: str = ""

    @property
    def place(self) -> str:
        """The row as people call it: the file's name and the line."""
        return f"{Path(self.file).name}:{self.line}"


def fills(room: int) -> str:
    """Why a prompt leaves a model of `room` positions no place for an answer."""
    return f"fills all {room} positions of the model"


def without_room(max_new_tokens: int) -> str:
    """Why a prompt that may be asked for a shorter answer was not asked."""
    return f"has no room beside it for {max_new_tokens} tokens of answer (--max-new-tokens)"


def left_out_sentence(left: Sequence[LeftOut]) -> str:
    """Which prompts were not asked and why, in one sentence without a full stop; '' for none. A
    prompt that only some side did not answer is told with that side."""
    parts = []
    for side in dict.fromkeys(["", *(one.side for one in left)]):
        if found := [one for one in left if one.side == side]:
            prompts = f"{len(found)} prompt{'' if len(found) == 1 else 's'}"
            head = f"{side} did not answer {prompts}" if side else f"{prompts} left out"
            parts.append(f"{head}: {_named(found)}")
    return "; ".join(parts)


def _named(found: Sequence[LeftOut]) -> str:
    named = "; ".join(f"{one.place} {one.why}" for one in found[:NAMED])
    return named + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")
