"""The filter language: what each word keeps, and what it says of a word it can't read."""

import pytest

from tuiwb.data.checks.finding import Finding
from tuiwb.data.formats import to_row
from tuiwb.data.query import Seen, of_facet, parse
from tuiwb.errors import BadInput

ROW = to_row(
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "My REFUND of 12 EUR: where?"},
            {"role": "assistant", "content": "It is on its way a=b"},
        ],
        "topic": "late parcel",
    },
    "d.jsonl",
    7,
    8,
)
FOUND = Finding(file="d.jsonl", row=7, line=8, check="pii", kind="email", sentence="", text="")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", True),
        ("refund", True),
        ("refund whence", False),
        ('"refund of 12"', True),
        ("role:assistant refund", False),
        ("role:user refund", True),
        ("role:tool", False),
        ("role:system", True),
        ("/refund of \\d+ eur/", True),
        ("/refund of [a-z]+ eur/", False),
        ("role:assistant /way/", True),
        ("-refund", False),
        ("-whence", True),
        ("check:pii", True),
        ("check:pii/email", True),
        ("check:pii/phone", False),
        ("check:any -severity:error", True),
        ("severity:error", False),
        ("mark:drop", True),
        ("mark:keep", False),
        ("mark:none", False),
        ("is:marked is:edited", True),
        ("is:broken", False),
        ("turns=3 turns<4 chars>10 answer_chars>=20", True),
        ("turns>3", False),
        ("row=7", True),
        ("format:messages", True),
        ("format:alpaca", False),
        ('topic="late parcel"', True),
        ("topic=late", False),
        ('"a=b"', True),
        ("label=good", False),
    ],
)
def test_a_filter_keeps_what_its_words_say(text: str, kept: bool) -> None:
    assert parse(text).matches(Seen(ROW, (FOUND,), "drop", True)) is kept


def test_a_broken_row_is_searched_by_its_raw_text() -> None:
    row = to_row(["refund"], "d.jsonl", 0, 1)
    assert parse("refund is:broken").matches(Seen(row))


def test_only_plain_texts_narrow_the_search_of_the_file() -> None:
    assert parse('Refund -late check:pii "a=b" /x+/').needles == ("refund", "a=b")


@pytest.mark.parametrize(
    ("text", "words"),
    [("/(/", "is no regular expression"), ("is:green", "is:edited, is:broken or is:marked")],
)
def test_a_word_that_can_not_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse(text)


def test_a_facets_value_becomes_a_word_that_finds_it() -> None:
    word = of_facet("tag.topic", "late parcel")
    assert parse(word).matches(Seen(ROW))
    assert parse(of_facet("format", "messages")).matches(Seen(ROW))
    assert not parse(of_facet("format", "text")).matches(Seen(ROW))
