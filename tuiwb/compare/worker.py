"""The compare job: its sides answer the held-out prompts, those of one base on one model load.

Appends answers as they come, goes on after an interruption where it stopped, and leaves
summary.json and report.md.
"""

import functools
import gc
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from tuiwb.compare.completions import (
    ANSWERS,
    COMPLETIONS,
    EVIDENCE,
    FIRST_PAIRS,
    REPORT,
    ROLES,
    SUMMARY,
    TOKEN_PROBABILITIES,
    Completion,
    Evidence,
    SideAnswer,
    Summary,
    read_evidence,
    read_summary,
    read_token_probabilities,
    summarise,
)
from tuiwb.compare.inference import generation, scoring, vllm_offline
from tuiwb.compare.inference.fitting import fitting_sides, not_asked
from tuiwb.compare.inference.generation import Asking, Encoded
from tuiwb.compare.inference.loading import Loaded, free_cores, load_sides, read_tokenizer
from tuiwb.compare.inference.remote import Budget, ask_all
from tuiwb.compare.inference.sheet import Sheet
from tuiwb.compare.left_out import LeftOut, left_out_sentence, without_room
from tuiwb.compare.prompts import HeldOutPrompt, held_out
from tuiwb.compare.report.html import HTML, write_report
from tuiwb.compare.report.page import page_of
from tuiwb.compare.sides import Side, is_local, spec_sides
from tuiwb.errors import BadInput
from tuiwb.jobs.events import Alert, Sample
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import JobContext
from tuiwb.llm.prices import read_prices
from tuiwb.monitor import notify
from tuiwb.text import counted

PHASE = "generating"
LOGIT_PROMPTS = 4
WATCH_EVERY = 0.5
SAMPLE_EVERY = 1.0
# Below this a logit's change is what rounding makes of it.
NO_CHANGE = 1e-4


def run(context: JobContext) -> None:
    """Do the comparison that the job's spec asks for."""
    notify.attach(context)
    _Comparison(context).run()


class _Comparison:
    """One run of the job: the sheet, what was learned of the models, what was said."""

    def __init__(self, context: JobContext) -> None:
        self.context, self.spec = context, context.spec
        self.begun = time.monotonic()
        self.sides = spec_sides(self.spec)
        self.asking = Asking(
            max_new_tokens=self.spec["max_new_tokens"],
            temperature=self.spec.get("temperature") or 0.0,
            seed=self.spec.get("seed") or 0,
            batch_size=self.spec.get("batch_size"),
        )
        self.evidence: float | None = None
        self.alerted = False
        self.device = self.dtype = self.engine = ""
        self.left_out: list[LeftOut] = []
        self.tokenizer_of = functools.cache(read_tokenizer)
        self._looked = time.monotonic()
        self._sampled = 0.0

    def run(self) -> None:
        """Every side in turn, then figures and report."""
        context, spec = self.context, self.spec
        context.state("running", "reading prompts")
        chosen = held_out(
            Path(spec["prompts"]),
            limit=spec["limit"],
            seed=spec.get("seed", 0),
            system=spec.get("system"),
            against=not_asked(self.sides, self.tokenizer_of),
        )
        self.left_out = chosen.left_out
        if said := left_out_sentence(chosen.left_out):
            context.log(said, level="warning")
        if chosen.passed_over:
            context.log(f"{chosen.passed_over} rows passed over: {chosen.why}", level="warning")
        if spec.get("seen_in_training"):
            context.emit(
                Alert(
                    rule="prompts_seen_in_training",
                    severity="warning",
                    evidence="the run was trained on the very file these prompts come from",
                    fix="compare on held-out prompts: figures on training data flatter the "
                    "fine-tune",
                )
            )
        if spec.get("without_vllm"):
            context.log(f"transformers answers: {spec['without_vllm']}", level="warning")
        names = [side["name"] for side in self.sides]
        self.sheet = Sheet(context.folder, chosen.prompts, names)
        self._read_likelihoods()
        self.sheet.settle()
        self.evidence = read_evidence(context.folder)
        before = read_summary(context.folder)
        if before is not None:
            self.device, self.dtype, self.engine = before.device, before.dtype, before.engine
        context.stop_if_asked()
        try:
            for group in self._loads():
                self._answer_locally(group)
            for side in self.sides:
                if not is_local(side) and self.sheet.missing(side["name"]):
                    self._answer_remotely(side)
        finally:
            self.sheet.write()
        context.state("running", "writing the report")
        self._finish()

    def _loads(self) -> list[list[Side]]:
        """Local sides by the model that has to be loaded for them, those with work left."""
        found: dict[tuple[str, str | None], list[Side]] = {}
        for side in self.sides:
            if is_local(side):
                found.setdefault((side["model"], side.get("revision")), []).append(side)
        unknown = self.evidence is None
        return [
            group
            for group in found.values()
            if any(self.sheet.missing(side["name"]) for side in group)
            or (unknown and _holds_both(group))
        ]

    # Sides that are loaded here

    def _answer_locally(self, group: Sequence[Side]) -> None:
        context, spec = self.context, self.spec
        context.state("running", "loading the model")
        torch.set_num_threads(free_cores())
        adapters = {side["name"]: side["adapter"] for side in group}
        first = group[0]
        loaded = load_sides(
            first["model"],
            adapters,
            spec.get("dtype") or "auto",
            first.get("revision"),
            self.tokenizer_of,
        )
        context.log(f"{Path(first['model']).name} on {loaded.device} in {loaded.dtype}")
        self.device, self.dtype = loaded.device, loaded.dtype
        prompts = list(self.sheet.prompts.values())
        fitted = fitting_sides(loaded, prompts)
        for name, each in fitted.items():
            self._leave_out(name, each.left)
            for e in each.asked:
                self.sheet.prompt_tokens.setdefault(e.prompt.id, len(e.ids))
        asked = {name: each.asked for name, each in fitted.items()}
        if _holds_both(group):
            self._measure_logits(loaded, asked["base"])
        left = {
            name: [e for e in each if (name, e.prompt.id) in self._open(name)]
            for name, each in asked.items()
        }
        left = {name: each for name, each in left.items() if each}
        self._score(loaded, left)
        context.state("running", PHASE)
        self._tell(0.0, force=True)
        self.engine = spec.get("engine") or "transformers"
        if spec.get("vllm_python"):
            self._with_vllm(loaded, first, adapters, left)
        else:
            for ended in generation.answers(loaded, left, self.asking, self._told):
                self._take(ended)
        self.sheet.write()
        del loaded
        _free_memory()

    def _open(self, name: str) -> set[tuple[str, str]]:
        return {(name, prompt.id) for prompt in self.sheet.missing(name)}

    def _leave_out(self, name: str, left: Sequence[tuple[HeldOutPrompt, str]]) -> None:
        """Prompts that a side can't be asked, with why. One in a role is asked whatever is compared
        at all: without it there is no pair. BadInput where a side is left without any prompt."""
        if not left:
            return
        role, file = name in ROLES, self.spec["prompts"]
        for prompt, why in left:
            side = "" if role else name
            self.left_out.append(LeftOut(file=file, line=prompt.line, why=why, side=side))
            if role:
                self.sheet.drop(prompt.id)
        self.sheet.leave_out(name, [prompt.id for prompt, _why in left])
        first, why = left[0]
        told = f"{name} is not asked {counted(len(left), 'prompt')}: the one on line {first.line}"
        self.context.log(f"{told} {why}", level="warning")
        if not self.sheet.missing(name) and not self.sheet.answers_of(name):
            short = any(why.startswith(without_room(self.asking.max_new_tokens)) for _, why in left)
            raise BadInput(
                f"{name} can be asked none of the prompts ({Path(file).name}:{first.line} {why}): "
                + ("give a lower --max-new-tokens" if short else "leave it out, or give others")
            )

    def _measure_logits(self, loaded: Loaded, prompts: Sequence[Encoded]) -> None:
        self.evidence = generation.max_logit_difference(loaded, prompts[:LOGIT_PROMPTS])
        write_atomically(
            self.context.folder / EVIDENCE,
            msgspec.json.encode(Evidence(max_logit_difference=self.evidence)),
        )
        if self.evidence == 0.0:
            self._alert_not_applied("the adapter changes no logit")

    def _score(self, loaded: Loaded, left: dict[str, list[Encoded]]) -> None:
        """Log-probabilities of the references of prompts that are about to be answered."""
        known = self.sheet.likelihoods
        wanted = {
            name: [e for e in each if e.prompt.reference and (name, e.prompt.id) not in known]
            for name, each in left.items()
        }
        total = sum(map(len, wanted.values()))
        if not total:
            return
        self.context.state("running", "scoring the references")
        found: list[scoring.Scored] = []
        for batch in scoring.score(loaded, wanted, lambda _: self.context.stop_if_asked()):
            found += batch
            self.context.progress("scoring the references", len(found), total, "answers")
        lines = scoring.joined(found)
        append_lines(self.context.folder / TOKEN_PROBABILITIES, lines)
        self._read_likelihoods()

    def _read_likelihoods(self) -> None:
        found = {}
        for line in read_token_probabilities(self.context.folder).values():
            for name, values in {"base": line.base, "adapter": line.adapter, **line.others}.items():
                if values:
                    found[name, line.id] = (-sum(values), len(values))
        self.sheet.likelihoods = found

    def _with_vllm(
        self,
        loaded: Loaded,
        side: Side,
        adapters: dict[str, str | None],
        left: dict[str, list[Encoded]],
    ) -> None:
        """vLLM answers; our own weights make room for its."""
        loaded.model = None
        _free_memory()
        folders = {name: path for name, path in adapters.items() if path is not None}
        for ended in vllm_offline.answers(
            self.spec["vllm_python"],
            self.context.folder,
            side["model"],
            side.get("revision"),
            folders,
            loaded,
            left,
            self.asking,
            lambda: self._tell(0.0),
        ):
            self._take(ended)

    # Sides that are asked over HTTP

    def _answer_remotely(self, side: Side) -> None:
        name = side["name"]
        self.context.state("running", PHASE)
        self.context.log(f"asking {side['label']}")
        budget = None
        if side["kind"] == "api":
            spent = sum(a.usd for c in self.sheet.completions if (a := c.answer(name)) is not None)
            own = Path(self.spec["run"]).parent.parent / "prices.yaml"
            budget = Budget(side["model"], read_prices(own), self.spec.get("max_usd") or 5.0, spent)
        refused: list[tuple[HeldOutPrompt, str]] = []
        try:
            ask_all(
                side,
                self.sheet.missing(name),
                self.asking,
                budget=budget,
                took=lambda answer: self._take([answer]),
                refused=lambda prompt, why: refused.append((prompt, why)),
                tick=lambda: self._tell(0.0),
            )
            self._leave_out(name, sorted(refused, key=lambda one: one[0].index))
        finally:
            self.sheet.write()
            if budget is not None:
                self.context.log(f"{side['label']} has cost ${budget.spent:.4f}")

    # What is said on the way

    def _told(self, tokens: int, most: int) -> None:
        self._tell(tokens / max(1, self.asking.max_new_tokens * len(self.sides)))

    def _tell(self, at_work: float, force: bool = False) -> None:
        """Progress in prompts, `at_work` of them in parts, and a look at what is asked of us."""
        if not force and time.monotonic() - self._looked < WATCH_EVERY:
            return
        self._looked = time.monotonic()
        total = len(self.sheet.prompts)
        done = min(total, self.sheet.answered + at_work)
        self.context.progress(PHASE, round(done, 1), total, "prompts")
        self.context.stop_if_asked()

    def _take(self, answers: list[SideAnswer]) -> None:
        new = self.sheet.take(answers)
        if new:
            self._look_at_first_pairs()
            # The log need not hold what completions.jsonl holds: one now and then is for watchers.
            if time.monotonic() - self._sampled >= SAMPLE_EVERY:
                self._sampled = time.monotonic()
                last = new[-1]
                self.context.emit(Sample(prompt=last.prompt_text, text=last.adapter or last.base))
        self._tell(0.0)

    def _look_at_first_pairs(self) -> None:
        """The alert at once, not when all is over: the first pairs are all the same."""
        if self.alerted or "adapter" not in self.sheet.names:
            return
        pairs = self.sheet.pairs
        if len(pairs) >= FIRST_PAIRS and all(c.identical for c in pairs):
            self.sheet.write()  # whoever hears of them can look at them
            self._alert_not_applied(f"the first {len(pairs)} answers are identical")

    def _alert_not_applied(self, seen: str) -> None:
        self.alerted = True
        change = "the logits of these sides can't be compared"
        if self.evidence is not None:
            change = f"largest logit difference from the base {self.evidence:.3g}"
            if self.evidence < NO_CHANGE:
                change += ", which is rounding"
        self.context.emit(
            Alert(
                rule="adapter_not_applied",
                severity="critical",
                evidence=f"{seen}; {change}",
                fix="check that training ended with a falling loss and that the adapter's lora_B "
                "weights are not all zero",
            )
        )

    def _finish(self) -> None:
        done = self.sheet.completions
        summary = summarise(done, len(self.sheet.prompts))
        summary.max_logit_difference = self.evidence
        summary.device, summary.dtype, summary.engine = self.device, self.dtype, self.engine
        summary.seconds = time.monotonic() - self.begun
        summary.left_out = sorted(self.left_out, key=lambda one: (one.side, one.file, one.line))
        costs = [a.usd for c in done for n in self.sheet.names if (a := c.answer(n)) is not None]
        summary.usd = sum(costs) or None
        if "adapter" in self.sheet.names and done:
            same = summary.identical == summary.done
            summary.adapter_applied = self.evidence != 0.0 and not same
            if same and not self.alerted:
                self._alert_not_applied(f"all {summary.done} answers are identical")
            elif self.alerted and not same and self.evidence:
                self.context.log(
                    f"{summary.done - summary.identical} of {summary.done} answers differ after all"
                )
        self._write(summary, done)

    def _write(self, summary: Summary, done: list[Completion]) -> None:
        context = self.context
        write_atomically(
            context.folder / SUMMARY, msgspec.json.format(msgspec.json.encode(summary), indent=2)
        )
        write_report(context.folder, page_of(context.spec, summary, done))
        made = {
            "completions": COMPLETIONS,
            "answers": ANSWERS,
            "token probabilities": TOKEN_PROBABILITIES,
            "summary": SUMMARY,
            "report": REPORT,
            "report page": HTML,
        }
        for kind, path in made.items():
            if (context.folder / path).is_file():
                context.artifact(kind, path)


def _holds_both(group: Sequence[Side]) -> bool:
    """Whether the sides in the two roles stand on one load, so that their logits compare."""
    return len({side["name"] for side in group} & {*ROLES}) == len(ROLES)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
