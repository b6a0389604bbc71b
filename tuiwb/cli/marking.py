"""`tuiwb data mark, marks, edit, review`: what a person decides about rows, beside the file."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    note,
    say,
    say_json,
    say_table,
)
from tuiwb.cli.row_editor import edited_by_hand
from tuiwb.data.editing import diff, parse_edit
from tuiwb.data.formats import to_row
from tuiwb.data.marks import FLAGS, Marks
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.text import counted

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A dataset.")]
NoteOption = Annotated[str, typer.Option("--note", help="Why, for whoever looks later.")]
_KEYS = "[a]ccept  [r]eject  [e]dit  [s]kip  [u]ndo  [q]uit"
_MOST = 1_000_000


def mark(
    file: FileArgument,
    rows: Annotated[str, typer.Argument(metavar="ROWS", help="From 0, e.g. 3 or 3,7-9.")],
    flag: Annotated[str, typer.Argument(metavar="keep|drop|hard|none")],
    why: NoteOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mark rows beside the file; `clean --apply-marks` acts on it. none takes marks away."""
    if flag not in (*FLAGS, "none"):
        raise BadInput(f"{flag!r} is no mark: one of {', '.join(FLAGS)} or none")
    file = from_project(file, project)
    dataset = open_dataset(file)
    marks = Marks(file, dataset)
    numbers = _numbers(rows)
    marks.mark((dataset.row(n) for n in numbers), None if flag == "none" else flag, note=why)
    if as_json:
        say_json({"file": str(file), "rows": numbers, "mark": flag, "counts": marks.counts()})
    else:
        said = f"marked {flag}" if flag != "none" else "no longer marked"
        say(f"{counted(len(numbers), 'row')} {said}; now {_counts(marks)}")


def marks(
    file: FileArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last step back.")] = False,
    redo: Annotated[bool, typer.Option("--redo", help="Do again what was undone.")] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List marked and edited rows, and marks that lost their row."""
    file = from_project(file, project)
    dataset = open_dataset(file)
    journal = Marks(file, dataset)
    if undo or redo:
        step = journal.undo() if undo else journal.redo()
        if not step:
            raise BadInput(f"there is nothing to {'undo' if undo else 'redo'} in {journal.path}")
    entries: list[dict[str, Any]] = []
    for row in dataset if len(journal) else ():
        state = journal.state(row)
        if state.mark or state.record is not None:
            entries.append(
                {"row": row.index, "line": row.line, "mark": state.flag, "verdict": state.verdict,
                 "edited": state.record is not None, "note": state.note, "by": state.by,
                 "t": state.t}
            )  # fmt: skip
    stale = [
        {"row": row, "mark": state.flag, "verdict": state.verdict,
         "edited": state.record is not None, "note": state.note}
        for row, state in journal.stale(dataset)
    ]  # fmt: skip
    if as_json:
        say_json({"file": str(file), "marks": entries, "counts": journal.counts(), "stale": stale})
        return
    if entries:
        say_table(
            ["row", "line", "mark", "verdict", "", "by", "note"],
            [
                [str(e["row"]), str(e["line"]), e["mark"] or "", e["verdict"] or "",
                 "edited" if e["edited"] else "", e["by"], e["note"]]
                for e in entries
            ],
        )  # fmt: skip
    say(_counts(journal))
    for entry in stale:
        what = entry["mark"] or entry["verdict"] or "an edit"
        say(f"stale: {what}, made for row {entry['row']}, whose content is no longer in the file")


def edit(
    file: FileArgument,
    row: Annotated[int, typer.Argument(min=0, help="Which row, from 0.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The new record as JSON; - reads stdin."),
    ] = None,
    revert: Annotated[bool, typer.Option("--revert", help="Take the row's edit back.")] = False,
    accept: Annotated[
        bool, typer.Option("--accept", help="Accept the row as edited, as review does.")
    ] = False,
    why: NoteOption = "",
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Edit a row in $EDITOR; the edit is kept beside the file.

    `clean --apply-marks` puts it in.
    """
    file = from_project(file, project)
    dataset = open_dataset(file)
    journal, shown = Marks(file, dataset), dataset.row(row)
    before = _edited(shown, journal)
    if revert:
        journal.edit(shown, None, note=why)
        changes = []
    else:

        def keep(record: dict[str, Any]) -> None:
            journal.edit(shown, record, note=why, mark="accept" if accept else None)

        if source is None:
            said = [f"--note={why}"] if why else []
            options = [*said, *(["--accept"] if accept else [])]
            changes = edited_by_hand(file, before, keep, options)
        else:
            record = parse_edit(_text_of(from_project(source, project)))
            changes = diff(before, record)
            if changes:
                keep(record)
    if as_json:
        say_json({"file": str(file), "row": row, "changed": bool(changes) or revert,
                  "diff": changes})  # fmt: skip
        return
    for line in changes:
        say(line)
    say("the edit is taken back" if revert else "edited" if changes else "nothing changed")


def review(
    file: FileArgument,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many rows to look at.")] = 100,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    only_synthetic: Annotated[
        bool, typer.Option("--only-synthetic", help="Rows a model wrote, by their provenance.")
    ] = False,
    report: Annotated[
        bool, typer.Option("--report", help="Only say what has been reviewed.")
    ] = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a random sample of rows and accept, reject or edit each.

    Verdicts are kept at once: the same sample goes on where it was left. Without a terminal the
    answers (a, r, e, s, u, q) are read from stdin, one a line.
    """
    from tuiwb.data.review import is_synthetic, review_of, synthetic_rows
    from tuiwb.data.review import sample as sample_of

    file = from_project(file, project)
    dataset = open_dataset(file)
    journal = Marks(file, dataset)
    if not report:
        only = synthetic_rows(dataset) if only_synthetic else None
        if only == []:
            raise BadInput(f"{file} has no row whose provenance says a model wrote it")
        rows = sample_of(dataset, sample, seed, only=only)
        _walk(file, dataset, journal, rows, quiet=as_json)
    done = review_of(dataset, journal, counts=is_synthetic if only_synthetic else lambda _: True)
    if as_json:
        say_json(done)
        return
    say(f"{done.reviewed:,} of {counted(done.rows, 'row')} reviewed ({done.share:.1%})")
    if done.acceptance is not None:
        say(
            f"{done.accepted:,} accepted ({done.edited:,} after an edit), {done.rejected:,} "
            f"rejected: {done.acceptance:.1%} acceptance (95% interval {done.low:.1%} to "
            f"{done.high:.1%})"
        )


COMMANDS = (mark, marks, edit, review)


def _walk(file: Path, dataset: Dataset, journal: Marks, rows: list[int], quiet: bool) -> None:
    """Show each row that has no verdict yet and take one; undo goes back to the one before."""
    put = note if quiet else say
    answers = _answers(put)
    open_rows = [n for n in rows if journal.state(dataset.row(n)).verdict is None]
    decided: list[int] = []
    at = 0
    while at < len(open_rows):
        row = dataset.row(open_rows[at])
        _show(dataset, journal, row, f"{at + 1} of {len(open_rows)}", put)
        answer = next(answers, "q")
        if answer in ("a", "r"):
            journal.mark(row, "accept" if answer == "a" else "reject")
            decided.append(at)
            at += 1
        elif answer == "e":
            if _edit_in_review(file, journal, row, put):
                decided.append(at)
                at += 1
        elif answer == "s":
            at += 1
        elif answer == "u":
            if decided:
                journal.undo()
                at = decided.pop()
            else:
                put("there is nothing to undo in this sitting")
        elif answer == "q":
            return
        else:
            put(f"{answer[:20]!r} is no answer: {_KEYS}")


def _show(dataset: Dataset, journal: Marks, row: Row, where: str, put: Any) -> None:
    from tuiwb.data.render import conversation_text
    from tuiwb.data.row_findings import findings_of

    shown = _edited(row, journal)
    edited = ", edited" if shown is not row else ""
    _forget_what_was_typed()
    put("")
    put(f"── {where}: {row.where}, row {row.index} of {len(dataset)}{edited}")
    for finding in findings_of([shown]):
        put(f"{'!' if finding.severity == 'error' else '-'} {finding.check}: {finding.sentence}")
    put(f"broken: {row.problem}" if shown.shape == "broken" else conversation_text(shown))
    put(_KEYS)


def _forget_what_was_typed() -> None:
    """A key from before the row was there is no word on it."""
    if sys.stdin.isatty():
        import termios

        termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)


def _edit_in_review(file: Path, journal: Marks, row: Row, put: Any) -> bool:
    def accept(record: dict[str, Any]) -> None:
        journal.edit(row, record, mark="accept")

    try:
        changes = edited_by_hand(file, _edited(row, journal), accept, ["--accept"])
        for line in changes:
            put(line)
        if not changes:
            put("nothing changed")
        return bool(changes)
    except TuiwbError as error:
        put(f"error: {error}")
        return False


def _answers(put: Any) -> Iterator[str]:
    """What is pressed in a terminal, one key each; else the first letter of each line."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                yield line.strip()[:1].lower()
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    while True:
        before = termios.tcgetattr(fd)
        try:
            # Keys one by one; Ctrl-C still interrupts. A key that came since the row is kept.
            tty.setcbreak(fd, termios.TCSADRAIN)
            key = os.read(fd, 16).decode("utf-8", "replace")
        finally:
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
        if key in ("", "\x04", "\x1b"):  # ctrl+d or esc alone; an arrow key is more than esc
            return
        yield key[:1].lower()


def _text_of(source: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(source) == "-" else source.read_bytes()
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"there is no file {source}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{source} is not UTF-8: save it as UTF-8") from None


def _edited(row: Row, journal: Marks) -> Row:
    """The row as its edit has it."""
    record = journal.state(row).record
    return row if record is None else to_row(record, row.file, row.index, row.line)


def _numbers(rows: str) -> list[int]:
    """'3,7-9' as [3, 7, 8, 9]."""
    numbers: list[int] = []
    for word in rows.split(","):
        first, dash, last = word.strip().partition("-")
        ends = [first, last] if dash else [first]
        if not all(end.isascii() and end.isdigit() and len(end) < 12 for end in ends):
            raise BadInput(f"{rows[:40]!r} names no rows: give numbers from 0, e.g. 3 or 3,7-9")
        low, high = int(ends[0]), int(ends[-1])
        if low > high:
            raise BadInput(f"{word.strip()} counts backwards: write {high}-{low}")
        if high - low >= _MOST:
            raise BadInput(f"{word.strip()} is more than {_MOST:,} rows: mark fewer at once")
        numbers += range(low, high + 1)
    return sorted(set(numbers))


def _counts(journal: Marks) -> str:
    counts = journal.counts()
    words = [f"{n:,} {name}" for name, n in counts.items() if n]
    return ", ".join(words) or "no row is marked"
