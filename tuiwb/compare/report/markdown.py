"""report.md of a comparison: figures, how sure they are, and a few answers side by side. Pure."""

import re
from collections.abc import Sequence

from tuiwb.compare.report.figure_text import (
    ANSWER_HEAD,
    aligned,
    answer_rows,
    cells,
    field_head,
    field_rows,
    figure_rows,
    head,
    slice_rows,
    slices_by_tag,
)
from tuiwb.compare.report.interval_plot import IntervalRow
from tuiwb.compare.report.page import (
    Example,
    Page,
    agreement_line,
    metric_bars,
    preference_bars,
    preference_lines,
)
from tuiwb.text import fenced, inert

NO_REFERENCES = "The prompts have no reference answers, so there is nothing to measure against."
NOTES = (
    "Right answers of n, or a mean; +/- counts the prompts where the side under test did better "
    "and worse. Differences are in percentage points (or the unit shown) with 95% intervals: "
    "Tango's for right answers, a bootstrap over prompts for means, BLEU and perplexity. p is "
    "McNemar's exact test for right answers, a sign-flip or swap test for the others; 'better' and "
    "'worse' are said where p is at most .05 even with Holm's adjustment for all metrics."
)
FEW = "Few prompts say little: such slices stand last. 'better' and 'worse' count in all slices."
_BAR = 41
# Bare addresses become links on many pages that show Markdown; a lone backslash keeps them text.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&!@$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)


def markdown(page: Page) -> str:
    """The page as Markdown; answers stand in fenced blocks, so nothing in them is markup."""
    parts = [f"# {_e(page.title)}"]
    parts += ["\n".join(f"> **{_e(alarm)}**" for alarm in page.alarms)] if page.alarms else []
    parts += [_e(page.conclusion)] if page.conclusion else []
    parts.append("\n".join(f"- {_e(label)}: {_e(text)}" for label, text in page.facts))
    parts += ["## Metrics", *_metrics(page)]
    if page.quantities:
        parts += [
            "## The answers themselves",
            _table(head(*page.sides), cells(figure_rows(page.quantities))),
        ]
    if page.answers:
        parts.append(_table(ANSWER_HEAD, answer_rows(page.answers)))
    if page.fields:
        parts += ["## JSON fields", _table(field_head(*page.sides), field_rows(page.fields))]
    if page.slices:
        metric = page.slices[0].line.label
        parts.append(f"## Slices: {_e(metric)}")
        for tag, chosen in slices_by_tag(page.slices).items():
            parts.append(_table(head(*page.sides, first=tag), cells(slice_rows(chosen))))
        parts.append(FEW)
    for one in page.preferences:
        parts += [f"## {_e(one.source)}", _e(" ".join(preference_lines(one, page.sides)))]
    if len(bars := preference_bars(page.preferences)) > 0:
        parts.append(_chart(bars, 0.0, 100.0, 50.0))
    if page.agreements:
        parts += ["## Agreement", "\n".join(f"- {_e(agreement_line(a))}" for a in page.agreements)]
    parts.append("## Answers")
    parts += [_example(example) for example in page.examples]
    return "\n\n".join(parts) + "\n"


def _metrics(page: Page) -> list[str]:
    parts = []
    if page.metrics:
        parts.append(_table(head(*page.sides), cells(figure_rows(page.metrics))))
        bars = metric_bars(page.metrics)
        if bars:
            parts.append(_chart(bars, -100.0, 100.0, 0.0))
        parts.append(NOTES)
    else:
        parts.append(NO_REFERENCES)
    if page.not_run:
        parts.append("\n".join(f"- {_e(name)}: {_e(why)}" for name, why in page.not_run.items()))
    return parts


def _chart(bars: Sequence[IntervalRow], low: float, high: float, reference: float) -> str:
    """Intervals as lines of text: ├──●──┤, │ at the reference."""

    def place(value: float) -> int:
        return round((min(max(value, low), high) - low) / (high - low) * (_BAR - 1))

    rows = []
    for bar in bars:
        cells = [" "] * _BAR
        cells[place(reference)] = "│"
        if bar.low is not None and bar.high is not None:
            left, right = place(bar.low), place(bar.high)
            cells[left : right + 1] = ["─"] * (right + 1 - left)
            cells[left], cells[right] = "├", "┤"
        cells[place(bar.value)] = "●"
        rows.append((inert(bar.name, one_line=True), "".join(cells), inert(bar.words)))
    foot = f"{low:g}".ljust(_BAR // 2) + f"{reference:g}".ljust(_BAR // 2 - 3) + f"{high:g}"
    return "\n".join(("```text", *aligned([*rows, ("", foot, "")]), "```"))


def _example(example: Example) -> str:
    remark = f": {_e(example.remark)}" if example.remark else ""
    parts = [("prompt", example.prompt), *example.answers]
    if example.reference is not None:
        parts.append(("reference", example.reference))
    blocks = [f"{_e(label)}:\n\n{fenced(text)}" for label, text in parts]
    return "\n\n".join([f"### line {example.line}{remark}", *blocks])


def _e(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", inert(text, one_line=True))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[_e(cell) for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
