"""What the fine-tune may have lost: canary set, general ability, odd prompts, benchmarks. Pure."""

from typing import Any

from tuiwb.compare.evaluation.results import Suite
from tuiwb.compare.gate.evidence import Evidence
from tuiwb.compare.gate.line import (
    ALPHA,
    GateLine,
    alarms_of,
    caught,
    count_of,
    regression_of,
    right_of,
)
from tuiwb.project import GateSettings

FEWEST = 20  # items of a suite below which nothing can be said of 5%


def _suite(evidence: Evidence, line: GateLine) -> Suite | None:
    """The line's suite, where it was run; else the line says why not and what would run it."""
    suite = evidence.results.suite(line.name) if evidence.results else None
    if suite is not None and suite.state == "done":
        line.at = -suite.regression
        if suite.interval is not None:
            line.low, line.high = suite.interval.low, suite.interval.high
        return suite
    if suite is not None:
        line.figure, line.change = "not run", suite.reason
    else:
        line.figure = evidence.eval_problem or "not run"
        line.command = f"tuiwb eval {evidence.run} --tasks {line.name}"
    return None


def _line(name: str, label: str, threshold: str, most: float) -> GateLine:
    """An open line: nothing measured yet. `most` is the loss that still passes, of 1."""
    return GateLine(name=name, label=label, ok=None, figure="", threshold=threshold, limit=most)


def _within(suite: Suite, most: float) -> bool:
    """Whether the loss is at most `most`; a loss of exactly that passes."""
    return suite.regression <= most + 1e-12


def canary(evidence: Evidence, settings: GateSettings) -> GateLine:
    most = settings.canary_regression
    line = _line("canary", "canary set", f"regression at most {most:.0%}", most)
    suite = _suite(evidence, line)
    if suite is None:
        return line
    line.figure = f"{right_of(suite)}; {regression_of(suite)}{alarms_of(suite)}"
    if suite.n < FEWEST:
        line.change = f"{suite.n} questions can't show {most:.0%}: write 50 or more"
    elif suite.base < settings.canary_base:
        line.figure = f"the base itself has {count_of(suite.base, suite.n)} right: {line.figure}"
        line.change = (
            f"a set that the base fails shows no loss: take questions it answers right (at least "
            f"{settings.canary_base:.0%}), and see that its chat template is the one it came with"
        )
    else:
        line.ok = _within(suite, most)
        if line.ok and 0 < most < 0.5:
            line.figure += f"; {caught(suite.n, most)}"
        line.change = "" if line.ok else _forgets(evidence)
    return line


def general(evidence: Evidence, settings: GateSettings) -> GateLine:
    most = settings.general_drop
    line = _line("general", "general ability", f"at most {most:.0%} lost", most)
    suite = _suite(evidence, line)
    if suite is None:
        return line
    chance = f", chance {suite.chance:.0%}" if suite.chance is not None else ""
    line.figure = f"{right_of(suite)}{chance}; {regression_of(suite)}"
    floor = suite.base_interval.low if suite.base_interval else 0.0
    if suite.chance is not None and floor <= suite.chance:
        line.change = (
            "the base itself is at chance, so this probe shows no loss: use a larger base, "
            "benchmarks, or list general under gate.optional in tuiwb.yaml"
        )
    else:
        line.ok = _within(suite, most)
        line.change = "" if line.ok else _forgets(evidence)
    return line


def ood(evidence: Evidence, settings: GateSettings) -> list[GateLine]:
    """Odd prompts: a line where the project has any."""
    suite = evidence.results.suite("ood") if evidence.results else None
    most = settings.ood_drop
    threshold = f"at most {most:.0%} fewer sound answers than the base"
    line = _line("ood", "odd prompts sound", threshold, most)
    if suite is not None and suite.state == "not run" and suite.source == "":
        line.required = False
    suite = _suite(evidence, line)
    if suite is None:
        return [line]
    made_up = sum(suite.notes.values())
    told = f"; {made_up} of {suite.n} file facts the prompt doesn't hold" if made_up else ""
    faults = "; ".join(f"{count} {why}" for why, count in list(suite.faults.items())[:3])
    line.figure = f"{right_of(suite, 'sound')}{f' ({faults})' if faults else ''}{told}"
    if suite.n < FEWEST:
        line.figure += f"; {suite.n} prompts can't show {most:.0%}"
    line.ok = _within(suite, most)
    if settings.ood_invented is not None and suite.n:
        line.threshold += f", at most {settings.ood_invented:.0%} with invented facts"
        line.ok = line.ok and made_up / suite.n <= settings.ood_invented
    if not line.ok:
        line.change = "add rows of these kinds to the training data, with the answer wanted"
    return [line]


def benchmarks(evidence: Evidence, settings: GateSettings) -> list[GateLine]:
    own = ("canary", "ood", "general")
    found = []
    for suite in evidence.results.suites if evidence.results else []:
        if suite.name in own:
            continue
        line = GateLine(
            name=suite.name,
            label=suite.name,
            ok=None,
            figure=f"not run: {suite.reason}",
            threshold=f"no loss above {settings.general_drop:.0%} shown (one-sided p {ALPHA})",
            required=suite.state == "done",
            limit=settings.general_drop,
        )
        if suite.state == "done" and _suite(evidence, line) is not None:
            lost = suite.regression > settings.general_drop
            line.ok = not (lost and (suite.p_worse or 0.0) <= ALPHA)
            line.figure = (
                f"{suite.metric} {suite.adapter:.1%}, base {suite.base:.1%} of {suite.n}; "
                f"{regression_of(suite)}"
            )
            line.change = "" if line.ok else _forgets(evidence)
        found.append(line)
    return found


def _forgets(evidence: Evidence) -> str:
    """What mends forgetting, with the run's own numbers."""
    training: Any = evidence.spec.get("training")
    rate = training.get("learning_rate") if isinstance(training, dict) else None
    now = f" (now {rate:g})" if isinstance(rate, int | float) else ""
    mix = (
        f"mix more general rows into data.train ({evidence.mixed_in})"
        if evidence.mixed_in
        else "mix 5 to 20% general rows into data.train"
    )
    if evidence.further_files:
        mix += f" (now {evidence.further_files})"
    return f"{mix}, lower training.learning_rate{now}, or train for fewer steps"
