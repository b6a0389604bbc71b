"""Which prompts a local model can be asked: those that its chat template can write and that leave
room for an answer (worker side).

The sides in the two roles say which prompts are asked at all, known from tokenizers and configs. A
further side that can't be asked one of these is not asked it; the others' answers to it stand.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tuiwb.compare.completions import ROLES
from tuiwb.compare.inference import generation
from tuiwb.compare.inference.generation import Encoded, NotWritten, prompt_ids
from tuiwb.compare.inference.loading import Loaded, TokenizerOf, asked_with
from tuiwb.compare.left_out import fills
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.compare.sides import Side, is_local


class Fitting(NamedTuple):
    """The prompts that can be asked, and those that can't with why, worded to follow file:line."""

    asked: list[Encoded]
    left: list[tuple[HeldOutPrompt, str]]


def fitting(loaded: Loaded, prompts: Sequence[HeldOutPrompt], tokenizer: Any = None) -> Fitting:
    """What a loaded model can be asked of these; BadInput where it can be asked no chat at all."""
    found = Fitting([], [])
    for prompt in prompts:
        try:
            encoded = generation.encode(loaded, prompt, tokenizer)
        except NotWritten as error:
            found.left.append((prompt, error.why))
            continue
        if len(encoded.ids) < loaded.room:
            found.asked.append(encoded)
        else:
            found.left.append((prompt, fills(loaded.room)))
    return found


def fitting_sides(loaded: Loaded, prompts: Sequence[HeldOutPrompt]) -> dict[str, Fitting]:
    """What each side can be asked; sides with one tokenizer share it."""
    by_tokenizer: dict[int, Fitting] = {}
    found = {}
    for name, side in loaded.sides.items():
        key = id(side.tokenizer)
        if key not in by_tokenizer:
            by_tokenizer[key] = fitting(loaded, prompts, side.tokenizer)
        found[name] = by_tokenizer[key]
    return found


def not_asked(sides: Sequence[Side], tokenizer_of: TokenizerOf) -> Callable[[HeldOutPrompt], str]:
    """A function that says of a prompt why a local side in a role can't be asked it, '' where all
    can. BadInput for a tokenizer that can't be read."""
    loads: dict[tuple[str, str | None], dict[str, str | None]] = {}
    for side in sides:
        if side["name"] in ROLES and is_local(side):
            load = loads.setdefault((side["model"], side.get("revision")), {})
            load[side["name"]] = side["adapter"]
    asked = [
        asked_with(model, adapters, revision, tokenizer_of)
        for (model, revision), adapters in loads.items()
    ]

    def against(prompt: HeldOutPrompt) -> str:
        for room, tokenizers in asked:
            try:
                if any(len(prompt_ids(tokenizer, prompt)) >= room for tokenizer in tokenizers):
                    return fills(room)
            except NotWritten as error:
                return error.why
        return ""

    return against
