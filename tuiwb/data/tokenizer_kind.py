"""What a tokenizer's parts say of every text: how many tokens it has, without encoding it.

Worker side: takes a `tokenizers.Tokenizer`.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

KEPT = 300_000  # words whose counts are kept
LONGEST = 64  # characters of a word that is
# Between two visible characters, before one single blank: words go on to the next such place.
WORD = re.compile(r"(?<=[!-~\w])(?= [!-~\w])")
PROBES = (
    "a",
    "Z",
    "é",
    "日",
    "е",
    "7",
    "٣",
    "'s",
    "'",
    ".",
    "_",
    "-",
    "/",
    "$",
    "`",
    "{",
    '"',
    "#",
)


class Kind(NamedTuple):
    """What a tokenizer does with every text.

    `at_most_bytes`: no more tokens than bytes of the text's NFC form. `by_words`: a text's tokens
    are its words' tokens. `trims`: a token's offsets may leave out the blank it begins with.
    """

    at_most_bytes: bool
    by_words: bool
    trims: bool


def kind_of(backend: Any) -> Kind:
    """The kind of a tokenizer, by its parts.

    Every token of a byte-level BPE stands for one byte or more. A SentencePiece or WordPiece
    tokenizer may replace characters by longer ones or fall back to the bytes of those, and one
    that puts blanks before pieces of text makes more bytes than there were.
    """
    state = json.loads(backend.to_str())
    model, before, after = state["model"], state.get("pre_tokenizer"), state.get("post_processor")
    steps = (before or {}).get("pretokenizers") or [before or {}]
    byte_level = (
        model.get("type") == "BPE"
        and not model.get("byte_fallback")
        and not model.get("dropout")
        and any(step.get("type") == "ByteLevel" for step in steps)
        and all(step.get("type") in ("ByteLevel", "Split", "Digits") for step in steps)
        and not any(step.get("add_prefix_space") for step in steps)
        and (state.get("normalizer") or {}).get("type") in (None, "NFC")
    )
    apart = not any(
        " " in token["content"] or token["lstrip"] or token["rstrip"] or token["single_word"]
        for token in state.get("added_tokens") or []
    )
    last = (after or {}).get("processors") or [after or {}]
    return Kind(
        at_most_bytes=byte_level,
        by_words=byte_level and apart and _splits_at_words(backend.pre_tokenizer),
        trims=any(step.get("trim_offsets") for step in last),
    )


def _splits_at_words(pre_tokenizer: Any) -> bool:
    """Whether every word is split off by itself, tried on all pairs of PROBES.

    The tokens of a pre-tokenizer's pieces don't depend on what stands beside them. Those of GPT-2,
    GPT-4, Llama 3, Qwen and DeepSeek end a piece before a blank that a character follows.
    """
    for left in PROBES:
        for right in PROBES:
            text = f"x{left} {right}y\n {left} {right}{left}"
            pieces = [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]
            apart = [
                piece
                for word in WORD.split(text)
                for piece, _ in pre_tokenizer.pre_tokenize_str(word)
            ]
            if pieces != apart:
                return False
    return True


class Words:
    """Counts texts' tokens by their words, each of which is encoded once."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._counts: dict[str, int] = {}

    def totals(self, texts: Sequence[str]) -> list[int]:
        """How many tokens each text has, without what is put around it."""
        split = [WORD.split(text) for text in texts]
        unknown = list({word for words in split for word in words} - self._counts.keys())
        encoded = self._backend.encode_batch_fast(unknown, add_special_tokens=False)
        self._counts |= zip(unknown, map(len, encoded), strict=True)
        totals = [sum(map(self._counts.__getitem__, words)) for words in split]
        if len(self._counts) > KEPT:
            self._counts.clear()
        for word in unknown:
            if len(word) > LONGEST:
                self._counts.pop(word, None)
        return totals
