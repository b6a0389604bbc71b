"""The evaluate job: canary, odd prompts, general probe, benchmarks; both sides on one model load.

Appends items.jsonl as answers come, goes on after an interruption where it stopped, and leaves
results.json. Chats are rendered by the base's own template, as a server renders them: an adapter
trained on another one is measured as it will be met.
"""

import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.evaluation import checks, likelihood
from tuiwb.compare.evaluation.general import chosen, read_probe
from tuiwb.compare.evaluation.harness import run_task
from tuiwb.compare.evaluation.plan import BENCHMARKS
from tuiwb.compare.evaluation.prompts import Asked, read_suite, seen_in_training
from tuiwb.compare.evaluation.results import (
    AGAIN,
    FIRST,
    ITEMS,
    RERUNS,
    RESULTS,
    Item,
    Results,
    Seen,
    Suite,
    discordant,
    fold,
    read_items,
)
from tuiwb.compare.inference import generation
from tuiwb.compare.inference.fitting import fitting
from tuiwb.compare.inference.loading import BASE, Loaded, load_model
from tuiwb.compare.left_out import LeftOut, left_out_sentence
from tuiwb.compare.prompts import HeldOutPrompt, held_out
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import JobContext
from tuiwb.monitor import notify
from tuiwb.prepared import prepared
from tuiwb.train.base_model import chat_template, hub_snapshot

WATCH_EVERY = 0.5
LOGIT_PROMPTS = 8
HELD_OUT = 200
MOST_HELD_OUT = 5000
# Where more of the canary set came out different, no rerun could undo it: p is far below .001.
MOST_RERUN = 0.25
ABSENT = {
    "canary": "no canary set: write 50 or more questions that the base answers right, with their "
    "answers, into data/canary.jsonl",
    "ood": "no out-of-distribution prompts: write messages of kinds the fine-tune was not trained "
    "for into data/ood.jsonl",
}


def run(context: JobContext) -> None:
    """Do the evaluation that the job's spec asks for."""
    begun = time.monotonic()
    notify.attach(context)
    # Nothing is downloaded: a benchmark whose data is not cached is not run.
    os.environ.update(HF_DATASETS_OFFLINE="1", HF_HUB_OFFLINE="1")
    _Evaluation(context).run(begun)


class _Evaluation:
    """One evaluation at work; `items` holds every item of every suite, those of before too."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.spec = context, context.spec
        self.items = read_items(context.folder)
        self.results = Results()
        self._looked = time.monotonic()

    def run(self, begun: float) -> None:
        context, spec, tasks = self.context, self.spec, self.spec["tasks"]
        context.state("running", "reading prompts")
        asked = {
            name: read_suite(Path(spec[name]))
            for name in ("canary", "ood")
            if name in tasks and spec.get(name)
        }
        heldout = _held_out(spec)
        if "seen" in tasks:
            self.results.seen = _seen(context, spec)
        context.stop_if_asked()
        context.state("running", "loading the model")
        _limit_threads()
        loaded = load_model(spec["base"], spec["adapter"], spec["dtype"], spec.get("revision"))
        self.results.template = _as_served(loaded, spec)
        context.log(f"model on {loaded.device} in {loaded.dtype}")
        self.results.device, self.results.dtype = loaded.device, loaded.dtype
        prompts = [*heldout, *(a.prompt for found in asked.values() for a in found)]
        asked_first = (e for p in prompts for e in fitting(loaded, [p]).asked)
        if encoded := list(itertools.islice(asked_first, LOGIT_PROMPTS)):
            self.results.max_logit_difference = generation.max_logit_difference(loaded, encoded)
        copied = checks.copied_fields((_last(p), p.reference) for p in heldout)
        for task in tasks:
            context.stop_if_asked()
            if (suite := self._task(loaded, task, asked, copied)) is not None:
                self.results.suites.append(suite)
                if suite.state == "not run":
                    context.log(f"{suite.name} not run: {suite.reason}", level="warning")
        self.results.seconds = time.monotonic() - begun
        write_atomically(
            context.folder / RESULTS,
            msgspec.json.format(msgspec.json.encode(self.results), indent=2),
        )
        context.artifact("results", RESULTS)
        context.artifact("items", ITEMS)

    def _task(
        self, loaded: Loaded, task: str, asked: dict[str, list[Asked]], copied: frozenset[str]
    ) -> Suite | None:
        match task:
            case "seen":
                return None
            case "general":
                return self._general(loaded)
            case "canary" | "ood":
                if task not in asked:
                    return Suite(name=task, state="not run", reason=ABSENT[task])
                return self._suite(loaded, task, asked[task], copied)
        return self._benchmark(loaded, task)

    # Suites

    def _suite(
        self, loaded: Loaded, task: str, asked: list[Asked], copied: frozenset[str]
    ) -> Suite:
        """A suite of the prompts that the model can be asked; the others are told."""
        source, found = self.spec[task], fitting(loaded, [a.prompt for a in asked])
        left = [LeftOut(file=source, line=prompt.line, why=why) for prompt, why in found.left]
        fits = {e.prompt.id for e in found.asked}
        fit = [a for a in asked if a.prompt.id in fits]
        if left:
            self.context.log(f"{task}: {left_out_sentence(left)}", level="warning")
        if not fit:
            why = f"no prompt can be asked: {left_out_sentence(left)}"
            return Suite(name=task, state="not run", reason=why, source=source, left_out=left)
        canary = task == "canary"
        suite = self._canary(loaded, fit) if canary else self._ood(loaded, fit, copied)
        suite.left_out = left
        return suite

    def _canary(self, loaded: Loaded, asked: list[Asked]) -> Suite:
        """First answers, the base once more in other batches, what came out different thrice."""
        size = self.spec["batch_size"]
        ids = {a.prompt.id for a in asked}
        self._answer(loaded, "canary", asked, FIRST, _sorted_batches(loaded, size), _right)
        self._answer(loaded, "canary", asked, AGAIN, _shuffled_batches(size, AGAIN), _right)
        wanted = {i.id for i in discordant(self.items, "canary")} & ids
        if len(wanted) > MOST_RERUN * len(ids):
            wanted = set()
        again = [a for a in asked if a.prompt.id in wanted]
        for number in RERUNS:
            self._answer(loaded, "canary", again, number, _shuffled_batches(size, number), _right)
        return fold(
            "canary",
            [i for i in self.items if i.id in ids],
            source=self.spec["canary"],
            threshold=self.spec["threshold"],
        )

    def _ood(self, loaded: Loaded, asked: list[Asked], copied: frozenset[str]) -> Suite:
        def judge(a: Asked, c: Completion, item: Item) -> None:
            said = c.adapter or ""
            item.base_why = checks.unsound(c.base, ended=c.base_stop == "eos", expect=a.expect)
            item.adapter_why = checks.unsound(said, ended=c.adapter_stop == "eos", expect=a.expect)
            item.base_ok, item.adapter_ok = not item.base_why, not item.adapter_why
            if made_up := checks.invented(said, a.text, copied):
                item.notes = [f"invents {', '.join(made_up)}"]
            item.reference = a.words or None

        batches = _sorted_batches(loaded, self.spec["batch_size"])
        self._answer(loaded, "ood", asked, FIRST, batches, judge)
        ids = {a.prompt.id for a in asked}
        items = [i for i in self.items if i.id in ids]
        return fold("ood", items, source=self.spec["ood"], metric="sound")

    def _general(self, loaded: Loaded) -> Suite:
        probe = read_probe()
        names = [f"{n:03d}" for n in range(len(probe.items))]
        there = {i.id for i in self.items if i.suite == "general"}
        if not set(names) <= there:
            self.context.state("running", "general ability")
            options = likelihood.options_of(loaded, probe.items)
            total = 2 * len(options)

            def watch(before: int) -> Callable[[int], None]:
                return lambda done: self._look("general ability", before + done, total, "options")

            with loaded.only(loaded.sides["adapter"].adapter):
                adapter = likelihood.log_likelihoods(loaded, options, watch(0))
            with loaded.only(BASE):
                base = likelihood.log_likelihoods(loaded, options, watch(len(options)))
            found, at = [], 0
            for name, item in zip(names, probe.items, strict=True):
                part = slice(at, at := at + len(item.options))
                base_said, adapter_said = chosen(base[part]), chosen(adapter[part])
                found.append(
                    Item(
                        suite="general",
                        id=name,
                        index=int(name),
                        category=item.category,
                        prompt=item.ask,
                        reference=f"{item.begin} {item.options[item.answer]}.",
                        base=f"{item.begin} {item.options[base_said]}.",
                        adapter=f"{item.begin} {item.options[adapter_said]}.",
                        base_ok=base_said == item.answer,
                        adapter_ok=adapter_said == item.answer,
                        base_scores=base[part],
                        adapter_scores=adapter[part],
                    )
                )
            self._keep(found)
        return fold(
            "general",
            self.items,
            source=f"bundled probe of {probe.date}",
            metric="likeliest option",
            chance=probe.chance,
        )

    def _benchmark(self, loaded: Loaded, task: str) -> Suite:
        """A harness task; its figures are kept beside the items, so that it is done once."""
        kept = self.context.folder / f"{BENCHMARKS}-{task}.json"
        try:
            return msgspec.json.decode(kept.read_bytes(), type=prepared(Suite))
        except (OSError, msgspec.MsgspecError):
            pass

        def watch(side: str) -> None:
            self.context.state("running", f"{task}, {side}")
            self.context.stop_if_asked()

        files = self.spec.get("task_files")
        suite = run_task(
            loaded,
            task,
            limit=self.spec.get("limit"),
            batch_size=self.spec["batch_size"],
            folder=Path(files) if files else None,
            watch=watch,
        )
        if suite.state == "done":
            write_atomically(kept, msgspec.json.encode(suite))
        return suite

    # Answering

    def _answer(
        self,
        loaded: Loaded,
        suite: str,
        asked: list[Asked],
        number: int,
        batches: Callable[[list[generation.Encoded]], list[list[generation.Encoded]]],
        judge: Callable[[Asked, Completion, Item], None],
    ) -> None:
        """Both sides' answers of one round that are not there yet, each judged and kept."""
        there = {i.id for i in self.items if (i.suite, i.round) == (suite, number)}
        left = [a for a in asked if a.prompt.id not in there]
        if not left:
            return
        phase = suite if number == FIRST else f"{suite} again"
        self.context.state("running", phase)
        by_id = {a.prompt.id: a for a in left}
        most, done = self.spec["max_new_tokens"], len(asked) - len(left)
        encoded = [generation.encode(loaded, a.prompt) for a in left]

        def watch(*_: Any) -> None:
            self._look(phase, done, len(asked), "prompts")

        for batch in batches(encoded):
            self.context.stop_if_asked()
            found = generation.answer_batch(loaded, batch, most, watch)
            items = []
            for c in found:
                a = by_id[c.id]
                item = Item(
                    suite=suite,
                    id=c.id,
                    round=number,
                    index=c.index,
                    category=str(c.tags.get("category") or ""),
                    prompt=c.prompt_text,
                    reference=c.reference,
                    base=c.base,
                    adapter=c.adapter,
                )
                judge(a, c, item)
                items.append(item)
            self._keep(items)
            done += len(items)
            self.context.progress(phase, done, len(asked), "prompts")

    def _keep(self, items: list[Item]) -> None:
        append_lines(self.context.folder / ITEMS, items)
        self.items.extend(items)

    def _look(self, phase: str, done: float, total: float, unit: str) -> None:
        if time.monotonic() - self._looked >= WATCH_EVERY:
            self._looked = time.monotonic()
            self.context.progress(phase, done, total, unit)
            self.context.stop_if_asked()


def _right(a: Asked, c: Completion, item: Item) -> None:
    """A canary answer is right or wrong."""
    item.base_ok = checks.right(c.base, c.reference, a.expect)
    item.adapter_ok = checks.right(c.adapter or "", c.reference, a.expect)
    if c.adapter_stop != "eos":
        item.adapter_why = ["did not end"]


def _sorted_batches(
    loaded: Loaded, size: int
) -> Callable[[list[generation.Encoded]], list[list[generation.Encoded]]]:
    return lambda encoded: list(generation.batches(encoded, size))


def _shuffled_batches(
    size: int, seed: int
) -> Callable[[list[generation.Encoded]], list[list[generation.Encoded]]]:
    """Other neighbours and another size than the first round had: what rounding may change."""
    smaller = max(1, size * 2 // 3 - seed)

    def make(encoded: list[generation.Encoded]) -> list[list[generation.Encoded]]:
        order = list(encoded)
        random.Random(seed).shuffle(order)
        return [order[i : i + smaller] for i in range(0, len(order), smaller)]

    return make


def _as_served(loaded: Loaded, spec: dict[str, Any]) -> str:
    """Give the tokenizers the base's own chat template, where it has one; returns which is used."""
    base = spec["base"]
    folder = Path(base) if Path(base).is_dir() else hub_snapshot(base, spec.get("revision"))
    served = chat_template(folder) if folder is not None else None
    if served is None:
        return "the adapter's"
    for tokenizer in (loaded.tokenizer, *(s.tokenizer for s in loaded.sides.values())):
        tokenizer.chat_template = served
    return "the base's"


def _held_out(spec: dict[str, Any]) -> list[HeldOutPrompt]:
    if not spec.get("heldout"):
        return []
    try:
        return held_out(Path(spec["heldout"]), limit=HELD_OUT, seed=spec["seed"]).prompts
    except TuiwbError:
        return []


def _seen(context: JobContext, spec: dict[str, Any]) -> Seen:
    """Held-out prompts among the training rows; a training file that is gone says so."""
    context.state("running", "looking for held-out prompts in the training rows")
    sources = list(dict.fromkeys(filter(None, (spec.get("heldout"), spec.get("compared")))))
    prompts = [p for path in sources for p in held_out(Path(path), limit=MOST_HELD_OUT).prompts]
    there = [Path(p) for p in spec["train"] if Path(p).exists()]
    seen = seen_in_training(prompts, there)
    seen.sources = sources
    if len(there) < len(spec["train"]):
        context.log("a training file is gone: what stood in it is not looked at", level="warning")
        seen.whole = False
    return seen


def _last(prompt: HeldOutPrompt) -> str:
    return prompt.raw or " ".join(str(m.get("content") or "") for m in prompt.messages)


def _limit_threads() -> None:
    """On one or two cores a second torch thread only gets in the way of everything else."""
    import torch

    if (os.cpu_count() or 1) <= 2:
        torch.set_num_threads(1)
