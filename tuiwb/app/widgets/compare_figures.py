"""Every figure of a comparison with its interval, as the dialog shows them. Text only."""

from collections.abc import Sequence

from textual.content import Content

from tuiwb.app.widgets.compare_words import LABELS, MUTED, rater_name
from tuiwb.compare.completions import Summary
from tuiwb.compare.judge.summary import JudgeSummary
from tuiwb.compare.left_out import left_out_sentence
from tuiwb.compare.report.figure_text import (
    FigureRow,
    field_rows,
    figure_rows,
    slice_rows,
    slices_by_tag,
)
from tuiwb.compare.stats.counts import Kappa, PairedCounts, power_sentence, preference
from tuiwb.compare.vote.ballot import VoteTally
from tuiwb.compare.vote.raters import Agreement
from tuiwb.text import inert, short_seconds

MEASURED = (
    "right of n or a mean; points of difference; p of each test alone, ▲ better and ▼ worse with "
    "all of them counted in"
)

ROOM = 70  # cells of the dialog beside its scroll bar
SIDE, NAME, LEAST = 12, 12, 5  # of a side's name at most; of a metric's, and of any, at least


def figures(
    summary: Summary | None,
    judge: JudgeSummary | None,
    tallies: Sequence[VoteTally],
    with_judge: Kappa | None,
    raters: Sequence[Agreement] = (),
    labels: tuple[str, str] = LABELS,
    with_judges: Sequence[tuple[str, Kappa]] = (),
) -> Content:
    """Votes first, then the judge, then what was measured; `tallies` are those of raters that
    revealed, `with_judge` is the agreement of this rater and the judge, `with_judges` with each by
    name where there are several."""
    parts: list[Content] = []
    for tally in tallies:
        parts += [*_votes(tally, labels), Content("")]
    parts += [_kappa(f"{rater_name(a.one)} and {rater_name(a.other)}", a.kappa) for a in raters]
    if with_judge is not None and with_judge.n:
        parts.append(_kappa("Your votes and the judge", with_judge))
    parts += [_kappa(f"Your votes and {_name(judge)}", agreed) for judge, agreed in with_judges]
    if parts and parts[-1].plain:
        parts.append(Content(""))
    if judge is not None:
        parts += [*_judge(judge, labels), Content("")]
    if summary is not None:
        parts += _measured(summary, labels)
    return Content("\n").join(parts) if parts else Content("nothing measured yet")


def _votes(tally: VoteTally, labels: tuple[str, str]) -> list[Content]:
    lines = [Content.styled(f"Votes of {rater_name(tally.rater)}", "bold")]
    lines += _preference(tally.counts, labels)
    lines.append(
        Content(
            f"{tally.identical} identical, {tally.both_bad} both bad, {tally.skipped} skipped, "
            f"{tally.open} open; left won {_share(tally.left_share)} of decided"
        )
    )
    more = []
    if tally.repeated:
        more.append(f"{tally.consistent} of {tally.repeated} repeated pairs got the same answer")
    if tally.seconds is not None:
        more.append(f"median {short_seconds(tally.seconds)} a pair")
    if tally.not_blind:
        more.append(f"{tally.not_blind} on pairs read with names before: not blind")
    return [*lines, Content("; ".join(more))] if more else lines


def _judge(judge: JudgeSummary, labels: tuple[str, str]) -> list[Content]:
    lines = [Content.styled(f"Judge: {inert(judge.model)}, rubric {inert(judge.rubric)}", "bold")]
    lines += _preference(judge.preference.counts, labels)
    lines.append(
        Content(
            f"flips {judge.flips}, half wins {judge.weak}, invalid {judge.invalid}; first response "
            f"won {_share(judge.first_slot_share)}, longer one {_share(judge.longer_win_share)}; "
            "cost " + ("unknown" if judge.usd is None else f"${judge.usd:.4f}")
        )
    )
    return lines + [Content.styled(f"✗ {inert(doubt)}", "$text-error") for doubt in judge.doubts]


def _name(judge: str) -> str:
    return inert(judge, one_line=True)


def _kappa(who: str, agreement: Kappa) -> Content:
    if not agreement.n:
        return Content(f"{who} decided no pair in common")
    kappa = "-" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    if agreement.interval is not None and agreement.kappa is not None:
        kappa += f" [{agreement.interval.low:.2f}, {agreement.interval.high:.2f}]"
    sure = "" if agreement.reliable else " (unreliable: fewer than 30)"
    return Content(
        f"{who} agree on {_share(agreement.agreement)} of {agreement.n} shared pairs{sure}, "
        f"kappa {kappa}"
    )


def _preference(counts: PairedCounts, labels: tuple[str, str]) -> list[Content]:
    said = preference(counts, names=labels)
    under_test = inert(labels[1], one_line=True)
    lines = [f"{under_test} won {counts.wins}, lost {counts.losses}, tied {counts.ties}"]
    if said.win_rate is not None and said.win_rate_interval is not None:
        low, high = said.win_rate_interval.low, said.win_rate_interval.high
        lines[0] += f": {100 * said.win_rate:.1f}% of decided [{100 * low:.1f}, {100 * high:.1f}]"
    lines.append(inert(said.verdict, one_line=True))
    if counts.wins + counts.losses:
        lines.append(power_sentence(counts.wins + counts.losses))
    return [Content(line) for line in lines]


def _measured(summary: Summary, labels: tuple[str, str]) -> list[Content]:
    """What was measured: against the references, of the answers, JSON fields, slices."""
    sides = [_short(inert(label, one_line=True), SIDE) for label in labels]

    def head(first: str) -> tuple[str, ...]:
        return (first, *sides, "difference [95%]", "p")

    parts = [Content("No reference answers: nothing to measure against.")]
    if summary.metrics:
        parts = _table(head("metric"), _cells(figure_rows(summary.metrics)))
    if summary.quantities:
        parts += _table(head("of the answers"), _cells(figure_rows(summary.quantities)))
    if summary.fields:
        # Without how often a field is missing: that is in the report.
        fields = [
            (name, base.split(" ")[0], tuned.split(" ")[0], difference, p)
            for name, _n, base, tuned, difference, p in field_rows(summary.fields)
        ]
        parts += _table(head("JSON field"), fields)
    for tag, chosen in slices_by_tag(summary.slices).items():
        metric = chosen[0].line.label
        parts.append(Content.styled(f"{metric} by {inert(tag, one_line=True)[:24]}", "bold"))
        parts += _table(head("slice"), _cells(slice_rows(chosen)))
    parts += [Content.styled(f"{name}: {why}", MUTED) for name, why in summary.not_run.items()]
    if left_out := left_out_sentence(summary.left_out):
        parts.append(Content.styled(inert(left_out, one_line=True), MUTED))
    return [*parts, Content.styled(MEASURED, MUTED)]


def _cells(rows: Sequence[FigureRow]) -> list[tuple[str, ...]]:
    marks = {"better": "▲ ", "worse": "▼ "}
    return [
        (row.metric, row.base, row.adapter, row.difference, marks.get(row.verdict, "") + row.p)
        for row in rows
    ]


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[Content]:
    """The rows in columns under a muted head, with an empty line after them: what the dialog has
    no room for is cut off the sides' names first, then off those of the metrics."""
    safe = [(inert(row[0], one_line=True), *row[1:]) for row in rows]
    widths = [max(len(row[i]) for row in (head, *safe)) for i in range(len(head))]
    over = sum(widths) + 2 * (len(widths) - 1) - ROOM
    for i, least in ((2, 0), (1, 0), (0, NAME)):
        filled = max([least, *(len(row[i]) for row in safe if i)])
        taken = max(0, min(over, widths[i] - max(filled, LEAST)))
        widths[i], over = widths[i] - taken, over - taken
    lines = [
        "  ".join(
            _short(cell, width).ljust(width) if i in (0, 3) else _short(cell, width).rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *safe)
    ]
    return [Content.styled(lines[0], MUTED), *map(Content, lines[1:]), Content("")]


def _short(text: str, width: int) -> str:
    """The text, its end cut off where it is wider."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
