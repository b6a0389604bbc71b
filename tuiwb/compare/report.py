"""report.md of a comparison: figures, how sure they are, and a few answers side by side. Pure."""

from pathlib import Path
from typing import Any

from tuiwb.compare.completions import Completion, Summary
from tuiwb.compare.metrics import MetricSummary
from tuiwb.text import inert

EXAMPLES = 5


def compare_report(spec: dict[str, Any], summary: Summary, completions: list[Completion]) -> str:
    """The report as Markdown; answers stand in fenced blocks, so nothing in them is markup."""
    name = Path(spec["run"]).name if spec.get("run") else Path(spec["base"]).name
    lines = [
        f"# {name}: base against fine-tune",
        "",
        f"- prompts: {summary.done} of {summary.total} from {Path(spec['prompts']).name}",
        f"- base: {Path(spec['base']).name}; greedy decoding, at most "
        f"{spec['max_new_tokens']} new tokens, {summary.dtype} on {summary.device}",
    ]
    if summary.adapter_applied is not None:
        lines.append(f"- {_applied(summary)}")
    lines += ["", *metric_table(summary), "", *_sides(summary), "", "## Answers", ""]
    for completion in completions[:EXAMPLES]:
        lines += _example(completion)
    return "\n".join(lines) + "\n"


def metric_table(summary: Summary) -> list[str]:
    """The metrics as a Markdown table with 95% intervals."""
    if not summary.metrics:
        return ["The prompts have no reference answers, so there is nothing to measure against."]
    head = ["metric", "n", "base", "fine-tune", "difference (95%)", "better / worse", "p"]
    rows = [head, ["---"] * len(head), *(_row(line) for line in summary.metrics)]
    note = (
        "Right answers of n, or a mean in percent; the interval of the difference is a bootstrap "
        "over prompts, p an exact two-sided sign test on the prompts that differ."
    )
    return ["| " + " | ".join(row) + " |" for row in rows] + ["", note]


def figure(line: MetricSummary, *, adapter: bool) -> str:
    """One side of a metric: '48/50' for yes/no metrics, '93.5%' for graded ones, '-' if absent."""
    right, mean = (line.adapter_right, line.adapter) if adapter else (line.base_right, line.base)
    if mean is None:
        return "-"
    return f"{100 * mean:.1f}%" if line.graded else f"{right}/{line.n}"


def difference(line: MetricSummary) -> str:
    """'+96.0 [90.0, 100.0]' in percentage points, '-' without an adapter."""
    if line.difference is None:
        return "-"
    interval = line.difference_interval
    bounds = f" [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]" if interval else ""
    return f"{100 * line.difference:+.1f}{bounds}"


def p_value(p: float | None) -> str:
    """'<.001' or three digits."""
    return "-" if p is None else ("<.001" if p < 0.001 else f"{p:.3f}")


def _row(line: MetricSummary) -> list[str]:
    return [
        line.label,
        str(line.n),
        figure(line, adapter=False),
        figure(line, adapter=True),
        difference(line),
        f"{line.better} / {line.worse}" if line.adapter is not None else "-",
        p_value(line.p),
    ]


def _applied(summary: Summary) -> str:
    word = "applied" if summary.adapter_applied else "NOT APPLIED"
    evidence = summary.max_logit_difference
    logits = "" if evidence is None else f"; largest logit difference {evidence:.3g}"
    return f"adapter {word}: {summary.identical} of {summary.done} answers identical{logits}"


def _sides(summary: Summary) -> list[str]:
    lines = ["| side | tokens | tokens/s | cut at the limit | empty |", "| --- " * 5 + "|"]
    for label, side in (("base", summary.base), ("fine-tune", summary.adapter)):
        if side is not None:
            lines.append(
                f"| {label} | {side.tokens} | {side.tokens_per_second:.0f} | {side.cut} "
                f"| {side.empty} |"
            )
    return lines


def _example(completion: Completion) -> list[str]:
    parts = [("prompt", completion.prompt_text), ("base", completion.base)]
    if completion.adapter is not None:
        parts.append(("fine-tune", completion.adapter))
    if completion.reference is not None:
        parts.append(("reference", completion.reference))
    lines = [f"### line {completion.line}", ""]
    for label, text in parts:
        lines += [f"{label}:", "", *_fenced(text), ""]
    return lines


def _fenced(text: str) -> list[str]:
    """A fence longer than any run of backticks inside: the text can't close it."""
    run = longest = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *inert(text).split("\n"), fence]
