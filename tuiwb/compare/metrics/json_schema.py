"""Whether an answer is JSON that a user's JSON Schema allows. Nothing is ever fetched, and no
expression in a schema can take more than linear time (RE2)."""

import importlib
import json
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

from tuiwb.compare.metrics.task import parse_json
from tuiwb.errors import BadInput, MissingHere

LARGEST = 4 << 20  # bytes of a schema file

Errors = Iterator[Any]


class JsonSchema:
    """A schema that was checked itself. `problem(answer)` says what it forbids."""

    def __init__(self, schema: Any, name: str = "the schema") -> None:
        """BadInput when `schema` is no JSON Schema, MissingHere without the jsonschema package."""
        self.name = name
        try:
            jsonschema = importlib.import_module("jsonschema")
            referencing = importlib.import_module("referencing")
        except ImportError:
            raise MissingHere(
                "schema validity needs jsonschema: pip install jsonschema (or the metrics extra)"
            ) from None
        self._unresolvable = referencing.exceptions.Unresolvable
        if isinstance(schema, dict) and not isinstance(schema.get("$schema", ""), str):
            raise BadInput(f"{name} is no JSON Schema: its $schema is no text")
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        try:
            # Without formats: that of `pattern` would be Python's syntax, which is not run here.
            kind.check_schema(schema, format_checker=None)
            words = set(_keys(schema))
        except jsonschema.SchemaError as error:
            raise BadInput(f"{name} is no JSON Schema: at {_at(error)}: {error.message}") from None
        except RecursionError:
            raise BadInput(f"{name} is no JSON Schema: it is nested too deep") from None
        if words >= {"patternProperties", "unevaluatedProperties"}:
            raise BadInput(
                f"{name} has patternProperties and unevaluatedProperties, which can't be checked "
                "in linear time together: use additionalProperties"
            )
        # A registry of our own: the default one would fetch a $ref from the network.
        self._validator = jsonschema.validators.extend(kind, _rules(jsonschema, name))(
            schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER
        )

    def valid(self, answer: str) -> bool:
        """Whether the whole answer is a JSON object or array that the schema allows."""
        return not self.problem(answer)

    def problem(self, answer: str) -> str:
        """What is wrong with an answer, as 'path: reason'; empty when nothing is. BadInput where
        the schema itself turns out to be wrong."""
        value = parse_json(answer)
        if value is None:
            return "not a JSON object or array"
        try:
            error = next(self._validator.iter_errors(value), None)
        except RecursionError:
            if self._has_no_end():
                raise BadInput(f"{self.name} refers to itself without end") from None
            return "nested too deep"
        except self._unresolvable as error:
            ref = getattr(error, "ref", "")
            raise BadInput(
                f"{self.name} refers to {repr(ref) if ref else 'an anchor'}, which is not in the "
                "file and is not fetched: put it under $defs"
            ) from None
        except ArithmeticError:
            return "a number too large to be checked"
        except (TypeError, AttributeError):
            # What a $ref leads to was not checked with the rest: it may be any JSON.
            raise BadInput(f"a $ref in {self.name} leads to what is no schema") from None
        return "" if error is None else f"{_at(error)}: {error.message}"

    def _has_no_end(self) -> bool:
        """Whether it can't even be said of empty values."""
        empty_ones: tuple[Any, ...] = ({}, [])
        try:
            for empty in empty_ones:
                next(self._validator.iter_errors(empty), None)
        except RecursionError:
            return True
        return False


def read_schema(path: Path) -> JsonSchema:
    """A schema from a JSON file; BadInput where it can't be read or is none."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadInput(f"can't read the schema {path}: {error.strerror or error}") from None
    if len(data) > LARGEST:
        raise BadInput(f"{path} is larger than {LARGEST >> 20} MiB: that is no schema")
    try:
        schema = json.loads(data)
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"{path}{line} is not JSON: {error}") from None
    if not isinstance(schema, dict | bool):
        raise BadInput(f"{path} is no JSON Schema: it holds neither an object nor true or false")
    return JsonSchema(schema, str(path))


def _rules(jsonschema: Any, name: str) -> dict[str, Callable[[Any, Any, Any, Any], Errors]]:
    """The keywords that jsonschema checks with Python's expressions, which can take time without
    end, or with floats, which huge numbers overflow; checked otherwise here."""
    wrong = jsonschema.ValidationError
    found_in = _search(name)

    def pattern(validator: Any, text: Any, value: Any, schema: Any) -> Errors:
        if validator.is_type(value, "string") and not found_in(text, value):
            yield wrong(f"{value!r} does not match {text!r}")

    def pattern_properties(validator: Any, patterns: Any, value: Any, schema: Any) -> Errors:
        if validator.is_type(value, "object"):
            for text, inner in patterns.items():
                for key in value:
                    if found_in(text, key):
                        yield from validator.descend(value[key], inner, path=key, schema_path=text)

    def additional_properties(validator: Any, allowed: Any, value: Any, schema: Any) -> Errors:
        if not validator.is_type(value, "object"):
            return
        named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key in value:
            if key in named or any(found_in(text, key) for text in patterns):
                continue
            if allowed is False:
                yield wrong(f"{key!r} is not among the properties allowed")
            elif allowed is not True:
                yield from validator.descend(value[key], allowed, path=key)

    def multiple_of(validator: Any, factor: Any, value: Any, schema: Any) -> Errors:
        if validator.is_type(value, "number") and not _multiple(value, factor):
            yield wrong(f"{value!r} is not a multiple of {factor!r}")

    return {
        "pattern": pattern,
        "patternProperties": pattern_properties,
        "additionalProperties": additional_properties,
        "multipleOf": multiple_of,
    }


def _search(name: str) -> Callable[[str, str], bool]:
    """Whether RE2 finds an expression in a text; BadInput for one it doesn't know."""
    import re2

    options = re2.Options()
    options.log_errors = False

    @lru_cache(maxsize=1024)
    def compiled(text: str) -> Any:
        try:
            return re2.compile(text, options)
        except (re2.error, UnicodeEncodeError) as error:
            why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise BadInput(
                f"{name} has the pattern {text!r}, which RE2 can't run (no lookaround, no "
                f"backreferences): {why}"
            ) from None

    def found_in(text: str, value: str) -> bool:
        plain = value.encode("utf-8", "replace").decode()
        return compiled(text).search(plain) is not None

    return found_in


def _multiple(value: float, factor: float) -> bool:
    """Exactly, by the digits as they are written: 0.3 is three times 0.1."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return (Fraction(repr(value)) / Fraction(repr(factor))).denominator == 1


def _keys(schema: Any) -> Iterator[str]:
    """Every key in the document."""
    if not isinstance(schema, dict | list):
        return
    if isinstance(schema, dict):
        yield from schema
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from _keys(inner)


def _at(error: Any) -> str:
    """Where in the document, '$.items[2].name'."""
    return str(error.json_path)
