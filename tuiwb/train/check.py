"""A config held against its project and this machine: what it names is opened, nothing runs.

`examine` is what `tuiwb config check`, the editor and a start ask alike, so that what is called
fine can be started here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tuiwb.errors import BadInput, MissingHere, TuiwbError
from tuiwb.project import Project
from tuiwb.train import base_model
from tuiwb.train.advice import advise
from tuiwb.train.config import UNNAMED, Reading, read_config
from tuiwb.train.machine import Machine, lacking, look
from tuiwb.train.modules import module_problems, modules_of
from tuiwb.train.names import free_name
from tuiwb.train.problems import Problem, Severity, in_order
from tuiwb.train.room import check_disk
from tuiwb.train.rows import (
    Rows,
    canary_file,
    check_rows,
    glance,
    heldout_file,
    missing_file,
    train_files,
)
from tuiwb.train.schema import RunConfig


@dataclass(frozen=True)
class Found:
    """What a check brought: the problems in the order of their lines; the base model's folder
    where it is here; training and held-out rows where they can be trained on."""

    problems: list[Problem]
    model: Path | None = None
    rows: Rows | None = None
    heldout: Rows | None = None

    @property
    def errors(self) -> list[Problem]:
        """What keeps the run from starting here; what is wrong everywhere comes first."""
        errors = [p for p in self.problems if p.severity == "error"]
        return sorted(errors, key=lambda p: p.here)


class _Said(NamedTuple):
    key: str
    message: str
    severity: Severity = "error"
    here: bool = False


def check_config(project: Project, path: Path) -> list[Problem]:
    """Every problem of a config file, in the order of its lines; files are opened, nothing runs.

    BadInput when the config itself can't be read.
    """
    return examine(project, read_config(path), look(project)).problems


def examine(
    project: Project,
    reading: Reading,
    machine: Machine,
    *,
    named: bool = False,
    quick: bool = False,
) -> Found:
    """Everything that is wrong with a config here, and what its sizes mean.

    `named`: the run gets another name than the config's. `quick`: for an editor, at each pause in
    typing: only the first rows are looked at, and the hub is not asked.
    """
    config, document = reading.part, reading.document
    if config is None or document is None:
        return Found(reading.problems)
    said = [_Said(key, words, here=True) for key, words in lacking(config, machine)]
    if not named:
        said += _name(project, config)
    model, of_model = _model(project, config, quick)
    rows, heldout, of_data = _data(project, config, quick)
    said += of_model + of_data
    if model is not None:
        if any(found.chats for found in (rows, heldout) if found is not None):
            said += _guarded("model.base", lambda: check_template(config, model))
        said += _guarded("training.save_total_limit", lambda: check_disk(project, config, model))
    problems = list(reading.problems)
    for one in said:
        line, column = document.position(one.key.split("."))
        problems.append(
            Problem(
                line=line,
                column=column,
                key=one.key,
                message=one.message,
                severity=one.severity,
                here=one.here,
            )
        )
    if reading.config is not None:
        count = rows.count if rows is not None else None
        problems += advise(reading.config, document.position, rows=count)
    return Found(in_order(problems), model, rows, heldout)


def check_template(config: RunConfig, model: Path) -> None:
    """BadInput when chats can't be rendered, or the assistant's tokens can't be told apart."""
    template = base_model.chat_template(model)
    if template is None:
        raise BadInput(
            f"{model} has no chat template and the data are chats: add chat_template.jinja to it, "
            "or train on an instruct model"
        )
    if not config.training.assistant_only_loss or base_model.marks_generation(template):
        return
    if base_model.trl_knows(template) is False:
        raise BadInput(
            f"the chat template of {model} doesn't mark the assistant's tokens and TRL has no "
            "training template for it: put {% generation %}...{% endgeneration %} around them, or "
            "set training.assistant_only_loss: false"
        )


def _name(project: Project, config: RunConfig) -> Iterator[_Said]:
    if config.name is not None:
        yield from _guarded("name", lambda: free_name(project, config.name or ""))


def _model(project: Project, config: RunConfig, quick: bool) -> tuple[Path | None, list[_Said]]:
    """The base model's folder where it is here, and what is wrong with it or missing in it."""
    base = config.model.base
    if base == UNNAMED:
        return None, []
    folder = project.resolve(base)
    from_hub = not folder.exists() and base_model.may_be_on_the_hub(base, folder)
    if quick and from_hub and base_model.hub_snapshot(base, config.model.revision) is None:
        note = f"{base} is not in the cache here: a start fetches it from the hub"
        return None, [_Said("model.base", note, "note")]
    try:
        model = base_model.locate(base, folder, config.model.revision)
    except TuiwbError as error:
        return None, [_said("model.base", error)]
    modules = modules_of(model) if model is not None else None
    if modules is None:
        return model, []
    found = module_problems(config.lora, modules)
    return model, [_Said(key, words, severity) for key, severity, words in found]


def _data(
    project: Project, config: RunConfig, quick: bool
) -> tuple[Rows | None, Rows | None, list[_Said]]:
    """Training rows, held-out rows, and what is wrong with any of the files."""
    files = [] if config.data.train == UNNAMED else train_files(project, config)
    heldout, canary = heldout_file(project, config), canary_file(project, config)
    several = isinstance(config.data.train, list)
    roles = [
        ("data.train", files),
        ("data.heldout", [heldout] if heldout else []),
        ("data.canary", [canary] if canary else []),
    ]
    found: dict[str, Rows] = {}
    said: list[_Said] = []
    for key, paths in roles:
        missing = [
            _Said(f"{key}.{n}" if several and key == "data.train" else key, words)
            for n, path in enumerate(paths)
            if (words := missing_file(project, path)) is not None
        ]
        said += missing
        if missing or not paths:
            continue
        try:
            if quick:
                found[key] = glance(paths, config, project.cache / "index")
            else:
                found[key] = check_rows(paths, config)
        except TuiwbError as error:
            said.append(_said(key, error))
    return found.get("data.train"), found.get("data.heldout"), said


def _guarded(key: str, check: Callable[[], object]) -> list[_Said]:
    try:
        check()
    except TuiwbError as error:
        return [_said(key, error)]
    return []


def _said(key: str, error: TuiwbError) -> _Said:
    return _Said(key, str(error), here=isinstance(error, MissingHere))
