"""Which tokens end an answer: one rule for comparing and for serving, so that both agree."""

from typing import Any

MARK = "tuiwb-answer"


def stop_tokens(configured: int | list[int] | None, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: the model's `configured`, the tokenizer's, the chat template's."""
    given = configured if isinstance(configured, list) else [configured]
    found = {*given, tokenizer.eos_token_id, _turn_end(tokenizer)}
    return frozenset(int(stop) for stop in found if stop is not None)


def _turn_end(tokenizer: Any) -> int | None:
    """The special token the chat template puts right after an assistant's words, if any."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": MARK}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception:  # a template is a program of the model's author
        return None
    after = tokenizer(text.rpartition(MARK)[2].lstrip(), add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)
    return after[0] if after and after[0] in special else None
