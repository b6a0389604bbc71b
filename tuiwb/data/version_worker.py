"""Cleaning, splitting and mixing as a job: the new version is an artifact of it.

spec: {"operation": "clean" | "split" | "mix", "path", "name": or null, "root": or null,
"parameters": those of the function: clean {"cleaning": {...}}, split {"share", "rows", "seed",
"by"}, mix {"general", "share", "seed"}}. A version that is not whole is never seen, so a job that
died is simply done again.
"""

import os
from typing import Any

import msgspec

from tuiwb.data.clean import Cleaning, clean
from tuiwb.data.mix import SHARE, mix
from tuiwb.data.records import encode_line
from tuiwb.data.split import split
from tuiwb.data.versions import Outcome, Progress
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.jobs.run import JobContext
from tuiwb.prepared import prepared

RESULT = "version.json"


class SplitParameters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `split` takes."""

    share: float | None = None
    rows: int | None = None
    seed: int = 0
    by: str | None = None


class MixParameters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What `mix` takes."""

    general: str
    share: float = SHARE
    seed: int = 0


def run(context: JobContext) -> None:
    """Do what the job's spec asks for."""
    spec = context.spec
    if not spec.get("path"):
        raise BadInput(f"{context.folder}/job.yaml names no dataset: give spec.path")
    phase = ""

    def progress(name: str, done: int, total: int) -> None:
        nonlocal phase
        context.stop_if_asked()
        if name != phase:
            phase = name
            context.state("running", name)
        context.progress(name, done, total, "rows")

    context.state("running", "reading rows")
    outcome = _done(spec, progress)
    write_atomically(context.folder / RESULT, encode_line(msgspec.to_builtins(outcome)))
    context.artifact("result", RESULT)
    if outcome.folder is not None:
        context.artifact("version", os.path.relpath(outcome.folder, context.folder))
    for note in outcome.notes:
        context.log(note)


def _done(spec: dict[str, Any], progress: Progress) -> Outcome:
    path, name, root = spec["path"], spec.get("name"), spec.get("root")
    operation, parameters = spec.get("operation"), spec.get("parameters") or {}
    try:
        if operation == "clean":
            cleaning = msgspec.convert(parameters.get("cleaning") or {}, prepared(Cleaning))
            return clean(path, cleaning, name=name, root=root, progress=progress)
        if operation == "split":
            apart = msgspec.convert(parameters, prepared(SplitParameters))
            return split(
                path, share=apart.share, rows=apart.rows, seed=apart.seed, by=apart.by,
                name=name, root=root, progress=progress,
            )  # fmt: skip
        if operation == "mix":
            mixed = msgspec.convert(parameters, prepared(MixParameters))
            return mix(
                path, mixed.general, share=mixed.share, seed=mixed.seed,
                name=name, root=root, progress=progress,
            )  # fmt: skip
    except msgspec.ValidationError as error:
        raise BadInput(f"spec.parameters are not those of {operation}: {error}") from None
    raise BadInput(f"spec.operation is {operation!r}: give clean, split or mix")
