"""Redaction: what was JSON stays JSON, what was two keys stays two, long rows take their time."""

import json
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuiwb.data.formats import to_row
from tuiwb.data.json_text import Shown
from tuiwb.data.redact import redact
from tuiwb.data.rows import Message, Row

PLANTED = (
    "bob.miller@shop.test", "anna@mail.test", "o'hara@mail.test", "+44 20 7946 0958",
    "+49 30 901820",
)  # fmt: skip
ESCAPED = st.sampled_from(["\n", "\t", "\r", "\x08", '"', "\\", "/", "<", "é", "\u2028", "😀", " "])
WORDS = st.sampled_from(["to", "note:", "{", "]", "", "a,b", "\ud800", "\x00"])
STRING = st.builds(
    lambda words, before, value, after: f"{words}{before}{value}{after} {words}",
    WORDS, ESCAPED, st.sampled_from(PLANTED), st.sampled_from(["\n", " ", "", ", ", '"', "\\"]),
)  # fmt: skip
VALUE = st.recursive(
    STRING
    | st.none()
    | st.booleans()
    | st.integers(-99, 99)
    | st.sampled_from([0.5, -1.25e-3, 1e20])
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | STRING, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from(["note", "to", "n"]) | STRING, VALUE, max_size=4)
INDENT = st.sampled_from([None, 1])


def text_row(text: str) -> Row:
    return to_row({"text": text}, "f", 0, 1)


def redacted(text: str) -> str:
    row, _ = redact(text_row(text))
    assert row.text is not None
    return row.text


def shape(value: Any) -> Any:
    """A JSON value without what its strings say."""
    if isinstance(value, dict):
        return [shape(inner) for inner in value.values()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return "" if isinstance(value, str) else value


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(OBJECT, st.booleans(), INDENT, st.sampled_from(["{}", "Here:\n```json\n{}\n```", "a\n{}"]))
def test_json_still_parses_after_redaction_and_holds_none_of_what_was_planted(
    value: dict[str, Any], ascii_only: bool, indent: int | None, around: str
) -> None:
    if around.startswith("a"):
        indent = None
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if ascii_only:
        text = text.replace("<", "\\u003c").replace("/", "\\/")
    said = redacted(around.replace("{}", text))
    head, tail = around.split("{}")
    assert said.startswith(head)
    again = json.loads(said[len(head) : len(said) - len(tail)])
    assert shape(again) == shape(value)
    shown = json.dumps(again, ensure_ascii=False)
    assert not any(planted in shown for planted in PLANTED)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.text(st.sampled_from('{}[]":,\\nu0d83 \n`1-e😀\ud800a'), max_size=40)
    | OBJECT.map(json.dumps)
)
def test_every_place_of_what_is_shown_leads_to_its_source(text: str) -> None:
    shown = Shown(text)
    places = [place for i in range(len(shown.text)) for place in shown.places(i, i + 1)]
    assert all(0 <= place.start < place.end <= len(text) for place in places)
    assert places == sorted(places)
    if "\\" not in text:
        assert shown.text == text


def test_an_escape_before_an_address_stays_in_the_answer() -> None:
    answer = json.dumps({"note": "Contact 3\nuser3.miller@acme.com\nThanks"})
    assert redacted(answer) == r'{"note": "Contact 3\n[EMAIL_1]\nThanks"}'


def test_what_is_not_redacted_is_left_as_it_was_written() -> None:
    answer = '{ "a" : "\\u003cann@post.test\\u003e", "b":"caf\\u00e9 \\/", "c": 1.50 }'
    assert redacted(answer) == answer.replace("ann@post.test", "[EMAIL_1]")


def test_a_number_that_gives_someone_away_becomes_a_string() -> None:
    said = json.loads(redacted('{"cards": [4556737586899855, 3], "n": -4556737586899855}'))
    assert said["cards"] == ["[CARD_1]", 3]


def test_names_of_fields_are_redacted_and_two_spellings_stay_two() -> None:
    people = {"ann@post.test": 1, "Ann@post.test": 2, "x": {"bo@post.test": "ann@post.test"}}
    row = to_row({"text": json.dumps(people), "people": people}, "f", 0, 1)
    new, spans = redact(row)
    assert new.text is not None
    assert json.loads(new.text) == new.tags["people"]
    assert sorted(new.tags["people"]) == ["[EMAIL_1]", "[EMAIL_2]", "x"]
    assert new.tags["people"]["x"] == {"[EMAIL_3]": "[EMAIL_1]"}
    assert spans == {"email": 8}


def test_a_password_is_known_by_the_name_of_its_field() -> None:
    function = {"name": "login", "arguments": {"password": "tr0ub4dor&3x", "user": "ann"}}
    calls = [{"type": "function", "function": function}]
    record = {"messages": [{"role": "user", "content": "x"},
                           {"role": "assistant", "content": "", "tool_calls": calls}]}  # fmt: skip
    row, spans = redact(to_row(record, "f", 0, 1))
    assert row.messages is not None
    assert row.messages[1].tool_calls is not None
    arguments = row.messages[1].tool_calls[0]["function"]["arguments"]
    assert arguments == {"password": "[SECRET_1]", "user": "ann"}
    assert spans == {"secret": 1}


@pytest.mark.parametrize(
    ("piece", "elsewhere"),
    [
        ("user{n}.smith@acme{n}.test is fine", ""),
        ("+44 20 7946 {n:04} rings, ", ""),
        ("user{n} smith{n}@acme.test ", "user{n} writes "),
    ],
)
def test_work_grows_with_the_length_of_a_row_and_no_faster(piece: str, elsewhere: str) -> None:
    def row(size: int) -> Row:
        texts = [" ".join(part.format(n=n) for n in range(size)) for part in (piece, elsewhere)]
        messages = [Message("user", text) for text in texts]
        return Row(file="f", index=0, line=1, format="chat", shape="chat", messages=messages)

    redact(row(10))
    assert steps(row(1600)) <= 5 * steps(row(400))


def steps(row: Row) -> int:
    """How many lines of Python redaction takes."""
    count = 0

    def note(_frame: Any, event: str, _argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return note

    sys.settrace(note)
    try:
        _new, spans = redact(row)
    finally:
        sys.settrace(None)
    assert sum(spans.values()) >= 400
    return count
