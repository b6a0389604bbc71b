"""format: answers that break the form most of them keep."""

import json
from typing import Any

import pytest

from tests.data.some_rows import chat, findings, pair, places
from tuiwb.data.checks import answer_forms as forms
from tuiwb.data.checks.answer_format import Format
from tuiwb.data.checks.json_drift import JsonDrift


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (' {"a": 1} ', forms.OBJECT),
        ('{"a": NaN}', forms.OBJECT),
        ("[1, 2]", forms.ARRAY),
        ('```json\n{"a": 1}\n```', forms.FENCED),
        ("```\n[1]\n```", forms.FENCED),
        ('{"a": 1}\nI hope this helps.', forms.FOLLOWED),
        ('Here it is: {"a": 1}', forms.WITHIN),
        ('Sure!\n```json\n{"a": 1}\n```', forms.WITHIN),
        ('{"a": 1', forms.BROKEN),
        ("{'a': 1}", forms.BROKEN),
        ("<a><b>1</b></a>", forms.XML),
        ('<?xml version="1.0"?><a/>', forms.XML),
        ("name: Ida\nage: 3\ntags:\n  - x\n  - y: 2", forms.YAML),
        ("a,b,c\n1,2,3\n4,5,6", forms.CSV),
        ("a\tb\n1\t2", forms.CSV),
        ("| a | b |\n|---|---|\n| 1 | 2 |", forms.TABLE),
        ("- one\n- two\n  and more\n- three", forms.BULLETS),
        ("1. one\n2) two", forms.NUMBERS),
        ("```python\nprint(1)\n```", forms.CODE),
        ("Well, a dog.\nIt barks, and more.", forms.PROSE),
        ("Note: this is prose.\nIt goes on without keys\nand on.", forms.PROSE),
        ("<3 you", forms.PROSE),
        ("{} is an empty object", forms.PROSE),
        ("use {name} here", forms.PROSE),
        ("", forms.PROSE),
        ("[", forms.BROKEN),
        ("[" * 100_000, forms.BROKEN),
        ("|a|\n--" + " " * 300_000 + "x\n", forms.PROSE),
        ("<a>" + "</a>" * 100_000 + "x", forms.PROSE),
        ("- " + " " * 300_000 + "\nx", forms.PROSE),
        ("```\n" * 100_000 + "x", forms.PROSE),
        ("```" + " " * 300_000 + "x\n", forms.PROSE),
        ("```" + " " * 300_000 + "\nx\n```", forms.CODE),
        ("```\n```", forms.CODE),
        ("```\n", forms.PROSE),
        ("a | b\n" + " " * 990 + "--" + " " * 990 + "x\nz", forms.PROSE),
        ("a | b\n" + "--|" * 600 + "x\nz", forms.PROSE),
        ("a | b\n :--: | ---: |\n1 | 2", forms.TABLE),
    ],
)
def test_the_form_of_an_answer_is_told_by_the_whole_of_it(text: str, name: str) -> None:
    assert forms.form_of(text).name == name


def answers(*odd: str, of: int = 40, usual: str = '{{"n": {0}}}') -> list[dict[str, Any]]:
    return [chat(f"q{n}", usual.format(n)) for n in range(of)] + [chat("odd", o) for o in odd]


@pytest.mark.parametrize(
    ("usual", "odd", "words"),
    [
        ('{{"n": {0}}}', '{"n": ', "is not JSON"),
        ('{{"n": {0}}}', "It is four.", "is not JSON"),
        ('{{"n": {0}}}', '```json\n{"n": 1}\n```', "JSON in a code fence"),
        ('{{"n": {0}}}', '{"n": 1} I hope it helps!', "words after it"),
        ('{{"n": {0}}}', "[1]", "a JSON array"),
        ('```json\n{{"n": {0}}}\n```', '{"n": 1}', "a JSON object"),
        ("<n>{0}</n>", "<n>1</m>", "prose; 40 of 41 are XML"),
        ("n: {0}\nm: 1", "n is 1", "prose; 40 of 41 are YAML"),
        ("a,b\n{0},1", "a;b\n1;2;3", "prose; 40 of 41 are CSV"),
        ("|a|b|\n|-|--|\n|{0}|1|", "a b\n1 2", "prose; 40 of 41 are"),
        ("- {0}\n- 1", "1. a\n2. b", "a numbered list; 40 of 41 are a bullet list"),
    ],
)
def test_an_answer_in_another_form_is_found(usual: str, odd: str, words: str) -> None:
    found = findings(Format(), answers(odd, usual=usual))
    if usual.startswith("|"):
        # A rule of one dash is none in Markdown: the set is prose and nothing is odd.
        assert found == []
        return
    assert places(found) == [(40, "form")]
    assert words in found[0].sentence
    assert found[0].severity == "error"


def test_sets_that_keep_no_form_have_no_odd_answers() -> None:
    mixed = answers(*["plain words"] * 20)
    assert findings(Format(), mixed) == []
    assert findings(Format(), answers('{"a": 1}', usual="prose number {0}")) == []
    assert findings(Format(), answers("odd", of=8)) == []


def drifts(usual: list[Any], *odd: Any) -> list[tuple[int, str]]:
    check = Format()
    records = [chat(f"q{n}", json.dumps(value)) for n, value in enumerate([*usual, *odd])]
    return places(findings(check, records))


def test_keys_drift_at_every_depth() -> None:
    usual = [{"who": {"name": "Ida", "age": n}, "items": [{"id": n}]} for n in range(30)]
    assert drifts(usual, {"who": {"name": "Ida", "age": 1}}) == [(30, "keys")]
    assert drifts(usual, {"who": {"name": "Ida"}, "items": []}) == [(30, "keys")]
    assert drifts(usual, {"who": {"name": "I", "age": 1}, "items": [{"id": 1}, {"ix": 1}]}) == [
        (30, "keys")
    ]
    assert drifts(usual, {"who": {"name": "I", "age": 1}, "items": []}) == []


def test_a_value_of_another_type_is_found_and_null_is_an_option() -> None:
    usual = [{"order": f"A-{n}", "count": n} for n in range(40)]
    assert drifts(usual, {"order": 17, "count": 1}) == [(40, "type")]
    assert drifts(usual, {"order": "A", "count": "1"}) == [(40, "type")]
    assert drifts(usual, {"order": None, "count": 2.5}) == []
    sparse = [{"order": f"A-{n}" if n < 25 else None} for n in range(900)]
    assert drifts(sparse, {"order": "A"}) == []


def test_a_value_that_is_nearly_one_of_few_is_found() -> None:
    usual = [{"intent": name} for name in ("refund", "exchange", "warranty") * 40]
    assert drifts(usual, {"intent": "Refund"}) == [(120, "value")]
    assert drifts(usual, {"intent": "warrantty"}) == [(120, "value")]
    assert drifts(usual, {"intent": "shipping"}) == [(120, "value")]
    free = [{"intent": f"thing {n}"} for n in range(60)]
    assert drifts(free, {"intent": "thing 7 "}) == []


def test_numbers_in_values_are_no_typing_errors() -> None:
    usual = [{"size": f"size {n % 30}"} for n in range(300)]
    assert drifts(usual, {"size": "size 31"}) == []


def test_a_pair_that_prefers_the_worse_form_is_said() -> None:
    good, bad = '{"a": 1}', "a is one"
    records = [pair(f"q{n}", good, bad) for n in range(30)] + [pair("q", bad, good)]
    check = Format()
    (found,) = findings(check, records)
    assert (found.row, found.field) == (30, "chosen")
    assert "the answer it is preferred to keeps the form" in found.sentence
    assert check.audit()["pairs_of_two_forms_share"] == 1.0


def test_an_object_of_another_shape_each_time_is_counted_without_end() -> None:
    drift = JsonDrift()
    for n in range(6000):
        drift.add({f"key{n}": n}, n)
    assert list(drift.drifts()) == []
