"""The filter language: what each word keeps, and what it says of a word it can't read."""

import pytest

from tuiwb.data.checks.finding import CHECKS, KINDS, Finding
from tuiwb.data.checks.pii import KINDS as PII
from tuiwb.data.formats import to_row
from tuiwb.data.query import Seen, of_facet, parse, toggled
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
    assert parse(text).matches(Seen(ROW, (FOUND,), "drop", "accept", True)) is kept


def test_mark_asks_for_flag_and_verdict_each_by_its_name() -> None:
    seen = {
        "both": Seen(ROW, (), "hard", "reject"),
        "flag": Seen(ROW, (), "hard"),
        "verdict": Seen(ROW, (), None, "reject"),
        "neither": Seen(ROW),
    }

    def kept(text: str) -> set[str]:
        return {name for name, one in seen.items() if parse(text).matches(one)}

    assert kept("mark:hard") == {"both", "flag"}
    assert kept("mark:reject") == {"both", "verdict"}
    assert kept("mark:any") == kept("is:marked") == {"both", "flag", "verdict"}
    assert kept("mark:none") == {"neither"}
    assert kept("mark:keep") == kept("mark:accept") == set()


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


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("tag.topic", "late parcel", 'topic="late parcel"'),
        ("tag.turns", "5", "tag.turns=5"),
        ("tag.Turns", "5", "tag.Turns=5"),
        ("tag.label", "positive", "tag.label=positive"),
        ("tag.two words", "x", None),
        ("tag.topic", 'a "b"', None),
        ("format", "messages", "format:messages"),
        ("label", "good", "label=good"),
    ],
)
def test_a_facets_value_becomes_a_word_that_finds_it(
    name: str, value: str, word: str | None
) -> None:
    assert of_facet(name, value) == word
    if word is None:
        return
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    record: dict[str, object] = {"messages": turns}
    if name.startswith("tag."):
        record[name.removeprefix("tag.")] = value
    if name == "label":
        record["label"] = True
    row = to_row(record, "d.jsonl", 0, 1)
    assert parse(word).matches(Seen(row))
    assert not parse(word).matches(Seen(to_row({"text": "x"}, "d.jsonl", 0, 1)))


def test_a_facet_chosen_again_leaves_the_filter() -> None:
    text = 'refund check:pii/email topic="late parcel"'
    assert toggled(text, "check:pii") == f"{text} check:pii"
    assert toggled(text, "check:pii/email") == 'refund topic="late parcel"'
    assert toggled(text, 'topic="late parcel"') == "refund check:pii/email"


def test_a_kind_of_personal_data_can_be_named_without_its_check_to_be_told_it() -> None:
    assert set(KINDS["pii"]) == set(PII)
    assert KINDS.keys() <= set(CHECKS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("check:pi", "did you mean check:pii"),
        ("check:card", r"there is no check 'card': did you mean check:pii/card\?"),
        ("check:emial", "did you mean check:pii/email"),
        ("check:nope", "there is no check 'nope': one of malformed"),
        ("mark:gone", "mark: takes keep, drop, hard"),
        ("severity:bad", "severity: takes error, warning"),
        ("turns>x", "write turns>100"),
        ("Turns>x", "write turns>100"),
        ('say "hi', "never closed"),
    ],
)
def test_a_word_that_means_nothing_is_told_and_not_searched_for(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        parse(text)


def test_keys_are_read_in_any_case_and_kinds_after_either_mark() -> None:
    assert parse("Check:pii:email").matches(Seen(ROW, (FOUND,)))
    assert parse("Turns=3 CHARS>10 Answer_Chars>=20 Row=7").matches(Seen(ROW))
    assert not parse("Turns>3").matches(Seen(ROW))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("chek:pii", "check:pii"),
        ("-hceck:pii", "check:pii"),
        ("checks:any", "check:any"),
        ("severty:error", "severity:error"),
        ("rolr:user x", "role:user"),
        ("turn>4", "turns>4"),
        ("chras<=200", "chars<=200"),
        ("Turn>4", "turns>4"),
        ("mask:drop", "mark:drop"),
    ],
)
def test_a_key_with_one_letter_wrong_is_refused(typed: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"did you mean {meant}\\?"):
        parse(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "http://x",
        '"chek:pii"',
        "note:this",
        "user:x",
        "time:4",
        "chek:",
        "turn>more",
        "a>b",
        "mask:on",
    ],
)
def test_what_only_has_a_colon_is_a_text_to_look_for(typed: str) -> None:
    assert parse(typed).needles == (typed.strip('"'),)
