"""Clean a dataset into a new version: marks, fixes, redaction, checks, duplicates, repeats.

In: a dataset's path and what to do. Out: a new version with a manifest that counts every operation
and a list of every row left out. The operations always run in the order of `Cleaning`'s fields.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.similarity import JACCARD
from tuiwb.data.fixes import FIXES, fixes_named
from tuiwb.data.formats import to_row
from tuiwb.data.manifest import HELD_OUT_ROWS, Operation
from tuiwb.data.marks import NOTHING, Marks, State
from tuiwb.data.read import open_dataset
from tuiwb.data.records import Rows, Stored, answer_length, batches, unread_note
from tuiwb.data.redact import kinds_named, redact
from tuiwb.data.repeats import NEAR, Dropped, Repeats, Worth
from tuiwb.data.row_findings import LEAKAGE, NAMES, OF_A_ROW, OfAll, findings_of
from tuiwb.data.rows import Row
from tuiwb.data.scratch import Scratch
from tuiwb.data.versions import (
    Journal,
    Outcome,
    Progress,
    Source,
    VersionWriter,
    name_of,
    versions_root,
)
from tuiwb.errors import BadInput

DEFAULT_FIXES = ("invisible", "line_ends", "trailing_space", "empty_system")
MOST_REPEATS = 100


class Cleaning(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to do, in this order; `DEFAULT` is what a person gets who asks for nothing special.

    apply_marks: drop rows marked drop, and those rejected in review, put edits in; rows marked keep
    are never dropped, rejected or not.
    fix: names from fixes.FIXES. redact: kinds of personal data, [] for all, None for none.
    drop_checks: rows in which a check finds something; drop_severity: only findings of it (error,
    or warning for any); alone, those of every check of single rows. against: the held-out set
    that the check "leakage" looks for.
    drop_exact, drop_near: copies, keeping the best (see repeats.Worth); near takes exact along.
    repeat: mark -> how many times its rows stand in the result.
    """

    apply_marks: bool = False
    fix: list[str] = []
    redact: list[str] | None = None
    drop_checks: list[str] = []
    drop_severity: str | None = None
    against: str | None = None
    drop_exact: bool = False
    drop_near: bool = False
    repeat: dict[str, int] = {}


DEFAULT = Cleaning(apply_marks=True, fix=list(DEFAULT_FIXES), drop_exact=True, drop_near=True)


def clean(
    path: str | Path,
    cleaning: Cleaning = DEFAULT,
    *,
    name: str | None = None,
    root: str | Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the cleaned dataset as a new version; with `dry_run` only count.

    `name` is the version's name without its number, `root` the folder of versions. BadInput when
    nothing is to be done, when no row is left, or when the file changes meanwhile.
    """
    cleaning = checked(cleaning)
    dataset = open_dataset(path)
    held_out = None if cleaning.against is None else open_dataset(cleaning.against)
    marks = Marks(path, dataset)
    if dry_run:
        work = _Work(dataset, cleaning, marks, held_out, progress, None)
        operations = work.run()
        return Outcome(folder=None, operations=operations, notes=work.notes)
    with VersionWriter(Path(root or versions_root(path)), name or name_of(path)) as writer:
        sources: list[Source | Journal] = [Source(path, len(dataset), dataset.files)]
        if marks.size and (cleaning.apply_marks or cleaning.repeat):
            sources.append(Journal(marks.path, len(marks), marks.size))
        if held_out is not None:
            against = held_out.path, len(held_out), held_out.files
            sources.append(Source(*against, role=HELD_OUT_ROWS))
        work = _Work(dataset, cleaning, marks, held_out, progress, writer)
        operations = work.run()
        folder, version = writer.finish(sources, operations, notes=tuple(work.notes))
    return Outcome(folder=str(folder), operations=operations, notes=work.notes, version=version)


def checked(cleaning: Cleaning) -> Cleaning:
    """The cleaning with its names in their order; BadInput for one that can't be done."""
    if cleaning == Cleaning():
        raise BadInput("nothing to do: name at least one operation")
    redacted = None if cleaning.redact is None else list(kinds_named(cleaning.redact))
    if cleaning.drop_severity not in (None, "error", "warning"):
        raise BadInput(f"{cleaning.drop_severity!r} is no severity: error or warning")
    if (LEAKAGE in cleaning.drop_checks) != (cleaning.against is not None):
        raise BadInput("dropping rows by leakage needs a held-out set, and it alone takes one")
    for name in cleaning.drop_checks:
        if name not in NAMES:
            raise BadInput(f"rows can't be dropped by {name!r} here: one of {', '.join(NAMES)}")
    for mark, times in cleaning.repeat.items():
        if mark not in ("hard", "keep", "accept"):
            raise BadInput(f"rows marked {mark!r} can't be repeated: hard, keep or accept")
        if not 1 <= times <= MOST_REPEATS:
            raise BadInput(f"rows can be repeated 1 to {MOST_REPEATS} times, not {times}")
    return structs.replace(cleaning, fix=fixes_named(cleaning.fix), redact=redacted)


class _Count:
    """What one operation did, for the manifest."""

    def __init__(self, op: str, **parameters: Any) -> None:
        self.op, self.parameters = op, parameters
        self.rows_in = self.changed = self.added = 0
        self.dropped: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()

    def operation(self) -> Operation:
        """Its entry in the manifest."""
        counts: dict[str, Any] = {"in": self.rows_in}
        counts["out"] = self.rows_in - self.dropped.total() + self.added
        counts |= {"dropped": dict(self.dropped), "changed": self.changed}
        counts |= {"spans": dict(self.kinds)} if self.op == "redact" else {}
        return Operation(op=self.op, parameters=self.parameters, counts=counts)


class _Work:
    """One cleaning: rows are mended one by one into a scratch file, compared, then written."""

    def __init__(
        self,
        dataset: Stored,
        cleaning: Cleaning,
        marks: Marks,
        held_out: Rows | None,
        progress: Progress | None,
        writer: VersionWriter | None,
    ) -> None:
        self.notes = unread_note(dataset)
        self._dataset, self._do, self._marks, self._writer = dataset, cleaning, marks, writer
        self._tell = progress or (lambda _phase, _done, _total: None)
        self._read = _Count("read")
        self._marked = _Count("apply_marks")
        self._fixes = {name: _Count(f"fix_{name}") for name in cleaning.fix}
        self._redacted = _Count("redact", kinds=cleaning.redact)
        asked = {"checks": cleaning.drop_checks, "severity": cleaning.drop_severity}
        asked |= {"against": cleaning.against} if cleaning.against else {}
        self._checked = _Count("drop_findings", **asked)
        self._held_out = held_out
        op = "drop_near_duplicates" if cleaning.drop_near else "drop_exact_duplicates"
        self._compared = _Count(op, threshold=JACCARD) if cleaning.drop_near else _Count(op)
        self._repeated = _Count("repeat", times=cleaning.repeat)
        self._kept = Scratch(None if writer is None else writer.folder)
        self._states: dict[int, State] = {}

    def run(self) -> list[Operation]:
        """Do it all; the operations that were asked for, with their counts."""
        do = self._do
        total = len(self._dataset)
        compare = do.drop_exact or do.drop_near
        repeats = Repeats(total, near=do.drop_near) if compare else None
        of_all = OfAll(do.drop_checks, self._held_out or (), do.against or "")
        done = 0
        for rows in batches(self._dataset):
            self._tell("cleaning rows", done, total)
            mended = self._mended(rows)
            of_all.add(mended)
            if repeats is not None and not of_all:
                repeats.add(mended)
            for row in mended:
                self._kept.add(row)
            done += len(rows)
        gone = self._found_in_all(of_all)
        dropped = {}
        if repeats is not None:
            self._tell("comparing rows", total, total)
            if of_all:
                for rows in batches(row for row in self._kept if row.index not in gone):
                    repeats.add(rows)
            dropped = repeats.to_drop(self._weigh, self._kept.open)
        self._write(dropped, gone)
        counts = [self._read]
        counts += [self._marked] if do.apply_marks else []
        counts += [*self._fixes.values()]
        counts += [self._redacted] if do.redact is not None else []
        counts += [self._checked] if do.drop_checks or do.drop_severity else []
        counts += [self._compared] if compare else []
        counts += [self._repeated] if do.repeat else []
        if stale := self._marks.stale(self._dataset) if do.apply_marks or do.repeat else []:
            where = ", ".join(str(row) for row, _state in stale[:10])
            self.notes.append(
                f"{len(stale)} marks match no row any more, made for rows {where}"
                + (", ..." if len(stale) > 10 else "")
            )
        return [count.operation() for count in counts]

    def _mended(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that stay, as they are to be written; the others are listed as dropped."""
        mended = []
        for row in rows:
            state = NOTHING
            if self._do.apply_marks or self._do.repeat:
                state = self._marks.state(row)
            new = self._row(row, state)
            if new is not None:
                mended.append(new)
                if state is not NOTHING:
                    self._states[row.index] = state
        return self._without_findings(mended)

    def _row(self, row: Row, state: State) -> Row | None:
        edited = row
        if self._do.apply_marks and state.record is not None:
            edited = to_row(state.record, row.file, row.index, row.line)
        self._read.rows_in += 1
        if edited.shape == "broken":
            self._drop(self._read, row, "broken", f"the row {row.problem}")
            return None
        if self._do.apply_marks:
            self._marked.rows_in += 1
            # A person's keep outweighs a verdict: rows marked keep are never dropped.
            if state.flag == "drop" or (state.verdict == "reject" and state.flag != "keep"):
                note = f": {state.note}" if state.note else ""
                reason = "drop" if state.flag == "drop" else "reject"
                word = "marked drop" if reason == "drop" else "rejected in review"
                self._drop(self._marked, row, reason, f"the row was {word}{note}")
                return None
            self._marked.changed += edited is not row
        fixed = edited
        for name, count in self._fixes.items():
            before = fixed
            fixed = FIXES[name](before)
            count.rows_in += 1
            count.changed += fixed is not before
        if self._do.redact is not None:
            self._redacted.rows_in += 1
            fixed, spans = redact(fixed, self._do.redact)
            self._redacted.changed += bool(spans)
            self._redacted.kinds.update(spans)
        return fixed

    def _without_findings(self, rows: list[Row]) -> list[Row]:
        do = self._do
        self._checked.rows_in += len(rows)
        if not do.drop_severity and not {*do.drop_checks} & {*OF_A_ROW}:
            return rows
        found = self._first_of(findings_of(rows))
        for row in rows:
            if row.index in found:
                finding = found[row.index]
                self._drop(self._checked, row, finding.check, finding.sentence)
        return [row for row in rows if row.index not in found]

    def _found_in_all(self, of_all: OfAll) -> set[int]:
        """The rows that go by a check of all rows; they are listed as dropped."""
        if not of_all:
            return set()
        found = self._first_of(of_all.end())
        for index, finding in sorted(found.items()):
            row = self._dataset.row(index)
            self._drop(self._checked, row, finding.check, finding.sentence)
        return set(found)

    def _first_of(self, findings: Iterable[Finding]) -> dict[int, Finding]:
        """The first finding of each row that is to go by it."""
        do = self._do
        found: dict[int, Finding] = {}
        for finding in findings:
            by_check = not do.drop_checks or finding.check in do.drop_checks
            severe = do.drop_severity != "error" or finding.severity == "error"
            kept = self._states.get(finding.row, NOTHING).flag == "keep"
            if by_check and severe and not kept:
                found.setdefault(finding.row, finding)
        return found

    def _weigh(self, rows: Sequence[int]) -> dict[int, Worth]:
        worth = {}
        for batch in batches(self._kept.open(rows)):
            findings = Counter(finding.row for finding in findings_of(batch))
            for row in batch:
                keep = self._states.get(row.index, NOTHING).flag == "keep"
                found = findings[row.index]
                worth[row.index] = Worth(keep, found, answer_length(row), row.label)
        return worth

    def _write(self, dropped: dict[int, Dropped], gone: set[int]) -> None:
        total = len(self._kept)
        self._compared.rows_in = total - len(gone)
        for n, (index, record) in enumerate(self._kept.lines()):
            if n % 5000 == 0:
                self._tell("writing rows", n, total)
            if index in gone:
                continue
            if drop := dropped.get(index):
                row = self._dataset.row(index)
                why = f"says what row {drop.of} says"
                if drop.reason == NEAR:
                    why = f"says nearly what row {drop.of} says ({drop.score:.0%})"
                self._drop(self._compared, row, drop.reason, why, drop.of)
                continue
            self._repeated.rows_in += 1
            times = 1
            if index in self._states:
                state = self._states[index]
                repeat = self._do.repeat
                times = max(repeat.get(name or "", 1) for name in (state.flag, state.verdict))
            self._repeated.added += times - 1
            if self._writer is not None:
                for _ in range(times):
                    self._writer.write_line(record)
        if self._repeated.rows_in == 0:
            raise BadInput(f"no row of {self._read.rows_in:,} is left: nothing was written")
        self._tell("writing rows", total, total)

    def _drop(self, count: _Count, row: Row, reason: str, why: str, of: int | None = None) -> None:
        count.dropped[reason] += 1
        if self._writer is not None:
            self._writer.drop(row, count.op, reason, why, of)
