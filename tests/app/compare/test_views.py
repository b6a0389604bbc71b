"""How a pair is laid out and shown: room shared evenly, diffs, Markdown, tokens. No app needed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from tuiwb.app.widgets.compare_diff import diff_content, word_diff
from tuiwb.app.widgets.compare_markdown import markdown_content
from tuiwb.app.widgets.compare_tokens import look_of, percent, token_content
from tuiwb.app.widgets.compare_words import answer_text
from tuiwb.app.widgets.pair_layout import Room, laid_out
from tuiwb.compare.completions import TokenProbabilities


def texts(**more: str) -> dict[str, Content]:
    names = ("message", "prompt", "asked", "left", "right", "single", "reference", "verdict")
    return {name: Content(more.get(name, "")) for name in names}


def lines(count: int, word: str = "word") -> str:
    return "\n".join(f"{word} {n}" for n in range(count))


@given(
    width=st.integers(40, 220),
    height=st.integers(10, 80),
    stacked=st.booleans(),
    left=st.integers(1, 200),
    right=st.integers(1, 200),
    prompt=st.integers(1, 60),
    reference=st.integers(0, 60),
    verdict=st.integers(0, 20),
    offset=st.integers(0, 300),
)
def test_both_answers_always_get_the_same_room_and_nothing_overflows(
    width, height, stacked, left, right, prompt, reference, verdict, offset
):
    room = Room(width, height, stacked)
    given_texts = texts(
        prompt=lines(prompt, "p"),
        left=lines(left, "l"),
        right=lines(right, "r"),
        reference=lines(reference, "k") if reference else "",
        verdict=lines(verdict, "v") if verdict else "",
    )
    layout = laid_out(given_texts, room, offset)
    one, other = layout.parts["left"], layout.parts["right"]
    assert (one.width, one.height) == (other.width, other.height)
    assert layout.total == max(left, right)
    around = sum(layout.parts[n].height for n in layout.parts if n not in ("left", "right"))
    both = one.height * 2 if stacked else one.height
    if height >= 14:
        assert around + both <= height
    for name, part in layout.parts.items():
        title = 0 if name == "prompt" else 1
        assert len(part.text.plain.split("\n")) <= part.height - title
        assert all(len(line) <= part.width for line in part.text.plain.split("\n"))
    # Swapping the answers swaps their cells and moves nothing else.
    swapped = {**given_texts, "left": given_texts["right"], "right": given_texts["left"]}
    again = laid_out(swapped, room, offset)
    assert (again.offset, again.visible, again.total) == (
        layout.offset,
        layout.visible,
        layout.total,
    )
    assert again.parts["left"].text.plain == other.text.plain
    assert {n: p for n, p in again.parts.items() if n not in ("left", "right")} == {
        n: p for n, p in layout.parts.items() if n not in ("left", "right")
    }


def test_scrolling_reaches_the_last_line_of_the_longer_answer():
    layout = laid_out(texts(left=lines(100), right=lines(3)), Room(80, 20, True), 10_000)
    assert layout.parts["left"].text.plain.endswith("word 99")
    assert layout.parts["right"].text.plain == ""
    assert layout.offset == 100 - layout.visible


def test_of_a_cut_prompt_the_last_turn_is_shown_before_the_system_turn():
    given_texts = texts(
        prompt="system " + lines(30, "rule") + "\nuser where is it?",
        asked="user where is it?",
        left=lines(40),
        right="b",
    )
    for height in (16, 24):
        part = laid_out(given_texts, Room(80, height, True), 0).parts["prompt"]
        shown = part.text.plain.split("\n")
        assert shown[-1] == "user where is it?"
        assert f"{31 - part.height + 1} more line" in shown[-2]
        # What is left of its room shows the beginning: no line of it stays empty.
        assert len(shown) == part.height
        assert part.height < 3 or shown[0] == "system rule 0"


def test_lines_that_short_answers_leave_empty_show_what_is_cut_elsewhere():
    short = texts(prompt=lines(9), left="a", right="b\nc", reference=lines(4, "known"))
    layout = laid_out(short, Room(80, 26, True), 0)
    assert layout.cut == set()
    assert "word 8" in layout.parts["prompt"].text.plain
    assert "known 3" in layout.parts["reference"].text.plain
    long = laid_out({**short, "right": Content(lines(90))}, Room(80, 26, True), 0)
    assert long.cut == {"prompt"}
    assert long.parts["left"].height > layout.parts["left"].height


WORDS = st.lists(st.sampled_from(["a", "b", "c", " ", ", ", "\n", "ä", "(x)", "12"])).map("".join)


@given(WORDS, WORDS)
def test_a_diff_turns_one_text_into_the_other(one, other):
    pieces = word_diff(one, other)
    assert "".join(text for change, text in pieces if change != "new") == one
    assert "".join(text for change, text in pieces if change != "gone") == other


def test_a_diff_is_marked_by_brackets_not_by_colour_alone():
    assert diff_content("send it today", "send it now").plain == "send it [-today-]{+now+}"
    shown = diff_content("a [bold]b[/]", "a \x1b[31mb").plain
    assert "\x1b" not in shown
    assert "[bold]" in shown


def test_what_two_changes_share_by_chance_is_no_island():
    assert diff_content("one two three", "uno due tre").plain == "[-one two three-]{+uno due tre+}"


def test_a_very_long_pair_is_compared_by_lines():
    one = "\n".join(f"line {n} of many words here" for n in range(2000))
    pieces = word_diff(one, one.replace("line 7 ", "line x "))
    assert [change for change, _ in pieces] == ["same", "gone", "new", "same"]


def test_markdown_keeps_every_word_and_acts_on_nothing():
    text = (
        "# Title\n\nSome *soft* and **hard** `code` <b>html</b> & &amp; [link](javascript:x)\n"
        "[ref]: http://hidden\n\n- one\n  1. two\n\n> said\n\n```py\nx = 1\n```\n\n"
        "|a|b|\n|-|-|\n|1|[bold]|\n\n![picture](http://beacon) \x1b[31m"
    )
    shown = markdown_content(text).plain
    for words in (
        "Title", "soft", "hard", "code", "<b>html</b>", "&amp;", "http://hidden", "• one",
        "1. two", "▎ said", "│ x = 1", "1 │ [bold]", "[image: picture]", "␛[31m", "javascript:x",
    ):  # fmt: skip
        assert words in shown, words
    assert "**" not in shown


@given(st.text(alphabet="ab*_`#->|[]()!\n 1.<&\\~", max_size=120))
def test_any_text_can_be_shown_as_markdown_without_losing_its_letters(text):
    shown = markdown_content(text).plain
    assert [c for c in shown if c in "ab"] == [c for c in text if c in "ab"]


@pytest.mark.parametrize("text", ["[" * 5000, "a *b* " * 5000])
def test_what_would_take_long_to_parse_is_shown_as_it_is(text):
    assert markdown_content(text).plain == text


def test_of_a_megabyte_only_the_beginning_is_laid_out():
    shown = answer_text("word " * 200_000).plain
    assert len(shown) < 21_000
    assert shown.endswith("… 980,000 more characters")


def test_json_looks_the_same_as_markdown_and_plain():
    text = '{"status": "late", "tags": ["a", "b"]}'
    assert markdown_content(text).plain == text


def test_tokens_are_shaded_by_weight_and_lines_and_the_worst_are_named():
    found = TokenProbabilities(
        id="a",
        tokens=["It", " is", " late", "\n"],
        base=[math.log(0.95), math.log(0.3), math.log(0.002), math.log(0.05)],
        adapter=[math.log(0.99), math.log(0.9), math.log(0.8), 0.0],
    )
    shown = token_content(found, ("base", "tuned")).plain
    assert "least likely: ' late' 0.2%, tuned 80%; '\\n' 5.0%" in shown
    assert "base  perplexity" in shown
    looks = [look_of(p) for p in found.base]
    assert len(set(looks)) == 4
    assert all(len({word for word in look.split() if "$" not in word}) for look in looks[1:])


@pytest.mark.parametrize(
    ("p", "said"),
    [(1.0, "100%"), (0.999, ">99%"), (0.5, "50%"), (0.0001, "<0.1%"), (0.031, "3.1%")],
)
def test_a_probability_never_reads_more_sure_than_it_is(p, said):
    assert percent(math.log(p)) == said
