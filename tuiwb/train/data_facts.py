"""What triage is told about a run's data, measured once after the trainer has prepared it.

Worker side only: wants the tokenizer and the trainer. Out: tuiwb.monitor.triage.facts.DataFacts.
"""

from collections.abc import Iterator
from typing import Any

from tuiwb.data.checks.template import families
from tuiwb.monitor.triage.facts import DataFacts

LOOKED_AT = 5000  # examples whose text is searched for control tokens
NAMED = 5  # rows named by file:line
# Written by many tokenizers whatever the chat template: says nothing about the family.
COMMON = frozenset({"<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>"})


def data_facts(trainer: Any, data: Any, tokenizer: Any, where: Any) -> DataFacts:
    """The facts of a prepared run.

    `data` has examples `train` and `heldout`, `files` and `left_out`; `where` names rows as
    tuiwb.train.sft.where does.
    """

    def places(positions: list[int]) -> list[str]:
        return list(where(data.files, data.left_out, positions, NAMED)) if positions else []

    vocabulary = tokenizer.get_vocab()
    marks = [mark for mark in families() if mark not in COMMON]
    written = _written(data.train, tokenizer, marks)
    own = [mark for mark in marks if mark in vocabulary]
    foreign, first = _foreign(data.train[:LOOKED_AT], [m for m in marks if m not in vocabulary])
    masked = trainer.fully_masked.get("train", [])
    cut, unstopped = trainer.cut_rows.get("train", []), trainer.unstopped.get("train", [])
    return DataFacts(
        rows=len(data.train),
        masked=len(masked),
        masked_rows=places(masked),
        cut=len(cut),
        cut_rows=places(cut),
        longest=trainer.longest.get("train", 0),
        uncut=len(data.train) - len(set(cut) | set(masked)),
        unstopped=len(unstopped),
        unstopped_rows=places(unstopped),
        heldout_rows=len(data.heldout),
        packs=trainer.packs.get("train"),
        vocabulary=len(tokenizer),
        pad_is_eos=_same(tokenizer.pad_token_id, tokenizer.eos_token_id),
        pad_token=str(tokenizer.pad_token or ""),
        unknown_marks=[m for m in written if m not in vocabulary] if written is not None else [],
        unused_marks=[m for m in own if m not in written] if written is not None else [],
        foreign=len(foreign),
        foreign_mark=first,
        foreign_rows=places(foreign),
    )


def _same(pad: int | None, end: int | None) -> bool | None:
    return None if pad is None or end is None else pad == end


def _written(examples: list[dict[str, Any]], tokenizer: Any, marks: list[str]) -> list[str] | None:
    """The control tokens that the template puts around a chat; None where there is no chat."""
    chat = next((e for e in examples if e.get("messages") or isinstance(e.get("prompt"), list)), 0)
    if not chat or not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes"}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except Exception:  # a template is a program of the model's author
        return None
    return [mark for mark in marks if mark in text]


def _foreign(examples: list[dict[str, Any]], marks: list[str]) -> tuple[list[int], str]:
    """Positions of examples whose text holds a control token of another family; the first one."""
    found, first = [], ""
    for position, example in enumerate(examples):
        for text in _texts(example):
            if "<" not in text and "[" not in text:
                continue
            mark = next((m for m in marks if m in text), None)
            if mark is not None:
                found.append(position)
                first = first or mark
                break
    return found, first


def _texts(example: dict[str, Any]) -> Iterator[str]:
    for key in ("text", "prompt", "completion", "messages"):
        value = example.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (str(turn.get("content") or "") for turn in value)
