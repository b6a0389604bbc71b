"""The compare job: base and adapter answer the held-out prompts on one model load.

Appends completions.jsonl as answers come, goes on after an interruption where it stopped, and
leaves summary.json and report.md.
"""

import os
import time
from pathlib import Path

import msgspec

from tuiwb.compare import generation
from tuiwb.compare.completions import (
    COMPLETIONS,
    SUMMARY,
    Completion,
    Summary,
    read_completions,
    summarise,
)
from tuiwb.compare.generation import Encoded, SideName
from tuiwb.compare.html import write_report
from tuiwb.compare.loading import Loaded, load_model
from tuiwb.compare.page import page_of
from tuiwb.compare.prompts import held_out
from tuiwb.jobs.events import Alert, Sample
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import JobContext
from tuiwb.monitor import notify

PHASE = "generating"
LOGIT_PROMPTS = 4
WATCH_EVERY = 0.5


def run(context: JobContext) -> None:
    """Do the comparison that the job's spec asks for."""
    spec, begun = context.spec, time.monotonic()
    notify.attach(context)
    context.state("running", "reading prompts")
    chosen = held_out(
        Path(spec["prompts"]),
        limit=spec["limit"],
        seed=spec.get("seed", 0),
        system=spec.get("system"),
    )
    if chosen.passed_over:
        context.log(f"{chosen.passed_over} rows passed over: {chosen.why}", level="warning")
    if spec.get("seen_in_training"):
        context.emit(
            Alert(
                rule="prompts_seen_in_training",
                severity="warning",
                evidence="the run was trained on the very file these prompts come from",
                fix="compare on held-out prompts: figures on training data flatter the fine-tune",
            )
        )
    wanted = {prompt.id for prompt in chosen.prompts}
    done = [c for c in read_completions(context.folder) if c.id in wanted]
    there = {completion.id for completion in done}
    context.stop_if_asked()
    context.state("running", "loading the model")
    _limit_threads()
    loaded = load_model(
        spec["base"], spec.get("adapter"), spec.get("dtype") or "auto", spec.get("revision")
    )
    context.log(f"model on {loaded.device} in {loaded.dtype}")
    encoded = [generation.encode(loaded, prompt) for prompt in chosen.prompts]
    evidence = None
    if loaded.has_adapter:
        evidence = generation.max_logit_difference(loaded, encoded[:LOGIT_PROMPTS])
        if evidence == 0.0:
            _alert_not_applied(context, "the adapter changes no logit", evidence)
    context.state("running", PHASE)
    context.progress(PHASE, len(done), len(encoded), "prompts")
    left = [e for e in encoded if e.prompt.id not in there]
    _generate_all(context, loaded, left, done, len(encoded))
    context.state("running", "writing the report")
    summary = summarise(sorted(done, key=lambda c: c.index), len(encoded))
    summary.max_logit_difference = evidence
    summary.device, summary.dtype = loaded.device, loaded.dtype
    summary.seconds = time.monotonic() - begun
    if loaded.has_adapter:
        summary.adapter_applied = evidence != 0.0 and summary.identical < summary.done
        if evidence != 0.0 and not summary.adapter_applied:
            _alert_not_applied(context, f"all {summary.done} answers are identical", evidence)
    _write(context, summary, done)


def _generate_all(
    context: JobContext, loaded: Loaded, left: list[Encoded], done: list[Completion], total: int
) -> None:
    """Batches in turn, each appended as soon as both sides have answered; Stopped when told to."""
    looked = time.monotonic()

    def watch(side: SideName, tokens: int) -> None:
        nonlocal looked
        if time.monotonic() - looked < WATCH_EVERY:
            return
        looked = time.monotonic()
        # The base answers first, then the adapter: half a batch each.
        share = tokens / (2 * most) + (0.5 if side == "adapter" else 0.0)
        context.progress(PHASE, round(len(done) + share * len(batch), 1), total, "prompts")
        context.stop_if_asked()

    most = context.spec["max_new_tokens"]
    for batch in generation.batches(left, context.spec["batch_size"]):
        context.stop_if_asked()
        found = generation.answer_batch(loaded, batch, most, watch)
        append_lines(context.folder / COMPLETIONS, found)
        done.extend(found)
        last = found[-1]
        context.emit(Sample(prompt=last.prompt_text, text=last.adapter or last.base))
        context.progress(PHASE, len(done), total, "prompts")


def _alert_not_applied(context: JobContext, seen: str, evidence: float | None) -> None:
    context.emit(
        Alert(
            rule="adapter_not_applied",
            severity="critical",
            evidence=f"{seen}; largest logit difference from the base {evidence or 0.0:.3g}",
            fix="check that training ended with a falling loss and that the adapter's lora_B "
            "weights are not all zero",
        )
    )


def _write(context: JobContext, summary: Summary, done: list[Completion]) -> None:
    write_atomically(
        context.folder / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2)
    )
    page = page_of(context.spec, summary, sorted(done, key=lambda c: c.index))
    reports = [path.name for path in write_report(context.folder, page)]
    context.artifact("completions", COMPLETIONS)
    context.artifact("summary", SUMMARY)
    for name in reports:
        context.artifact("report", name)


def _limit_threads() -> None:
    """On one or two cores a second torch thread only gets in the way of everything else."""
    import torch

    if (os.cpu_count() or 1) <= 2:
        torch.set_num_threads(1)
