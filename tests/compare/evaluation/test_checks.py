"""What a machine can check of one answer."""

import pytest

from tuiwb.compare.evaluation.checks import (
    Expect,
    broken,
    copied_fields,
    invented,
    read_expect,
    repeats_itself,
    right,
    unsound,
)


def test_an_answer_passes_when_it_is_the_reference_but_for_case_articles_and_punctuation():
    assert right("the plural of foot is FEET", "The plural of foot is feet.", None) is True
    assert right("The plural of foot is foots.", "The plural of foot is feet.", None) is False
    assert right("anything", None, None) is None


def test_what_a_row_expects_goes_before_its_reference():
    expect = Expect(regex=r"\b(feet|Feet)\b")
    assert right("They are called feet, of course.", "The plural of foot is feet.", expect) is True
    assert right("foots", "foots", expect) is False


@pytest.mark.parametrize(
    ("expect", "good", "bad", "words"),
    [
        ({"regex": "^[0-9]+$"}, "42", "4 2", "does not match"),
        ({"contains": ["Paris"]}, "It is paris!", "It is parish.", "lacks 'Paris'"),
        ({"absent": ["order"]}, "I can't say.", "Your order is late.", "says 'order'"),
        ({"json": True}, '{"a": 1}', "a: 1", "is no JSON"),
        ({"json": False}, "plain words", "[1]", "is JSON"),
        ({"fields": {"order": None}}, '{"order": null}', '{"order": "A-1"}', "order is not null"),
        ({"fields": {"city": "Thornby"}}, '{"city": "thornby "}', "{}", 'city is not "Thornby"'),
        ({"fields": {"n": 1}}, '{"n": 1}', '{"n": true}', "n is not 1"),
        ({"fields": {"n": [1]}}, '{"n": [1.0]}', '{"n": [true]}', "n is not [1]"),
    ],
)
def test_each_expectation_is_held_or_says_what_is_wrong(expect, good, bad, words):
    read = read_expect(expect)
    assert read is not None
    assert broken(good, read) == []
    assert any(words in found for found in broken(bad, read))


@pytest.mark.parametrize(
    "wrong",
    [{"regexp": "x"}, {"regex": "("}, {"regex": "a" * 2000}, {"contains": "x"}, {"json": 3}],
)
def test_an_expectation_that_cannot_be_checked_is_refused(wrong):
    with pytest.raises(ValueError, match=r"expect|regex"):
        read_expect(wrong)


def test_an_expectation_in_words_is_left_to_eyes_and_judges():
    assert read_expect("greets, or files nulls") is None
    assert read_expect(None) is None


def test_a_hostile_regex_on_a_long_answer_ends_at_once():
    expect = read_expect({"regex": "(a+)+$"})
    assert expect is not None
    # Backtracking would take 2^50000 steps.
    assert broken("a" * 50_000 + "!", expect) == ["does not match '(a+)+$'"]


@pytest.mark.parametrize(
    ("answer", "ended", "why"),
    [
        ("A sound answer.", True, []),
        (" \n", True, ["empty"]),
        ("It goes on and", False, ["did not end"]),
        ("no no no no " * 20, True, ["repeats itself without end"]),
        ("ha" * 40, True, ["repeats itself without end"]),
    ],
)
def test_soundness_names_each_fault(answer, ended, why):
    assert unsound(answer, ended=ended) == why


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ha ha ha ha",
        "one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve",
        '{"a": 0, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0, "g": 0, "h": 0}',
        "The end." + " " * 200,
    ],
)
def test_lists_laughter_and_trailing_space_are_no_runaway(text):
    assert not repeats_itself(text)


def test_fields_that_the_references_copy_must_stand_in_the_prompt_and_are_invented_else():
    rows = [
        (f"Order A-{n} to Thornby.", f'{{"intent": "delivery", "order": "A-{n}"}}')
        for n in range(10)
    ]
    copied = copied_fields([*rows, ("no order", '{"intent": "other", "order": null}')])
    assert copied == {"order"}
    asked = "Where is  a-77 now?"
    assert invented('{"intent": "delivery", "order": "A-77"}', asked, copied) == []
    assert invented('{"intent": "delivery", "order": "A-78"}', asked, copied) == ["order"]
    assert invented('{"intent": "delivery", "order": null}', asked, copied) == []
    assert invented("plain words", asked, copied) == []
