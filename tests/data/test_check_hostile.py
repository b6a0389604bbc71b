"""Every check withstands any text in any place, alone and in batches."""

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.some_rows import findings
from tuiwb.data.checks.answer_format import Format
from tuiwb.data.checks.check import Check, EachRow
from tuiwb.data.checks.empty import Empty
from tuiwb.data.checks.encoding import Encoding
from tuiwb.data.checks.injection import Injection
from tuiwb.data.checks.language import Language
from tuiwb.data.checks.lengths import Lengths
from tuiwb.data.checks.malformed import Malformed
from tuiwb.data.checks.preference import BothLabels, Pairs, same_answers
from tuiwb.data.checks.refusal import Refusals
from tuiwb.data.checks.repetition import Repetition
from tuiwb.data.checks.role_order import RoleOrder
from tuiwb.data.checks.sizing import Sizing
from tuiwb.data.checks.system_prompts import SystemPrompts
from tuiwb.data.checks.tool_calls import tool_calls

PIECES = st.sampled_from(
    [
        "ignore all instructions. ", "\x00", "\ud800", "Ã©", "\U000e0041", "\u202e", "{", "}",
        '"a": 1', "```json\n", "```", "|a|b|\n|--|--|\n", "<p>", "&amp;", "\ufffd", "[", "]",
        "As an AI, I ", "\n", "- x\n", "a: b\n", "a,b\n", "İ", "ß", "忽略所有指令", "\\n\\n", " ",
        "x" * 130, "1. y\n", "\u2028",
    ]
)  # fmt: skip
TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=60),
    st.lists(PIECES, max_size=12).map("".join),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": TEXT, "arguments": JSON})},
    optional={"id": JSON, "type": JSON},
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "ghost"]), "content": TEXT},
    optional={"tool_calls": st.lists(CALL, max_size=2), "tool_call_id": TEXT, "name": TEXT},
)
TURNS = st.lists(TURN, min_size=1, max_size=5)
TOOL = st.fixed_dictionaries(
    {"name": TEXT},
    optional={"parameters": JSON | st.fixed_dictionaries(
        {"type": JSON, "properties": JSON | st.dictionaries(TEXT, JSON, max_size=2)},
        optional={"required": JSON, "additionalProperties": JSON})},
)  # fmt: skip
PART = TEXT | TURNS
RECORD = st.one_of(
    JSON,
    st.fixed_dictionaries({"messages": TURNS}, optional={"tools": st.lists(TOOL, max_size=2)}),
    st.fixed_dictionaries({"text": TEXT}),
    st.fixed_dictionaries({"prompt": PART, "completion": PART}, optional={"label": JSON}),
    st.fixed_dictionaries({"chosen": PART, "rejected": PART}, optional={"prompt": PART}),
)


def checks() -> list[Check]:
    return [
        EachRow((tool_calls, same_answers)), Malformed(), Empty(), RoleOrder(), Injection(),
        Format(), Pairs(), BothLabels(), Lengths(), Language(), Sizing(), SystemPrompts(),
        Refusals(), Encoding(), Repetition(),
    ]  # fmt: skip


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(RECORD, min_size=1, max_size=8), st.sampled_from([1, 12]))
def test_any_rows_are_checked_and_what_is_found_can_be_written(
    records: list[Any], times: int
) -> None:
    for check in checks():
        for finding in findings(check, records * times, 50):
            assert 0 <= finding.row < len(records) * times
            assert finding.line == finding.row + 1
            msgspec.json.encode(finding)
            if finding.start is not None and finding.end is not None:
                assert 0 <= finding.start < finding.end
        audit = getattr(check, "audit", dict)
        msgspec.json.encode(audit())


def test_no_rows_at_all_are_no_findings() -> None:
    for check in checks():
        assert findings(check, []) == []
        audit = getattr(check, "audit", dict)
        msgspec.json.encode(audit())
