"""`tuiwb data clean, split, mix, versions`: new versions of a dataset, and whether they still hold.

`register` gives these commands, and those of tuiwb.cli.marking, to a group.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tuiwb.cli.common import (
    JsonOption,
    ProjectOption,
    from_project,
    note,
    project_at,
    say,
    say_json,
    say_table,
)
from tuiwb.errors import EXIT_FINDINGS, BadInput
from tuiwb.text import inert

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A dataset.")]
OutOption = Annotated[
    str | None, typer.Option("--out", metavar="NAME", help="The version's name, without its -vN.")
]
ToOption = Annotated[
    Path | None, typer.Option("--to", metavar="DIR", help="Where versions go.")
]  # fmt: skip
DryOption = Annotated[bool, typer.Option("--dry-run", help="Only count; write nothing.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed, the same rows.")]

# A command that is done sooner says nothing of its progress.
_QUIET_SECONDS = 2.0
_EVERY_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Give the group all commands that work on a dataset."""
    from tuiwb.cli import marking

    for command in (clean, split, mix, versions, *marking.COMMANDS):
        app.command(command.__name__)(command)


def clean(
    file: FileArgument,
    drop_exact: Annotated[
        bool, typer.Option("--drop-exact", help="Of exact copies keep the best.")
    ] = False,
    drop_near: Annotated[
        bool, typer.Option("--drop-near", help="Also of rows that nearly say the same.")
    ] = False,
    redact: Annotated[
        bool, typer.Option("--redact", help="Put [EMAIL_1] for personal data and secrets.")
    ] = False,
    kinds: Annotated[
        str, typer.Option("--kinds", help="Redact only these, e.g. email,phone,secret.")
    ] = "",
    fix: Annotated[
        list[str] | None,
        typer.Option(
            "--fix",
            help="invisible, line_ends, trailing_space, surrogates, "
            "empty_system, merge_turns, trailing_user; commas between, or again.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="CHECK", help="Leave rows out that a check finds."),
    ] = None,
    drop_severity: Annotated[
        str | None,
        typer.Option(
            "--drop-severity",
            metavar="error|warning",
            help="Leave rows out with findings of it (of --drop's checks, or any).",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Leave rows out that ask what this held-out set asks."),
    ] = None,
    apply_marks: Annotated[
        bool, typer.Option("--apply-marks", help="Drop, keep and edit rows as they are marked.")
    ] = False,
    repeat: Annotated[
        list[str] | None,
        typer.Option("--repeat", metavar="MARK:N", help="Marked rows N times, e.g. hard:2."),
    ] = None,
    out: OutOption = None,
    to: ToOption = None,
    dry_run: DryOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a cleaned version; FILE itself is never touched.

    Without options: --apply-marks --fix invisible,line_ends,trailing_space,empty_system
    --drop-near. Rows that can't be read are always left out, and every row left out is listed in
    the version's dropped.jsonl.
    """  # fmt: skip
    from tuiwb.data.clean import DEFAULT, Cleaning, checked
    from tuiwb.data.clean import clean as clean_dataset
    from tuiwb.data.row_findings import LEAKAGE

    file = from_project(file, project)
    against = None if against is None else from_project(against, project)
    cleaning = Cleaning(
        apply_marks=apply_marks,
        fix=_words(fix),
        redact=_words([kinds]) if redact or kinds else None,
        drop_checks=list(dict.fromkeys(_words(drop) + ([LEAKAGE] if against else []))),
        drop_severity=drop_severity,
        against=None if against is None else str(against),
        drop_exact=drop_exact,
        drop_near=drop_near,
        repeat=dict(_repeat(word) for word in _words(repeat)),
    )
    cleaning = DEFAULT if cleaning == Cleaning() else cleaning
    checked(cleaning)  # before a word is said
    if not as_json:
        say(f"operations: {', '.join(_spelled(cleaning))}")
    with _Progress() as progress:
        outcome = clean_dataset(
            file, cleaning, name=out, root=to, dry_run=dry_run, progress=progress.tell
        )
    _say_outcome(outcome, as_json)


def split(
    file: FileArgument,
    heldout: Annotated[
        float | None, typer.Option("--heldout", "--share", help="Share held out (default 0.05).")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", min=1, help="Rows held out, instead of a share.")
    ] = None,
    seed: SeedOption = 0,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="The same share of each value.")
    ] = None,
    out: OutOption = None,
    to: ToOption = None,
    dry_run: DryOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hold rows out that nothing in training knows.

    The version's files are train.jsonl and heldout.jsonl. Copies, near copies and rows that ask
    the same stay on one side.
    """
    from tuiwb.data.split import split as split_dataset

    file = from_project(file, project)
    with _Progress() as progress:
        outcome = split_dataset(
            file, share=heldout, rows=rows, seed=seed, by=by, name=out, root=to,
            dry_run=dry_run, progress=progress.tell,
        )  # fmt: skip
    _say_outcome(outcome, as_json)


def mix(
    file: FileArgument,
    general: Annotated[Path, typer.Option("--with", metavar="GENERAL", help="General data.")],
    share: Annotated[
        float, typer.Option("--share", help="Share of general rows in the result.")
    ] = 0.2,
    seed: SeedOption = 0,
    out: OutOption = None,
    to: ToOption = None,
    dry_run: DryOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Mix general rows in, none that repeats what is there."""
    from tuiwb.data.mix import mix as mix_dataset

    file, general = from_project(file, project), from_project(general, project)
    with _Progress() as progress:
        outcome = mix_dataset(
            file, general, share=share, seed=seed, name=out, root=to, dry_run=dry_run,
            progress=progress.tell,
        )  # fmt: skip
    _say_outcome(outcome, as_json)


def versions(
    action: Annotated[str, typer.Argument(metavar="[list|verify]")] = "list",
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[FOLDER]...", help="Default: the project's.")
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """List versions, or verify that they are as their manifests say.

    Where one is not, verify exits 1.
    """
    from tuiwb.data.manifest import ROWS, changed_parents, read_manifest, verify, versions_in
    from tuiwb.data.version_text import files_words

    if action not in ("list", "verify"):
        raise BadInput(f"{action!r} is nothing versions can do: list or verify")
    where = project_at(project)
    roots = (where.root / "data" / "versions", where.root / "versions")
    named = [from_project(folder, project) for folder in folders or ()]
    found = list(named or (folder for root in roots for folder in versions_in(root)))
    if action == "verify":
        checked = [
            {"folder": where.shorten(folder), "problems": verify(folder),
             "parents": changed_parents(folder) if not verify(folder) else []}
            for folder in found
        ]  # fmt: skip
        _say_verified(checked, as_json)
        return
    rows: list[dict[str, Any]] = []
    for folder in found:
        version = read_manifest(folder)
        rows.append(
            {"name": version.name, "folder": where.shorten(folder), "created": version.created,
             "rows": {o.file: o.rows for o in version.outputs},
             "parents": [parent.path for parent in version.parents if parent.role == ROWS],
             "operations": [operation.op for operation in version.operations],
             "dropped": version.dropped}
        )  # fmt: skip
    if as_json:
        say_json(rows)
    elif not rows:
        say(f"no versions in {where.root}")
    else:
        say_table(
            ["version", "created", "rows", "from", "operations"],
            [
                [row["folder"], row["created"], files_words(row["rows"]),
                 ", ".join(row["parents"]), ", ".join(row["operations"])]
                for row in rows
            ],
        )  # fmt: skip


def _say_verified(checked: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        say_json(checked)
    elif not checked:
        say("no versions here")
    else:
        for entry in checked:
            problems, parents = entry["problems"], entry["parents"]
            say(f"{entry['folder']}: {'as its manifest says' if not problems else 'changed'}")
            for problem in problems:
                say(f"  ! {problem}")
            for parent in parents:
                say(f"  parent: {parent}")
    if any(entry["problems"] for entry in checked):
        raise typer.Exit(EXIT_FINDINGS)


def _say_outcome(outcome: Any, as_json: bool) -> None:
    if as_json:
        say_json(outcome)
        return
    from tuiwb.data.version_text import files_words, operation_words

    for operation in outcome.operations:
        say(f"{operation.op}: {operation_words(operation)}")
        for name, part in operation.counts.get("by", {}).items():
            say(f"  {name}: {part['heldout']:,} of {part['rows']:,} held out")
    for line in outcome.notes:
        say(f"note: {line}")
    if outcome.folder is None:
        say("dry run: nothing was written")
        return
    files = {output.file: output.rows for output in outcome.version.outputs}
    say(f"{outcome.folder}: {files_words(files)}")


def _words(values: Sequence[str] | None) -> list[str]:
    """Options given again or with commas between, as one list."""
    return [word.strip() for value in values or () for word in value.split(",") if word.strip()]


def _repeat(word: str) -> tuple[str, int]:
    mark, _, times = word.partition(":")
    if not times.isascii() or not times.isdigit() or len(times) > 4:
        raise BadInput(f"--repeat {word} is not a mark and a number: e.g. hard:2")
    return mark, int(times)


def _spelled(cleaning: Any) -> list[str]:
    """The operations as one would ask for them, in the order they run."""
    words = ["apply marks"] if cleaning.apply_marks else []
    words += [f"fix {name}" for name in cleaning.fix]
    if cleaning.redact is not None:
        words.append(f"redact {', '.join(cleaning.redact) or 'personal data and secrets'}")
    if cleaning.drop_checks or cleaning.drop_severity:
        checks = ", ".join(cleaning.drop_checks) or "any check"
        words.append(f"drop rows with findings of {checks} ({cleaning.drop_severity or 'any'})")
    if cleaning.drop_near:
        words.append("drop exact and near duplicates")
    elif cleaning.drop_exact:
        words.append("drop exact duplicates")
    words += [f"rows marked {mark} {times} times" for mark, times in cleaning.repeat.items()]
    return words


class _Progress:
    """How far a long command is, on stderr: rewritten in a terminal, else a line now and then."""

    def __init__(self) -> None:
        self._quiet_until = time.monotonic() + _QUIET_SECONDS
        self._terminal = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._shown and self._terminal:
            sys.stderr.write("\r\x1b[K")

    def tell(self, phase: str, done: int, total: int) -> None:
        """What the work calls between two batches."""
        now = time.monotonic()
        if now < self._quiet_until:
            return
        pause = _EVERY_SECONDS if self._terminal else 10 * _EVERY_SECONDS
        self._quiet_until = now + pause
        self._shown = f"{phase}: {done:,} of {total:,}" if total else phase
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{inert(self._shown)}")
            sys.stderr.flush()
        else:
            note(self._shown)
