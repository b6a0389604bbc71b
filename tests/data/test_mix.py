"""Mixing: a share of general rows, none that repeats what is there, each with its source."""

import json
from pathlib import Path
from typing import Any

import pytest

from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.manifest import DATA, DROPPED
from tuiwb.data.mix import mix
from tuiwb.data.read import open_dataset
from tuiwb.data.records import encode_line
from tuiwb.data.rows import Row
from tuiwb.data.versions import Outcome
from tuiwb.errors import BadInput

WORDS = [f"word{n}" for n in range(9000)]


def write(path: Path, *records: Any) -> Path:
    path.write_bytes(b"".join(encode_line(record) for record in records))
    return path


def chat(n: int, /, **columns: Any) -> dict[str, Any]:
    words = WORDS[n * 20 : n * 20 + 20]
    turns = [{"role": "user", "content": " ".join(words[:12])},
             {"role": "assistant", "content": " ".join(words[12:])}]  # fmt: skip
    return {"messages": turns, **columns}


def rows_of(outcome: Outcome) -> list[Row]:
    return list(open_dataset(f"{outcome.folder}/{DATA}"))


def general(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.tags.get("source") == "general.jsonl"]


def test_the_share_is_that_of_the_result_and_the_dataset_keeps_its_order(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n, n=n) for n in range(80)))
    other = write(tmp_path / "general.jsonl", *(chat(n) for n in range(100, 200)))
    outcome = mix(path, other, share=0.2, seed=4)
    rows = rows_of(outcome)
    assert (len(rows), len(general(rows))) == (100, 20)
    assert [row.tags["n"] for row in rows if "n" in row.tags] == list(range(80))
    assert "source" not in rows[[r.tags.get("n") for r in rows].index(0)].tags
    places = [n for n, row in enumerate(rows) if "source" in row.tags]
    assert min(places) < 20
    assert max(places) > 79
    assert outcome.version is not None
    assert [parent.path for parent in outcome.version.parents] == [
        "../../d.jsonl", "../../general.jsonl"
    ]  # fmt: skip
    assert outcome.operations[1].counts["share"] == 0.2


def test_the_seed_decides_which_rows_and_where(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(40)))
    other = write(tmp_path / "general.jsonl", *(chat(n) for n in range(100, 200)))
    hashes = []
    for seed in (1, 1, 2):
        outcome = mix(path, other, seed=seed)
        assert outcome.version is not None
        hashes.append(outcome.version.outputs[0].sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def test_rows_that_repeat_are_not_taken_and_are_listed(tmp_path: Path) -> None:
    near = chat(1)
    near["messages"][1]["content"] += " more"
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(40)))
    other = write(
        tmp_path / "general.jsonl", chat(0), near, near, chat(100), chat(100), chat(101),
        {"broken": 1}, {"text": "plain"},
    )  # fmt: skip
    outcome = mix(path, other, share=0.5)
    rows = rows_of(outcome)
    assert len(general(rows)) == 2
    check = Duplicates()
    assert [*check.add(rows), *check.end()] == []
    gone = {
        entry["row"]: entry["reason"]
        for entry in map(json.loads, Path(f"{outcome.folder}/{DROPPED}").read_text().splitlines())
    }
    assert gone[0] == "exact_duplicate"
    assert gone[1] in ("near_duplicate", "exact_duplicate")
    assert (gone[6], gone[7]) == ("shape", "shape")
    assert len(gone) == 6
    assert "2 general rows were mixed in, not 40" in outcome.notes[0]


def test_enough_new_rows_are_found_among_many_repeats(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(200)))
    other = write(tmp_path / "general.jsonl", *(chat(n) for n in range(400)))
    outcome = mix(path, other, share=0.4)
    assert len(general(rows_of(outcome))) == 133
    assert outcome.notes == []


def test_the_dataset_is_read_few_times_however_many_general_rows_repeat_it(tmp_path: Path) -> None:
    own = [chat(n) for n in range(200)]
    path = write(tmp_path / "d.jsonl", *own)
    other = write(tmp_path / "general.jsonl", *own * 10, *(chat(n) for n in range(300, 345)))
    begun: list[tuple[str, int]] = []
    outcome = mix(path, other, progress=lambda phase, done, _: begun.append((phase, done)))
    assert len(general(rows_of(outcome))) == 45
    assert begun.count(("comparing rows", 0)) <= 6


def test_rows_that_can_not_be_trained_along_are_not_compared(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(40)))
    texts: list[Any] = [{"text": f"plain {n}"} for n in range(500)]
    other = write(tmp_path / "general.jsonl", *texts)
    phases = set()
    with pytest.raises(BadInput, match="is a text row"):
        mix(path, other, progress=lambda phase, _done, _total: phases.add(phase))
    assert phases == {"reading rows"}


def test_a_source_that_is_there_is_left_and_noted(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(8)))
    other = write(tmp_path / "general.jsonl", *(chat(n, source="web") for n in range(100, 110)))
    outcome = mix(path, other)
    assert [r.tags["source"] for r in rows_of(outcome) if "source" in r.tags] == ["web"] * 2
    assert outcome.notes == ["2 general rows kept the 'source' column they had"]


def test_broken_rows_of_the_dataset_are_listed_wherever_they_stand(tmp_path: Path) -> None:
    broken: dict[str, Any] = {"x": 1}
    path = write(tmp_path / "d.jsonl", broken, chat(0), broken, chat(1), broken)
    other = write(tmp_path / "general.jsonl", chat(100), chat(101))
    outcome = mix(path, other, share=0.3)
    assert len(rows_of(outcome)) == 3
    lines = Path(f"{outcome.folder}/{DROPPED}").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [0, 2, 4]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(8)))
    other = write(tmp_path / "general.jsonl", *(chat(n) for n in range(100, 110)))
    planned = mix(path, other, dry_run=True)
    assert planned.folder is None
    assert not (tmp_path / "versions").exists()
    assert planned.operations == mix(path, other).operations


@pytest.mark.parametrize(
    ("records", "share", "sentence"),
    [
        ([{"text": "plain"}], 0.2, "is a text row: it can't be trained along"),
        ([chat(0)], 0.2, "says exactly what row 0 of the dataset says"),
        ([chat(50)], 1.0, "between 0 and 1"),
        ([{"prompt": "a", "chosen": "b", "rejected": "c"}], 0.2, "is a preference row"),
    ],
)
def test_what_can_not_be_mixed_in_is_one_sentence(
    tmp_path: Path, records: list[Any], share: float, sentence: str
) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(n) for n in range(8)))
    other = write(tmp_path / "general.jsonl", *records)
    with pytest.raises(BadInput, match=sentence):
        mix(path, other, share=share)
    assert not list(tmp_path.glob("versions/*"))
