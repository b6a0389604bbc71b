"""The columns beside a dataset: bounded, written whole, and none where they are damaged."""

import random
from pathlib import Path
from typing import Any

from tests.data.some_rows import rows_of
from tuiwb.data.columns import LONGEST, MOST_NAMES, MOST_VALUES, ColumnsBuilder, RowColumns


def columns_of(records: list[Any]) -> RowColumns:
    builder = ColumnsBuilder()
    rows = rows_of(records)
    for first in range(0, len(rows), 50):
        builder.add(rows[first : first + 50])
    return builder.columns()


def test_rows_that_each_have_a_key_of_their_own_make_no_column_for_each() -> None:
    columns = columns_of([{"text": "x", f"key {n}": 1, "topic": n % 3} for n in range(500)])
    assert len(columns) == 500
    assert len(columns.codes) == len(columns.values) == MOST_NAMES
    assert columns.counts()["tag.topic"] == [("0", 167), ("1", 167), ("2", 166)]
    late = [{"text": "x", f"key {n}": 1} for n in range(99)]
    labelled = [{"prompt": "q", "completion": "a", "label": n % 2 == 0} for n in range(4)]
    assert columns_of([*late, *labelled]).counts()["label"] == [("bad", 2), ("good", 2)]


def test_tags_of_many_or_long_values_and_long_names_have_no_column() -> None:
    records: list[Any] = [
        {"text": "x", "id": n, "note": "y" * (LONGEST + 1), "k" * (LONGEST + 1): 1, "n": 10**5000}
        for n in range(MOST_VALUES + 1)
    ]
    assert set(columns_of(records).codes) == {"format"}


def test_any_name_of_a_tag_comes_back_as_it_was(tmp_path: Path) -> None:
    names = ["\ud800", "../a/b", "a\x00b", "a", "", "file"]
    written = columns_of([{"text": "x", name: name} for name in names])
    written.save(tmp_path / "rows.npz")
    read = RowColumns.load(tmp_path / "rows.npz")
    assert read is not None
    assert read.counts() == written.counts()
    assert {f"tag.{name}" for name in names} < read.counts().keys()
    assert [p.name for p in tmp_path.iterdir()] == ["rows.npz"]


def test_damaged_columns_are_none_or_whole(tmp_path: Path) -> None:
    columns = columns_of([{"text": "a" * (n % 97), "t": n % 3} for n in range(2000)])
    file = tmp_path / "rows.npz"
    columns.save(file)
    whole = file.read_bytes()
    draw = random.Random(0)
    refused = 0
    for n in range(400):
        data = bytearray(whole)
        if n % 4:
            data[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        else:
            del data[draw.randrange(len(data)) :]
        file.write_bytes(data)
        read = RowColumns.load(file)
        refused += read is None
        if read is not None:
            assert len(read) == 2000
            assert list(read.order("chars")) == list(columns.order("chars"))
            assert read.counts() == columns.counts()
    assert refused > 200
