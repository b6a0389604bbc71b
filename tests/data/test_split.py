"""Splitting: the share that was asked for, and nothing held out that training knows."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.groups import quotas
from tuiwb.data.manifest import HELD_OUT, TRAIN, verify
from tuiwb.data.read import open_dataset
from tuiwb.data.records import encode_line
from tuiwb.data.rows import Row
from tuiwb.data.split import split
from tuiwb.data.versions import Outcome
from tuiwb.errors import BadInput

WORDS = [f"word{n}" for n in range(2000)]


def write(path: Path, *records: Any) -> Path:
    path.write_bytes(b"".join(encode_line(record) for record in records))
    return path


def chat(asked: str, said: str, **columns: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
    return {"messages": turns, **columns}


def sides(outcome: Outcome) -> tuple[list[Row], list[Row]]:
    folder = Path(str(outcome.folder))
    return list(open_dataset(folder / TRAIN)), list(open_dataset(folder / HELD_OUT))


def leaks(outcome: Outcome) -> list[Any]:
    folder = Path(str(outcome.folder))
    check = Leakage(open_dataset(folder / HELD_OUT), "held out")
    train = list(open_dataset(folder / TRAIN))
    return [*check.add(train), *check.end()]


def families(path: Path, count: int = 300, seed: int = 1) -> Path:
    """Chats of which a third are edits of another, some ask the same, some quote another."""
    chance = random.Random(seed)
    rows = []
    for n in range(count):
        asked = chance.choices(WORDS, k=40)
        rows.append(chat(" ".join(asked), " ".join(chance.choices(WORDS, k=20)), part=n % 3))
        if n % 3 == 0:
            edited = [chance.choice(WORDS) if chance.random() < 0.05 else word for word in asked]
            rows.append(chat(" ".join(edited), rows[-1]["messages"][1]["content"], part=n % 3))
        if n % 5 == 0:
            rows.append(chat(" ".join(asked).upper(), "another answer", part=n % 3))
        if n % 7 == 0:
            rest = chance.choices(WORDS, k=40)
            rows.append(chat(" ".join(asked[:20] + rest), "a quotation", part=n % 3))
    chance.shuffle(rows)
    return write(path, *rows)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_nothing_leaks_and_the_share_is_right(tmp_path: Path, share: float) -> None:
    path = families(tmp_path / "d.jsonl")
    outcome = split(path, share=share, seed=7)
    train, held = sides(outcome)
    total = len(open_dataset(path))
    assert len(train) + len(held) == total
    assert abs(len(held) - share * total) <= 1
    assert leaks(outcome) == []
    everything = Duplicates()
    everything.add([*train, *(row_after(row, len(train)) for row in held)])
    list(everything.end())
    for cluster in everything.clusters():
        assert len({row < len(train) for row in cluster}) == 1
    assert verify(Path(str(outcome.folder))) == []


def row_after(row: Row, shift: int) -> Row:
    row.index += shift
    return row


def test_a_random_split_of_the_same_rows_would_leak(tmp_path: Path) -> None:
    rows = list(open_dataset(families(tmp_path / "d.jsonl")))
    random.Random(7).shuffle(rows)
    check = Leakage(rows[:30], "held out")
    assert len([*check.add(rows[30:]), *check.end()]) > 5


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    path = families(tmp_path / "d.jsonl")
    first, second, third = (split(path, share=0.1, seed=seed) for seed in (1, 1, 2))
    hashes = [[o.sha256 for o in outcome.version.outputs]
              for outcome in (first, second, third) if outcome.version]  # fmt: skip
    assert hashes[0] == hashes[1] != hashes[2]
    assert first.version is not None
    assert first.version.seed == 1


def test_rows_keep_their_order_their_columns_and_broken_ones_are_listed(tmp_path: Path) -> None:
    rows = [chat(" ".join(WORDS[n * 20 : n * 20 + 20]), "x", n=n) for n in range(90)]
    path = write(tmp_path / "d.jsonl", *rows[:40], {"no": "row"}, *rows[40:])
    outcome = split(path, rows=9)
    train, held = sides(outcome)
    assert len(held) == 9
    for side in (train, held):
        numbers = [row.tags["n"] for row in side]
        assert numbers == sorted(numbers)
    assert sorted(row.tags["n"] for row in [*train, *held]) == list(range(90))
    (entry,) = Path(f"{outcome.folder}/dropped.jsonl").read_text().splitlines()
    assert (json.loads(entry)["row"], json.loads(entry)["reason"]) == (40, "broken")


def test_each_value_of_a_column_gives_its_share(tmp_path: Path) -> None:
    rows = [chat(" ".join(WORDS[n * 9 : n * 9 + 9]), "x", kind="rare" if n % 10 == 0 else "usual")
            for n in range(200)]  # fmt: skip
    path = write(tmp_path / "d.jsonl", *rows, chat("without a kind", "x"))
    outcome = split(path, share=0.1, by="kind")
    _train, held = sides(outcome)
    assert Counter(row.tags.get("kind") for row in held) == {"usual": 18, "rare": 2}
    by = outcome.operations[1].counts["by"]
    assert by["rare"] == {"rows": 20, "heldout": 2}
    assert by["(none)"]["rows"] == 1


def test_rows_that_ask_the_same_stay_together_however_many(tmp_path: Path) -> None:
    same = [chat("the very same question", f"answer {n}", n=n) for n in range(30)]
    others = [chat(" ".join(WORDS[n * 20 : n * 20 + 20]), "x", n=n) for n in range(90)]
    path = write(tmp_path / "d.jsonl", *same, *others)
    for seed in range(5):
        outcome = split(path, share=0.3, seed=seed)
        train, held = sides(outcome)
        asked = {
            side: [row.messages[0].content for row in rows if row.messages]
            for side, rows in (("train", train), ("held", held))
        }
        counts = [asked[side].count("the very same question") for side in asked]
        assert sorted(counts) == [0, 30]


def test_what_can_not_be_held_out_is_noted(tmp_path: Path) -> None:
    chance = random.Random(3)
    words = chance.choices(WORDS, k=40)
    chain = []
    for _ in range(50):
        words = [chance.choice(WORDS) if chance.random() < 0.04 else word for word in words]
        chain.append(chat(" ".join(words), "x"))
    path = write(tmp_path / "d.jsonl", *chain, *(chat(WORDS[n], WORDS[n]) for n in range(5)))
    outcome = split(path, share=0.2)
    assert leaks(outcome) == []
    assert "rows are held out, not 11" in outcome.notes[0]
    alone = write(tmp_path / "e.jsonl", *chain)
    with pytest.raises(BadInput, match=r"nothing of .* can be held out"):
        split(alone, share=0.2)


@pytest.mark.parametrize("records", [
    [{"text": WORDS[n] * 3 + " and more"} for n in range(40)],
    [{"prompt": f"what is {WORDS[n]}?", "completion": WORDS[n]} for n in range(40)],
    [{"prompt": WORDS[n], "chosen": "a", "rejected": "b"} for n in range(40)],
    [{"prompt": WORDS[n], "completion": "a", "label": n % 2 == 0} for n in range(40)],
    [chat("", WORDS[n]) for n in range(40)],
])  # fmt: skip
def test_every_shape_of_row_can_be_split(tmp_path: Path, records: list[Any]) -> None:
    outcome = split(write(tmp_path / "d.jsonl", *records), share=0.1)
    train, held = sides(outcome)
    assert (len(train), len(held)) == (36, 4)
    assert leaks(outcome) == []


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    path = families(tmp_path / "d.jsonl", 60)
    planned = split(path, share=0.1, dry_run=True)
    assert planned.folder is None
    assert [p.name for p in tmp_path.iterdir()] == ["d.jsonl"]
    assert planned.operations == split(path, share=0.1).operations


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"share": 0.0}, "between 0 and 1"),
        ({"share": 1.5}, "between 0 and 1"),
        ({"share": 0.1, "rows": 2}, "not both"),
        ({"rows": 3}, "can't hold 3 of 3 rows out"),
        ({"rows": 1, "by": "colour"}, "has no column 'colour': it has kind"),
    ],
)
def test_a_split_that_can_not_be_is_one_sentence(
    tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    path = write(tmp_path / "d.jsonl", *(chat(word, word, kind=1) for word in WORDS[:3]))
    with pytest.raises(BadInput, match=sentence):
        split(path, **options)
    assert not list(tmp_path.glob("versions/*"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1).filter(sum), st.data())
def test_quotas_add_up_and_are_fair(sizes: list[int], data: st.DataObject) -> None:
    wanted = data.draw(st.integers(0, sum(sizes)))
    parts = quotas(sizes, wanted)
    assert sum(parts) == wanted
    for size, part in zip(sizes, parts, strict=True):
        assert abs(part - wanted * size / sum(sizes)) < 1
        assert part <= size
