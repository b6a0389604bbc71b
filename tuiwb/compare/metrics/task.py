"""Task metrics of one answer against its reference. Pure.

Each metric is a score in [0, 1], or None where it does not apply: none applies without a
reference, and the JSON metrics need a reference that is itself a JSON object or array.
"""

import collections
import json
import math
import re
import string
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tuiwb.compare.stats.counts import Interval

ALPHA = 0.05

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = re.compile("[" + re.escape(string.punctuation) + "]")


Unit = Literal["share", "number", "tokens", "characters", "seconds", "tokens/s"]
Direction = Literal["higher", "lower", "neither"]


class MetricSummary(msgspec.Struct, kw_only=True):
    """One metric over all prompts it applies to.

    Figures of unit 'share' are in [0, 1], others in their unit; `base_right` and `adapter_right`
    count scores of 1. For yes/no metrics the sides' intervals are Wilson's, the difference's is
    Tango's and p is McNemar's exact test. For graded ones the interval of the difference is a
    bootstrap over prompts and p a sign-flip test; for those of a whole corpus (BLEU, perplexity)
    a bootstrap of the corpus's figure and a test that swaps the sides. `p_holm` is p adjusted for
    all metrics tested together. `better`/`worse` count prompts where the adapter did better or
    worse by the metric's `direction` ('neither': more or less). Adapter figures are None in a run
    without an adapter.
    """

    name: str
    label: str
    n: int
    graded: bool
    base: float
    base_right: int
    base_interval: Interval | None = None
    adapter: float | None = None
    adapter_right: int | None = None
    adapter_interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None
    better: int = 0
    worse: int = 0
    p: float | None = None
    p_holm: float | None = None
    unit: Unit = "share"
    direction: Direction = "higher"

    @property
    def verdict(self) -> Literal["better", "worse", ""]:
        """Whether the adapter is better or worse, all tests counted in; '' where none is shown."""
        p = self.p if self.p_holm is None else self.p_holm
        if p is None or not p <= ALPHA or self.direction == "neither":
            return ""
        if not self.difference or not math.isfinite(self.difference):
            return ""
        return "better" if (self.difference > 0) == (self.direction == "higher") else "worse"


def exact_match(answer: str, reference: str) -> float:
    """1.0 when the answer is the reference, space around it aside."""
    return float(answer.strip() == reference.strip())


def normalise(text: str) -> str:
    """Lower case, no punctuation, no English articles, single spaces (SQuAD, Rajpurkar 2016)."""
    text = unicodedata.normalize("NFKC", text).lower()
    return " ".join(_ARTICLES.sub(" ", _PUNCTUATION.sub(" ", text)).split())


def normalised_match(answer: str, reference: str) -> float:
    """1.0 when answer and reference are the same once normalised."""
    return float(normalise(answer) == normalise(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over normalised words (SQuAD's F1)."""
    said, expected = normalise(answer).split(), normalise(reference).split()
    if not said or not expected:
        return float(said == expected)
    shared = sum((collections.Counter(said) & collections.Counter(expected)).values())
    return 2 * shared / (len(said) + len(expected))


def parse_json(text: str) -> Any:
    """The whole text as one JSON object or array (RFC 8259); None when it is anything else."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def json_valid(answer: str, reference: str) -> float | None:
    """1.0 when the whole answer is JSON; None where the reference is not."""
    return None if parse_json(reference) is None else float(parse_json(answer) is not None)


def field_accuracy(answer: str, reference: str) -> float | None:
    """The share of the reference object's fields that the answer gives with the same value."""
    right = field_results(answer, reference)
    return None if not right else sum(right.values()) / len(right)


def all_fields(answer: str, reference: str) -> float | None:
    """1.0 when the answer has every field of the reference right and no field besides."""
    expected, given = parse_json(reference), parse_json(answer)
    if not isinstance(expected, dict):
        return None
    return float(isinstance(given, dict) and same_value(given, expected))


def field_results(answer: str, reference: str) -> dict[str, bool] | None:
    """Which fields of the reference object the answer has right; None without such an object."""
    expected, given = parse_json(reference), parse_json(answer)
    if not isinstance(expected, dict):
        return None
    given = given if isinstance(given, dict) else {}
    return {name: name in given and same_value(given[name], expected[name]) for name in expected}


def same_value(left: Any, right: Any) -> bool:
    """Equal JSON values: true is not 1, 1.0 is 1, space around a string does not count."""
    # A list of what is left instead of recursion: an answer may nest as deep as the parser lets it.
    left_over = [(left, right)]
    while left_over:
        one, other = left_over.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                return False
            left_over += [(one[key], other[key]) for key in one]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return False
            left_over += zip(one, other, strict=True)
        elif not _plainly_same(one, other):
            return False
    return True


def _plainly_same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return unicodedata.normalize("NFC", one).strip() == (
            unicodedata.normalize("NFC", other).strip()
        )
    return one is None and other is None


class Metric(msgspec.Struct, frozen=True):
    """A metric by name; `graded` says whether scores between 0 and 1 occur."""

    name: str
    label: str
    score: Callable[[str, str], float | None]
    graded: bool = False


METRICS = (
    Metric("exact_match", "exact match", exact_match),
    Metric("normalised_match", "normalised match", normalised_match),
    Metric("token_f1", "token F1", token_f1, graded=True),
    Metric("json_valid", "JSON valid", json_valid),
    Metric("field_accuracy", "fields right", field_accuracy, graded=True),
    Metric("all_fields", "all fields right", all_fields),
)


def score(answer: str, reference: str | None) -> dict[str, float]:
    """Every metric that applies to one answer; nothing without a reference."""
    if reference is None:
        return {}
    scores = ((metric.name, metric.score(answer, reference)) for metric in METRICS)
    return {name: value for name, value in scores if value is not None}
