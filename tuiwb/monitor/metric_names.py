"""Metrics in the field's words: which belong into one chart, what it is called, what comes first.

The names are those of transformers' and TRL's trainers (Trainer.log, SFTTrainer, DPOTrainer,
GRPOTrainer, KTOTrainer), and of the folders W&B and TensorBoard make of them ("train/", "eval/").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

TITLES = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
    "mean_token_accuracy": "token accuracy",
    "entropy": "entropy",
    "rewards/chosen": "reward of chosen",
    "rewards/rejected": "reward of rejected",
    "rewards/accuracies": "reward accuracy",
    "rewards/margins": "reward margin",
    "logps/chosen": "log-probability of chosen",
    "logps/rejected": "log-probability of rejected",
    "logits/chosen": "logits of chosen",
    "logits/rejected": "logits of rejected",
    "nll_loss": "NLL loss",
    "aux_loss": "router loss",
    "kl": "KL divergence",
    "reward": "reward",
    "reward_std": "reward spread",
    "frac_reward_zero_std": "groups with equal rewards",
    "completions/mean_length": "completion length",
    "completions/clipped_ratio": "completions cut off",
    "clip_ratio/region_mean": "clipped share",
    "perplexity": "perplexity",
    "num_tokens": "tokens seen",
    "steps_per_second": "steps/s",
    "samples_per_second": "samples/s",
    "train_loss": "mean loss of the run",
    "runtime": "seconds to evaluate",
    "train_runtime": "seconds to train",
    "train_samples_per_second": "training samples/s",
    "train_steps_per_second": "training steps/s",
    "total_flos": "floating-point operations",
}
FIRST = (
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens_per_second",
    "mean_token_accuracy",
    "entropy",
    "reward",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/rejected",
    "kl",
)
# Logged once, or the same at each evaluation: nothing that has a course.
LAST = (
    "num_tokens",
    "steps_per_second",
    "samples_per_second",
    "runtime",
    "train_loss",
    "train_runtime",
    "train_samples_per_second",
    "train_steps_per_second",
    "total_flos",
)
# What a trainer logs of a whole run at its end; others call a curve by such a name.
OF_A_RUN = frozenset(LAST[LAST.index("train_loss") :])
PACES = frozenset({"steps_per_second", "samples_per_second"})  # of evaluating, where held out
COUNTED = frozenset({"num_tokens", "num_input_tokens_seen", "epoch", "global_step", "total_flos"})
HELD_OUT = ("eval_", "eval/")
TRAINED = ("train/",)


@dataclass(frozen=True)
class ChartOf:
    """What one chart shows: a metric in training, on held-out data, or both."""

    key: str
    title: str
    train: str | None
    held_out: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """The raw names."""
        return tuple(name for name in (self.train, self.held_out) if name is not None)

    def matches(self, words: str) -> bool:
        """Whether title or raw names have all of these words in them, in any case.

        A word is a regular expression, or itself where it is none.
        """
        text = " ".join((self.title, *self.names))
        return all(_pattern(word).search(text) for word in words.split())


def _pattern(word: str) -> Any:
    """RE2 takes time linear in the text, whatever is typed."""
    import re2

    quiet = re2.Options()
    quiet.log_errors = False
    quiet.case_sensitive = False
    try:
        return re2.compile(word, quiet)
    except re2.error:
        return re2.compile(re2.escape(word), quiet)


def metric_of(name: str) -> tuple[str, bool]:
    """The metric a raw name is about, and whether it was measured on held-out data."""
    for prefix in HELD_OUT:
        if name.startswith(prefix) and len(name) > len(prefix):
            return name.removeprefix(prefix), True
    for prefix in TRAINED:
        if name.startswith(prefix) and len(name) > len(prefix):
            return name.removeprefix(prefix), False
    return name, False


def is_exact(key: str) -> bool:
    """Whether a metric is set or counted, not measured: smoothing would only bend it, and nothing
    in it is an outlier. PyTorch Lightning and others name a rate a parameter group ("lr-AdamW")."""
    return key in COUNTED or key == "lr" or key.startswith(("learning_rate", "lr-", "lr_", "lr/"))


def charts_of(names: Iterable[str]) -> list[ChartOf]:
    """One chart per metric, in the order a person looks at them; "epoch" is an axis, no metric."""
    found: dict[str, list[str | None]] = {}
    for name in names:
        key, held_out = metric_of(name)
        if key == "epoch":
            continue
        pair = found.setdefault(key, [None, None])
        if pair[held_out] is None:
            pair[held_out] = name
        else:
            found[name] = [None, name] if held_out else [name, None]
    order = {key: n for n, key in enumerate(FIRST)} | {
        key: len(FIRST) + 1 + n for n, key in enumerate(LAST)
    }
    keys = sorted(found, key=lambda key: order.get(key, len(FIRST)))
    return [ChartOf(key, _title(key, *found[key]), *found[key]) for key in keys]


def _title(key: str, train: str | None, held_out: str | None) -> str:
    words = TITLES.get(key)
    if words is None:
        return (train or held_out or key) if train is None or held_out is None else key
    if train is None and key in PACES:
        return f"evaluation {words}"
    if train is None and key not in LAST:
        return f"held-out {words}"
    return words
