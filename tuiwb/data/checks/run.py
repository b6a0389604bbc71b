"""Check a dataset: every check over every row, in one pass."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tuiwb.data.checks.answer_format import AnswerFormat
from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.empty import empty
from tuiwb.data.checks.finding import Finding, Report
from tuiwb.data.checks.injection import injection
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.malformed import malformed
from tuiwb.data.checks.pii import pii
from tuiwb.data.checks.preference import Thumbs, same_answers
from tuiwb.data.checks.role_order import role_order, tool_calls
from tuiwb.data.checks.similarity import FAST_FROM
from tuiwb.data.checks.too_long import TooLong
from tuiwb.data.read import open_dataset
from tuiwb.data.render import Sidecar, check_tokenizer
from tuiwb.data.rows import Row

MAX_LENGTH = 1024
STEP = 500
ROW_CHECKS = (malformed, empty, role_order, tool_calls, same_answers, pii, injection)
Progress = Callable[[str, int, int], None]


def check_dataset(
    path: str | Path,
    against: str | Path | None = None,
    *,
    model: str | None = None,
    max_length: int = MAX_LENGTH,
    sidecar: Sidecar | None = None,
    progress: Progress | None = None,
) -> Report:
    """All findings in the dataset at `path`, in the order of its rows.

    `against` is a held-out dataset to look for leaks of; with `model` (a folder or a cached hub
    id) tokens are counted against max_length, TRL's default where none is given. `progress` is
    called with a phase, rows done and rows in all; what it raises ends the check.
    """
    started = time.perf_counter()
    tell = progress or (lambda _phase, _done, _total: None)
    dataset = open_dataset(path)
    leakage = None
    if against is not None:
        tell("reading the held-out rows", 0, 0)
        leakage = Leakage(open_dataset(against), str(against))
    own = None
    too_long = None
    if model is not None:
        check_tokenizer(model)
        own = Sidecar() if sidecar is None else None
        too_long = TooLong(sidecar or own or Sidecar(), model, max_length, len(dataset))
    try:
        return _check(dataset, leakage, too_long, tell, started)
    finally:
        if own is not None:
            own.close()


def _check(
    rows: Any,
    leakage: Leakage | None,
    too_long: TooLong | None,
    tell: Progress,
    started: float,
) -> Report:
    total = len(rows)
    duplicates, thumbs, answers, audit = (
        Duplicates(rows.row, fast=total >= FAST_FROM),
        Thumbs(),
        AnswerFormat(),
        _Audit(),
    )
    findings: list[Finding] = []
    for row in rows:
        if row.index % STEP == 0:
            tell("checking rows", row.index, total)
        findings.extend(_of_row(row))
        findings.extend(thumbs(row))
        findings.extend(duplicates.add([row]))
        answers.add(row)
        audit.add(row)
        if leakage is not None:
            findings.extend(leakage.add([row]))
        if too_long is not None:
            findings.extend(too_long.add(row))
    if too_long is not None:
        tell("counting tokens", total, total)
        findings.extend(too_long.findings())
    tell("comparing rows", total, total)
    findings.extend(duplicates.end())
    findings.extend(answers.findings())
    if leakage is not None:
        tell("looking for held-out rows", total, total)
        findings.extend(leakage.end())
    findings.sort(key=lambda f: (f.row, f.check, f.field, f.start or 0))
    tell("done", total, total)
    summary = audit.summary(findings)
    summary["json_answers"] = answers.json_answers
    if too_long is not None:
        summary["tokens"] = too_long.audit()
    seconds = round(time.perf_counter() - started, 3)
    return Report(rows=total, seconds=seconds, findings=findings, audit=summary)


def _of_row(row: Row) -> Iterator[Finding]:
    for check in ROW_CHECKS:
        yield from check(row)


class _Audit:
    """Counts over the whole file."""

    def __init__(self) -> None:
        self._formats: Counter[str] = Counter()
        self._shapes: Counter[str] = Counter()
        self._roles: Counter[str] = Counter()
        self._systems: set[int] = set()
        self._characters: list[int] = []
        self._labels: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        self._formats[row.format] += 1
        self._shapes[row.shape] += 1
        if row.shape == "broken":
            return
        characters = 0
        for _field, role, text in row.fields():
            self._roles[role or "text"] += 1
            characters += len(text)
            if role == "system":
                self._systems.add(hash(text))
        self._characters.append(characters)
        if row.label is not None:
            self._labels["good" if row.label else "bad"] += 1

    def summary(self, findings: list[Finding]) -> dict[str, Any]:
        sizes = sorted(self._characters) or [0]
        flagged = {finding.row for finding in findings}
        return {
            "formats": dict(self._formats),
            "shapes": dict(self._shapes),
            "turns": dict(self._roles),
            "system_prompts": len(self._systems),
            "characters": {
                "median": sizes[len(sizes) // 2],
                "p95": sizes[int(0.95 * (len(sizes) - 1))],
                "longest": sizes[-1],
            },
            **({"labels": dict(self._labels)} if self._labels else {}),
            "checks": dict(Counter(finding.check for finding in findings).most_common()),
            "rows_with_findings": len(flagged),
        }
