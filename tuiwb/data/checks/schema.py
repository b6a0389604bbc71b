"""Whether a call's arguments fit the parameters a tool declares.

The part of JSON Schema (draft 2020-12, Validation) that tools use: type, required, properties,
enum, items, const. Whatever else a schema says is taken to hold.
"""

from collections.abc import Iterator
from typing import Any

from tuiwb.data.checks.finding import quote

DEEPEST = 8
# Python's and TypeScript's names stand in many published sets beside JSON Schema's own.
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "str": (str,),
    "integer": (int, float),
    "int": (int, float),
    "number": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "bool": (bool,),
    "array": (list,),
    "list": (list,),
    "object": (dict,),
    "dict": (dict,),
    "null": (type(None),),
}
NUMBERS = frozenset(("integer", "int", "number", "float"))
WHOLE = frozenset(("integer", "int"))


def misfits(
    arguments: dict[str, Any], schema: Any, path: str = "", depth: int = 0
) -> Iterator[tuple[str, str, str]]:
    """(kind, argument, sentence's end) of everything that does not fit."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        return
    properties = schema.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    required = schema.get("required")
    for key in required if isinstance(required, list) else ():
        if isinstance(key, str) and key not in arguments:
            name = f"{path}{key}"
            yield "missing_argument", name, f"lacks the required argument {quote(name)}"
    # A tool with an untold list of parameters takes any.
    closed = bool(properties) and not schema.get("additionalProperties")
    for key, value in arguments.items():
        name = f"{path}{key}"
        if key in properties:
            yield from _misfit(value, properties[key], name, depth)
        elif closed:
            yield "unknown_argument", name, f"has {quote(name)}, which the tool does not know"


def _misfit(value: Any, schema: Any, name: str, depth: int) -> Iterator[tuple[str, str, str]]:
    if not isinstance(schema, dict):
        return
    wanted = schema.get("type")
    types = wanted if isinstance(wanted, list) else [wanted]
    names = [t.lower() for t in types if isinstance(t, str) and t.lower() in TYPES]
    if len(names) == len(types) and not any(_is(value, t) for t in names):
        words = f"gives {quote(name)} as {_kind(value)}, and the tool takes {' or '.join(names)}"
        yield "wrong_type", name, words
        return
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(allowed, list) and allowed and value not in allowed:
        words = f"gives {quote(name)} a value that is none of those the tool takes"
        yield "not_in_enum", name, words
    if isinstance(value, dict):
        yield from misfits(value, schema, f"{name}.", depth + 1)
    elif isinstance(value, list) and depth < DEEPEST:
        for i, item in enumerate(value):
            yield from _misfit(item, schema.get("items"), f"{name}[{i}]", depth + 1)


def _is(value: Any, type_: str) -> bool:
    if isinstance(value, bool) and type_ in NUMBERS:
        return False
    if type_ in WHOLE and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[type_])


def _kind(value: Any) -> str:
    names = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value), "number")
