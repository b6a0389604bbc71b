"""malformed: what can't be read, and what can't be tokenized."""

from tests.data.some_rows import chat, findings
from tuiwb.data.checks.malformed import Malformed


def test_broken_rows_and_lone_surrogates_are_found_and_odd_characters_are_not() -> None:
    records = [
        chat("hello \ud800 there"),
        [1, 2],
        chat("naïve \x00 \U0001f600 \ue000"),
        {"messages": []},
    ]
    found = findings(Malformed(), records)
    assert [(f.row, f.field, f.start) for f in found] == [
        (1, "", None), (3, "", None), (0, "messages[0].content", 6)
    ]  # fmt: skip
    assert {f.severity for f in found} == {"error"}
    assert found[0].sentence == "the row is a list, not an object with fields"
