"""The gate's lines: each a thing that a fine-tune can be wrong in. Pure."""

import re

from tuiwb.compare.completions import Summary
from tuiwb.compare.gate import losses, people
from tuiwb.compare.gate.evidence import Evidence
from tuiwb.compare.gate.line import ALPHA, GateLine, change_of, sides, won
from tuiwb.compare.metrics.measure import main_metric
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.stats.counts import sign_test
from tuiwb.errors import BadInput
from tuiwb.project import GateSettings
from tuiwb.text import counted

# Logits that differ by less are the same model in another order of summing.
LEAST_LOGIT = 1e-3
# Of the base weight's norm, below which an update is none (docs/triage.md, adapter_not_applied).
LEAST_UPDATE = 1e-6
FEWEST = 20  # items of a suite below which nothing can be said of 5%
# Among these `main_metric` chooses. Where references are JSON only what their fields say counts:
# braces alone make no answer better.
TASK_METRICS = ("all_fields", "field_accuracy", "normalised_match", "token_f1", "exact_match")
JSON_VALID = "json_valid"
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


def lines_of(evidence: Evidence, settings: GateSettings) -> list[GateLine]:
    """Every line that applies, in the order they are read; BadInput for a setting that names no
    line or metric."""
    lines = [
        _adapter(evidence, settings),
        _base(evidence),
        _template(evidence),
        _held_out(evidence, settings),
        *_format(evidence, settings),
        _endings(evidence, settings),
        _unseen(evidence),
        losses.canary(evidence, settings),
        losses.general(evidence, settings),
        *losses.ood(evidence, settings),
        *losses.benchmarks(evidence, settings),
        *people.judge(evidence, settings),
        *people.votes(evidence),
    ]
    names = {line.name for line in lines} | {"format", "ood", "judge", "votes"}
    for name in settings.optional:
        if name not in names:
            raise BadInput(
                f"gate.optional in tuiwb.yaml names {name!r}, which is no line of the gate: "
                f"one of {', '.join(sorted(names))}"
            )
    for line in lines:
        line.required = line.required and line.name not in settings.optional
        if evidence.not_finite and line.ok is None:
            # No comparison or evaluation can make it known.
            line.command = line.change = ""
            line.figure = "the adapter can't be asked"
        if line.ok is True:
            line.command = ""
        elif line.ok is None and line.command:
            line.change = f"run: {line.command}"
    return lines


# What was trained


def _adapter(evidence: Evidence, settings: GateSettings) -> GateLine:
    threshold = f"logits differ by {LEAST_LOGIT:g}, less than {settings.identical:.0%} identical"
    if evidence.not_finite:
        return GateLine(
            name="adapter",
            label="adapter applied",
            ok=False,
            figure=evidence.not_finite.what,
            threshold=f"every number finite, {threshold}",
            change=evidence.not_finite.fix,
        )
    summary, results, facts = evidence.compare, evidence.results, evidence.adapter
    logit = summary.max_logit_difference if summary else None
    if logit is None and results is not None:
        logit = results.max_logit_difference
    parts, wrong = [], []
    if logit is not None:
        parts.append(f"largest logit difference {logit:.3g}")
        wrong.append(logit < LEAST_LOGIT)
    if summary is not None and summary.done:
        parts.append(f"{summary.identical} of {summary.done} answers are the base's own")
        wrong.append(summary.identical >= settings.identical * summary.done)
    if facts is not None and facts.update is not None:
        parts.append(f"changes the base's weights by {100 * facts.update:.3g}% at most")
        wrong.append(facts.update < LEAST_UPDATE)
    known = logit is not None or summary is not None
    return GateLine(
        name="adapter",
        label="adapter applied",
        ok=None if not (known or any(wrong)) else not any(wrong),
        figure="; ".join(parts) or evidence.compare_problem,
        threshold=threshold,
        change="see that the loss fell and lora_alpha / r is near 1 to 2, then train again"
        if any(wrong)
        else "",
        command=evidence.compare_command if not known else "",
    )


def _base(evidence: Evidence) -> GateLine:
    if not evidence.base_found:
        ok, figure = None, "the base is not on this machine"
    elif evidence.base_changed:
        ok, figure = False, "the base's files changed since the training"
    else:
        ok, figure = True, "the base's files are those of the training"
    return GateLine(
        name="base",
        label="same base",
        ok=ok,
        figure=figure,
        threshold="fingerprints equal",
        change="" if ok else "put the base of the training back, or train on the new one",
    )


def _template(evidence: Evidence) -> GateLine:
    """Trained as it will be served, on marks that the base knows."""
    trained, served, data = evidence.trained_template, evidence.served_template, evidence.data
    unknown = data.unknown_marks if data else []
    unused = data.unused_marks if data else []
    if unknown and unused:
        ok: bool | None = False
        figure = (
            f"the template writes {', '.join(unknown[:3])}, which the base's tokenizer splits up, "
            f"and none of the base's own {', '.join(unused[:3])}"
        )
    elif trained and served and plain(trained) != plain(served):
        ok, figure = False, "trained with another chat template than the base's, which is served"
    elif served or trained:
        ok, figure = True, "the adapter was trained with the template that is served"
    elif evidence.base_found:
        ok, figure = True, "neither base nor adapter has a chat template: plain text"
    else:
        ok, figure = None, "the base is not on this machine"
    return GateLine(
        name="template",
        label="chat template",
        ok=ok,
        figure=figure,
        threshold="the base's own, in training and in serving",
        change="put the chat_template.jinja that came with the base into its folder, train again"
        if ok is False
        else "",
    )


def plain(template: str) -> str:
    """A template without the tags that only mark what is trained, and space around it."""
    return _GENERATION_TAG.sub("", template).strip()


# Held-out prompts


def _held_out(evidence: Evidence, settings: GateSettings) -> GateLine:
    line = GateLine(
        name="held_out",
        label="held-out better",
        ok=None,
        figure=evidence.compare_problem,
        threshold=f"better than the base, p at most {ALPHA}",
        change="more or better training rows of the kind it fails on; more held-out prompts",
    )
    summary = evidence.compare
    if summary is None:
        line.command = evidence.compare_command
        return line
    metric = task_metric(summary, settings.metric)
    if metric is None:
        return _preferred(line, evidence)
    change, p = metric.difference or 0.0, metric.p
    gain = change if metric.direction != "lower" else -change
    line.at, line.limit = change, 0.0
    if metric.unit != "share" or metric.direction != "higher":
        line.at = line.limit = None
    elif metric.difference_interval is not None:
        line.low, line.high = metric.difference_interval.low, metric.difference_interval.high
    line.ok = gain > 0 and p is not None and p <= ALPHA
    line.figure = f"{metric.label}: {sides(metric)}; {change_of(metric)}"
    if left := [one for one in summary.left_out if not one.side]:
        line.figure += f"; {counted(len(left), 'prompt')} left out"
    if line.ok:
        line.change = ""
    elif metric.n < FEWEST:
        line.change = f"{metric.n} prompts show only large differences: hold out 50 or more"
    return line


def task_metric(summary: Summary, named: str | None) -> MetricSummary | None:
    """The metric that decides: the one named, else the report's main one; BadInput when the named
    one was not measured."""
    if named is not None:
        found = summary.metric(named)
        if found is None or found.adapter is None:
            known = ", ".join(m.name for m in summary.metrics) or "none: no references"
            raise BadInput(
                f"gate.metric in tuiwb.yaml is {named!r}, which was not measured: one of {known}"
            )
        return found
    measured = [m for m in summary.metrics if m.name in TASK_METRICS and m.adapter is not None]
    return main_metric(measured)


def _preferred(line: GateLine, evidence: Evidence) -> GateLine:
    """Without references: what people, else a trusted judge, prefer."""
    trusted = [j.summary for j in evidence.judges if j.summary.trusted]
    if evidence.votes is not None and evidence.votes.raters:
        who, counts = "people", evidence.votes.counts
    elif trusted:
        who, counts = trusted[0].model, trusted[0].preference.counts
    else:
        line.figure = "the prompts have no references, and nobody voted or judged"
        line.change = "vote on the pairs blind, or ask a judge"
        line.command = f"tuiwb judge {evidence.run}"
        return line
    p = sign_test(counts.wins, counts.losses)
    line.ok = counts.wins > counts.losses and p <= ALPHA
    line.figure = f"{who}: {won(counts, p)}"
    line.change = "" if line.ok else line.change
    return line


def _format(evidence: Evidence, settings: GateSettings) -> list[GateLine]:
    valid = evidence.compare.metric(JSON_VALID) if evidence.compare else None
    if valid is None or valid.adapter is None:
        return []
    ok = valid.adapter >= settings.format_valid and valid.adapter >= valid.base
    line = GateLine(
        name="format",
        label="format valid",
        ok=ok,
        figure=f"JSON valid: {sides(valid)}",
        threshold=f"at least {settings.format_valid:.0%}, and no less than the base",
        change="" if ok else "train longer, or mend the rows that break the format (tuiwb data)",
        at=valid.difference,
        limit=0.0,
    )
    if valid.difference_interval is not None:
        line.low, line.high = valid.difference_interval.low, valid.difference_interval.high
    return [line]


def _endings(evidence: Evidence, settings: GateSettings) -> GateLine:
    summary = evidence.compare
    line = GateLine(
        name="endings",
        label="answers end",
        ok=None,
        figure=evidence.compare_problem,
        threshold=f"at most {settings.cut:.0%} cut at the length limit or empty",
        command=evidence.compare_command,
    )
    if summary is not None and summary.adapter is not None and summary.done:
        bad = summary.adapter.cut + summary.adapter.empty
        line.ok = bad <= settings.cut * summary.done
        line.command = ""
        line.figure = (
            f"{summary.adapter.cut} of {summary.done} cut (base {summary.base.cut}), "
            f"{summary.adapter.empty} empty"
        )
        if not line.ok:
            line.change = (
                "see that the stop token is trained (the Data screen's masks), or raise "
                "--max-new-tokens of the comparison"
            )
    return line


def _unseen(evidence: Evidence) -> GateLine:
    seen = evidence.results.seen if evidence.results else None
    line = GateLine(
        name="unseen",
        label="prompts unseen",
        ok=None,
        figure="not known whether the prompts stand in the training rows",
        threshold="no held-out prompt in the training rows",
        change="split again: tuiwb data split keeps duplicates on one side",
    )
    compared = evidence.compare_spec.get("prompts")
    if evidence.compare_spec.get("seen_in_training"):
        line.ok, line.figure = False, "the comparison's prompts are a file that was trained on"
    elif seen is not None and evidence.compare is not None and compared not in seen.sources:
        line.figure = "the prompts that were compared on were not looked for in the training rows"
        line.command = f"tuiwb eval {evidence.run} --tasks seen"
    elif seen is None or not seen.whole:
        if seen is not None and seen.seen:
            line.ok = False
            line.figure = f"{seen.seen} of {seen.n} stand in the first {seen.rows} training rows"
        elif seen is not None:
            line.figure = f"none in {seen.rows} training rows looked at, which are not all"
        line.command = f"tuiwb eval {evidence.run} --tasks seen" if line.ok is None else ""
    elif seen.n == 0:
        line.figure = "neither the run nor a comparison has prompts that were held out"
        line.command = f"tuiwb compare {evidence.run} --prompts FILE"
    else:
        line.ok = seen.seen == 0
        where = f" ({', '.join(seen.where[:3])})" if seen.where else ""
        line.figure = f"{seen.seen} of {seen.n} in {seen.rows:,} training rows{where}"
    if line.ok:
        line.change = ""
    return line
