"""A run's config again, as a file of its own: to train once more, with or without a change.

In: a project and a run's folder. Out: a new file in configs/. Where the run's config file still
says what the run was asked, its text with the comments is taken; else it is written anew from
job.yaml. Nothing that exists is overwritten.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tuiwb.errors import BadInput
from tuiwb.jobs import load
from tuiwb.project import Project
from tuiwb.train.config import load_config
from tuiwb.train.fixes import apply_change, changed_text, plain_number
from tuiwb.train.schema import RunConfig

MOST = 1000
FILES = ("train", "heldout", "canary")


def config_again(project: Project, run: Path, change: dict[str, Any] | None = None) -> Path:
    """Write the run's config, with `change` (dotted keys) if there is one; returns the new file.

    NAME-again-N.yaml, or NAME-fix-N.yaml with a change. BadInput for a job that is no training
    run, and for a change that its config can't take.
    """
    job = load(run)
    if job.kind != "train":
        raise BadInput(f"{job.name} is a {job.kind} job: only a training run has a config")
    path = Path(str(job.spec.get("config_file") or ""))
    same = path.is_file() and _asks(project, path) == _comparable(project, job.spec)
    if same and change:
        return apply_change(path, change)
    stem = (path.stem if same else job.name).rpartition("-again-")[0] or (
        path.stem if same else job.name
    )
    text = _unnamed(path.read_text("utf-8-sig")) if same else _written(project, job.spec, job.name)
    target = _new_file(project.root / "configs", f"{stem}-{'fix' if change else 'again'}", text)
    if change:
        try:
            target.write_text(changed_text(target, change), "utf-8")
        except (BadInput, OSError):
            target.unlink(missing_ok=True)
            raise
    return target


def _asks(project: Project, path: Path) -> dict[str, Any] | None:
    config, problems = load_config(path)
    if config is None or any(p.severity == "error" for p in problems):
        return None
    return _comparable(project, config.model_dump(exclude={"name"}))


def _config(spec: dict[str, Any]) -> RunConfig:
    """A job's spec as a config; BadInput where it is none, as of a job that tuiwb didn't plan."""
    asked = {key: value for key, value in spec.items() if key in RunConfig.model_fields}
    try:
        return RunConfig.model_validate(asked)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"what the run was asked is no config: {key}: {first['msg'].lower()} (in its job.yaml)"
        ) from None


def _comparable(project: Project, spec: dict[str, Any]) -> dict[str, Any]:
    """What a spec asks, defaults filled in and paths absolute, from a file or from job.yaml.

    What the launcher adds to a job's spec (its config file, its rows) is no part of it.
    """
    plain = _config(spec).model_dump(exclude={"name"})
    base = project.resolve(str(plain["model"]["base"]))
    plain["model"]["base"] = str(base) if base.exists() else plain["model"]["base"]
    for key in FILES:
        value = plain["data"].get(key)
        files = [value] if isinstance(value, str) else value or []
        plain["data"][key] = [str(project.resolve(str(file))) for file in files]
    return plain


def _written(project: Project, spec: dict[str, Any], name: str) -> str:
    """The spec as YAML: what differs from the defaults, paths short."""
    config = _config(spec).model_dump(exclude_defaults=True, mode="json")
    config["model"] = {"base": spec["model"]["base"], **config.get("model", {})}
    if Path(config["model"]["base"]).is_absolute():
        config["model"]["base"] = project.shorten(Path(config["model"]["base"]))
    for key in FILES:
        value = config.get("data", {}).get(key)
        if value:
            files = [value] if isinstance(value, str) else value
            short = [project.shorten(Path(file)) for file in files]
            config["data"][key] = short[0] if len(short) == 1 else short
    body = yaml.safe_dump(_whole(config), sort_keys=False, allow_unicode=True)
    return f"# What the run {name} was asked, from its job.yaml.\n{body}"


def _whole(value: Any) -> Any:
    """Whole numbers without a fraction, as one writes them: 100, not 100.0."""
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    return [_whole(inner) for inner in value] if isinstance(value, list) else plain_number(value)


def _unnamed(text: str) -> str:
    """Without the run's name, which is taken."""
    from tuiwb.train.yaml_text import Document, parse, set_value

    document = parse(text)
    named = isinstance(document, Document) and "name" in document.plain
    return set_value(text, "name", None) if named else text


def _new_file(folder: Path, stem: str, text: str) -> Path:
    for n in range(1, MOST):
        target = folder / f"{stem}-{n}.yaml"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            continue
        except OSError as error:
            raise BadInput(f"can't write {target}: {error.strerror or error}") from None
        return target
    raise BadInput(f"there are {MOST} files {stem}-N.yaml in {folder} already: delete some")
