"""completions.jsonl: what both models answered, one line per prompt, appended as it comes."""

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.compare import metrics
from tuiwb.compare.metrics import MetricSummary
from tuiwb.jobs.lines import decode_lines

COMPLETIONS = "completions.jsonl"
SUMMARY = "summary.json"
REPORT = "report.md"

Stop = Literal["eos", "length"]


class Completion(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Both answers to one prompt. Seconds are the row's share of its batch; `stop` is 'eos' when
    the model ended its turn, 'length' when it was cut. Adapter fields are empty without one."""

    id: str
    index: int
    line: int
    prompt: list[dict[str, Any]]
    raw: str | None = None
    reference: str | None = None
    tags: dict[str, Any] = {}
    base: str
    base_tokens: int = 0
    base_seconds: float = 0.0
    base_stop: Stop = "eos"
    adapter: str | None = None
    adapter_tokens: int = 0
    adapter_seconds: float = 0.0
    adapter_stop: Stop = "eos"
    prompt_tokens: int = 0

    @property
    def identical(self) -> bool:
        """Whether both sides said the very same."""
        return self.base == self.adapter

    @property
    def prompt_text(self) -> str:
        """The prompt as plain text, turns marked by their role where there are several."""
        if self.raw is not None:
            return self.raw
        if len(self.prompt) == 1:
            return str(self.prompt[0].get("content") or "")
        return "\n\n".join(f"[{turn['role']}] {turn.get('content') or ''}" for turn in self.prompt)


class Side(msgspec.Struct, kw_only=True):
    """One model's generation figures: tokens, seconds, answers cut at the length limit."""

    tokens: int = 0
    seconds: float = 0.0
    cut: int = 0
    empty: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second of generation; 0 before any."""
        return self.tokens / self.seconds if self.seconds else 0.0


class Summary(msgspec.Struct, kw_only=True):
    """What a comparison found so far: `done` of `total` prompts."""

    total: int
    done: int
    identical: int
    metrics: list[MetricSummary]
    base: Side
    adapter: Side | None = None
    max_logit_difference: float | None = None
    device: str = ""
    dtype: str = ""
    seconds: float = 0.0
    adapter_applied: bool | None = None

    def metric(self, name: str) -> MetricSummary | None:
        """The line of one metric, if it applied to any prompt."""
        return next((line for line in self.metrics if line.name == name), None)


class CompletionReader:
    """Follows completions.jsonl: each `read()` returns the whole lines added since the last."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / COMPLETIONS
        self._offset = 0

    def read(self) -> list[Completion]:
        """New completions in the order written; broken lines are passed over."""
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        whole = chunk.rfind(b"\n") + 1
        self._offset += whole
        return decode_lines(chunk[:whole], Completion)


def read_completions(folder: Path) -> list[Completion]:
    """Everything answered so far in a compare folder, by the prompt's place in its file."""
    found = {completion.id: completion for completion in CompletionReader(folder).read()}
    return sorted(found.values(), key=lambda completion: completion.index)


def summarise(completions: list[Completion], total: int) -> Summary:
    """Fold completions into figures; device, dtype and logit evidence are the worker's to add."""
    with_adapter = bool(completions) and all(c.adapter is not None for c in completions)
    return Summary(
        total=total,
        done=len(completions),
        identical=sum(c.identical for c in completions),
        metrics=metrics.summarise((c.reference, c.base, c.adapter) for c in completions),
        base=Side(
            tokens=sum(c.base_tokens for c in completions),
            seconds=sum(c.base_seconds for c in completions),
            cut=sum(c.base_stop == "length" for c in completions),
            empty=sum(not c.base.strip() for c in completions),
        ),
        adapter=Side(
            tokens=sum(c.adapter_tokens for c in completions),
            seconds=sum(c.adapter_seconds for c in completions),
            cut=sum(c.adapter_stop == "length" for c in completions),
            empty=sum(not (c.adapter or "").strip() for c in completions),
        )
        if with_adapter
        else None,
    )


def read_summary(folder: Path) -> Summary | None:
    """summary.json of a comparison that ended; None before that."""
    try:
        return msgspec.json.decode((folder / SUMMARY).read_bytes(), type=Summary)
    except (OSError, msgspec.MsgspecError):
        return None
