"""How the Compare screen says things: the head's lines, notes on an answer, verdicts. Text only."""

from collections.abc import Mapping
from typing import Any

from textual.content import Content

from tuiwb.compare.completions import Completion, Summary
from tuiwb.compare.judge.protocol import PairVerdict
from tuiwb.compare.judge.summary import JudgeSummary
from tuiwb.compare.metrics import task as task_metrics
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.report.figure_text import p_value
from tuiwb.compare.stats.counts import preference
from tuiwb.compare.vote.ballot import VoteTally
from tuiwb.compare.vote.raters import UNNAMED, Agreement
from tuiwb.text import inert

HEADLINE = ("json_valid", "exact_match", "field_accuracy", "all_fields", "token_f1")
MUTED = "$foreground 60%"
SHOWN = 20_000  # characters of one text: a screenful of a megabyte must not hold a key up
LABELS = ("base", "fine-tune")


def won_by(outcome: str, labels: tuple[str, str] = LABELS) -> str:
    """An outcome in words: the winner's label, 'tie' or 'invalid'."""
    return {"base": labels[0], "adapter": labels[1]}.get(outcome, outcome)


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
    style = {"better": "$text-success", "worse": "$text-error"}.get(line.verdict, "")
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
    if tally.not_blind:
        words += f"  {tally.not_blind} not blind"
    return Content.assemble((f"votes of {rater_name(tally.rater)} ", MUTED), words)


def noted(note: str) -> str:
    """A note as it stands in a pair's border: its beginning."""
    return inert(f"“{note[:39]}…”" if len(note) > 40 else f"“{note}”", one_line=True)


def rater_name(rater: str) -> str:
    """A rater as they are called before people."""
    return inert(rater, one_line=True) or UNNAMED


def agreement_line(agreements: list[Agreement], rater: str) -> Content | None:
    """How far others that revealed agree with this rater; None when there are none."""
    said = []
    for found in agreements:
        if rater in (found.one, found.other) and found.kappa.agreement is not None:
            other = found.other if found.one == rater else found.one
            kappa = "" if found.kappa.kappa is None else f", kappa {found.kappa.kappa:.2f}"
            sure = "" if found.kappa.reliable else " (unreliable: fewer than 30)"
            said.append(
                f"{rater_name(other)} {100 * found.kappa.agreement:.0f}% of {found.kappa.n}"
                f"{kappa}{sure}"
            )
    return Content.assemble(("agree with ", MUTED), "  ".join(said)) if said else None


def mark(completion: Completion) -> str:
    """How both sides did on a prompt in three cells: '✗→✓' by its reference, else '=' or '≠'."""
    if completion.reference is None or completion.adapter is None:
        return " = " if completion.identical else " ≠ "
    return f"{_right(completion.base, completion)}→{_right(completion.adapter, completion)}"


def _right(answer: str, completion: Completion) -> str:
    scores = task_metrics.score(answer, completion.reference)
    best = scores.get("all_fields", scores.get("exact_match", 0.0))
    return "✓" if best == 1.0 else "✗"


def list_line(completion: Completion, pair: PairVerdict | None) -> Content:
    """One line of the list of prompts: its line, how both sides did, the judge's word, the text."""
    judged = {"base": "<", "adapter": ">", "tie": "=", "invalid": "!"}
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
        fields = task_metrics.field_results(answer, completion.reference)
        if fields is not None:
            valid = task_metrics.parse_json(answer) is not None
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
    return Content("\n").join(_turn(turn) for turn in turns)


def asked_text(completion: Completion) -> Content:
    """The prompt's last turn: what an answer answers."""
    if completion.raw is not None or len(completion.prompt) < 2:
        return prompt_text(completion)
    return _turn(completion.prompt[-1])


def _turn(turn: Mapping[str, Any]) -> Content:
    said = _beginning(str(turn.get("content") or ""))
    return Content.assemble(
        (f"{inert(str(turn.get('role')), one_line=True)}  ", "bold $text-accent"),
        said.stylize(MUTED) if turn.get("role") == "system" else said,
    )


def answer_text(text: str, *, markdown: bool = False) -> Content:
    """Any text from data, inert; an empty one is said to be."""
    if not text.strip():
        return Content.styled("(empty)", f"italic {MUTED}")
    if markdown and len(text) <= SHOWN:
        from tuiwb.app.widgets.compare_markdown import markdown_content

        return markdown_content(text)
    return _beginning(text)


def _beginning(text: str) -> Content:
    if len(text) <= SHOWN:
        return Content(inert(text))
    more = f"\n… {len(text) - SHOWN:,} more characters"
    return Content.assemble(inert(text[:SHOWN]), (more, MUTED))


def verdict_text(pair: PairVerdict, labels: tuple[str, str] = LABELS) -> Content:
    """The judge on one pair: who won, how sure, and what it said in each order."""
    words = won_by(pair.outcome, labels)
    if pair.flip:
        words += " (named opposite winners in the two orders)"
    elif pair.weak:
        words += " (a winner in one order only)"
    elif pair.outcome in ("adapter", "base"):
        words += ", clearly" if pair.clear else ", slightly"
    if pair.manipulation:
        words += f"; manipulation by {' and '.join(won_by(s, labels) for s in pair.manipulation)}"
    lines = [Content.styled(words, "bold")]
    lines += [Content(inert(reason, one_line=True)) for reason in pair.reasons]
    return Content("\n").join(lines)
