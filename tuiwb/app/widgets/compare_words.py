"""How the Compare screen says things: figures, notes on an answer, verdicts. Text only."""

from collections.abc import Sequence

from textual.content import Content

from tuiwb.compare import metrics
from tuiwb.compare.completions import Completion, Summary
from tuiwb.compare.judge import PairVerdict
from tuiwb.compare.judge_summary import JudgeSummary
from tuiwb.compare.metrics import MetricSummary
from tuiwb.compare.report import difference, figure, p_value
from tuiwb.compare.stats import Kappa, PairedCounts, power_sentence, preference
from tuiwb.compare.votes import VoteTally
from tuiwb.text import inert

HEADLINE = ("json_valid", "exact_match", "field_accuracy", "all_fields", "token_f1")
MUTED = "$foreground 60%"
OUTCOMES = {"adapter": "fine-tune", "base": "base", "tie": "tie", "invalid": "invalid"}


def headline(summary: Summary, width: int) -> list[Content]:
    """The metrics people look at first, as many to a line as fit `width` cells."""
    items = [_item(line) for name in HEADLINE if (line := summary.metric(name)) is not None]
    lines: list[Content] = []
    for item in items:
        joined = Content("   ").join([lines[-1], item]) if lines else item
        if lines and joined.cell_length <= width:
            lines[-1] = joined
        else:
            lines.append(item)
    return lines


def _item(line: MetricSummary) -> Content:
    if line.graded:
        base = f"{100 * line.base:.0f}%"
        adapter = "" if line.adapter is None else f" → {100 * line.adapter:.0f}%"
    else:
        base = f"{line.base_right}"
        adapter = "" if line.adapter_right is None else f" → {line.adapter_right}"
        adapter += f"/{line.n}"
    style = ""
    if line.p is not None and line.p <= 0.05 and line.difference:
        style = "$text-success" if line.difference > 0 else "$text-error"
    return Content.assemble((f"{line.label} ", MUTED), base, (adapter, f"bold {style}".strip()))


def not_applied(summary: Summary) -> Content | None:
    """The alarm when the adapter changes nothing; None otherwise."""
    if summary.adapter_applied is not False:
        return None
    evidence = summary.max_logit_difference or 0.0
    return Content.styled(
        f"✗ adapter not applied: {summary.identical} of {summary.done} answers identical, "
        f"logit difference {evidence:.1g}",
        "bold $text-error",
    )


def judge_line(judge: JudgeSummary) -> Content:
    """The judge's result in one line."""
    said, counts = judge.preference, judge.preference.counts
    words = f"won {counts.wins}  lost {counts.losses}  tied {counts.ties}"
    if said.win_rate is not None and said.win_rate_interval is not None:
        low, high = said.win_rate_interval.low, said.win_rate_interval.high
        words += f"  {100 * said.win_rate:.0f}% [{100 * low:.0f}, {100 * high:.0f}]"
    words += f"  p {p_value(said.p)}"
    if judge.open:
        words += f"  {judge.open} open"
    trust = ("", "") if judge.trusted else ("  ✗ not trusted (i)", "bold $text-error")
    return Content.assemble(("judge ", MUTED), words, trust)


def vote_line(tally: VoteTally) -> Content:
    """The revealed votes in one line."""
    said, counts = preference(tally.counts), tally.counts
    words = f"won {counts.wins}  lost {counts.losses}  tied {counts.ties}  p {p_value(said.p)}"
    if tally.repeated:
        words += f"  same answer again {tally.consistent}/{tally.repeated}"
    if tally.open:
        words += f"  {tally.open} open"
    return Content.assemble(("votes ", MUTED), words)


def mark(completion: Completion) -> str:
    """How both sides did on a prompt in three cells: '✗→✓' by its reference, else '=' or '≠'."""
    if completion.reference is None or completion.adapter is None:
        return " = " if completion.identical else " ≠ "
    return f"{_right(completion.base, completion)}→{_right(completion.adapter, completion)}"


def _right(answer: str, completion: Completion) -> str:
    scores = metrics.score(answer, completion.reference)
    best = scores.get("all_fields", scores.get("exact_match", 0.0))
    return "✓" if best == 1.0 else "✗"


def list_line(completion: Completion, pair: PairVerdict | None) -> Content:
    """One line of the list of prompts: its line, how both sides did, the judge's word, the text."""
    judged = {"adapter": "F", "base": "B", "tie": "=", "invalid": "!"}
    letter = f" {judged[pair.outcome]}" if pair is not None else ""
    last = completion.prompt[-1].get("content") if completion.prompt else completion.raw
    text = inert(str(last or "")[:80], one_line=True)
    return Content.assemble((f"{completion.line:>3} ", MUTED), f"{mark(completion)}{letter} ", text)


def side_note(completion: Completion, side: str) -> str:
    """What is known of one answer: valid JSON, fields right or exact, tokens, cut."""
    answer = completion.base if side == "base" else completion.adapter or ""
    tokens = completion.base_tokens if side == "base" else completion.adapter_tokens
    stop = completion.base_stop if side == "base" else completion.adapter_stop
    words, wrong = [], []
    if completion.reference is not None:
        fields = metrics.field_results(answer, completion.reference)
        if fields is not None:
            valid = metrics.parse_json(answer) is not None
            words.append("JSON ✓" if valid else "JSON ✗")
            if valid:
                wrong = [inert(name, one_line=True) for name, right in fields.items() if not right]
                words.append(f"{len(fields) - len(wrong)}/{len(fields)} fields")
        else:
            words.append("exact ✓" if answer.strip() == completion.reference.strip() else "exact ✗")
    words.append(f"{tokens} tok")
    if stop == "length":
        words.append("cut")
    if wrong:
        words.append(f"not {', '.join(wrong)}")
    return "  ".join(words)


def prompt_text(completion: Completion) -> Content:
    """The prompt, its turns marked where there is more than the user's one."""
    turns = completion.prompt
    if completion.raw is not None or (len(turns) == 1 and turns[0].get("role") == "user"):
        return answer_text(completion.prompt_text)
    parts = [
        Content.assemble(
            (f"{inert(str(turn.get('role')), one_line=True)}  ", "bold $text-accent"),
            (inert(str(turn.get("content") or "")), MUTED if turn.get("role") == "system" else ""),
        )
        for turn in turns
    ]
    return Content("\n").join(parts)


def answer_text(text: str) -> Content:
    """Any text from data, inert; an empty one is said to be."""
    return Content(inert(text)) if text.strip() else Content.styled("(empty)", f"italic {MUTED}")


def verdict_text(pair: PairVerdict) -> Content:
    """The judge on one pair: who won, how sure, and what it said in each order."""
    words = OUTCOMES[pair.outcome]
    if pair.flip:
        words += " (named opposite winners in the two orders)"
    elif pair.weak:
        words += " (a winner in one order only)"
    elif pair.outcome in ("adapter", "base"):
        words += ", clearly" if pair.clear else ", slightly"
    if pair.manipulation:
        words += f"; manipulation by {' and '.join(OUTCOMES[s] for s in pair.manipulation)}"
    lines = [Content.styled(words, "bold")]
    lines += [Content(inert(reason, one_line=True)) for reason in pair.reasons]
    return Content("\n").join(lines)


def figures(
    summary: Summary | None,
    judge: JudgeSummary | None,
    tally: VoteTally | None,
    agreement: Kappa | None,
) -> Content:
    """Every figure with its interval, for the dialog."""
    parts: list[Content] = []
    if summary is not None:
        parts += [_metric_table(summary), Content("")]
    if judge is not None:
        parts += [Content.styled(f"Judge: {inert(judge.model)}, rubric {judge.rubric}", "bold")]
        parts += _preference(judge.preference.counts)
        parts += [
            Content(
                f"flips {judge.flips}, half wins {judge.weak}, invalid {judge.invalid}; first "
                f"response won {_share(judge.first_slot_share)}, longer one "
                f"{_share(judge.longer_win_share)}; cost "
                + ("unknown" if judge.usd is None else f"${judge.usd:.4f}")
            )
        ]
        parts += [Content.styled(f"✗ {inert(doubt)}", "$text-error") for doubt in judge.doubts]
        parts.append(Content(""))
    if tally is not None:
        parts += [Content.styled("Votes", "bold"), *_preference(tally.counts)]
        parts.append(
            Content(
                f"{tally.identical} identical, {tally.both_bad} both bad, {tally.skipped} "
                f"skipped, {tally.open} open; left won {_share(tally.left_share)} of decided"
            )
        )
        parts.append(Content(""))
    if agreement is not None and agreement.n:
        kappa = "-" if agreement.kappa is None else f"{agreement.kappa:.2f}"
        sure = "" if agreement.reliable else " (unreliable: fewer than 30)"
        parts.append(
            Content(
                f"Votes and judge agree on {_share(agreement.agreement)} of {agreement.n} shared "
                f"pairs{sure}, kappa {kappa}"
            )
        )
    return Content("\n").join(parts) if parts else Content("nothing measured yet")


def _preference(counts: PairedCounts) -> Sequence[Content]:
    said = preference(counts)
    lines = [f"fine-tune won {counts.wins}, lost {counts.losses}, tied {counts.ties}"]
    if said.win_rate is not None and said.win_rate_interval is not None:
        low, high = said.win_rate_interval.low, said.win_rate_interval.high
        lines[0] += f": {100 * said.win_rate:.1f}% of decided [{100 * low:.1f}, {100 * high:.1f}]"
    lines.append(said.verdict)
    if counts.wins + counts.losses:
        lines.append(power_sentence(counts.wins + counts.losses))
    return [Content(line) for line in lines]


def _metric_table(summary: Summary) -> Content:
    if not summary.metrics:
        return Content("No reference answers: nothing to measure against.")
    rows = [("metric", "base", "tuned", "difference [95%]", "p")]
    for line in summary.metrics:
        rows.append(
            (
                line.label,
                figure(line, adapter=False),
                figure(line, adapter=True),
                difference(line),
                p_value(line.p),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (0, 3) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    head = Content.styled(lines[0], MUTED)
    note = Content.styled("points of difference; p: exact sign test on prompts that differ", MUTED)
    return Content("\n").join([head, *(Content(line) for line in lines[1:]), note])


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
