"""Check a dataset: every check over every row, in one pass."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tuiwb.data.checks.answer_format import Format
from tuiwb.data.checks.check import MAX_LENGTH, Audited, Check, EachRow
from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.empty import Empty
from tuiwb.data.checks.encoding import Encoding
from tuiwb.data.checks.finding import Finding, Report, encodable
from tuiwb.data.checks.injection import Injection
from tuiwb.data.checks.language import Language
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.lengths import Lengths
from tuiwb.data.checks.malformed import Malformed
from tuiwb.data.checks.masking import masked_audit, masked_findings
from tuiwb.data.checks.overview import Overview
from tuiwb.data.checks.pii import PersonalData
from tuiwb.data.checks.preference import BothLabels, Pairs, same_answers
from tuiwb.data.checks.provenance import SyntheticShare
from tuiwb.data.checks.refusal import Refusals
from tuiwb.data.checks.repetition import Repetition
from tuiwb.data.checks.role_order import RoleOrder
from tuiwb.data.checks.similarity import is_large
from tuiwb.data.checks.sizing import Sizing
from tuiwb.data.checks.system_prompts import SystemPrompts
from tuiwb.data.checks.template import ControlTokens
from tuiwb.data.checks.too_long import TooLong
from tuiwb.data.checks.tool_calls import tool_calls
from tuiwb.data.columns import ColumnsBuilder, RowColumns
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.render import Sidecar, check_tokenizer
from tuiwb.errors import BadInput

BATCH = 2000
# Findings of the whole dataset between two words of progress, at which a stop is heard.
TOLD_EVERY = 200
COMPARING = "comparing rows"
ROW_CHECKS = (tool_calls, same_answers)
TOKEN = "control_token"
Progress = Callable[[str, int, int], None]


def check_dataset(
    path: str | Path | Sequence[str | Path],
    against: str | Path | None = None,
    *,
    model: str | None = None,
    max_length: int = MAX_LENGTH,
    use: str | None = None,
    cache: Path | None = None,
    sidecar: Sidecar | None = None,
    progress: Progress | None = None,
    keep_columns: Callable[[RowColumns], None] | None = None,
) -> Report:
    """All findings in the dataset at `path` (several paths are one dataset), in row order.

    `against` is a held-out dataset to look for leaks of; with `model` (a folder or a cached hub
    id) tokens are counted against max_length, TRL's default where none is given; `use` is what the
    fine-tune is for, of sizing.uses(). `progress` is called with a phase, rows done and rows in
    all; what it raises ends the check. `cache` is open_dataset's. `keep_columns` is handed what
    rows can be sorted by.
    """
    started = time.perf_counter()
    tell = progress or (lambda _phase, _done, _total: None)
    paths = [path] if isinstance(path, (str, Path)) else path
    if against is not None and Path(against).resolve() in [Path(p).resolve() for p in paths]:
        raise BadInput(f"{against} is the held-out set itself: give the training set to check")
    dataset = open_dataset(path, cache=cache)
    fast = is_large(len(dataset), dataset.size)
    checks = _checks(dataset, use, fast)
    if against is not None:
        tell("reading the held-out rows", 0, 0)
        held_out = open_dataset(against, cache=cache)
        checks.append(("leakage", Leakage(held_out, str(against), fast=fast)))
    if model is None:
        checks.append(("control_tokens", ControlTokens()))
        return _check(dataset, checks, tell, started, keep_columns)
    check_tokenizer(model)
    counting = sidecar or Sidecar()
    try:
        mixed = dataset.format == "mixed"
        tokens = TooLong(counting, model, max_length, len(dataset), as_chat=mixed)
        checks += [("tokens", tokens), ("control_tokens", ControlTokens(tokens.facts))]
        return _check(dataset, checks, tell, started, keep_columns)
    finally:
        if counting is not sidecar:
            counting.close()


def _checks(dataset: Dataset, use: str | None, fast: bool) -> list[tuple[str, Check]]:
    """Each check with its name, under which its audit stands."""
    return [
        ("overview", Overview()),
        ("malformed", Malformed()),
        ("empty", Empty()),
        ("single_rows", EachRow(ROW_CHECKS)),
        ("pii", PersonalData()),
        ("role_order", RoleOrder()),
        ("injection", Injection()),
        ("duplicates", Duplicates(dataset.row, fast=fast)),
        ("encoding", Encoding()),
        ("refusals", Refusals()),
        ("repetition", Repetition()),
        ("answers", Format()),
        ("preference", Pairs()),
        ("both_labels", BothLabels()),
        ("lengths", Lengths()),
        ("language", Language()),
        ("sizing", Sizing(use)),
        ("system_prompts", SystemPrompts()),
        ("human_share", SyntheticShare()),
    ]


def _check(
    dataset: Dataset,
    checks: list[tuple[str, Check]],
    tell: Progress,
    started: float,
    keep_columns: Callable[[RowColumns], None] | None,
) -> Report:
    total, done = len(dataset), 0
    findings: list[Finding] = []
    columns = ColumnsBuilder() if keep_columns is not None else None
    tell("checking rows", 0, total)
    for rows in dataset.batches(BATCH):
        for _name, check in checks:
            findings.extend(check.add(rows))
        if columns is not None:
            columns.add(rows)
        done += len(rows)
        tell("checking rows", done, total)
    for done, (_name, check) in enumerate(checks):
        tell(COMPARING, done, len(checks))
        for told, finding in enumerate(check.end(), 1):
            findings.append(finding)
            if told % TOLD_EVERY == 0:
                tell(COMPARING, done, len(checks))
    findings = list(masked_findings(_said_once(findings)))
    findings.sort(key=lambda f: (f.row, f.check, f.field, f.start or 0))
    if columns is not None and keep_columns is not None:
        keep_columns(columns.columns())
    tell("done", total, total)
    seconds = round(time.perf_counter() - started, 3)
    return Report(rows=total, seconds=seconds, findings=findings, audit=_audit(checks, findings))


def _said_once(findings: list[Finding]) -> list[Finding]:
    """Without the template check's control tokens where injection names the same field's."""
    named = {(f.row, f.field) for f in findings if (f.check, f.kind) == ("injection", TOKEN)}
    return [
        f
        for f in findings
        if (f.check, f.kind) != ("template", TOKEN) or (f.row, f.field) not in named
    ]


def _audit(checks: Sequence[tuple[str, Check]], findings: list[Finding]) -> dict[str, Any]:
    audit: dict[str, Any] = {}
    for name, check in checks:
        if isinstance(check, Audited):
            counted = check.audit()
            audit |= counted if name == "overview" else {name: counted}
    audit["checks"] = dict(Counter(finding.check for finding in findings).most_common())
    audit["rows_with_findings"] = len({finding.row for finding in findings})
    told: dict[str, Any] = masked_audit(encodable(audit))
    return told
