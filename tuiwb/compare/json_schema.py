"""Whether an answer is JSON that a user's JSON Schema allows. Nothing is ever fetched."""

import importlib
import json
from pathlib import Path
from typing import Any

from tuiwb.compare.metrics import parse_json
from tuiwb.errors import BadInput, MissingHere

LARGEST = 4 << 20  # bytes of a schema file


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
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise BadInput(f"{name} is no JSON Schema: at {_at(error)}: {error.message}") from None
        # A registry of our own: the default one would fetch a $ref from the network.
        self._validator = kind(
            schema, registry=referencing.Registry(), format_checker=kind.FORMAT_CHECKER
        )

    def valid(self, answer: str) -> bool:
        """Whether the whole answer is a JSON object or array that the schema allows."""
        return not self.problem(answer)

    def problem(self, answer: str) -> str:
        """What is wrong with an answer, as 'path: reason'; empty when nothing is."""
        value = parse_json(answer)
        if value is None:
            return "not a JSON object or array"
        try:
            error = next(self._validator.iter_errors(value), None)
        except RecursionError:
            return "nested too deep"
        except self._unresolvable as error:
            ref = getattr(error, "ref", "what is not in it")
            raise BadInput(
                f"{self.name} refers to {ref!r}, which is not in the file and is not fetched: put "
                "it under $defs"
            ) from None
        return "" if error is None else f"{_at(error)}: {error.message}"


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


def _at(error: Any) -> str:
    """Where in the document, '$.items[2].name'."""
    return str(error.json_path)
