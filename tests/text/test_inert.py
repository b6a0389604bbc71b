"""Hostile text made harmless: nothing that steers a terminal survives, clean text stays."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.text import inert, short_bytes, short_count, short_seconds


@given(st.text(alphabet=st.characters(), max_size=60))
def test_no_control_or_direction_mark_survives(text: str) -> None:
    shown = inert(text)
    for char in shown:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(char) not in (
            "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI",
        )  # fmt: skip
    shown.encode("utf-8")


def test_clean_text_is_returned_as_it_is() -> None:
    text = "Grüße, 你好 [bold] {x} — done"
    assert inert(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "␛[31mred"),
        ("a\x00b", "a␀b"),
        ("x\ud800y", "x\\ud800y"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u061cb", "a\\u061cb"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_what_steers_a_terminal_is_shown_as_a_symbol(text: str, shown: str) -> None:
    assert inert(text) == shown


def test_one_line_shows_newlines_and_tabs() -> None:
    assert inert("a\nb\tc", one_line=True) == "a⏎b⇥c"


def test_short_numbers() -> None:
    assert [short_seconds(n) for n in (5, 75, 7260, 90000)] == ["5s", "1m15s", "2h01m", "1d01h"]
    assert short_bytes(1536) == "1.5 KiB"
    assert short_count(1_234_567) == "1.2M"


def test_symbols_have_the_width_every_terminal_gives_them() -> None:
    # Old terminals give a heart with an emoji selector one cell, others two.
    assert inert("\u2764\ufe0f 1\ufe0f\u20e3 \u26a0\ufe0e") == "\u2764 1\u20e3 \u26a0"
