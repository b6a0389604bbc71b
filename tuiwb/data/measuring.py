"""Token counts of many rows at once: what rendering says of each, without its tokens.

Worker side, beside rendering: templates are rendered once a row as transformers'
`apply_chat_template` does (transformers 5.16), texts are encoded in batches by the tokenizer's
own threads, and a row whose bytes or words prove it short is not encoded at all.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from unicodedata import normalize

from trl.data_utils import common_prefix_length

from tuiwb.data.examples import lone_surrogate
from tuiwb.data.rendered import Measured, ModelFacts
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
        at_most_bytes=template.kind.at_most_bytes,
        control_tokens=sorted(t.content for t in tokenizer.added_tokens_decoder.values()),
        notes=template.notes,
    )


def measure(
    template: TrainedTemplate, rows: Sequence[Row], limit: int | None, every: int, as_chat: bool
) -> list[Measured]:
    """The counts of each row, in order; see `tuiwb.data.render.Sidecar.measure`."""
    counting = _Counting(template, limit)
    measured: dict[int, Measured] = {}
    waiting: list[_Waiting] = []
    size = 0
    for place, row in enumerate(rows):
        try:
            texts = _texts(template, row, as_chat)
        except BadInput as error:
            measured[place] = Measured(0, problem=str(error))
            continue
        except Exception as error:  # whatever a template does
            measured[place] = Measured(0, problem=refused(error))
            continue
        looked_at = row.index % every == 0 or not counting.sound(texts)
        if not looked_at and (short := counting.short(texts)):
            measured[place] = short
            continue
        waiting.append(_Waiting(place, texts, looked_at))
        size += sum(len(text.whole) + len(text.prompt or "") for text in texts)
        if size > TOGETHER:
            measured |= _counted(counting, waiting)
            waiting, size = [], 0
    measured |= _counted(counting, waiting)
    return [measured[place] for place in range(len(rows))]


class _Waiting(NamedTuple):
    """A row of the request and its texts; `looked_at`: to be encoded, whatever its length."""

    place: int
    texts: list["_Text"]
    looked_at: bool


def _counted(counting: "_Counting", waiting: list[_Waiting]) -> dict[int, Measured]:
    """Measures by place: by their words where they fit, encoded otherwise."""
    try:
        measured = counting.fitting([each for each in waiting if not each.looked_at])
        left = [each for each in waiting if each.place not in measured]
        counts = counting.count([each.texts for each in left])
    except Exception:  # one text that the tokenizer refuses ends the whole batch
        measured, left = {}, waiting
        counts = [counting.count_one(each.texts) for each in left]
    return measured | {each.place: made for each, made in zip(left, counts, strict=True)}


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
        self._kind = template.kind
        self._marks = {t.content for t in template.tokenizer.added_tokens_decoder.values()}
        self._mark_lengths = sorted({len(mark) for mark in self._marks if mark})
        self._put_around = self._backend.num_special_tokens_to_add(False)

    def sound(self, texts: list[_Text]) -> bool:
        """Whether it is known without encoding that nothing is wrong with a row but its length.

        A byte-level token stands for one byte or more, so a text that goes on where its prompt
        ends has a token that the prompt has not.
        """
        return (
            self._limit is not None
            and self._kind.at_most_bytes
            and all(self._plain(text) for text in texts)
        )

    def short(self, texts: list[_Text]) -> Measured | None:
        """The bytes of texts that surely fit; None: their tokens must be counted."""
        most = 0
        for text in texts:
            whole = text.whole
            size = len(whole if whole.isascii() else normalize("NFC", whole).encode())
            most = max(most, size + (0 if text.chat else self._put_around))
        return Measured(most, counted=False) if most <= (self._limit or 0) else None

    def fitting(self, rows: list[_Waiting]) -> dict[int, Measured]:
        """The rows, by place, whose words' tokens fit, where a text is the sum of its words."""
        if not rows or self._limit is None or not self._kind.by_words:
            return {}
        sizes = iter(self._template.words.totals([t.whole for each in rows for t in each.texts]))
        found = {}
        for each in rows:
            most = max(next(sizes) + (0 if t.chat else self._put_around) for t in each.texts)
            if most <= self._limit:
                found[each.place] = Measured(most, counted=False)
        return found

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
