"""JSON Schemas of users on answers of models: what is checked is the standard's, in linear time."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.compare.metrics.json_schema import JsonSchema, read_schema
from tuiwb.errors import BadInput

CATASTROPHIC = "^(a+)+$"
LONG = "a" * 50_000 + "!"


@pytest.mark.parametrize(
    ("schema", "answer", "valid"),
    [
        ({"properties": {"k": {"pattern": CATASTROPHIC}}}, {"k": LONG}, False),
        ({"patternProperties": {CATASTROPHIC: False}}, {LONG: 1}, True),
        (
            {"patternProperties": {CATASTROPHIC: {}}, "additionalProperties": False},
            {LONG: 1},
            False,
        ),
        ({"propertyNames": {"pattern": CATASTROPHIC}}, {LONG: 1}, False),
    ],
)
def test_an_expression_that_backtracks_without_end_elsewhere_is_linear_here(schema, answer, valid):
    assert JsonSchema(schema).valid(json.dumps(answer)) is valid


NAMES = st.sampled_from(["a", "ab", "x1", "x2", "b"])
PARTS = st.sampled_from([True, False, {"type": "integer"}, {"pattern": "^q"}, {"multipleOf": 2}])
SCHEMAS = st.fixed_dictionaries(
    {},
    optional={
        "properties": st.dictionaries(NAMES, PARTS, max_size=2),
        "patternProperties": st.dictionaries(
            st.sampled_from(["^x", "b$", "[0-9]"]), PARTS, max_size=2
        ),
        "additionalProperties": PARTS,
    },
)
VALUES = st.sampled_from([1, 2, 4.0, "q", "r", None, []])


@given(SCHEMAS, st.dictionaries(NAMES, VALUES, max_size=3))
@settings(max_examples=300, deadline=None)
def test_what_is_allowed_is_what_jsonschema_allows(schema, answer):
    theirs = jsonschema.Draft202012Validator(schema).is_valid(answer)
    assert JsonSchema(schema).valid(json.dumps(answer)) == theirs


@pytest.mark.parametrize(
    ("number", "factor", "valid"),
    [
        ("0.3", 0.1, True),
        ("0.35", 0.1, False),
        ("9" * 400, 0.1, True),
        ("1e999", 0.1, False),
        ("-1e999", 3, False),
        ("1e308", 1e-300, True),
    ],
)
def test_numbers_of_any_size_are_multiples_or_not(number, factor, valid):
    schema = JsonSchema({"properties": {"n": {"multipleOf": factor}}})
    assert schema.valid(f'{{"n": {number}}}') is valid


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"properties": {"k": {"pattern": "^(?!x)"}}}, "'\\^\\(\\?!x\\)', which RE2 can't run"),
        ({"properties": {"k": {"pattern": "("}}}, "which RE2 can't run"),
        ({"$ref": "#"}, "refers to itself without end"),
        ({"$ref": "file:///etc/hostname"}, "refers to 'file:///etc/hostname', which is not in"),
        ({"$ref": "#nowhere"}, "refers to an anchor, which is not in the file"),
        ({"$ref": "#/a", "a": 5}, "leads to what is no schema"),
        ({"$schema": 5}, "its \\$schema is no text"),
        ({"patternProperties": {"x": {}}, "unevaluatedProperties": False}, "use additionalProp"),
    ],
)
def test_a_schema_that_can_not_be_run_is_said_in_a_sentence(schema, said):
    with pytest.raises(BadInput, match=said):
        JsonSchema(schema, "s.json").problem('{"k": "v"}')


def test_schemas_and_answers_nested_without_end_are_said_to_be(tmp_path):
    deep: dict[str, object] = {}
    for _ in range(400):
        deep = {"not": deep}
    with pytest.raises(BadInput, match="nested too deep"):
        JsonSchema(deep)
    path = tmp_path / "deep.json"
    path.write_text('{"not":' * 100_000)
    with pytest.raises(BadInput, match="is not JSON"):
        read_schema(path)
    lists = {"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}
    assert JsonSchema(lists).problem("[" * 400 + "]" * 400) == "nested too deep"
    assert JsonSchema(lists).valid("[[[]]]")
