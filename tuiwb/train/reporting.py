"""The trainer's voice and ears: its callbacks become events, commands reach it between steps.

Worker side only (imports transformers).
"""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback

from tuiwb.errors import BadInput
from tuiwb.jobs.control import Command
from tuiwb.jobs.events import Metrics, Sample
from tuiwb.jobs.folder import fingerprint
from tuiwb.jobs.run import JobContext, Stopped
from tuiwb.train.checkpoints import CHECKPOINTS, WEIGHTS, is_whole, keep_tokens, last_checkpoint
from tuiwb.train.in_flight import change

PROGRESS_EVERY = 1.0  # seconds
LOOK_EVERY = 0.2  # seconds between two looks at control.jsonl while paused
LOOK_WITHIN = 1.0  # seconds between two looks for a stop now within a step or an evaluation
SLOW_SAMPLE = 10.0  # seconds; a sample that takes longer is the last


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Emits phases, progress, metrics, artifacts and alerts; obeys stop, checkpoint, evaluate,
    pause, resume and set at the end of a step, and while it is paused."""

    def __init__(self, context: JobContext, *, evaluates: bool, heldout: bool) -> None:
        self.context = context
        self.evaluates = evaluates
        self.heldout = heldout
        self.stopping = False
        self.sample_prompt: tuple[str, list[int]] | None = None
        self._trainer: Any = None
        self._pausing: Command | None = None
        self._kept: list[Command] = []
        self._saving: list[Command] = []
        self._evaluating: list[Command] = []
        self._evaluates_now = False
        self._paused = False
        self._looked = 0.0
        self._evaluated_at = -1
        self._saved_at = -1
        self._progress_at = 0.0
        self._batches = 0
        self._pace = Pace()
        self._sampling = True

    def attend(self, trainer: Any) -> None:
        """Obey for this trainer: a pause begins once a step's log, evaluation and save are done."""
        self._trainer = trainer
        complete = trainer._maybe_log_save_evaluate

        # transformers calls no callback there, and a checkpoint of a paused run must know all
        # that was logged at its step.
        def complete_then_pause(*args: Any, **kwargs: Any) -> None:
            complete(*args, **kwargs)
            if self._pausing is not None:
                self._pause(self._pausing, trainer, lambda: complete(*args, **kwargs))

        trainer._maybe_log_save_evaluate = complete_then_pause

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.context.state("running", "training")
        self.context.progress("training", state.global_step, state.max_steps, "steps")
        self._pace.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._tell("training", state.global_step, state.max_steps, "steps")
        self._obey(state, control)
        if state.global_step >= state.max_steps:
            control.should_log = True
            # The last held-out loss belongs to the adapter that is saved.
            control.should_evaluate = control.should_evaluate or self.evaluates

    def on_substep_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._end_if_now(state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        # The strategies' own "every epoch" may fall on a step that was just evaluated or saved.
        if self._evaluated_at == state.global_step or self.stopping:
            control.should_evaluate = False
        if self._saved_at == state.global_step:
            control.should_save = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        values = {k: float(v) for k, v in (logs or {}).items() if _is_number(v) and k != "epoch"}
        if "loss" in values and "num_tokens" in values:
            values |= self._pace.lap(values["num_tokens"])
        self.context.emit(
            Metrics(
                step=state.global_step,
                epoch=state.epoch,
                total_steps=state.max_steps,
                values=values,
            )
        )

    def on_prediction_step(
        self, args: Any, state: Any, control: Any, eval_dataloader: Any = None, **_: Any
    ) -> None:
        if not self._evaluates_now:
            self._evaluates_now = True
            self._pace.pause()
            self.context.state("stopping" if self.stopping else "running", "evaluating")
            self._batches = 0
        self._batches += 1
        total = len(eval_dataloader) if eval_dataloader is not None else 0
        self._tell("evaluating", self._batches, total, "batches")
        self._end_if_now(state)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._evaluated_at = state.global_step
        if self.sample_prompt is not None and self._sampling:
            self._write_sample(state.global_step, kwargs["model"], kwargs["processing_class"])
        for command in self._evaluating:
            self.context.answer(command, note=f"evaluated at step {state.global_step}")
        self._evaluating.clear()
        self._evaluates_now = False
        if self._paused:
            self._say_paused(state)
            return
        self._pace.go_on()
        if not self.stopping:
            self.context.state("running", "training")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._saved_at = state.global_step
        path = f"{CHECKPOINTS}/checkpoint-{state.global_step}"
        folder = self.context.folder / path
        sha256 = fingerprint(folder / WEIGHTS) if is_whole(folder) else ""
        if self._trainer is not None:
            keep_tokens(folder, int(self._trainer._total_train_tokens))
        self.context.artifact("checkpoint", path, sha256, step=state.global_step)
        for command in self._saving:
            self.context.answer(command, note=path)
        self._saving.clear()

    def count_tokens_from(self, tokens: float) -> None:
        """Where the trainer's token count stands when a run is resumed."""
        self._pace.count_from(tokens)

    def refuse_waiting(self, why: str) -> None:
        """Answer the commands that came too late to be done."""
        waiting = [*self._saving, *self._evaluating, *self._kept, *self.context.commands()]
        for command in [self._pausing, *waiting] if self._pausing else waiting:
            stop = command.command == "stop"
            self.context.answer(command, ok=stop, note="" if stop else why)
        self._kept = []
        self._saving.clear()
        self._evaluating.clear()

    def _obey(self, state: Any, control: Any) -> None:
        kept, self._kept = self._kept, []
        for command in [*kept, *self.context.commands()]:
            self._take(command, state, control)
        self._stop_if_asked(state, control)

    def _stop_if_asked(self, state: Any, control: Any) -> None:
        if self.context.stop_at_once:
            raise Stopped(self._without_saving(state))
        if self.context.stop_requested and not self.stopping:
            self.stopping = True
            self._pausing = None
            self.context.state("stopping", "saving", f"told to stop at step {state.global_step}")
            control.should_training_stop = True
            control.should_log = True
            control.should_save = True
            control.should_evaluate = bool(self._evaluating)

    def _without_saving(self, state: Any) -> str:
        kept = last_checkpoint(self.context.folder)
        way_on = f"{kept.name} can be resumed" if kept else "no checkpoint was written"
        return f"stopped now at step {state.global_step} of {state.max_steps}; {way_on}"

    def _end_if_now(self, state: Any) -> None:
        """Within a long step or evaluation: only `stop now` can't wait for its end."""
        if time.monotonic() - self._looked < LOOK_WITHIN:
            return
        self._looked = time.monotonic()
        self._kept += self.context.commands()
        if self.context.stop_at_once:
            for command in self._kept:
                now = command.command == "stop"
                self.context.answer(command, ok=now, note="" if now else "the run was ended")
            raise Stopped(self._without_saving(state))

    def _take(self, command: Command, state: Any, control: Any) -> None:
        match command.command:
            case "stop":
                self.context.answer(command, note=f"stopping at step {state.global_step}")
            case "checkpoint":
                control.should_save = True
                self._saving.append(command)
            case "evaluate" if self.heldout:
                control.should_evaluate = True
                self._evaluating.append(command)
            case "evaluate":
                self.context.answer(command, ok=False, note="the run has no held-out file")
            case "pause" if self._pausing is None:
                self._pausing = command
            case "pause":
                self.context.answer(command, note="paused already")
            case "resume" if self._pausing is not None:
                self.context.answer(self._pausing, ok=False, note="told to go on before it paused")
                self._pausing = None
                self.context.answer(command, note=f"going on after step {state.global_step}")
            case "resume":
                self.context.answer(command, ok=False, note="the run is not paused")
            case "set":
                self._set(command)
            case _:
                self.context.answer(command, ok=False, note="not known to a train job")

    def _set(self, command: Command) -> None:
        try:
            said = change(self._trainer, command.args)
        except BadInput as error:
            self.context.answer(command, ok=False, note=str(error))
            return
        self.context.answer(command, note="; ".join(said))
        for line in said:
            self.context.log(line)

    def _pause(self, asked: Command, trainer: Any, complete: Callable[[], None]) -> None:
        """Stand still between two steps, and obey; ends on resume and on stop.

        `complete` evaluates and saves as `control` says.
        """
        state = trainer.state
        self._pace.pause()
        self._paused = True
        self.context.answer(asked, note=f"paused after step {state.global_step}")
        self._say_paused(state)
        while self._paused and not self.context.stop_requested:
            for command in self.context.commands():
                if not self._paused:
                    self._kept.append(command)  # what was said after it is done when it goes on
                elif command.command == "resume":
                    self.context.answer(command, note=f"going on after step {state.global_step}")
                    self._paused = False
                else:
                    self._take(command, state, trainer.control)
            if self._saving or self._evaluating:
                complete()
            elif self._paused:
                time.sleep(LOOK_EVERY)
        self._pausing, self._paused = None, False
        self._stop_if_asked(state, trainer.control)
        self._pace.go_on()
        if not self.stopping:
            self.context.state("running", "training")

    def _say_paused(self, state: Any) -> None:
        self.context.progress("training", state.global_step, state.max_steps, "steps")
        self.context.state("running", "paused", f"after step {state.global_step}")

    def _tell(self, phase: str, done: float, total: float, unit: str) -> None:
        now = time.monotonic()
        if done >= total or now - self._progress_at >= PROGRESS_EVERY:
            self._progress_at = now
            self.context.progress(phase, done, total, unit)

    def _write_sample(self, step: int, model: Any, tokenizer: Any) -> None:
        import torch

        shown, tokens = self.sample_prompt or ("", [])
        began = time.monotonic()
        try:
            with torch.inference_mode():
                inputs = torch.tensor([tokens], device=model.device)
                out = model.generate(
                    input_ids=inputs,
                    attention_mask=torch.ones_like(inputs),
                    max_new_tokens=64,
                    do_sample=False,
                    pad_token_id=tokenizer.pad_token_id,
                )
        except Exception as error:
            # A sample is a courtesy: no reason to lose a run.
            self._sampling = False
            self.context.log(f"no more sample completions: {type(error).__name__}: {error}", "warn")
            return
        text = tokenizer.decode(out[0][len(tokens) :], skip_special_tokens=True)
        self.context.emit(Sample(step=step, prompt=shown, text=text))
        self._sampling = time.monotonic() - began < SLOW_SAMPLE


class Pace:
    """Tokens per second of training alone: evaluation and pauses stop the clock."""

    def __init__(self) -> None:
        self.paused = False
        self._tokens: float | None = None
        self._began = self._lost = self._paused_at = 0.0

    def start(self) -> None:
        """Begin to count at the first step."""
        self._began, self._lost = time.monotonic(), 0.0

    def pause(self) -> None:
        """Stop the clock."""
        if not self.paused:
            self.paused, self._paused_at = True, time.monotonic()

    def go_on(self) -> None:
        """Let the clock run again."""
        if self.paused:
            self.paused = False
            self._lost += time.monotonic() - self._paused_at

    def lap(self, tokens: float) -> dict[str, float]:
        """`tokens_per_second` since the last lap, from the trainer's running token count."""
        now = time.monotonic()
        seconds = now - self._began - self._lost
        before, self._tokens = self._tokens or 0.0, tokens
        self._began, self._lost = now, 0.0
        return {"tokens_per_second": (tokens - before) / seconds} if seconds > 0 else {}

    def count_from(self, tokens: float) -> None:
        """Where the trainer's token count stands before the first lap."""
        self._tokens = tokens


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
