"""An alert's fix applied to a config: a new file beside it, never the user's own overwritten."""

import math
from pathlib import Path
from typing import Any

from tuiwb.errors import BadInput
from tuiwb.train.config import check_text, fields
from tuiwb.train.yaml_text import Document, parse, set_value

MOST = 1000


def apply_change(config_path: Path, change: dict[str, Any]) -> Path:
    """Write CONFIG-fix-N.yaml beside the config with `change` (dotted keys) applied; returns it.

    Comments and order stay. BadInput when there is nothing to change, a key isn't the config's, or
    the changed config has an error the original hasn't.
    """
    text, name = changed_text(config_path, change), config_path.stem
    stem, _, last = name.rpartition("-fix-")
    name = stem if stem and last.isdigit() else name
    for n in range(1, MOST):
        target = config_path.with_name(f"{name}-fix-{n}{config_path.suffix or '.yaml'}")
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
            return target
        except FileExistsError:
            continue
        except OSError as error:
            raise BadInput(f"can't write {target}: {error.strerror or error}") from None
    raise BadInput(f"there are {MOST} fixes of {config_path} already: delete some")


def changed_text(config_path: Path, change: dict[str, Any]) -> str:
    """The config's text with the change applied and checked; nothing is written."""
    if not change:
        raise BadInput("this alert names no config change: its fix is in the data")
    try:
        text = config_path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadInput(f"{config_path} is gone: the run's config is in its job.yaml") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {config_path}: {error}") from None
    known = set(fields())
    if unknown := [key for key in change if key not in known]:
        raise BadInput(f"no config field {unknown[0]!r}: this fix is for another version")
    for key, value in change.items():
        text = set_value(text, key, plain_number(value))
    if "name" in _top(text):
        # Two runs can't have one name: the fix takes its own from its file.
        text = set_value(text, "name", None)
    before = {(p.key, p.message) for p in check_text_of(config_path) if p.severity == "error"}
    _, problems = check_text(text, config_path)
    for problem in problems:
        if problem.severity == "error" and (problem.key, problem.message) not in before:
            raise BadInput(f"the fix can't be applied to {config_path}: {problem.message}")
    return text


def check_text_of(path: Path) -> list[Any]:
    """The problems of a config file as it is."""
    return check_text(path.read_bytes().decode("utf-8-sig"), path)[1]


def told(config_path: Path, change: dict[str, Any]) -> list[str]:
    """The change in words, a line a key: 'training.learning_rate: 0.002 -> 0.0004'."""
    try:
        document = parse(config_path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return [f"{key}: {_shown(value)}" for key, value in change.items()]
    plain = document.plain if isinstance(document, Document) else {}
    lines = []
    for key, value in change.items():
        old: Any = plain
        for name in key.split("."):
            old = old.get(name) if isinstance(old, dict) else None
        lines.append(f"{key}: {_shown(old) if old is not None else 'default'} -> {_shown(value)}")
    return lines


def _top(text: str) -> dict[str, Any]:
    document = parse(text)
    return document.plain if isinstance(document, Document) else {}


def plain_number(value: Any) -> Any:
    """A whole number from 1 on without its fraction (100.0 is 100); anything else as it is."""
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    return value if not whole or abs(value) < 1 else int(value) if abs(value) < 1e15 else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)
