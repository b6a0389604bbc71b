"""From answers to figures: every metric of both sides over all prompts, paired. Pure.

In: completions. Out: `Figures`: task metrics against the references, figures of the answers
themselves (length, time, likelihood of the reference), JSON fields one by one, and what could not
be run here and why.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from tuiwb.compare.metrics import overlap
from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.json_fields import FieldSummary, field_table
from tuiwb.compare.metrics.json_schema import JsonSchema
from tuiwb.compare.metrics.patterns import Pattern
from tuiwb.compare.metrics.quantities import COSTS, quantities
from tuiwb.compare.metrics.scored import Asked, line_of, of_sums
from tuiwb.compare.metrics.slices import LENGTH, Slice, groupings, slices
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.stats.paired import holm
from tuiwb.errors import BadInput

MOST_TAGS = 20
Scores = dict[str, float]
LABELS = {
    "sentence_bleu": "sentence BLEU",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "schema_valid": "schema valid",
}


class Figures(msgspec.Struct, kw_only=True):
    """What was measured on `n` prompts. `metrics` compare with references or rules, `quantities`
    are figures of the answers themselves, `slices` are by one metric; `not_run` says why a metric
    is missing, by its label."""

    n: int
    metrics: list[MetricSummary]
    quantities: list[MetricSummary] = []
    fields: list[FieldSummary] = []
    slices: list[Slice] = []
    not_run: dict[str, str] = {}

    @property
    def main(self) -> MetricSummary | None:
        """The metric that says most about the answers."""
        return main_metric(self.metrics)


@dataclass(frozen=True)
class Options:
    """What to measure beyond the defaults. `overlap`: BLEU and ROUGE, which take a second to load
    and time by the length of the texts. `by`: the tags to slice by ('length' for the prompts'),
    all that there are when empty; `sliced`: the metric of the slices, the main one by default."""

    overlap: bool = True
    schema: JsonSchema | None = None
    patterns: Sequence[Pattern] = ()
    by: Sequence[str] = ()
    sliced: str | None = None


@dataclass
class Scored:
    """One prompt's scores. Counts are what BLEU of a corpus needs."""

    asked: Asked
    base: Scores
    adapter: Scores | None
    base_counts: list[int] = field(default_factory=list)
    adapter_counts: list[int] = field(default_factory=list)


def measure(pairs: Iterable[Asked], options: Options | None = None) -> Figures:
    """Score all prompts and fold them into figures."""
    options = options or Options()
    missing = overlap.not_run() if options.overlap else {}
    return figures([score(pair, options, missing) for pair in pairs], options, missing)


def score(pair: Asked, options: Options, missing: dict[str, str]) -> Scored:
    """Every metric of one prompt's answers."""
    base, base_counts = _scores(pair.base.text, pair.reference, options, missing)
    if pair.adapter is None:
        return Scored(pair, base, None, base_counts)
    adapter, adapter_counts = _scores(pair.adapter.text, pair.reference, options, missing)
    return Scored(pair, base, adapter, base_counts, adapter_counts)


def _scores(
    answer: str, reference: str | None, options: Options, missing: dict[str, str]
) -> tuple[Scores, list[int]]:
    found = task_metrics.score(answer, reference)
    counts: list[int] = []
    if options.overlap and reference is not None:
        if "BLEU" not in missing:
            found["sentence_bleu"], counts = overlap.bleu(answer, reference)
        if "ROUGE" not in missing:
            found |= overlap.rouge(answer, reference)
    # A schema is for answers that should be JSON: not where the reference is prose.
    if options.schema and (reference is None or task_metrics.parse_json(reference) is not None):
        found["schema_valid"] = float(options.schema.valid(answer))
    for pattern in options.patterns:
        found[pattern.name] = float(pattern.found_in(answer))
    return found, counts


def figures(scored: Sequence[Scored], options: Options, missing: dict[str, str]) -> Figures:
    """Fold scored prompts into figures, p adjusted over all that say which side is better."""
    paired = bool(scored) and all(s.adapter is not None for s in scored)
    lines = [
        line
        for name, label, graded in _known(options)
        if (line := _metric(name, label, graded, scored, paired)) is not None
    ]
    if (corpus := _corpus_bleu(scored, paired)) is not None:
        at = next((i for i, line in enumerate(lines) if line.name == "sentence_bleu"), len(lines))
        lines.insert(at, corpus)
    of_answers = quantities([s.asked for s in scored], paired)
    _adjust([line for line in (*lines, *of_answers) if line.name not in COSTS])
    return Figures(
        n=len(scored),
        metrics=lines,
        quantities=of_answers,
        fields=field_table([s.asked for s in scored], paired),
        slices=_slices(scored, paired, lines, options),
        not_run=missing if any(s.asked.reference is not None for s in scored) else {},
    )


def _slices(
    scored: Sequence[Scored], paired: bool, lines: Sequence[MetricSummary], options: Options
) -> list[Slice]:
    sliceable = [line for line in lines if line.name != "bleu"]
    wanted = options.sliced
    metric = main_metric(sliceable)
    if wanted is not None:
        metric = next((line for line in sliceable if wanted in (line.name, line.label)), None)
        if metric is None:
            known = ", ".join(line.name for line in sliceable) or "none"
            raise BadInput(f"no slices by the metric {wanted!r}: there are {known}")
    known_by = groupings([s.asked for s in scored])
    asked_for = [LENGTH if by == "length" and by not in known_by else by for by in options.by]
    for by in asked_for:
        if by not in known_by:
            raise BadInput(
                f"the prompts can't be sliced by {by!r}: there are {', '.join(known_by) or 'none'}"
            )
    if metric is None:
        return []
    base = [s.base for s in scored]
    adapter = [s.adapter or {} for s in scored] if paired else None
    found = [
        one
        for by in asked_for or _first(list(known_by))
        for one in slices(by, known_by[by], base, adapter, metric)
    ]
    # Slices of one tag and of another are looked through alike for one that is worse.
    _adjust([one.line for one in found])
    return found


def _first(tags: list[str]) -> list[str]:
    """What is sliced by unless asked: not each column that another tool's file may have."""
    return tags if len(tags) <= MOST_TAGS else [*tags[: MOST_TAGS - 1], tags[-1]]


def main_metric(lines: Sequence[MetricSummary]) -> MetricSummary | None:
    """What decides, by the references and not by who is ahead. Where most of them are JSON: all
    fields right, or the share of fields where neither side has any answer wholly right. Else the
    normalised match where either side gets a tenth of the prompts right by it, else token F1
    (prose); the first without those. The gate goes by the same."""
    by_name = {line.name: line for line in lines}
    most = max((line.n for line in lines), default=0)
    fields, match = by_name.get("all_fields"), by_name.get("normalised_match")
    if fields is not None and 2 * fields.n >= most:
        return fields if _best(fields) > 0 else by_name.get("field_accuracy") or fields
    if match is not None and _best(match) >= 0.1:
        return match
    return by_name.get("token_f1") or (lines[0] if lines else None)


def _best(line: MetricSummary) -> float:
    return max(line.base, line.adapter or 0.0)


def _known(options: Options) -> list[tuple[str, str, bool]]:
    """Name, label and whether it is graded, in the order shown."""
    return [
        *((m.name, m.label, m.graded) for m in task_metrics.METRICS),
        *((name, LABELS[name], True) for name in ("sentence_bleu", *overlap.ROUGES)),
        ("schema_valid", LABELS["schema_valid"], False),
        *((p.name, p.name, False) for p in options.patterns),
    ]


def _metric(
    name: str, label: str, graded: bool, scored: Sequence[Scored], paired: bool
) -> MetricSummary | None:
    chosen = [s for s in scored if name in s.base and (s.adapter is None or name in s.adapter)]
    base = [s.base[name] for s in chosen]
    adapter = [s.adapter[name] for s in chosen if s.adapter is not None] if paired else None
    return line_of(name, label, base, adapter, graded=graded) if base else None


def _corpus_bleu(scored: Sequence[Scored], paired: bool) -> MetricSummary | None:
    chosen = [s for s in scored if s.base_counts]
    # Where no answer shares four words in a row, BLEU of a corpus is made of its smoothing alone.
    if not any(overlap.four_in_a_row(s.base_counts, s.adapter_counts) for s in chosen):
        return None
    line = of_sums(
        MetricSummary(name="bleu", label="BLEU", n=len(chosen), graded=True, base=0, base_right=0),
        [s.base_counts for s in chosen],
        [s.adapter_counts for s in chosen] if paired else None,
        overlap.corpus_bleu,
    )
    # Which answers are better is a matter of sentences: most have no 4-gram of their own.
    sentences = [(s.base["sentence_bleu"], (s.adapter or {}).get("sentence_bleu")) for s in chosen]
    line.better = sum(other is not None and other > one for one, other in sentences)
    line.worse = sum(other is not None and other < one for one, other in sentences)
    return line


def _adjust(lines: Sequence[MetricSummary]) -> None:
    tested = [line for line in lines if line.p is not None]
    for line, p in zip(tested, holm([line.p or 0.0 for line in tested]), strict=True):
        line.p_holm = p
