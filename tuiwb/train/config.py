"""A run's YAML: read it, report every problem with its line, describe its fields.

`check_text` is what the editor calls as the user types, `load_config` what a launch calls. Both
report all problems in one go and never raise for what the file says.
"""

import copy
import types
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from tuiwb.errors import BadInput
from tuiwb.project import names_rows
from tuiwb.train.advice import advise
from tuiwb.train.problems import Problem, in_order
from tuiwb.train.renames import apply_renames
from tuiwb.train.schema import METHODS, RunConfig
from tuiwb.train.yaml_text import Document, parse

__all__ = [
    "FieldDoc",
    "Problem",
    "Reading",
    "RunConfig",
    "check_text",
    "describe",
    "fields",
    "load_config",
    "read_config",
    "read_text",
]

# No file and no folder has this name.
UNNAMED = "\0"
LATER_METHODS = ("dpo", "kto", "ipo", "orpo", "grpo", "rloo", "reward", "cpo", "distillation")


class FieldDoc(msgspec.Struct, frozen=True, kw_only=True):
    """What the editor shows beside the cursor: `type` in words, `choices` empty unless fixed."""

    name: str
    type: str
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class Reading:
    """A config's text as far as it can be understood.

    `config` is None where an error stands among `problems`; `part` is then the config with the
    wrong values left out and UNNAMED for a base or a dataset that is missing, None where not even
    that can be told. `document` knows the lines; None where the text is no YAML mapping.
    """

    document: Document | None
    config: RunConfig | None
    part: RunConfig | None
    problems: list[Problem]


def read_config(path: Path) -> Reading:
    """Read a config file; BadInput when the file can't be read at all, or holds rows of data."""
    if names_rows(path) and path.is_file():
        raise BadInput(
            f"{path} holds rows of data, not a config: `tuiwb config new --data {path}` writes a "
            "config that trains on it"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist: give a run's config (YAML)") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder: give a run's config (YAML)") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"can't read {path}: {error.strerror or error}") from None
    return read_text(text, path)


def load_config(path: Path) -> tuple[RunConfig | None, list[Problem]]:
    """Read and check a config file's text; None where an error stands among the problems.

    BadInput when the file can't be read at all.
    """
    reading = read_config(path)
    return reading.config, _with_advice(reading, None)


def check_text(
    text: str, path: Path, *, rows: int | None = None
) -> tuple[RunConfig | None, list[Problem]]:
    """Check a config's text; problems in the order of their lines, errors and advice alike.

    `rows`, when known, is the number of training rows: advice about steps needs it.
    """
    reading = read_text(text, path)
    return reading.config, _with_advice(reading, rows)


def read_text(text: str, path: Path) -> Reading:
    """Parse a text and hold it against the schema; never raises for what it says."""
    document = parse(text)
    if isinstance(document, Problem):
        return Reading(None, None, None, [document])
    if not document.plain:
        message = f"{path.name} is empty: `tuiwb config new` writes a starter"
        return Reading(document, None, None, [Problem(line=1, column=1, key="", message=message)])
    plain, problems = apply_renames(document)
    config: RunConfig | None = None
    part: RunConfig | None = None
    try:
        config = part = RunConfig.model_validate(plain)
    except ValidationError as error:
        problems += _explain(error, document, plain)
        part = _without(plain, error)
    if any(p.severity == "error" for p in problems):
        config = None
    return Reading(document, config, part, problems)


def _with_advice(reading: Reading, rows: int | None) -> list[Problem]:
    problems = reading.problems
    if reading.config is not None and reading.document is not None:
        problems = problems + advise(reading.config, reading.document.position, rows=rows)
    return in_order(problems)


def _without(plain: dict[str, Any], error: ValidationError) -> RunConfig | None:
    """The config without the values that are wrong, so that the others can be checked too."""
    kept = copy.deepcopy(plain)
    for one in error.errors(include_url=False, include_context=False):
        loc = tuple(str(part) for part in one["loc"])
        *above, last = loc if one["type"] == "extra_forbidden" else _schema_path(loc) or ("",)
        holder: Any = kept
        for name in above:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder.pop(last, None)
    for section, key in (("model", "base"), ("data", "train")):
        if isinstance(holder := kept.setdefault(section, {}), dict):
            holder.setdefault(key, UNNAMED)
    try:
        return RunConfig.model_validate(kept)
    except ValidationError:
        return None


def fields() -> list[str]:
    """Every field's path, such as training.learning_rate, in the order a file shows them."""
    return [".".join(path) for path, _ in _walk(RunConfig, ())]


def describe(path: str) -> FieldDoc:
    """What a field or section means; BadInput with the nearest name for an unknown path."""
    found = _field(tuple(path.split(".")))
    if found is None:
        near = get_close_matches(path, fields(), 1)
        raise BadInput(f"no config field {path!r}" + (f": did you mean {near[0]}?" if near else ""))
    required = found.is_required()
    section = _section(found) is not None
    default = None if required or section else found.get_default()
    return FieldDoc(
        name=path,
        type="section" if section else _in_words(found),
        default=default,
        description=found.description or "",
        choices=tuple(_choices(found.annotation)),
        required=required,
    )


def _walk(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, info in model.model_fields.items():
        section = _section(info)
        if section is not None:
            yield from _walk(section, (*above, name))
        else:
            yield (*above, name), info


def _section(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _field(path: tuple[str, ...]) -> FieldInfo | None:
    model: type[BaseModel] | None = RunConfig
    info: FieldInfo | None = None
    for name in path:
        if model is None:
            return None
        info = model.model_fields.get(name)
        if info is None:
            return None
        model = _section(info)
    return info


def _explain(error: ValidationError, document: Document, plain: dict[str, Any]) -> list[Problem]:
    """One problem a field, in the house's words: what it must be and what it is."""
    found: dict[tuple[str, ...], Problem] = {}
    for one in error.errors(include_url=False, include_context=False):
        loc = tuple(str(part) for part in one["loc"])
        path = _schema_path(loc) if one["type"] != "extra_forbidden" else loc
        if path in found:
            continue
        if one["type"] == "extra_forbidden":
            message = _unknown(path)
        elif one["type"] == "missing":
            what = describe(".".join(path))
            message = f"{'.'.join(path)} is missing: {_first_sentence(what.description)}"
        elif path == ("method",):
            message = _method(plain.get("method"))
        else:
            message = _wrong(path, plain)
        line, column = document.position(path)
        found[path] = Problem(line=line, column=column, key=".".join(path), message=message)
    return list(found.values())


def _schema_path(loc: tuple[str, ...]) -> tuple[str, ...]:
    # A union's branch or a list's index follows the field's own path: cut it off.
    end = next((n for n in range(1, len(loc) + 1) if _field(loc[:n]) is None), len(loc) + 1)
    return loc[: end - 1]


def _unknown(path: tuple[str, ...]) -> str:
    name, above = path[-1], path[:-1]
    where = f" in {'.'.join(above)}" if above else ""
    holder = _field(above) if above else None
    model = _section(holder) if holder else RunConfig
    names = list((model or RunConfig).model_fields)
    elsewhere = [p for p in fields() if p.split(".")[-1] == name]
    if elsewhere:
        section = elsewhere[0].rpartition(".")[0]
        home = f"under {section}:" if section else "at the top level"
        return f"unknown key {name!r}{where}: it belongs {home}"
    near = get_close_matches(name, names, 1, 0.6)
    if near:
        return f"unknown key {name!r}{where}: did you mean {near[0]!r}?"
    last_names = {p.split(".")[-1]: p for p in fields()}
    if far := get_close_matches(name, last_names, 1, 0.75):
        return f"unknown key {name!r}{where}: did you mean {last_names[far[0]]}?"
    listed = ", ".join(names) if len(names) <= 8 else "`docs/config.md` lists the keys"
    return f"unknown key {name!r}{where}: {'the keys are ' if len(names) <= 8 else ''}{listed}"


def _method(value: object) -> str:
    if isinstance(value, str) and value.lower() in LATER_METHODS:
        return f"method {value!r} can't be trained yet: {', '.join(METHODS)} is what there is"
    return f"method must be {' or '.join(METHODS)}, not {_shown(value)}"


def _wrong(path: tuple[str, ...], plain: dict[str, Any]) -> str:
    value: Any = plain
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not path:
        return f"a config is a list of sections (model:, data:, ...), not {_shown(plain)}"
    info = _field(path)
    if info is not None and _section(info) is not None:
        return f"{'.'.join(path)} is a section: write its keys below it, indented"
    wanted = _in_words(info) if info is not None else "something else"
    message = f"{'.'.join(path)} must be {wanted}, not {_shown(value)}"
    if isinstance(value, str):
        near = get_close_matches(value, _choices(info.annotation if info else None), 1)
        if near:
            message += f": did you mean {near[0]}?"
        elif "number" in wanted and _reads_as_number(value):
            message += ": write it without quotes"
        elif "true" in wanted and value.lower() in ("yes", "no", "on", "off", "true", "false"):
            word = "true" if value.lower() in ("yes", "on", "true") else "false"
            message += f": write {word}"
    return message


def _in_words(info: FieldInfo) -> str:
    words = _words(info.annotation, [*info.metadata])
    return " or ".join(dict.fromkeys(words))


def _words(kind: Any, bounds: list[Any]) -> list[str]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return [w for part in get_args(kind) for w in _words(part, bounds)]
    if origin is not None and hasattr(kind, "__metadata__"):
        return _words(kind.__origin__, [*bounds, *kind.__metadata__])
    if origin is Literal:
        return (
            [f"one of {', '.join(map(str, get_args(kind)))}"]
            if len(get_args(kind)) > 1
            else [str(get_args(kind)[0])]
        )
    if origin is list:
        return ["a list"]
    if origin is dict:
        return ["a mapping"]
    plain = {bool: "true or false", str: "text", type(None): "null"}
    if kind in plain:
        return [plain[kind]]
    return [("a whole number" if kind is int else "a number") + _range(bounds)]


def _range(bounds: list[Any]) -> str:
    said = []
    for bound in bounds:
        match bound:
            case Ge():
                said.append(f"at least {bound.ge:g}" if isinstance(bound.ge, int | float) else "")
            case Gt():
                said.append(f"above {bound.gt:g}" if isinstance(bound.gt, int | float) else "")
            case Le():
                said.append(f"at most {bound.le:g}" if isinstance(bound.le, int | float) else "")
            case Lt():
                said.append(f"below {bound.lt:g}" if isinstance(bound.lt, int | float) else "")
    return f" {' and '.join(said)}" if said else ""


def _choices(kind: Any) -> list[str]:
    if get_origin(kind) is Literal:
        return [str(a) for a in get_args(kind)]
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) in (Union, types.UnionType):
        return [c for part in get_args(kind) for c in _choices(part)]
    return []


def _shown(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "an empty list" if not value else f"a list of {len(value)}"
    return str(value)[:60]


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".").split(":")[0].lower()
