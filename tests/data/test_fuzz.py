"""Any bytes and any JSON, in every container: no crash, and no row lost, doubled or mistaken."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tuiwb.data.formats import to_row
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.rows import Row
from tuiwb.data.sources import decode, file, lines, records
from tuiwb.data.sources.entry import BOM
from tuiwb.errors import BadInput

KEYS = ["messages", "role", "content", "from", "value", "prompt", "chosen", "rejected", "label",
        "tools", "text", "conversations", "history", "instruction", "output", "tool_calls",
        "function", "name", "arguments", "completion", "system", "kto_tag", "id"]  # fmt: skip
TEXT = st.text(max_size=6) | st.sampled_from(
    ["user", "assistant", "\ud800", "\u2028", "\0", "]", '"']
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=10,
)
TURN = st.fixed_dictionaries(
    {"role": TEXT, "content": TEXT},
    optional={
        "name": VALUES,
        "tool_calls": VALUES | st.just([]),
        "tool_call_id": VALUES,
        "other": VALUES,
    },
)
SAID = st.fixed_dictionaries({"from": TEXT | st.just("function_call"), "value": TEXT}) | TURN
CHAT = st.fixed_dictionaries(
    {"messages": st.lists(TURN | VALUES, max_size=3)},
    optional={"tools": VALUES, "system": VALUES, "id": VALUES, "label": VALUES},
) | st.fixed_dictionaries(
    {"conversations": st.lists(SAID | VALUES, max_size=3)},
    optional={"tools": VALUES, "system": VALUES, "id": VALUES},
)  # fmt: skip
PLAIN = st.fixed_dictionaries({"role": st.just("user"), "content": TEXT})
CHATS = st.sampled_from(["messages", "conversations"]).flatmap(
    lambda key: st.lists(
        st.fixed_dictionaries(
            {key: st.lists(PLAIN if key == "messages" else SAID, min_size=1, max_size=3)},
            optional={"id": VALUES},
        ),
        min_size=1,
        max_size=4,
    )
)
# csv itself reads a bare CR as the end of a row; a cell with one is quoted, so it may stand there.
TABLE_TEXT = st.text(st.sampled_from('ab ,;"\n\r\t\u2028é\0'), min_size=1, max_size=8)
RECORDS = st.lists(CHAT | VALUES, min_size=1, max_size=5)
# Pieces that files break at, so that random files get past the first byte.
BITS = st.lists(
    st.sampled_from([b"\n", b"\r\n", b"  ", b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"\0",
                     b'{"text": "a"}', b'"text": ', b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"NaN",
                     b"1", b"\xff",
                     b'{"messages": [{"role": "user", "content": "b"}]}', b'\\"', b"\x0b"])
    | st.binary(max_size=4),
    max_size=14,
).map(b"".join)  # fmt: skip


def opened(data: bytes, name: str) -> tuple[Dataset | None, list[Row]]:
    """The dataset and its rows; None where the file is refused in a sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            dataset = open_dataset(path)
        except BadInput:
            return None, []
        rows = list(dataset)
        assert [row.index for row in rows] == list(range(len(dataset)))
        assert all((row.shape == "broken") == (row.problem is not None) for row in rows)
        assert all(row.line >= 1 and row.file == str(path) for row in rows)
        assert [same(dataset.row(n), row) for n, row in enumerate(rows)] == [True] * len(rows)
        assert [repr(row) for row, _ in dataset.pairs()] == [repr(row) for row in rows]
        assert [row.index for batch in dataset.batches(2) for row in batch] == list(
            range(len(rows))
        )
        return dataset, rows


def bare(row: Row) -> str:
    """The row without its file."""
    return repr((row.line, row.shape, row.text, row.messages, row.problem))


def first(row: Row) -> str:
    """The beginning of a table's row as it stands in the file."""
    return str(row.prompt).split("\n")[0].split('"')[0][:3]


def same(one: Row, other: Row) -> bool:
    """Equal but for NaN, which equals nothing."""
    return repr(one) == repr(other)


@pytest.fixture(autouse=True, scope="module")
def _small_pieces() -> Iterator[None]:
    """Records cross the borders of chunks and blocks even in files of a few bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "CHUNK", 7)
        patch.setattr(records, "BLOCK", 16)
        patch.setattr(lines, "_LONG", 3)
        yield


fuzz = settings(max_examples=150, deadline=None)


NASTY = [
    "a",
    "",
    "]",
    "},{",
    '"',
    "\\",
    '\\"',
    *("\\" * n + '"' for n in range(1, 9)),
    "é\u2028",
    "[" * 9,
]


@pytest.mark.parametrize("chunk", [*range(3, 40), 1000])
def test_wherever_a_chunk_ends_the_records_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(file, "CHUNK", chunk)
    array = tmp_path / "a.json"
    array.write_text("\n[ " + ",\n\n".join(json.dumps({"text": text}) for text in NASTY) + " ]\n")
    rows = list(open_dataset(array))
    assert [row.text for row in rows] == NASTY
    assert [row.line for row in rows] == [2 + 2 * n for n in range(len(NASTY))]
    blanks = [" " * (n % 9) + "\n" * (n % 3 > 0) for n in range(len(NASTY))]
    text, at = "", []
    for value, blank in zip(NASTY, blanks, strict=True):
        at.append(text.count("\n") + 1 + blank.count("\n"))
        text += blank + json.dumps({"text": value}) + "\n"
    lines_ = tmp_path / "a.jsonl"
    lines_.write_text(text + "   ")
    rows = list(open_dataset(lines_))
    assert [(row.text, row.line) for row in rows] == list(zip(NASTY, at, strict=True))
    table = tmp_path / "a.csv"
    with table.open("w", newline="") as out:
        csv.writer(out).writerows([["text"], *([f"x{text}\n\n"] for text in NASTY)])
    rows = list(open_dataset(table))
    assert [row.text for row in rows] == [f"x{text}\n\n" for text in NASTY]
    assert [row.line for row in rows] == [2 + 3 * n for n in range(len(NASTY))]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"messages": [{"role": "user", "content": "b", "other": "\xff"}]}', "is not UTF-8"),
        (b'{"messages": [{"role": "user", "content": "b", "other": "\xed\xa0\x80"}]}', "not UTF-8"),
        (b'{"messages": [], "id": 1}', "is an empty list"),
        (b'{"messages": [{"role": "user", "content": "b", "tool_calls": [1]}]}', "not a tool call"),
        (b'{"messages": [{"role": "user", "content": "b"}], "tools": 3}', "tools is not a list"),
    ],
)
def test_what_the_fast_way_could_overlook_is_broken(line: bytes, problem: str) -> None:
    good = b'{"messages": [{"role": "user", "content": "a", "tool_calls": []}], "id": 1}\n'
    _, rows = opened(good * 3 + line, "a.jsonl")
    assert [row.shape for row in rows] == ["chat", "chat", "chat", "broken"]
    assert problem in str(rows[3].problem)
    assert [m.tool_calls for row in rows[:3] for m in row.messages or []] == [None] * 3


@fuzz
@given(BITS, st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow", "a.jsonl.gz"]))
def test_any_bytes_are_rows_or_one_sentence(data: bytes, name: str) -> None:
    opened(data, name)


@fuzz
@given(BITS)
@example(b'{"text": "a"}\n\xef\xbb\xbf\n \r\n1')
def test_every_line_that_is_not_blank_is_one_row_at_its_line(data: bytes) -> None:
    dataset, rows = opened(data + b'\n{"text": "end"}\n', "a.jsonl")
    if dataset is None or dataset.container != "jsonl":
        return
    expected = [
        (n, line) for n, line in enumerate(data.removeprefix(BOM).split(b"\n"), 1) if line.strip()
    ]
    assert [row.line for row in rows[:-1]] == [n for n, _ in expected]
    for row, (n, line) in zip(rows, expected, strict=False):
        entry = decode(line, n)
        broken = entry.problem is not None
        assert same(row, to_row(entry.value, row.file, row.index, n)) or broken
        assert not broken or row.problem == entry.problem


@fuzz
@given(CHATS, RECORDS)
def test_rows_read_the_fast_way_are_those_read_the_general_way(
    chats: list[Any], others: list[Any]
) -> None:
    texts = [json.dumps(record, ensure_ascii=False) for record in [*chats, *others]]
    data = "\n".join(texts).encode("utf-8", "surrogatepass")
    dataset, rows = opened(data, "a.jsonl")
    if dataset is None or dataset.container != "jsonl":
        return
    for n, row in enumerate(rows):
        entry = decode(texts[n].encode("utf-8", "surrogatepass"), n + 1)
        if entry.problem is not None:
            assert (row.shape, row.problem) == ("broken", entry.problem)
        else:
            assert same(row, to_row(entry.value, row.file, n, n + 1))


@fuzz
@given(
    RECORDS, st.sampled_from([None, 0, 1, 3]), st.sampled_from(["", " ", "\n\r\n", BOM.decode()])
)
def test_every_element_of_an_array_is_one_row(
    values: list[Any], indent: int | None, before: str
) -> None:
    text = before + json.dumps([{"text": "a"}, *values], indent=indent) + "\n"
    dataset, rows = opened(text.encode(), "a.json")
    assert dataset is not None
    if dataset.container == "json":
        assert len(rows) == len(values) + 1
        for row, value in zip(rows[1:], values, strict=True):
            assert same(row, to_row(value, row.file, row.index, row.line))
            element = "".join(text.splitlines(keepends=True)[row.line - 1 :])
            assert json.dumps(value, indent=indent)[:1] in element


@fuzz
@given(BITS, st.integers(0, 40))
@example(b",", 15)
def test_an_array_with_a_hole_anywhere_keeps_the_elements_before_it(bits: bytes, at: int) -> None:
    good = b'[{"text": "a"},\n {"text": "b, ]"}, {"text": "c\\\\\\""}]'
    dataset, rows = opened(good[:at] + bits, "a.json")
    if dataset is not None and dataset.container == "json" and at > 15:
        assert rows[0].text == "a"


@fuzz
@given(st.lists(st.tuples(TABLE_TEXT, TABLE_TEXT), min_size=1, max_size=5))
def test_every_row_of_a_table_keeps_its_cells(cells: list[tuple[str, str]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([("prompt", "completion"), ("a", "b"), *cells])
    dataset, rows = opened(out.getvalue().encode(), "a.csv")
    assert dataset is not None
    assert [(row.prompt, row.completion) for row in rows[1:]] == cells
    physical = out.getvalue().split("\n")
    assert all(physical[row.line - 1].lstrip('"').startswith(first(row)) for row in rows)


@fuzz
@given(BITS, st.sampled_from([".gz", ".zst"]), st.integers(1, 60))
def test_a_packed_file_holds_the_rows_of_the_plain_one_up_to_where_it_is_cut(
    data: bytes, suffix: str, lost: int
) -> None:
    data = b'{"text": "a"}\n' * 3 + data + b'\n{"text": "b"}\n'
    plain, expected = opened(data, "a.jsonl")
    pack = gzip.compress if suffix == ".gz" else zstandard.compress
    packed, rows = opened(pack(data) + pack(b'{"text": "c"}'), "a.jsonl" + suffix)
    assert plain is not None
    assert packed is not None
    assert [bare(row) for row in rows[:-1]] == [bare(row) for row in expected]
    assert rows[-1].text == "c"
    cut, rest = opened(pack(data)[:-lost], "a.jsonl" + suffix)
    if cut is not None:
        assert "can't be unpacked" in str(rest[-1].problem)
        whole = rest[:-2] if len(rest) > 1 else []
        assert [bare(row) for row in whole] == [bare(row) for row in expected[: len(whole)]]
