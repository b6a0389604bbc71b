"""Rows to tokens with transformers' and TRL's own functions, in the order of TRL's trainers.

Worker side: imported by the sidecar alone. Follows trl 1.16 `SFTTrainer._prepare_dataset`
(assistant_only_loss for chats, completion_only_loss for prompt/completion, EOS added to plain
text), and the `_prepare_dataset` of DPOTrainer and KTOTrainer.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import TemplateError
from transformers import AutoTokenizer
from transformers.utils.chat_template_utils import render_jinja_template
from trl.chat_template_utils import (
    get_training_chat_template,
    has_generation_markers,
    is_chat_template_stop_token_trained,
)
from trl.data_utils import _tokenize, common_prefix_length, extract_prompt, is_conversational

from tuiwb.data.examples import example_of, lone_surrogate
from tuiwb.data.rendered import Rendered, Token
from tuiwb.data.rows import Row
from tuiwb.data.template_diff import dropped
from tuiwb.data.tokenizer_kind import Words, kind_of
from tuiwb.errors import BadInput

METHODS = {"preference": "dpo", "kto": "kto"}


class _Sequence(NamedTuple):
    """Tokens with a label mask, and what was passed to make them.

    `diverged`: prompt tokens that differ; `unmasked`: marked answers that the mask misses.
    """

    ids: list[int]
    trained: list[bool]
    source: Any
    arguments: dict[str, Any]
    diverged: int = 0
    unmasked: int = 0


class TrainedTemplate:
    """A tokenizer and the chat template TRL would train it with."""

    def __init__(self, tokenizer: Any, name: str, assistant_only_loss: bool = True) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.assistant_only_loss = assistant_only_loss
        self.notes: list[str] = []
        self.chat_template: str | None = None
        self.masks = False
        self.stop_trained = False
        if tokenizer.chat_template:
            self._choose_template()
        added = tokenizer.added_tokens_decoder
        self._special = set(tokenizer.all_special_ids) | {i for i, t in added.items() if t.special}
        self.added = set(added)
        self._blank: dict[int, bool] = {}
        self.kind = kind_of(tokenizer.backend_tokenizer)
        self.words = Words(tokenizer.backend_tokenizer)

    @classmethod
    def load(cls, model: str, assistant_only_loss: bool = True) -> "TrainedTemplate":
        """Load the tokenizer from a folder or the local cache; BadInput when there is none."""
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                model, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            if not Path(model).exists():
                raise BadInput(
                    f"there is no folder {model}, and the cache here holds no tokenizer of a hub "
                    "model of that name: give a model's folder, or fetch it where there is a "
                    "network"
                ) from None
            words = " ".join(str(error).split())[:200]
            raise BadInput(
                f"no tokenizer can be loaded from {model}: {words.rstrip('.')}{_way_out(model)}"
            ) from None
        if not getattr(tokenizer, "is_fast", False):
            raise BadInput(
                f"{model} has only a slow tokenizer ({type(tokenizer).__name__}), which can't say "
                "which characters a token stands for, so TRL can't mask with it either: get the "
                "model's tokenizer.json"
            )
        return cls(tokenizer, model, assistant_only_loss)

    def _choose_template(self) -> None:
        """As SFTTrainer.__init__ does."""
        if not self.assistant_only_loss:
            self.notes.append(
                "assistant_only_loss is off: every token is trained, the user's turns too"
            )
            return
        self.masks = True
        if not has_generation_markers(self.tokenizer.chat_template):
            try:
                self.chat_template = get_training_chat_template(self.tokenizer)
                self.notes.append(
                    "the chat template has no {% generation %}: TRL knows this family and trains "
                    "with its own marked template, shown here"
                )
            except (ValueError, TypeError, TemplateError):
                self.masks = False
                self.notes.append(
                    "the chat template has no {% generation %} and is of no family TRL knows: TRL "
                    "stops with an error when assistant_only_loss is on; with it off every token "
                    "is trained, the user's too, as shown here"
                )
        if self.masks:
            self.stop_trained = is_chat_template_stop_token_trained(
                self.tokenizer, chat_template=self.chat_template
            )
            if not self.stop_trained:
                self.notes.append(
                    "the template leaves the end-of-turn token out of {% generation %}: the model "
                    "may never learn to stop"
                )

    def render(self, row: Row, max_length: int | None, as_chat: bool = False) -> Rendered:
        """The row's tokens with what is special, trained and cut."""
        for field, _role, text in row.fields():
            if lone_surrogate(text) is not None:
                raise BadInput(
                    f"{row.where} has a lone surrogate in {field}: no tokenizer takes it"
                )
        try:
            parts = self._sequences(row, as_chat)
        except BadInput:
            raise
        except Exception as error:  # whatever a template does
            raise BadInput(f"{row.where}: {refused(error)}") from None
        views = [self._view(row, part, sequence, max_length) for part, sequence in parts.items()]
        if len(views) > 1:
            views[0].other = views[1]
        return views[0]

    def example(self, row: Row, as_chat: bool) -> tuple[dict[str, Any], bool]:
        """The dict the trainer gets, and whether it is conversational; BadInput without template.

        A prompt that is a list of turns is trained as a chat, as training_examples makes it.
        """
        example = example_of(
            row, METHODS.get(row.shape, "sft"), as_chat or isinstance(row.prompt, list)
        )
        if row.shape == "preference" and "prompt" not in example:
            example = {**example, **extract_prompt(example)}
        chat = bool(is_conversational(example))
        if chat and not self.tokenizer.chat_template:
            raise BadInput(f"the tokenizer of {self.name} has no chat template, and this is a chat")
        return example, chat

    def _sequences(self, row: Row, as_chat: bool) -> dict[str, _Sequence]:
        example, chat = self.example(row, as_chat)
        tools: dict[str, Any] = {"tools": example.get("tools")} if chat else {}
        if row.shape == "preference":
            return self._pair(example, chat, tools)
        if row.shape == "kto":
            return {"completion": self._answer(example, "completion", chat, tools)}
        sft = {**tools, "chat_template": self.chat_template} if chat else {}
        if "prompt" in example:
            return {"": self._answer(example, "completion", chat, sft)}
        if chat:
            asked = {**sft, "return_assistant_tokens_mask": self.masks}
            made = _tokenize(self.tokenizer, example["messages"], **asked)
            ids = list(made["input_ids"])
            mask = made.get("assistant_masks") or [1] * len(ids)
            _, spans = self.text_of(example["messages"], example.get("tools"))
            lost = len(spans) - masked(spans, made.char_to_token)
            trained = [bool(bit) for bit in mask]
            return {"": _Sequence(ids, trained, example["messages"], sft, unmasked=lost)}
        text = self.with_eos(example["text"])
        ids = list(_tokenize(self.tokenizer, text)["input_ids"])
        return {"": _Sequence(ids, [True] * len(ids), text, {})}

    def text_of(
        self, turns: Any, tools: Any, sft: bool = True, **more: Any
    ) -> tuple[str, list[tuple[int, int]]]:
        """A conversation's text and the characters its template marks as generated.

        As transformers' `apply_chat_template` makes them; `sft`: with the template SFT trains.
        """
        tokenizer = self.tokenizer
        if not turns:
            raise BadInput("there is no turn to render")
        texts, spans = render_jinja_template(
            conversations=[turns],
            tools=tools,
            chat_template=tokenizer.get_chat_template(self.chat_template if sft else None, tools),
            return_assistant_tokens_mask=sft and self.masks,
            **{**tokenizer.special_tokens_map, **more},
        )
        return texts[0], spans[0] if spans else []

    def _pair(
        self, example: dict[str, Any], chat: bool, tools: dict[str, Any]
    ) -> dict[str, _Sequence]:
        both = {name: self._answer(example, name, chat, tools) for name in ("chosen", "rejected")}
        start = min(_first(sequence.trained) for sequence in both.values())
        return {
            name: s._replace(trained=[i >= start for i in range(len(s.ids))])
            for name, s in both.items()
        }

    def _answer(
        self, example: dict[str, Any], name: str, chat: bool, arguments: dict[str, Any]
    ) -> _Sequence:
        """Prompt and one answer: trained from where the prompt's own tokens end."""
        prompt, answer = example["prompt"], example[name]
        if not chat:
            whole: Any = prompt + self.with_eos(answer)
            alone = _tokenize(self.tokenizer, prompt)["input_ids"]
            ids = list(_tokenize(self.tokenizer, whole)["input_ids"])
        else:
            whole = prompt + answer
            given = {"add_generation_prompt": True, **arguments}
            alone = _tokenize(self.tokenizer, prompt, **given)["input_ids"]
            ids = list(_tokenize(self.tokenizer, whole, **arguments)["input_ids"])
        start = common_prefix_length(alone, ids)
        trained = [i >= start for i in range(len(ids))]
        return _Sequence(ids, trained, whole, arguments, len(alone) - start)

    def with_eos(self, text: str) -> str:
        """Plain text as the trainers end it."""
        eos = self.tokenizer.eos_token
        return text if not eos or text.endswith(eos) else text + eos

    def _view(self, row: Row, part: str, seq: _Sequence, max_length: int | None) -> Rendered:
        cut = max_length if max_length is not None and len(seq.ids) > max_length else None
        trained = [bit and (cut is None or i < cut) for i, bit in enumerate(seq.trained)]
        texts = self._texts(seq)
        tokens = [
            Token(text, token_id, token_id in self._special, bit)
            for text, token_id, bit in zip(texts, seq.ids, trained, strict=True)
        ]
        stop = self._stops(tokens)
        notes = [] if row.shape in ("preference", "kto", "text") else list(self.notes)
        notes += self._remarks(row, part, seq, tokens, cut)
        return Rendered(
            tokens=tokens,
            total=len(tokens),
            trained=sum(trained),
            truncated_at=cut,
            stop_token_trained=stop and (self.stop_trained or not self._judged(row)),
            notes=notes,
            part=part,
        )

    def _judged(self, row: Row) -> bool:
        return row.shape == "chat" and self.masks

    def _stops(self, tokens: list[Token]) -> bool:
        return self.stops(token.id for token in reversed(tokens) if token.trained)

    def stops(self, backwards: Iterable[int]) -> bool:
        """Whether the last trained token that is not blank is one of the tokenizer's own marks.

        As trl's is_chat_template_stop_token_trained asks it of the template; ids from the end.
        """
        for token_id in backwards:
            blank = self._blank.get(token_id)
            if blank is None:
                blank = not self.tokenizer.decode([token_id]).strip()
                self._blank[token_id] = blank
            if not blank:
                return token_id in self.added
        return False

    def _remarks(
        self, row: Row, part: str, seq: _Sequence, tokens: list[Token], cut: int | None
    ) -> list[str]:
        said = []
        if not self.tokenizer.eos_token and not isinstance(seq.source, list):
            said.append(
                "the tokenizer names no EOS token: TRL stops with an error where it would end "
                "plain text with it"
            )
        if seq.unmasked:
            said.append(
                f"the loss misses {seq.unmasked} of the answers: the first of them begins with a "
                "blank that this tokenizer counts to no token, and TRL's mask ends there"
            )
        if not any(seq.trained):
            said.append("no token of this row is trained: TRL stops with an error on such a row")
        elif not any(token.trained for token in tokens):
            said.append(f"all trained tokens lie beyond token {cut}: TRL drops this row")
        elif cut is not None:
            lost = sum(seq.trained[cut:])
            said.append(
                f"truncated: {len(tokens) - cut} of {len(tokens)} tokens are cut, "
                f"{lost} of them trained"
            )
        if seq.diverged:
            said.append(
                f"the last {seq.diverged} tokens of the prompt come out differently with the "
                "answer after it: the loss begins where they diverge"
            )
        bos = self.tokenizer.bos_token_id
        if bos is not None and seq.ids[:2] == [bos, bos]:
            said.append("begins with two BOS tokens: the template and the tokenizer add one each")
        text = "".join(token.text for token in tokens)
        said += (f"the chat template drops {what}" for what in dropped(row, text, part))
        return said

    def _texts(self, seq: _Sequence) -> list[str]:
        """Each token's own stretch of the rendered text; they join to the whole of it."""
        text = seq.source
        chat = isinstance(text, list)
        if chat:
            text = self.tokenizer.apply_chat_template(text, tokenize=False, **seq.arguments)
        again = self.tokenizer(text, add_special_tokens=not chat, return_offsets_mapping=True)
        if list(again["input_ids"]) != seq.ids:
            return [self.tokenizer.decode([token_id]) for token_id in seq.ids]
        texts, at = [], 0
        for token_id, (start, end) in zip(seq.ids, again["offset_mapping"], strict=True):
            if start == end:
                texts.append("" if token_id not in self._special else self._name(token_id))
                continue
            texts.append(text[at:end] if end > at else "")
            at = max(at, end)
        return texts

    def _name(self, token_id: int) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(token_id))


def _way_out(model: str) -> str:
    """What helps where a folder has no tokenizer.json, as the end of a sentence."""
    folder = Path(model)
    if (folder / "tokenizer.json").is_file() or not (folder / "tokenizer.model").is_file():
        return ""
    return (
        ". It has a tokenizer.model and no tokenizer.json: pip install sentencepiece tiktoken, and "
        'once AutoTokenizer.from_pretrained("FOLDER").save_pretrained("FOLDER")'
    )


def masked(spans: list[tuple[int, int]], token_at: Callable[[int], int | None]) -> int:
    """How many of the marked stretches get a mask: those before one that begins in no token.

    The loop of transformers' `apply_chat_template` ends at such a stretch; tokenizers whose
    offsets are trimmed (ByteLevel's trim_offsets) count a blank to no token.
    """
    return next((n for n, (start, _) in enumerate(spans) if token_at(start) is None), len(spans))


def refused(error: Exception) -> str:
    """An error of a chat template as the end of a sentence."""
    return f"the chat template refuses this row: {' '.join(str(error).split())[:200]}"


def _first(trained: list[bool]) -> int:
    return trained.index(True) if True in trained else len(trained)
