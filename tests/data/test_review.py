"""Review: a sample that is drawn fairly, and what the verdicts on it say of the rest."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tuiwb.data.marks import Marks
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.records import encode_line
from tuiwb.data.review import is_synthetic, review_of, sample, synthetic_rows, wilson


def dataset_of(path: Path, *records: Any) -> Dataset:
    path.write_bytes(b"".join(encode_line(record) for record in records))
    return open_dataset(path)


def chat(said: str, **columns: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": said}]
    return {"messages": turns, **columns}


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.data())
def test_the_interval_is_scipys_wilson(trials: int, data: st.DataObject) -> None:
    accepted = data.draw(st.integers(0, trials))
    theirs = binomtest(accepted, trials).proportion_ci(method="wilson")
    assert wilson(accepted, trials) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


def test_the_seed_decides_the_sample_and_no_row_is_drawn_twice(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "d.jsonl", *(chat(f"answer {n}") for n in range(100)))
    first = sample(dataset, 30, seed=1)
    assert first == sample(dataset, 30, seed=1) != sample(dataset, 30, seed=2)
    assert len(set(first)) == 30
    assert first != sorted(first)
    assert sorted(sample(dataset, 500)) == list(range(100))
    assert sample(dataset, 5, only=[]) == []
    assert sorted(sample(dataset, 5, only=[3, 9])) == [3, 9]


def test_rows_with_findings_come_in_proportion(tmp_path: Path) -> None:
    rows = [chat("" if n % 4 == 0 else f"answer {n}") for n in range(200)]
    dataset = dataset_of(tmp_path / "d.jsonl", *rows)
    for seed in range(5):
        chosen = sample(dataset, 40, seed)
        assert sum(row % 4 == 0 for row in chosen) == 10


def test_a_sample_of_a_large_dataset_looks_at_a_part_of_it(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "d.jsonl", *({"text": str(n)} for n in range(6000)))
    opened: list[int] = []
    row = dataset.row

    class Counted:
        def __len__(self) -> int:
            return len(dataset)

        def __iter__(self) -> Any:
            return iter(dataset)

        def row(self, n: int) -> Any:
            opened.append(n)
            return row(n)

    chosen = sample(Counted(), 10)
    assert len(chosen) == 10
    assert max(chosen) > 3000
    assert len(opened) == 2000


def test_the_report_counts_verdicts_edits_and_readable_rows(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path / "d.jsonl", *(chat(str(n)) for n in range(9)), {"no": "row"})
    marks = Marks(dataset.path, dataset)
    empty = review_of(dataset, marks)
    assert (empty.rows, empty.reviewed, empty.acceptance, empty.low) == (9, 0, None, None)
    marks.mark([dataset.row(0), dataset.row(1)], "accept")
    marks.edit(dataset.row(2), {"text": "better"}, mark="accept")
    marks.mark(dataset.row(3), "reject")
    marks.mark(dataset.row(4), "hard")
    marks.edit(dataset.row(5), {"text": "not reviewed"})
    review = review_of(dataset, marks)
    assert (review.reviewed, review.accepted, review.rejected, review.edited) == (4, 3, 1, 1)
    assert (review.share, review.acceptance) == (4 / 9, 0.75)
    assert (review.low, review.high) == wilson(3, 4)


def test_only_synthetic_rows_make_the_queue(tmp_path: Path) -> None:
    origin = {"kind": "synthetic", "model": "m"}
    dataset = dataset_of(
        tmp_path / "d.jsonl",
        chat("a"), chat("b", provenance=origin), chat("c", provenance={"kind": "human"}),
        chat("d", provenance="odd"), chat("e", provenance=origin),
    )  # fmt: skip
    assert synthetic_rows(dataset) == [1, 4]
    marks = Marks(dataset.path, dataset)
    marks.mark([dataset.row(0), dataset.row(1)], "accept")
    review = review_of(dataset, marks, counts=is_synthetic)
    assert (review.rows, review.reviewed, review.share) == (2, 1, 0.5)
