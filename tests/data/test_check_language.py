"""language: rows in another language than the rest, and questions answered in another one."""

from typing import Any

import pytest

from tests.data.some_rows import chat, findings, places
from tuiwb.data.checks.language import SAMPLED, Language, akin, language

ENGLISH = "I would like to know whether you can send another one before we leave on Friday."
ANSWER = "Yes, we will send it to you today and it should be with you by the end of the week."
GERMAN = "Ich möchte gerne wissen, ob Sie mir noch vor Freitag ein neues Zelt schicken können."
FRENCH = "Nous vous enverrons une nouvelle tente avant vendredi, et les frais sont pour nous."
FINNISH = "Haluaisin tietää, voitteko lähettää minulle uuden teltan ennen perjantaita, kiitos."
CHINESE = "我想知道你们是否可以在星期五之前再寄一顶新的帐篷给我,谢谢你们的帮助和耐心。"


def english(count: int) -> list[dict[str, Any]]:
    return [chat(f"{ENGLISH} It is order {n}.", ANSWER) for n in range(count)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        (FRENCH, "fr"),
        (FINNISH, "fi"),
        (CHINESE, "zh"),
        ("Ja.", None),
        ("for (int i = 0; i < n; i++) { total += values[i]; } return total / n;", None),
        ("| 12 | 13 | 14 |\n" * 20, None),
        ("https://example.com/a/very/long/path/to/nowhere?with=a&query=string " * 3, None),
        ("", None),
    ],
)
def test_a_language_is_named_where_it_is_sure(text: str, name: str | None) -> None:
    assert language(text) == name


def test_a_row_in_another_language_is_found() -> None:
    records = [*english(40), chat(FINNISH, FINNISH), chat(CHINESE, CHINESE)]
    found = findings(Language(), records)
    assert [(f.row, f.kind, f.text) for f in found] == [
        (40, "other_language", "fi"), (41, "other_language", "zh")
    ]  # fmt: skip


def test_a_question_answered_in_another_language_is_found() -> None:
    found = findings(Language(), [*english(40), chat(GERMAN, FRENCH)])
    assert places(found) == [(40, "mismatch")]
    assert found[0].sentence == "asked in de, answered in fr"


def test_what_is_asked_about_languages_is_meant() -> None:
    records = [
        *english(40),
        chat(f"{ENGLISH} Translate this into Finnish.", FINNISH),
        chat(ENGLISH, GERMAN, "Always answer in German."),
        chat(f"Übersetze: {GERMAN}", ENGLISH),
    ]
    check = Language()
    assert findings(check, records) == []
    assert check.audit()["passed_over"] == 3


def test_a_set_of_many_languages_has_no_odd_one() -> None:
    records = english(20) + [chat(GERMAN, GERMAN)] * 10 + [chat(FINNISH, FINNISH)]
    assert findings(Language(), records) == []


def test_languages_taken_for_one_another_are_no_mismatch() -> None:
    assert akin("no", "da")
    assert akin("hr", "sr")
    assert not akin("no", "fi")


def test_a_large_set_is_sampled_from_its_first_row_to_its_last() -> None:
    check = Language()
    records = english(1) * (3 * SAMPLED)
    records[-1] = records[-2] = records[-3] = records[-4] = chat(FINNISH, FINNISH)
    found = findings(check, records, 1000)
    audit = check.audit()
    assert SAMPLED / 2 < audit["sampled_rows"] <= SAMPLED
    assert audit["of_rows"] == 3 * SAMPLED
    assert [f.row for f in found] == [3 * SAMPLED - 4]
