"""A config checked against its project: the text, then what it names, problems with their lines."""

from pathlib import Path

from tuiwb.errors import TuiwbError
from tuiwb.project import Project
from tuiwb.train import base_model
from tuiwb.train.advice import advise
from tuiwb.train.config import load_config
from tuiwb.train.plan import check_data, check_template
from tuiwb.train.problems import Problem
from tuiwb.train.schema import RunConfig
from tuiwb.train.yaml_text import Document, parse


def check_config(project: Project, path: Path) -> list[Problem]:
    """Every problem of a config file, in the order of its lines; files are opened, nothing runs.

    BadInput when the config itself can't be read.
    """
    config, problems = load_config(path)
    document = parse(path.read_text("utf-8-sig", errors="replace"))
    if config is None or not isinstance(document, Document):
        return problems
    return sorted(
        {*problems, *check_named(project, config, document)}, key=lambda p: (p.line, p.column)
    )


def check_named(project: Project, config: RunConfig, document: Document) -> list[Problem]:
    """What is wrong with the model and the files a config names, and what their sizes mean."""

    def problem(key: str, error: TuiwbError) -> Problem:
        line, column = document.position(key.split("."))
        return Problem(line=line, column=column, key=key, message=str(error))

    problems, model, checked = [], None, None
    try:
        base = project.resolve(config.model.base)
        model = base_model.locate(config.model.base, base, config.model.revision)
    except TuiwbError as error:
        problems.append(problem("model.base", error))
    try:
        checked = check_data(project, config)
    except TuiwbError as error:
        heldout = config.data.heldout and config.data.heldout in str(error)
        problems.append(problem("data.heldout" if heldout else "data.train", error))
    if checked is None:
        return problems
    if checked.chats and model is not None:
        try:
            check_template(config, model)
        except TuiwbError as error:
            problems.append(problem("model.base", error))
    return problems + advise(config, document.position, rows=checked.rows)
