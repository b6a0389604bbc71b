"""Token counts of many rows at once: what rendering says of each, without its tokens.

Worker side, beside rendering: templates are rendered once a row as transformers'
`apply_chat_template` does (transformers 5.16), texts are encoded in batches by the tokenizer's
own threads, and a row whose bytes prove it short is not encoded at all.
"""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from unicodedata import normalize

from trl.data_utils import common_prefix_length

from tuiwb.data.examples import lone_surrogate
from tuiwb.data.render import Measured, ModelFacts
from tuiwb.data.rendering import TrainedTemplate, masked, refused
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput

TOGETHER = 4_000_000  # characters encoded in one batch: what it takes of memory is ~100 times that


class _Made(NamedTuple):
    """An encoded text: its tokens, the trained stretches of them, and what is wrong with it."""

    total: int
    trained: list[int]
    stops: bool
    double_bos: bool
    unmasked: int


class _Text(NamedTuple):
    """A text to encode. `spans`: its trained characters; None: all after `prompt`'s tokens."""

    whole: str
    chat: bool
    spans: list[tuple[int, int]] | None
    prompt: str | None


class _Kind(NamedTuple):
    """What a tokenizer's parts say of every text it encodes.

    `at_most_bytes`: no more tokens than bytes of the text's NFC form; `trims`: a token's offsets
    may leave out the blank it begins with.
    """

    at_most_bytes: bool
    trims: bool


@cache
def kind(template: TrainedTemplate) -> _Kind:
    """The kind of a template's tokenizer.

    Every token of a byte-level BPE stands for one byte or more. A SentencePiece or WordPiece
    tokenizer may replace characters by longer ones or fall back to the bytes of those, and one
    that puts blanks before pieces of text makes more bytes than there were.
    """
    state = json.loads(template.tokenizer.backend_tokenizer.to_str())
    model, before, after = state["model"], state.get("pre_tokenizer"), state.get("post_processor")
    steps = (before or {}).get("pretokenizers") or [before or {}]
    normalizer = (state.get("normalizer") or {}).get("type")
    byte_level = (
        model.get("type") == "BPE"
        and not model.get("byte_fallback")
        and any(step.get("type") == "ByteLevel" for step in steps)
        and all(step.get("type") in ("ByteLevel", "Split", "Digits") for step in steps)
        and not any(step.get("add_prefix_space") for step in steps)
        and normalizer in (None, "NFC")
    )
    last = (after or {}).get("processors") or [after or {}]
    return _Kind(byte_level, any(step.get("trim_offsets") for step in last))


def facts(template: TrainedTemplate) -> ModelFacts:
    """What this tokenizer and template do to every row."""
    tokenizer = template.tokenizer
    bos = tokenizer.bos_token_id
    return ModelFacts(
        chat_template=bool(tokenizer.chat_template),
        masks=template.masks,
        family=template.chat_template is not None,
        stop_token_trained=template.stop_trained,
        bos_token=tokenizer.bos_token,
        eos_token=tokenizer.eos_token,
        pad_token=tokenizer.pad_token,
        adds_bos=bos is not None and tokenizer("a")["input_ids"][:1] == [bos],
        at_most_bytes=kind(template).at_most_bytes,
        control_tokens=sorted(t.content for t in tokenizer.added_tokens_decoder.values()),
        notes=template.notes,
    )


def measure(
    template: TrainedTemplate, rows: Sequence[Row], limit: int | None, every: int, as_chat: bool
) -> list[Measured]:
    """The counts of each row, in order; see `tuiwb.data.render.Sidecar.measure`."""
    counting = _Counting(template, limit)
    measured: list[Measured | None] = []
    waiting: list[tuple[int, list[_Text]]] = []
    size = 0
    for place, row in enumerate(rows):
        try:
            texts = _texts(template, row, as_chat)
        except BadInput as error:
            measured.append(Measured(0, problem=str(error)))
            continue
        except Exception as error:  # whatever a template does
            measured.append(Measured(0, problem=refused(error)))
            continue
        proved = counting.proved(texts) if row.index % every else None
        measured.append(proved)
        if proved is None:
            waiting.append((place, texts))
            size += sum(len(text.whole) + len(text.prompt or "") for text in texts)
        if size > TOGETHER or place == len(rows) - 1:
            _count(counting, waiting, measured)
            waiting, size = [], 0
    _count(counting, waiting, measured)
    return [counts for counts in measured if counts is not None]


def _count(
    counting: "_Counting", waiting: list[tuple[int, list[_Text]]], measured: list[Measured | None]
) -> None:
    try:
        counts = counting.count([texts for _, texts in waiting])
    except Exception:  # one text that the tokenizer refuses ends the whole batch
        counts = [counting.count_one(texts) for _, texts in waiting]
    for (place, _), made in zip(waiting, counts, strict=True):
        measured[place] = made


def _texts(template: TrainedTemplate, row: Row, as_chat: bool) -> list[_Text]:
    """What the trainer encodes of a row: one text, or one for each answer of a pair."""
    for field, _role, text in row.fields():
        if lone_surrogate(text) is not None:
            raise BadInput(f"there is a lone surrogate in {field}, which no tokenizer takes")
    example, chat = template.example(row, as_chat)
    tools = example.get("tools") if chat else None
    if "messages" in example:
        whole, spans = template.text_of(example["messages"], tools)
        return [_Text(whole, True, spans if template.masks else [(0, len(whole))], None)]
    if "text" in example:
        whole = template.with_eos(example["text"])
        return [_Text(whole, False, [(0, len(whole))], None)]
    prompt = example["prompt"]
    answers = [example[name] for name in ("completion", "chosen", "rejected") if name in example]
    if not chat:
        return [_Text(prompt + template.with_eos(a), False, None, prompt) for a in answers]
    alone, _ = template.text_of(prompt, tools, sft=False, add_generation_prompt=True)
    wholes = [template.text_of(prompt + answer, tools, sft=False)[0] for answer in answers]
    return [_Text(whole, True, None, alone) for whole in wholes]


class _Counting:
    """Encodes texts and counts their tokens, or proves that there is no need to."""

    def __init__(self, template: TrainedTemplate, limit: int | None) -> None:
        self._template, self._limit = template, limit
        self._backend = template.tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._backend.encode_special_tokens = False
        self._bos: str | None = template.tokenizer.bos_token
        self._bos_id: int | None = template.tokenizer.bos_token_id
        self._kind = kind(template)
        self._marks = {t.content for t in template.tokenizer.added_tokens_decoder.values()}
        self._mark_lengths = sorted({len(mark) for mark in self._marks if mark})
        self._put_around = self._backend.num_special_tokens_to_add(False)

    def proved(self, texts: list[_Text]) -> Measured | None:
        """The bytes of texts that surely fit and have no flaw; None: they must be encoded.

        A byte-level token stands for one byte or more, so a text that goes on where its prompt
        ends has a token that the prompt has not.
        """
        if self._limit is None or not self._kind.at_most_bytes:
            return None
        most = 0
        for text in texts:
            whole = text.whole
            size = len(whole if whole.isascii() else normalize("NFC", whole).encode())
            most = max(most, size + (0 if text.chat else self._put_around))
            if most > self._limit or not self._plain(text):
                return None
        return Measured(most, counted=False)

    def _plain(self, text: _Text) -> bool:
        """Whether it surely trains a token, ends on a mark and does not begin with two BOS."""
        whole = text.whole
        if text.spans is None:
            start, end = 0, len(whole)
            trained = not (text.prompt or "").startswith(whole)
        elif text.spans:
            start, end = text.spans[-1]
            trained = not self._kind.trims or all(
                whole[a:b].strip() and (whole[a] == "\n" or not whole[a].isspace())
                for a, b in text.spans
            )
        else:
            return False
        last = whole[start:end].rstrip()
        if not trained or not any(last[-n:] in self._marks for n in self._mark_lengths):
            return False
        if self._bos is None:
            return True
        # What the tokenizer puts before plain text is not in it.
        begins = whole[: 3 * len(self._bos)].count(self._bos)
        return begins < (2 if text.chat or not self._put_around else 1)

    def count(self, rows: list[list[_Text]]) -> list[Measured]:
        """The counts of each row's texts, all of them encoded together."""
        if not rows:
            return []
        texts = [text for row in rows for text in row]
        made = iter(self._encoded(texts))
        return [self._counts([next(made) for _ in row]) for row in rows]

    def _counts(self, parts: list[_Made]) -> Measured:
        """The longer of a row's answers, whose prompt ends where the first of both leaves it."""
        starts = [part.trained[0] if part.trained else part.total for part in parts]
        longest = max(parts, key=lambda part: part.total)
        trained = longest.trained
        if len(parts) > 1:
            trained = [min(starts), longest.total] if min(starts) < longest.total else []
        return Measured(
            longest.total,
            trained=trained,
            stops=longest.stops if trained else None,
            double_bos=longest.double_bos,
            unmasked=longest.unmasked,
        )

    def count_one(self, texts: list[_Text]) -> Measured:
        """As `count`, with the tokenizer's refusal as the row's problem."""
        try:
            return self.count([texts])[0]
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            return Measured(0, problem=f"the tokenizer refuses this row: {words}")

    def _encoded(self, texts: list[_Text]) -> list[_Made]:
        """Each text with its tokens counted."""
        encodings: dict[int, Any] = {}
        prompts: dict[int, Any] = {}
        for chat in (True, False):
            some = [i for i, text in enumerate(texts) if text.chat == chat]
            asked = [(i, texts[i].prompt) for i in some if texts[i].prompt is not None]
            batch = [texts[i].whole for i in some] + [prompt for _, prompt in asked]
            if not batch:
                continue
            done = self._backend.encode_batch(batch, add_special_tokens=not chat)
            encodings |= zip(some, done, strict=False)
            prompts |= zip((i for i, _ in asked), done[len(some) :], strict=True)
        return [self._made(text, encodings[i], prompts.get(i)) for i, text in enumerate(texts)]

    def _made(self, text: _Text, encoding: Any, prompt: Any) -> _Made:
        ids = encoding.ids
        total, unmasked = len(ids), 0
        if prompt is not None:
            start = common_prefix_length(prompt.ids, ids)
            trained = [start, total] if start < total else []
        elif text.spans == [(0, len(text.whole))] and (not text.chat or not self._template.masks):
            trained = [0, total] if total else []
        else:
            spans = text.spans or []
            trained = _tokens_of(spans, encoding, total)
            unmasked = len(spans) - masked(spans, encoding.char_to_token)
        positions = zip(trained[::2], trained[1::2], strict=True)
        backwards = (ids[i] for s, e in reversed(list(positions)) for i in range(e - 1, s - 1, -1))
        double = self._bos_id is not None and ids[:2] == [self._bos_id, self._bos_id]
        return _Made(total, trained, self._template.stops(backwards), double, unmasked)


def _tokens_of(spans: list[tuple[int, int]], encoding: Any, total: int) -> list[int]:
    """Characters to token positions, as transformers' apply_chat_template makes its mask."""
    found: list[tuple[int, int]] = []
    for start, end in spans[: masked(spans, encoding.char_to_token)]:
        first = encoding.char_to_token(start)
        last = encoding.char_to_token(end - 1) if end > 0 else None
        found.append((first, last + 1 if last else total))
    merged: list[int] = []
    for first, after in sorted(found):
        if after <= first:
            continue
        if merged and first <= merged[-1]:
            merged[-1] = max(merged[-1], after)
        else:
            merged += (first, after)
    return merged
