"""What a comparison's report says, before it takes a format: facts, figures, votes, examples. Pure.

Every text here may be hostile; whoever writes a format makes it inert and escapes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuiwb.compare.completions import ROLES, Completion, Side, Summary, label_of
from tuiwb.compare.left_out import left_out_sentence
from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.json_fields import FieldSummary
from tuiwb.compare.metrics.measure import main_metric
from tuiwb.compare.metrics.slices import Slice
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.report.figure_text import difference, figure, p_value, percent
from tuiwb.compare.report.interval_plot import IntervalRow
from tuiwb.compare.stats.counts import (
    FEW,
    Kappa,
    PairedCounts,
    Preference,
    power_sentence,
    preference,
)

EXAMPLES = 6
LONGEST = 20_000  # characters of a text in an example
Row = tuple[str, str]


@dataclass(frozen=True)
class Preferred:
    """Whom one rater or judge prefers, with what should be known of the figures."""

    source: str
    said: Preference
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Agreed:
    """Two raters or judges on the same pairs."""

    one: str
    other: str
    kappa: Kappa


@dataclass(frozen=True)
class Example:
    """One prompt with what every side answered; `remark` says why it is shown."""

    line: int
    prompt: str
    answers: list[Row]
    reference: str | None = None
    remark: str = ""


@dataclass(frozen=True)
class Page:
    """The whole report. `sides` are the labels of the two sides in focus."""

    title: str
    sides: tuple[str, str] = ("base", "fine-tune")
    alarms: list[str] = field(default_factory=list)
    conclusion: str = ""
    facts: list[Row] = field(default_factory=list)
    metrics: list[MetricSummary] = field(default_factory=list)
    quantities: list[MetricSummary] = field(default_factory=list)
    fields: list[FieldSummary] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    preferences: list[Preferred] = field(default_factory=list)
    agreements: list[Agreed] = field(default_factory=list)
    answers: list[tuple[str, Side]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)


def page_of(
    spec: Mapping[str, Any],
    summary: Summary,
    completions: Sequence[Completion],
    *,
    names: tuple[str, str] = ROLES,
    preferences: Sequence[Preferred] = (),
    agreements: Sequence[Agreed] = (),
    doubts: Sequence[str] = (),
) -> Page:
    """The page of one comparison; `names` are the sides that stand in the roles base and adapter,
    `doubts` further alarms (a judge that can't be trusted)."""
    sides = (label_of(spec, names[0]), label_of(spec, names[1]))
    name = Path(str(spec["run"])).name if spec.get("run") else Path(str(spec.get("base", ""))).name
    main = main_metric(summary.metrics)
    return Page(
        title=f"{name}: {sides[0]} against {sides[1]}",
        sides=sides,
        alarms=[*_alarms(spec, summary, sides), *doubts],
        conclusion=_conclusion(main, sides, preferences),
        facts=_facts(spec, summary),
        metrics=list(summary.metrics),
        quantities=list(summary.quantities),
        fields=list(summary.fields),
        slices=list(summary.slices),
        not_run=dict(summary.not_run),
        preferences=list(preferences),
        agreements=list(agreements),
        answers=_answers(spec, summary, sides),
        examples=_examples(spec, completions, main, sides),
    )


def preferred(
    source: str, counts: PairedCounts, sides: tuple[str, str], notes: Sequence[str] = ()
) -> Preferred:
    """Counts of a rater or judge, with the sentence on what so many pairs can show."""
    decisive = counts.wins + counts.losses
    power = [power_sentence(decisive)] if decisive else []
    return Preferred(source, preference(counts, names=sides), [*notes, *power])


def metric_bars(lines: Sequence[MetricSummary]) -> list[IntervalRow]:
    """Differences of the metrics in percentage points, for a forest plot."""
    return [
        IntervalRow(
            name=line.label,
            value=100 * line.difference,
            low=100 * line.difference_interval.low if line.difference_interval else None,
            high=100 * line.difference_interval.high if line.difference_interval else None,
            words=f"{difference(line)} {line.verdict}".rstrip(),
            verdict=line.verdict,
        )
        for line in lines
        if line.difference is not None and line.unit == "share"
    ]


def slice_bars(slices: Sequence[Slice]) -> list[IntervalRow]:
    """Differences of one metric by slice, in percentage points."""
    bars = metric_bars([s.line for s in slices])
    names = [f"{s.value} ({s.line.n})" for s in slices if s.line.difference is not None]
    return [
        IntervalRow(name, bar.value, bar.low, bar.high, bar.words, bar.verdict)
        for name, bar in zip(names, bars, strict=False)
    ]


def preference_bars(preferences: Sequence[Preferred]) -> list[IntervalRow]:
    """Win rates without ties in percent, with Wilson's interval; those with a decided pair."""
    rows = []
    for one in preferences:
        said = one.said
        if said.win_rate is None or said.win_rate_interval is None:
            continue
        counts = said.counts
        ahead = "better" if counts.wins > counts.losses else "worse"
        rows.append(
            IntervalRow(
                name=one.source,
                value=100 * said.win_rate,
                low=100 * said.win_rate_interval.low,
                high=100 * said.win_rate_interval.high,
                words=f"{counts.wins}-{counts.losses}, {counts.ties} ties, p {p_value(said.p)}",
                verdict=ahead if said.p <= task_metrics.ALPHA else "",
            )
        )
    return rows


def preference_lines(one: Preferred, sides: tuple[str, str]) -> list[str]:
    """What a rater or judge said, in sentences."""
    said, counts = one.said, one.said.counts
    lines = [
        f"{sides[1]} won {counts.wins}, lost {counts.losses}, tied {counts.ties}: "
        f"{percent(said.win_rate, said.win_rate_interval)} of the decided pairs (Wilson), "
        f"{percent(said.win_rate_with_ties, said.win_rate_with_ties_interval)} with ties as halves "
        "(bootstrap)."
    ]
    return [*lines, f"{said.verdict[:1].upper()}{said.verdict[1:]}.", *one.notes]


def agreement_line(one: Agreed) -> str:
    """How far two agree, with kappa's interval and what it is worth."""
    kappa = one.kappa
    if not kappa.n:
        return f"{one.one} and {one.other} share no pair."
    value = "not defined, as both gave one answer to all"
    if kappa.kappa is not None:
        value = f"{kappa.kappa:.2f}"
        if kappa.interval is not None:
            value += f" [{kappa.interval.low:.2f}, {kappa.interval.high:.2f}]"
    sure = "" if kappa.reliable else f" Fewer than {FEW}: unreliable."
    return (
        f"{one.one} and {one.other} agree on {percent(kappa.agreement)} of {kappa.n} pairs, "
        f"kappa {value}.{sure}"
    )


def _alarms(spec: Mapping[str, Any], summary: Summary, sides: tuple[str, str]) -> list[str]:
    found = []
    if summary.adapter_applied is False:
        evidence = summary.max_logit_difference
        logits = "" if evidence is None else f", largest logit difference {evidence:.3g}"
        found.append(
            f"adapter NOT APPLIED: {summary.identical} of {summary.done} answers are identical"
            f"{logits}"
        )
    if spec.get("seen_in_training"):
        found.append("the prompts were trained on: figures on them flatter the fine-tune")
    for label, side in zip(sides, (summary.base, summary.adapter), strict=True):
        if side is not None and side.cut * 10 > summary.done:
            found.append(
                f"{side.cut} of {summary.done} answers of {label} were cut at the length limit"
            )
    if summary.done < summary.total:
        found.append(f"only {summary.done} of {summary.total} prompts were answered")
    return found


def _conclusion(
    main: MetricSummary | None, sides: tuple[str, str], preferences: Sequence[Preferred]
) -> str:
    """One sentence: what the metric that says most shows, else whom the first rater prefers."""
    base, tuned = sides
    if main is None or main.difference is None:
        said = next((p for p in preferences if p.said.win_rate is not None), None)
        return "" if said is None else f"By {said.source}: {said.said.verdict}."
    figures = (
        f"{figure(main, adapter=True)} against {figure(main, adapter=False)}, a difference of "
        f"{difference(main)} points (p {p_value(main.p)}, {p_value(main.p_holm)} with all metrics "
        "counted in)"
    )
    if not main.verdict:
        if main.p is not None and main.p <= task_metrics.ALPHA:
            # What so many pairs need would read as if this were not reached: by itself it is.
            return (
                f"By {main.label} alone a difference is shown, with all metrics counted in none "
                f"is: {figures}."
            )
        none = f"By {main.label}, no difference is shown: {figures}."
        differ = main.better + main.worse
        if not differ:
            return f"{none} No prompt is better or worse by it."
        return none if main.graded else f"{none} {power_sentence(differ)}"
    return f"By {main.label}, {tuned} is {main.verdict} than {base}: {figures}."


def _facts(spec: Mapping[str, Any], summary: Summary) -> list[Row]:
    prompts = Path(str(spec["prompts"])).name if spec.get("prompts") else ""
    temperature = float(spec.get("temperature") or 0.0)
    how = "greedy" if not temperature else f"sampled at temperature {temperature:g}"
    if spec.get("max_new_tokens"):
        how += f", at most {spec['max_new_tokens']} new tokens"
    machine = f"{summary.dtype} on {summary.device}" if summary.device else ""
    applied = ""
    if summary.adapter_applied is not None:
        applied = (
            f"{'yes' if summary.adapter_applied else 'NO'}: {summary.identical} of "
            f"{summary.done} answers identical"
        )
        if summary.max_logit_difference is not None:
            applied += f", largest logit difference {summary.max_logit_difference:.3g}"
    rows = [
        ("prompts", f"{summary.done} of {summary.total}" + (f" from {prompts}" if prompts else "")),
        ("left out", left_out_sentence(summary.left_out)),
        ("base model", Path(str(spec["base"])).name if spec.get("base") else ""),
        ("decoding", how),
        ("system turn", str(spec.get("system") or "")),
        ("computed", ", ".join(part for part in (machine, summary.engine) if part)),
        ("adapter applied", applied),
        ("cost", "" if summary.usd is None else f"${summary.usd:.4f}"),
    ]
    return [(label, text) for label, text in rows if text]


def _answers(
    spec: Mapping[str, Any], summary: Summary, sides: tuple[str, str]
) -> list[tuple[str, Side]]:
    found = [(sides[0], summary.base)]
    if summary.adapter is not None:
        found.append((sides[1], summary.adapter))
    return [*found, *((label_of(spec, name), side) for name, side in summary.others.items())]


def _examples(
    spec: Mapping[str, Any],
    completions: Sequence[Completion],
    main: MetricSummary | None,
    sides: tuple[str, str],
) -> list[Example]:
    """Where the sides differ most first: losses, then gains, then the rest in file order."""
    changes: dict[str, float] = {}
    for c in completions:
        one = task_metrics.score(c.base, c.reference)
        other = task_metrics.score(c.adapter, c.reference) if c.adapter is not None else {}
        if main is not None and main.name in one and main.name in other:
            changes[c.id] = other[main.name] - one[main.name]
    losses = sorted(
        (c for c in completions if changes.get(c.id, 0) < 0), key=lambda c: changes[c.id]
    )
    gains = sorted(
        (c for c in completions if changes.get(c.id, 0) > 0), key=lambda c: -changes[c.id]
    )
    rest = [c for c in completions if not changes.get(c.id, 0)]
    half = EXAMPLES // 2
    chosen = [*losses[:half], *gains[:half]]
    chosen += rest[: EXAMPLES - len(chosen)]
    return [_example(spec, c, changes.get(c.id, 0.0), main, sides) for c in chosen]


def _example(
    spec: Mapping[str, Any],
    completion: Completion,
    change: float,
    main: MetricSummary | None,
    sides: tuple[str, str],
) -> Example:
    base, tuned = sides
    answers = [(base, completion.base)]
    if completion.adapter is not None:
        answers.append((tuned, completion.adapter))
    answers += [(label_of(spec, name), answer.text) for name, answer in completion.others.items()]
    remark = ""
    if change and main is not None:
        remark = f"{tuned} {'better' if change > 0 else 'worse'} by {main.label}"
    elif completion.adapter is not None and completion.identical:
        remark = "identical"
    reference = completion.reference
    return Example(
        line=completion.line,
        prompt=_cut(completion.prompt_text),
        answers=[(label, _cut(text)) for label, text in answers],
        reference=None if reference is None else _cut(reference),
        remark=remark,
    )


def _cut(text: str) -> str:
    more = len(text) - LONGEST
    return text if more <= 0 else f"{text[:LONGEST]}\n(cut: {more:,} more characters)"
