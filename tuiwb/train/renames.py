"""Old and foreign key names: accepted where a new one takes the value, and said in a note."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tuiwb.train.problems import Problem
from tuiwb.train.yaml_text import Document

TABLE = Path(__file__).with_name("renamed.yaml")


@cache
def renames() -> dict[tuple[str, str], dict[str, Any]]:
    """The table by (section, old name); the section is '' at the top level."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    rows: list[dict[str, Any]] = yaml.load(TABLE.read_text("utf-8"), Loader=loader)
    return {(row["section"], row["old"]): row for row in rows}


def apply_renames(document: Document) -> tuple[dict[str, Any], list[Problem]]:
    """The config with old names mapped to new ones, and what there is to say about each."""
    plain = copy.deepcopy(document.plain)
    problems = []
    sections = {name: value for name, value in plain.items() if isinstance(value, dict)}
    for section, old in [
        *(("", key) for key in [*plain]),
        *((name, key) for name, keys in sections.items() for key in [*keys]),
    ]:
        row = renames().get((section, old))
        if row is None:
            continue
        if not section and isinstance(plain[old], dict):
            continue
        path = (section, old) if section else (old,)
        holder = sections[section] if section else plain
        severity, message = _map(row, old, holder, plain)
        line, column = document.position(path)
        if "new" in row:
            document.aliases[tuple(row["new"].split("."))] = path
        problems.append(
            Problem(
                line=line,
                column=column,
                key=".".join(path),
                message=message,
                severity="error" if severity == "error" else "note",
            )
        )
    return plain, problems


def _map(
    row: dict[str, Any], old: str, holder: dict[str, Any], plain: dict[str, Any]
) -> tuple[str, str]:
    value = holder.pop(old)
    if "refuse" in row:
        return "error", f"{old}: {row['refuse']}"
    if "drop" in row:
        return "note", f"{old} is not needed and left out: {row['drop']}"
    section, _, new = row["new"].rpartition(".")
    target = plain.setdefault(section, {}) if section else plain
    if not isinstance(target, dict):
        return "note", f"{old} is called {row['new']} now"
    if new in target:
        return "error", f"{old} is called {row['new']} now, and that is set too: keep one of them"
    target[new] = row["values"].get(value, value) if "values" in row else value
    why = f" ({row['why']})" if "why" in row else ""
    return "note", f"{old} is called {row['new']} now{why}: taken as that"
