"""length: texts far from the dataset's own lengths, and answers cut off at a limit."""

import random
from typing import Any

from tests.data.some_rows import chat, findings, places
from tuiwb.data.checks.lengths import Lengths, unfinished

WORDS = ["the", "tent", "came", "late", "and", "one", "of", "its", "poles", "was", "bent", "so"]


def said(characters: int, seed: int = 0) -> str:
    picked = random.Random(seed).choices(WORDS, k=characters // 3)
    return " ".join(picked)[: characters - 1] + "."


def usual(count: int = 100) -> list[dict[str, Any]]:
    return [chat(said(60 + n % 40, n), said(250 + 3 * n, n)) for n in range(count)]


def test_a_text_far_longer_or_shorter_than_the_others_is_found() -> None:
    records = [*usual(), chat(said(4000), said(300)), chat(said(70), "No."), chat(said(70), "")]
    found = findings(Lengths(), records)
    assert places(found) == [(100, "long_prompt"), (101, "short_answer")]
    assert [f.field for f in found] == ["messages[0].content", "messages[1].content"]
    assert found[0].score is not None
    assert found[0].score > 5 > 0 > (found[1].score or 0)


def test_many_that_are_short_are_another_kind_of_row_and_no_outliers() -> None:
    records = usual() + [chat(said(70), "No.") for _ in range(5)]
    assert findings(Lengths(), records) == []


def test_a_small_set_has_no_usual_length() -> None:
    assert findings(Lengths(), [*usual(30), chat(said(70), said(50_000))]) == []


def test_answers_cut_at_the_same_number_of_characters_are_found() -> None:
    torn = [chat(said(70), said(900, n)[:599] + "x") for n in range(20)]
    found = findings(Lengths(), usual() + torn)
    assert places(found) == [(100 + n, "cut_off") for n in range(20)]


def test_a_length_among_many_near_it_is_no_limit() -> None:
    near = [chat(said(70), said(900, n)[: 590 + n % 20] + "x") for n in range(600)]
    peak = [chat(said(70), said(900, 9000 + n)[:599] + "x") for n in range(20)]
    assert findings(Lengths(), usual() + near + peak) == []
    far = [chat(said(70), said(1900, n)[:1599] + "x") for n in range(20)]
    found = findings(Lengths(), usual() + near + far)
    assert [f.row for f in found] == list(range(700, 720))


def test_copies_of_one_answer_are_no_sign_of_a_limit() -> None:
    copies = [chat(said(70), said(900)[:599] + "x") for _ in range(20)]
    assert findings(Lengths(), usual() + copies) == []


def test_the_longest_answers_all_cut_are_found_though_their_lengths_differ() -> None:
    torn = [chat(said(70), said(1500, n)[: 1000 + 7 * n] + "x") for n in range(20)]
    found = findings(Lengths(), usual(200) + torn)
    assert len(found) >= 10
    assert {f.kind for f in found} == {"cut_off"}
    assert min(f.row for f in found) >= 200


def test_answers_that_end_without_a_full_stop_all_over_are_a_style() -> None:
    style = [chat(said(70), said(250 + 5 * n, n)[:-1] + "x") for n in range(150)]
    assert findings(Lengths(), style) == []


def test_lists_titles_and_code_end_as_they_please() -> None:
    prose = "word " * 60
    assert unfinished(prose + "and then the")
    assert unfinished(prose + "and then,")
    assert not unfinished(prose + "and then.")
    assert not unfinished(prose + '"and then"')
    assert not unfinished(prose + "\n\n1. eggs\n2. milk")
    assert not unfinished(prose + "\n\nYours,\nIda")
    assert not unfinished("```\n" + prose + "and then the")


def test_the_audit_holds_the_spread_of_lengths() -> None:
    check = Lengths()
    findings(check, usual())
    audit = check.audit()
    assert audit["prompt"]["p5"] < audit["prompt"]["median"] < audit["prompt"]["p95"]
    assert audit["answer"]["median"] == 398
    assert audit["unfinished_share"] == 0
