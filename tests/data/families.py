"""Tokenizers for the chat templates that TRL bundles, and of every kind there is."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

MARK = re.compile(
    r"<[|｜][^|｜>'\"\s]{1,30}[|｜]?>|<[a-z_]{2,20}\|>|<(?:start|end)_of_\w+>|\[/?[A-Z_]{3,20}\]"
)
LINES = ["the quick brown fox jumps over the lazy dog", "user assistant system tool hello world"]


def byte_level(special: Sequence[str], trim_offsets: bool = False) -> Tokenizer:
    """A byte-level BPE, as GPT-2, Llama 3, Qwen and most others have it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    return tokenizer


def marks_of(template: str) -> list[str]:
    """The control tokens a template writes out."""
    return sorted(set(MARK.findall(template)))


def write(folder: Path, tokenizer: Tokenizer, template: str | None, **names: str) -> Path:
    """A model folder without weights: tokenizer.json, its config, the chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 100_000, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, "utf-8")
    return folder


def family_folder(folder: Path, template: str) -> Path:
    """A model folder whose byte-level tokenizer has the control tokens that `template` needs."""
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return write(folder, byte_level([*names.values(), *marks_of(template)]), template, **names)


def trimming(special: Sequence[str]) -> Tokenizer:
    """Byte-level, where a token's offsets leave out the blank before it."""
    return byte_level(special, trim_offsets=True)


def composing(special: Sequence[str]) -> Tokenizer:
    """Byte-level after NFC, as Qwen has it: a character may come out with more bytes."""
    tokenizer = byte_level(special)
    tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def qwen_like(special: Sequence[str]) -> Tokenizer:
    """Byte-level after a Split by a pattern and NFC, as GPT-4, Llama 3 and Qwen have it."""
    tokenizer = composing(special)
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def sentencepiece(special: Sequence[str]) -> Tokenizer:
    """A BPE over characters with bytes to fall back on and a BOS, as Llama 2 and Gemma have it."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyz", "th", "▁th"]
    symbols = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    vocabulary = {symbol: at for at, symbol in enumerate(symbols)}
    merges = [("t", "h"), ("▁", "th")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return with_bos(tokenizer, special)


def unigram(special: Sequence[str]) -> Tokenizer:
    """A unigram model, as T5 and others have it: what it does not know is one <unk>."""
    letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    scores = [("<unk>", 0.0), ("▁", -2.0), *letters]
    tokenizer = Tokenizer(models.Unigram(scores, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return with_bos(tokenizer, special)


def with_bos(tokenizer: Tokenizer, special: Sequence[str]) -> Tokenizer:
    """Its control tokens, and the first of them put before every plain text."""
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special])
    bos = special[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return tokenizer
