"""BLEU and ROUGE of answers against references, where sacrebleu and rouge-score are installed.

BLEU with sacrebleu's defaults (13a tokens, exponential smoothing; Post 2018, W18-6319), of a
corpus from the sums of its sentences' counts; ROUGE-1, ROUGE-2 and ROUGE-L as F-measures without
stemming (Lin 2004, W04-1013). Scores are in [0, 1].
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

ORDERS = 4
ROUGES = ("rouge1", "rouge2", "rougeL")
PACKAGES = {"BLEU": ("sacrebleu", "sacrebleu"), "ROUGE": ("rouge_score", "rouge-score")}

Array = Any  # numpy's arrays


def not_run() -> dict[str, str]:
    """The metrics that this machine can't compute, and what would change that."""
    return {
        label: f"not run: pip install {package} (or the metrics extra)"
        for label, (module, package) in PACKAGES.items()
        if importlib.util.find_spec(module) is None
    }


def bleu(answer: str, reference: str) -> tuple[float, list[int]]:
    """BLEU of one answer and what BLEU of a corpus needs of it.

    The score leaves out orders longer than the answer (effective order). The counts are the
    answer's length and the reference's in tokens, then n-grams found and n-grams said, for n = 1
    to 4; a corpus's are their sums.
    """
    score = _bleu().sentence_score(answer, [reference])
    counts = [score.sys_len, score.ref_len, *score.counts, *score.totals]
    return min(1.0, float(score.score) / 100), counts


def four_in_a_row(*counts: Sequence[int]) -> bool:
    """Whether any of these answers shares a 4-gram with its reference."""
    return any(one[1 + ORDERS] for one in counts if one)


def corpus_bleu(sums: Array) -> Array:
    """BLEU of many corpora at once: rows of summed counts, (m, 10), to scores, (m,).

    As sacrebleu's corpus score: an order without a match counts as half, a quarter, ... of one
    (NIST's smoothing); a corpus too short for an order, or without any match, scores 0.
    """
    import numpy

    rows = numpy.asarray(sums, dtype=float)
    said_length, reference_length = rows[:, 0], rows[:, 1]
    found, said = rows[:, 2 : 2 + ORDERS], rows[:, 2 + ORDERS :]
    with numpy.errstate(divide="ignore", invalid="ignore"):
        halvings = numpy.cumsum(found == 0, axis=1)
        precision = numpy.where(found > 0, found, 0.5**halvings) / said
        brevity = numpy.where(
            said_length < reference_length,
            numpy.exp(1 - reference_length / said_length),
            1.0,
        )
        score = brevity * numpy.exp(numpy.log(precision).mean(axis=1))
    possible = (said > 0).all(axis=1) & (found > 0).any(axis=1)
    return numpy.where(possible, score, 0.0)


def rouge(answer: str, reference: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L; none where the reference has no word of Latin letters or digits (the
    tokens that rouge-score knows), no ROUGE-2 where it has only one."""
    scorer, tokenize = _rouge()
    meant = tokenize(reference)
    if not meant:
        return {}
    found = scorer.score(reference, answer)
    scores = {name: float(found[name].fmeasure) for name in scorer.rouge_types}
    if len(meant) == 1:
        del scores["rouge2"]
    said = tokenize(answer)
    # rouge-score's own table for this takes a hundred times as long.
    scores["rougeL"] = 2 * common_subsequence(said, meant) / (len(said) + len(meant))
    return scores


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, a row of the table a machine integer at a time
    (Hyyrö 2004, Bit-parallel LCS-length computation revisited)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    mask = (1 << len(one)) - 1
    row = mask
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & mask
    return len(one) - row.bit_count()


@lru_cache(maxsize=1)
def _bleu() -> Any:
    return importlib.import_module("sacrebleu.metrics.bleu").BLEU(effective_order=True)


@lru_cache(maxsize=1)
def _rouge() -> tuple[Any, Callable[[str], list[str]]]:
    tokenizer = importlib.import_module("rouge_score.tokenizers").DefaultTokenizer(False)
    # Both answers' scores ask for the same reference's words, four times in all.
    once = _Tokenizer(lru_cache(maxsize=4)(tokenizer.tokenize))
    scorer = importlib.import_module("rouge_score.rouge_scorer").RougeScorer(
        ["rouge1", "rouge2"], tokenizer=once
    )
    return scorer, once.tokenize


@dataclass(frozen=True)
class _Tokenizer:
    """What rouge-score asks to split texts."""

    tokenize: Callable[[str], list[str]]
