"""Every check withstands any text in any place, alone and in batches; so does its report."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.some_rows import chat, findings, rows_of
from tuiwb.data.checks import check_dataset
from tuiwb.data.checks.check import Audited, Check
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.overview import MOST_ROLES, Overview
from tuiwb.data.checks.run import _checks
from tuiwb.data.checks.template import ControlTokens
from tuiwb.data.columns import ColumnsBuilder
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.records import encode_line
from tuiwb.data.reports import keep_report, report_of, stamp_of

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
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "ghost"]) | TEXT,
        "content": TEXT,
    },
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


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Rows to open where a check opens rows, and to have leaked."""
    path = tmp_path_factory.mktemp("hostile") / "d.jsonl"
    path.write_bytes(b"".join(encode_line(chat(f"what is {n}?")) for n in range(200)))
    return open_dataset(path)


def checks(dataset: Dataset) -> list[tuple[str, Check]]:
    """All checks a dataset is given, with their names."""
    leakage = Leakage(dataset, "held-out.jsonl", fast=False)
    return [
        *_checks(dataset, None, False), ("leakage", leakage), ("control_tokens", ControlTokens()),
    ]  # fmt: skip


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.lists(RECORD, min_size=1, max_size=8), st.sampled_from([1, 12]))
def test_any_rows_are_checked_and_what_is_found_can_be_written(
    dataset: Dataset, records: list[Any], times: int
) -> None:
    for _name, check in checks(dataset):
        for finding in findings(check, records * times, 50):
            assert 0 <= finding.row < len(records) * times
            assert finding.line == finding.row + 1
            msgspec.json.encode(finding)
            if finding.start is not None and finding.end is not None:
                assert 0 <= finding.start < finding.end
    columns = ColumnsBuilder()
    columns.add(rows_of(records))
    assert len(columns.columns()) == len(records)


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture,
    ],
)  # fmt: skip
@given(st.lists(RECORD, min_size=1, max_size=8))
def test_the_report_of_any_rows_can_be_written_and_read(tmp_path: Path, records: list[Any]) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.jsonl"))
    rows = [*records, chat("hi", "TODO")]
    path.write_bytes(b"".join(map(encode_line, rows)))
    report = check_dataset(path, keep_columns=lambda columns: columns.save(tmp_path / "rows.npz"))
    keep_report(tmp_path, report, stamp_of(path))
    told = report_of(tmp_path, path)
    assert told.summary is not None
    assert told.summary.rows == len(rows)
    assert told.found is not None
    assert sum(map(len, told.found.values())) == len(report.findings) == told.summary.findings
    assert told.columns is not None
    assert not told.stale
    assert msgspec.json.decode((tmp_path / "report.json").read_bytes())["rows"] == len(rows)


def test_no_rows_at_all_are_no_findings(dataset: Dataset) -> None:
    for _name, check in checks(dataset):
        assert findings(check, []) == []
        if isinstance(check, Audited):
            msgspec.json.encode(check.audit())


def test_every_audit_has_a_name_of_its_own(dataset: Dataset) -> None:
    names = [name for name, _check in checks(dataset)]
    assert all(names)
    assert len(set(names)) == len(names)
    report = check_dataset(dataset.path)
    assert report.audit["pii"] == {"kinds": {}, "rows": 0}


def test_roles_that_no_one_knows_are_counted_together() -> None:
    names = ["\ud800", " ", "x" * 1_000_000, *(f"role {n}" for n in range(500))]
    check = Overview()
    findings(check, [{"messages": [{"role": name, "content": "x"}]} for name in names])
    turns = check.audit()["turns"]
    assert sum(turns.values()) == len(names)
    assert len(turns) == MOST_ROLES + 1
    assert all(name and len(name) <= 100 for name in turns)
    msgspec.json.encode(turns)
