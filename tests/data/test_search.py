"""A search finds what looking at every row finds, however it narrows the file first."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.checks.finding import Finding
from tuiwb.data.columns import ColumnsBuilder, RowColumns
from tuiwb.data.facets import facets, found_facets
from tuiwb.data.found import found_in, found_rows
from tuiwb.data.query import Seen, parse
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.search import ordered, search
from tuiwb.errors import BadInput

TEXTS = [
    "Refund please", "re fund", "REFUND", "straße", "STRASSE", "\u212aelvin", "kelvin", "ſun",
    "sun", 'say "hi"', "a/b", "back\\slash", "tab\there", "naïve", "cafe\u0301", "\ud800 refund",
    "", "İstanbul", "ŉ", "ﬁne", "fine", "x" * 5000 + " refund",
]  # fmt: skip


def dataset_of(folder: Path, texts: list[str], ascii_only: bool = True) -> Dataset:
    path = folder / f"d{ascii_only}.jsonl"
    lines = []
    for text in texts:
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "ok"}]
        lines.append(json.dumps({"messages": turns, "n": len(text)}, ensure_ascii=ascii_only))
    path.write_bytes(("\n".join([*lines, '{"broken refund', '["refund"]']) + "\n").encode(
        "utf-8", "surrogatepass"))  # fmt: skip
    return open_dataset(path)


def found(dataset: Dataset, text: str, by_row: dict[int, list[Finding]] | None = None) -> list[int]:
    return [n for some in search(dataset, parse(text), by_row or {}) for n in some.rows]


@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    "text",
    ["refund", "ss", "kelvin", "sun", "fine", "i", "say", '"a/b"', "role:user refund", "-refund",
     "hi refund", "ok", "naïve", "n", "broken", "/re.?fund/"],
)  # fmt: skip
def test_narrowing_by_bytes_loses_and_adds_nothing(
    tmp_path: Path, text: str, ascii_only: bool
) -> None:
    dataset = dataset_of(tmp_path, TEXTS, ascii_only)
    query = parse(text)
    assert found(dataset, text) == [r.index for r in dataset if query.matches(Seen(r))]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=20), min_size=1, max_size=8),
    st.text("abksty ßıſ", min_size=1, max_size=3),
    st.booleans(),
)
def test_any_text_is_found_in_any_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], needle: str, ascii_only: bool
) -> None:
    dataset = dataset_of(tmp_path_factory.mktemp("s"), texts, ascii_only)
    query = parse(needle)
    assert found(dataset, needle) == [r.index for r in dataset if query.matches(Seen(r))]


def test_a_filter_on_findings_opens_only_rows_that_have_some(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, TEXTS)
    finding = Finding(file="d", row=3, line=4, check="pii", kind="email", sentence="")
    by_row = {3: [finding], 5: [finding], 10_000: [finding]}
    assert found(dataset, "check:pii", by_row) == [3, 5]
    assert found(dataset, "check:pii stra", by_row) == [3]
    assert found(dataset, "-check:pii stra", by_row) == [4]


@pytest.fixture
def columns(tmp_path: Path) -> RowColumns:
    builder = ColumnsBuilder()
    builder.add(list(dataset_of(tmp_path, ["bb", "a", "cccc"])))
    built = builder.columns()
    built.save(tmp_path / "rows.npz")
    loaded = RowColumns.load(tmp_path / "rows.npz")
    assert loaded is not None
    return loaded


def test_rows_are_ordered_by_size_and_by_findings(tmp_path: Path, columns: RowColumns) -> None:
    error = Finding(file="d", row=1, line=2, check="x", sentence="", severity="error")
    warning = Finding(file="d", row=2, line=3, check="x", sentence="")
    by_row = found_in([error, warning, warning], tmp_path)
    assert list(by_row) == [1, 2]
    assert [f.severity for f in by_row[2]] == ["warning", "warning"]
    assert 0 not in by_row
    order = lambda *a: list(ordered(*a, columns, by_row))  # noqa: E731
    assert order(None, "chars", True, 5) == [2, 0, 1, 3, 4]
    assert order(np.array([0, 1, 2]), "chars", False, 5) == [1, 0, 2]
    assert order(None, "found", False, 5)[:2] == [1, 2]
    assert order(None, "row", True, 5) == [4, 3, 2, 1, 0]
    assert list(ordered(None, "chars", True, 9, columns, by_row)) == list(range(9))


def test_findings_that_are_torn_or_missing_are_none(tmp_path: Path) -> None:
    assert found_rows(tmp_path) is None
    (tmp_path / "found.npz").write_bytes(b"PK\x03\x04 torn")
    assert found_rows(tmp_path) is None


def test_columns_that_are_torn_or_missing_are_none(tmp_path: Path) -> None:
    assert RowColumns.load(tmp_path / "none.npz") is None
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    assert RowColumns.load(tmp_path / "torn.npz") is None


def test_facets_count_rows_and_leave_out_columns_of_many_values(
    tmp_path: Path, columns: RowColumns
) -> None:
    twice = [Finding(file="d", row=1, line=2, check="pii", kind="email", sentence="")] * 2
    shown = facets(found_facets(twice), columns, {"drop": 3, "edited": 1, "keep": 0})
    assert [(f.value, f.rows, f.word) for f in shown[:4]] == [
        ("pii", 1, "check:pii"), ("pii/email", 1, "check:pii/email"), ("drop", 3, "mark:drop"),
        ("edited", 1, "is:edited"),
    ]  # fmt: skip
    assert ("n", "2", 1, "n=2") in shown
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"text": "x", "id": "{n}", "even": {n % 2}}}\n' for n in range(99)))
    builder = ColumnsBuilder()
    for batch in open_dataset(path).batches(10):
        builder.add(batch)
    assert [f.group for f in facets([], builder.columns())] == ["even", "even"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("role:usr refund", "there is no role 'usr': did you mean role:user?"),
        ("role:human", "did you mean role:user?"),
        ("role:narator", "did you mean role:narrator?"),
        ("role:zzz", "one of assistant, developer, system, tool, user, narrator"),
    ],
)
def test_a_role_that_no_row_has_is_refused_with_the_one_that_may_be_meant(
    tmp_path: Path, text: str, words: str
) -> None:
    dataset = dataset_of(tmp_path, ["refund"])
    path = tmp_path / "more.jsonl"
    turns = [{"role": "Narrator", "content": "once"}, {"role": "assistant", "content": "ok"}]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    with pytest.raises(BadInput, match=re.escape(words)):
        found(open_dataset(path), text)
    assert found(open_dataset(path), "role:narrator once") == [0]
    assert found(dataset, "role:tool") == [], "a usual role may be asked for"
    assert found(dataset, "role:user refund") == [0], "a broken row has no roles"
