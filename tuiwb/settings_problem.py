"""What is wrong with tuiwb.yaml: msgspec's error as a line, a key and a sentence. Pure."""

import re
from difflib import get_close_matches
from typing import Any, get_args

import msgspec
import yaml

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_PATH = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"Expected `(.+?)`(.*)", re.DOTALL)
_KINDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "array": "a list",
    "object": "a section with keys below it",
    "bool": "true or false",
    "null": "null",
}


def settings_problem(text: str, settings: type[msgspec.Struct], error: Exception) -> str:
    """`:LINE: sentence` to follow the file's name; `text` is YAML that parses, `settings` the type
    that it was not, `error` what msgspec said."""
    if "`key` in " in str(error):
        return ": a key is no text: put it in quotes, or see that it is one"
    said, where = re.fullmatch(_PATH, str(error)).groups()  # type: ignore[union-attr]
    path = [part for part in re.split(r"[.\[\]]", where or "") if part]
    if unknown := _UNKNOWN.fullmatch(said):
        name = unknown[1]
        sentence = _unknown(name, path, _fields(settings, path))
        path = [*path, name]
    else:
        key, value = ".".join(path) or "the file", _value(text, path)
        field = _fields(settings, path[:-1]).get(path[-1]) if path else None
        sentence = f"{key} {_wrong(said, value, field)}"
    return f":{_line(text, path)}: {sentence}"


def _unknown(name: str, above: list[str], fields: dict[str, Any]) -> str:
    where = f" in {'.'.join(above)}" if above else ""
    near = get_close_matches(name, fields, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"the keys are {', '.join(fields)}"
    return f"unknown key {name[:80]!r}{where}: {hint}"


def _wrong(said: str, value: Any, field: Any) -> str:
    """What the value must be, in words; msgspec's own where they are none of the usual."""
    shown = "a section" if isinstance(value, dict) else repr(value)[:80]
    if said.startswith("Invalid enum value"):
        choices = [str(choice) for choice in get_args(field)]
        near = get_close_matches(str(value), choices, 1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"must be {' or '.join(choices)}, not {shown}{hint}"
    if (means := _means(field)) and _EXPECTED.match(said):
        return f"must be {means}, not {shown}"
    if expected := _EXPECTED.match(said):
        kinds = [_KINDS.get(kind.strip(), kind.strip()) for kind in expected[1].split("|")]
        limit = expected[2] if ", got" not in expected[2] else ""
        return f"must be {' or '.join(kinds)}{limit}, not {shown}"
    return f"is wrong: {said}"


def _means(field: Any) -> str:
    """What the values of a field are in words, where its type says so."""
    parts = [*get_args(field), *(inner for part in get_args(field) for inner in get_args(part))]
    metas = [part for part in parts if isinstance(part, msgspec.Meta)]
    return next((meta.description for meta in metas if meta.description), "")


def _fields(settings: type[msgspec.Struct], path: list[str]) -> dict[str, Any]:
    """The keys of a section and their types; {} where the path leads to no section."""
    found: Any = settings
    for name in path:
        types = {f.encode_name: f.type for f in msgspec.structs.fields(found)}
        found = types.get(name)
        if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
            return {}
    return {f.encode_name: f.type for f in msgspec.structs.fields(found)}


def _line(text: str, path: list[str]) -> int:
    """The 1-based line of a key, or of the nearest above it that is there."""
    node, line = yaml.compose(text, Loader=yaml.SafeLoader), 1
    for name in path:
        if isinstance(node, yaml.SequenceNode) and name.isdigit() and int(name) < len(node.value):
            node = node.value[int(name)]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in pairs if key.value == name), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _value(text: str, path: list[str]) -> Any:
    value: Any = yaml.safe_load(text)
    for name in path:
        if isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        elif isinstance(value, dict):
            value = value.get(name)
    return value
