"""Rows are worked on in lists that are bounded by their number and by their size."""

import csv
import json
from pathlib import Path

import pytest

from tests.data.some_rows import chat, rows_of
from tuiwb.data.read import BLOCK, Dataset, open_dataset
from tuiwb.data.records import batches, characters
from tuiwb.data.rows import Row

MOST = 2 << 20


def dataset_of(path: Path, texts: list[str]) -> Dataset:
    """The texts in the container that the name asks for."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([["text"], *([text] for text in texts)])
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path)
    else:
        records = [{"text": text} for text in texts]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return open_dataset(path)


def size(rows: list[Row]) -> int:
    return sum(map(characters, rows))


@pytest.mark.parametrize("name", ["d.jsonl", "d.csv", "d.parquet"])
def test_a_batch_ends_at_a_number_of_rows_or_of_bytes(tmp_path: Path, name: str) -> None:
    texts = [*("a" * 100_000 for _ in range(80)), *("b" * 10 for _ in range(150)), "c" * (3 << 20)]
    dataset = dataset_of(tmp_path / name, texts)
    made = list(dataset.batches(50, MOST))
    assert [row.index for rows in made for row in rows] == list(range(len(texts)))
    assert [row.text for rows in made for row in rows] == texts
    assert max(map(len, made)) == 50
    assert all(size(rows) < MOST + BLOCK + 100_000 for rows in made[:-1])
    assert len(made) < 15


def test_rows_from_anywhere_are_batched_by_number_and_size() -> None:
    rows = rows_of([*(chat("q", "a" * 1000) for _ in range(20)), *(chat("q") for _ in range(50))])
    made = list(batches(iter(rows), 30, 5000))
    assert [row for batch in made for row in batch] == rows
    assert [len(batch) for batch in made] == [5, 5, 5, 5, 30, 20]
    assert list(batches([])) == []


def test_what_tools_are_called_with_and_other_columns_weigh_too() -> None:
    call = {"function": {"name": "f", "arguments": {"x": ["y" * 5000]}}}
    called = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}]}
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    rows = rows_of([called, {"text": "x", "notes": {"a": ["z" * 5000, None]}}])
    assert all(5000 <= characters(row) < 5200 for row in rows)
    assert characters(Row(file="", index=0, line=1, format="", shape="text", tags={"t": deep})) < 99
