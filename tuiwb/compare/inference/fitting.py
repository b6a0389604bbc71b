"""Which prompts leave a model room for an answer, known from tokenizers and configs (worker side).

The sides in the two roles say which prompts are asked at all. A further side that can't be asked
one of these is not asked it; the others' answers to it stand.
"""

from collections.abc import Callable, Sequence

from tuiwb.compare.completions import ROLES
from tuiwb.compare.inference.generation import prompt_ids
from tuiwb.compare.inference.loading import TokenizerOf, asked_with
from tuiwb.compare.left_out import fills
from tuiwb.compare.prompts import HeldOutPrompt
from tuiwb.compare.sides import Side, is_local


def too_long(sides: Sequence[Side], tokenizer_of: TokenizerOf) -> Callable[[HeldOutPrompt], str]:
    """A function that says of a prompt which model's positions it fills, '' where there is room
    for an answer of every local side in a role. BadInput for a tokenizer that can't be read."""
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
            if any(len(prompt_ids(tokenizer, prompt)) >= room for tokenizer in tokenizers):
                return fills(room)
        return ""

    return against
