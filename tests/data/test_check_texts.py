"""The texts of a batch: gathered once, searched in one pass, hostile ones too."""

from tests.data.some_rows import chat, pair, rows_of
from tuiwb.data.checks.texts import gate, texts_of


def test_every_text_stands_in_one_group_by_its_role() -> None:
    rows = rows_of([chat("asked", "said", "owned"), {"text": "plain"}, pair("p", "c", "r"), 7])
    texts = texts_of(rows)
    assert [text for _, _, _, text in texts.entries] == [
        "owned", "asked", "said", "plain", "p", "c", "r"
    ]  # fmt: skip
    groups = [[text for _, _, _, text in group.entries] for group in texts.groups]
    assert groups == [["owned"], ["asked", "plain", "p"], ["said", "c", "r"]]
    assert [row.index for row, _, _ in texts.said] == [0, 1, 2]


def test_the_same_batch_is_gathered_once_and_another_one_anew() -> None:
    rows = rows_of([chat("a"), chat("b")])
    assert texts_of(rows) is texts_of(rows)
    assert texts_of(rows_of([chat("a"), chat("b")])) is not texts_of(rows)


def test_a_gate_lets_through_the_texts_that_hold_a_word_and_no_others() -> None:
    words = ["über alles", "Zwölf", "x.y"]
    asked = ["ÜBER\n  alles", "zwölf", "elf", "xzy", "über", "lone \ud800 X.Y", "", "a\x00x.Y"]
    texts = texts_of(rows_of([chat(text) for text in asked]))
    held = [text for _, _, _, text in texts.untrusted.holding(gate(words))]
    assert held == [asked[0], asked[1], asked[5], asked[7]]


def test_a_word_does_not_reach_from_one_text_into_the_next() -> None:
    texts = texts_of(rows_of([chat("the end of"), chat("all things")]))
    assert list(texts.untrusted.holding(gate(["ofall", "endall"]))) == []
