"""What the data as tokenised say before the first step: cut, masked, wrong marks, no stop."""

from collections.abc import Iterator
from typing import Any

from tuiwb.jobs.events import Alert
from tuiwb.monitor.triage.facts import DataFacts
from tuiwb.monitor.triage.rule import setting

# Shares of the rows: a note, a warning, critical.
CUT = (0.01, 0.1, 0.5)
MASKED = (0.0, 0.05, 0.3)
UNSTOPPED = (0.0, 0.02, 0.5)
FOREIGN = (0.0, 0.02, 0.5)
LONGEST = 8192  # tokens beyond which no max_length is offered by itself


def data_alerts(facts: DataFacts, spec: dict[str, Any]) -> Iterator[Alert]:
    """Everything worth saying about a run's data."""
    yield from _cut(facts, spec)
    yield from _masked(facts, spec)
    yield from _template(facts)
    yield from _foreign(facts)
    yield from _stop(facts, spec)


def _severity(count: int, of: int, steps: tuple[float, float, float]) -> str | None:
    share = count / of if of else 0.0
    note, warning, critical = steps
    if not count or share <= note:
        return None
    return "critical" if share >= critical else "warning" if share >= warning else "note"


def _longer(facts: DataFacts) -> dict[str, Any]:
    wanted = -(-facts.longest // 64) * 64
    return {"training.max_length": wanted} if 0 < wanted <= LONGEST else {}


def _cut(facts: DataFacts, spec: dict[str, Any]) -> Iterator[Alert]:
    severity = _severity(facts.cut, facts.rows, CUT)
    if severity is not None:
        limit = setting(spec, "training.max_length")
        yield Alert(
            rule="rows_cut",
            severity=severity,
            evidence=f"{facts.cut} of {facts.rows} rows are longer than max_length {limit} and "
            f"lose their end; the longest has {facts.longest} tokens",
            cause="max_length is too short for these rows: the model never sees how their answers "
            "end, and learns to ramble",
            fix="raise max_length to hold the longest row (memory grows with it), or split or drop "
            "the long rows",
            change=_longer(facts),
            look="the Data screen's lengths: which max_length cuts how many",
            rows=facts.cut_rows,
            numbers={"cut": float(facts.cut), "rows": float(facts.rows)},
        )


def _masked(facts: DataFacts, spec: dict[str, Any]) -> Iterator[Alert]:
    severity = _severity(facts.masked, facts.rows, MASKED)
    if severity is not None:
        yield Alert(
            rule="rows_masked",
            severity=severity,
            evidence=f"{facts.masked} of {facts.rows} rows have no trained token within "
            f"max_length {setting(spec, 'training.max_length')} and are left out",
            cause="their prompts alone fill max_length, or the template's mask misses their "
            "answers",
            fix="raise max_length, or shorten the prompts",
            change=_longer(facts),
            look="the Data screen's rendered rows: which tokens are trained",
            rows=facts.masked_rows,
            numbers={"masked": float(facts.masked), "rows": float(facts.rows)},
        )


def _template(facts: DataFacts) -> Iterator[Alert]:
    if not facts.unknown_marks:
        return
    wrong = bool(facts.unused_marks)
    unknown, unused = ", ".join(facts.unknown_marks[:4]), ", ".join(facts.unused_marks[:4])
    yield Alert(
        rule="chat_template",
        severity="critical" if wrong else "note",
        evidence=f"the chat template writes {len(facts.unknown_marks)} control tokens that the "
        f"tokenizer splits up: {unknown}"
        + (f"; the base's own marks are {unused}, and the template writes none of them" * wrong),
        cause="the chat template is another model family's"
        if wrong
        else "the base has no chat marks of its own: it must learn these from the data",
        fix="put the chat_template.jinja that came with the base into its folder; serve with the "
        "same one"
        if wrong
        else "fine for a base without a chat template; serve with the same template",
        look="the Data screen's rendered rows, and its template comparison",
    )


def _foreign(facts: DataFacts) -> Iterator[Alert]:
    severity = _severity(facts.foreign, facts.rows, FOREIGN)
    if severity is not None:
        yield Alert(
            rule="chat_template",
            severity=severity,
            evidence=f"{facts.foreign} rows hold {facts.foreign_mark} or the like in their text: "
            "control tokens of another model family, which this tokenizer splits up",
            cause="the rows were rendered for another model before, or copied from its output",
            fix="take the marks out of the text: the chat template writes the right ones",
            look="the Data screen's findings of the check `template`",
            rows=facts.foreign_rows,
            numbers={"foreign": float(facts.foreign), "rows": float(facts.rows)},
        )


def _stop(facts: DataFacts, spec: dict[str, Any]) -> Iterator[Alert]:
    severity = _severity(facts.unstopped, facts.uncut, UNSTOPPED)
    if severity is not None:
        yield Alert(
            rule="stop_token",
            severity=severity,
            evidence=f"{facts.unstopped} of {facts.uncut} whole rows train no token that ends an "
            "answer" + (f"; pad and end are both {facts.pad_token}" if facts.pad_is_eos else ""),
            cause="the template's {% generation %} block ends before the turn's end mark, so the "
            "model never learns to stop",
            fix="move the end mark into the {% generation %} block; until then "
            "assistant_only_loss: false trains on it, and on the user's turns too",
            change={"training.assistant_only_loss": False}
            if setting(spec, "training.assistant_only_loss", False)
            else {},
            look="the Data screen's rendered rows: is the last mark trained?",
            rows=facts.unstopped_rows,
            numbers={"unstopped": float(facts.unstopped), "rows": float(facts.uncut)},
        )
    if facts.pad_is_eos:
        yield Alert(
            rule="pad_is_eos",
            severity="note" if severity in (None, "note") else "warning",
            evidence=f"the tokenizer pads with {facts.pad_token}, which is also what ends an "
            "answer",
            cause="collators that mask padding by its id mask the end too, and the model never "
            "learns to stop; TRL's SFT masks by position, so here the end is trained",
            fix="give the tokenizer a pad token of its own (pad_token in tokenizer_config.json)",
            look="an answer of the fine-tune: does it end?",
        )
