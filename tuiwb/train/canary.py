"""The loss on general rows (data.canary), beside the base's own: what the fine-tune forgets.

Worker side only. Measured at each evaluation and at the run's end, with the same template, masks
and max_length as the training rows.
"""

from typing import Any

from transformers import TrainerCallback

from tuiwb.data.read import training_examples
from tuiwb.jobs.events import Metrics
from tuiwb.jobs.run import JobContext
from tuiwb.train.batches import ROW

MOST = 200  # rows; a canary is a sample, and each evaluation pays for it


class Canary(TrainerCallback):  # type: ignore[misc]
    """Emits `canary_loss` and `canary_base_loss`, nats per trained token."""

    def __init__(self, context: JobContext, trainer: Any, tokenizer: Any, path: str) -> None:
        from tuiwb.train.sft import to_dataset

        self.context, self.trainer = context, trainer
        spec = context.spec
        rows, _ = training_examples([path], spec["method"], spec["data"]["malformed"])
        self.rows = trainer._prepare_dataset(
            to_dataset(rows[:MOST]), tokenizer, trainer.args, False, None, "canary"
        )
        self._base: float | None = None
        self._at = -1
        self._off = False

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._measure(state)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._measure(state)

    def _measure(self, state: Any) -> None:
        if self._off or self._at == state.global_step:
            return
        self._at = state.global_step
        model = self.trainer.model
        try:
            if self._base is None:
                with model.disable_adapter():
                    self._base = self._loss(model)
            loss = self._loss(model)
        except Exception as error:
            # A canary is a courtesy: no reason to lose a run.
            self._off = True
            self.context.log(f"no canary loss: {type(error).__name__}: {error}", "warn")
            return
        self.context.emit(
            Metrics(
                step=state.global_step,
                epoch=state.epoch,
                total_steps=state.max_steps,
                values={"canary_loss": loss, "canary_base_loss": self._base},
            )
        )

    def _loss(self, model: Any) -> float:
        """Mean over all trained tokens, batches weighed by theirs."""
        import torch

        size = self.trainer.args.per_device_eval_batch_size
        columns = [c for c in ("input_ids", "labels", ROW) if c in self.rows.column_names]
        total, count = 0.0, 0
        was_training = model.training
        model.eval()
        with torch.no_grad(), self.trainer.compute_loss_context_manager():
            for start in range(0, len(self.rows), size):
                stop = min(start + size, len(self.rows))
                examples = [
                    {name: self.rows[n][name] for name in columns} for n in range(start, stop)
                ]
                batch = self.trainer.data_collator(examples)
                batch.pop(ROW, None)
                inputs = self.trainer._prepare_inputs(batch)
                tokens = int((inputs["labels"][:, 1:] != -100).sum())
                total += float(model(**inputs).loss) * tokens
                count += tokens
        model.train(was_training)
        return total / count if count else float("nan")
