"""Versions: whole or not there, numbered without a clash, and true to their manifests."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuiwb.data.clean import Cleaning, clean
from tuiwb.data.formats import to_row
from tuiwb.data.manifest import DATA, Operation, changed_parents, read_manifest, verify, versions_in
from tuiwb.data.marks import Marks
from tuiwb.data.read import open_dataset
from tuiwb.data.records import encode_line, record_of, row_key
from tuiwb.data.rows import Row
from tuiwb.data.sources import decode
from tuiwb.data.versions import Source, VersionWriter, name_of, versions_root
from tuiwb.errors import BadInput

EXACT = Cleaning(drop_exact=True)


def write(path: Path, *records: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(encode_line(record) for record in records))
    return path


def a_version(root: Path, name: str = "one", rows: int = 3) -> Path:
    source = write(root.parent / "source.jsonl", *({"text": str(n)} for n in range(rows)))
    with VersionWriter(root, name) as writer:
        parent = Source(source, rows)
        for row in open_dataset(source):
            writer.write(record_of(row))
        folder, _version = writer.finish([parent], [Operation(op="copy")])
    return folder


TEXT = st.text(st.characters(), max_size=8)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
CALL = st.fixed_dictionaries(
    {"function": st.fixed_dictionaries({"name": TEXT, "arguments": PLAIN})}, optional={"id": TEXT}
)
TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": TEXT},
    optional={"name": TEXT, "tool_calls": st.lists(CALL, max_size=2), "tool_call_id": TEXT},
)
TURNS = st.lists(TURN, min_size=1, max_size=4)
SHAREGPT = st.lists(
    st.fixed_dictionaries({"from": st.sampled_from(["human", "gpt", "Tool", "x"]), "value": TEXT}),
    min_size=1, max_size=3,
)  # fmt: skip
PART = TEXT | TURNS
ANYTHING = {
    "messages": TURNS, "conversations": SHAREGPT, "instruction": TEXT, "input": TEXT,
    "output": TEXT, "history": st.lists(st.tuples(TEXT, TEXT).map(list), max_size=2),
    "prompt": PART, "completion": PART, "chosen": PART, "rejected": PART, "text": TEXT,
    "system": TEXT, "label": st.booleans() | st.sampled_from(["true", 0, "x"]),
    "kto_tag": st.booleans(), "tools": st.lists(st.dictionaries(TEXT, PLAIN, max_size=2)),
    "topic": PLAIN, "provenance": PLAIN,
}  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.fixed_dictionaries({}, optional=ANYTHING))
def test_a_record_reads_back_as_the_same_row(record: dict[str, Any]) -> None:
    row = to_row(record, "f", 0, 1)
    if row.shape == "broken":
        return
    again = to_row(decode(encode_line(record_of(row)), 1).value, "f", 0, 1)
    again.format = row.format
    assert again == row
    assert row_key(again) == row_key(row)


def test_a_broken_row_has_no_record() -> None:
    row = to_row({"x": 1}, "f", 0, 1)
    with pytest.raises(ValueError, match="f:1 is broken"):
        record_of(row)


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff\ud800", "NUL \0 and \x1b[31m", " ", "é😀"])
def test_every_text_survives_a_version(tmp_path: Path, text: str) -> None:
    folder = Path(str(clean(write(tmp_path / "d.jsonl", {"text": text, "x": text}), EXACT).folder))
    (row,) = open_dataset(folder / DATA)
    assert (row.text, row.tags) == (text, {"x": text})
    assert (folder / DATA).read_bytes().decode("utf-8")


def test_nan_and_huge_numbers_in_columns_stay_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"text": "a", "loss": NaN, "worst": -Infinity, "n": 123456789012345678901}\n')
    folder = clean(path, EXACT).folder
    (row,) = open_dataset(f"{folder}/{DATA}")
    assert repr(row.tags) == "{'loss': nan, 'worst': -inf, 'n': 123456789012345678901}"


def test_the_manifest_says_what_went_in_and_came_out(tmp_path: Path) -> None:
    folder = a_version(tmp_path / "versions")
    version = read_manifest(folder)
    assert (version.name, version.rows, version.operations[0].op) == ("one-v1", 3, "copy")
    assert version.created.endswith("+00:00")
    (parent,) = version.parents
    assert (parent.path, parent.rows, parent.manifest) == ("../../source.jsonl", 3, None)
    assert verify(folder) == []
    assert changed_parents(folder) == []
    assert sorted(p.name for p in folder.iterdir()) == ["data.jsonl", "manifest.json"]


def test_a_version_of_a_version_names_its_parents_manifest(tmp_path: Path) -> None:
    first = a_version(tmp_path / "versions")
    outcome = clean(first / DATA, EXACT)
    assert outcome.folder == str(tmp_path / "versions" / "one-v2")
    assert outcome.version is not None
    (parent,) = outcome.version.parents
    assert (parent.path, parent.manifest) == ("../one-v1/data.jsonl", "../one-v1/manifest.json")


def test_verify_names_what_was_changed_lost_or_renamed(tmp_path: Path) -> None:
    folder = a_version(tmp_path / "versions")
    data = folder / DATA
    whole = data.read_bytes()
    data.write_bytes(whole.replace(b"1", b"7"))
    assert "another sha256" in verify(folder)[0]
    data.write_bytes(whole + b"{}\n")
    assert "it was changed" in verify(folder)[0]
    data.unlink()
    assert verify(folder) == [f"{data} is gone"]
    data.write_bytes(whole)
    (tmp_path / "source.jsonl").write_bytes(b"{}\n")
    assert verify(folder) == []
    assert "source.jsonl" in changed_parents(folder)[0]
    folder.rename(folder.with_name("two-v1"))
    assert "calls itself one-v1" in verify(folder.with_name("two-v1"))[0]
    assert "not a version" in verify(tmp_path)[0]


def test_a_manifest_cannot_send_verify_outside_its_folder(tmp_path: Path) -> None:
    folder = a_version(tmp_path / "versions")
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["outputs"][0]["file"] = "../../source.jsonl"
    path.write_text(json.dumps(manifest))
    assert "no file of it" in verify(folder)[0]
    path.write_text("{")
    assert "can't read" in verify(folder)[0]


def test_versions_made_at_once_get_numbers_of_their_own(tmp_path: Path) -> None:
    root = tmp_path / "versions"
    sources = [write(tmp_path / f"s{n}.jsonl", {"text": str(n)}) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda path: clean(path, EXACT, name="x", root=root), sources))
    assert sorted(Path(str(o.folder)).name for o in outcomes) == [f"x-v{n}" for n in range(1, 9)]
    folders = list(versions_in(root))
    assert [f.name for f in folders] == [f"x-v{n}" for n in range(1, 9)]
    assert sum(map(len, map(verify, folders))) == 0
    texts = {open_dataset(folder / DATA).row(0).text for folder in folders}
    assert texts == {str(n) for n in range(8)}


KILLED = """
import sys
from pathlib import Path
from tuiwb.data.versions import VersionWriter
with VersionWriter(Path(sys.argv[1]), "one") as writer:
    for n in range(100000):
        writer.write({"text": str(n)})
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_no_version_and_the_next_one_tidies_up(tmp_path: Path) -> None:
    root = tmp_path / "versions"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"writing\n"
    (begun,) = root.iterdir()
    assert begun.name.startswith(".one-begun-")
    # A writer that lives is left alone.
    assert a_version(root).name == "one-v1"
    assert begun.is_dir()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(versions_in(root)) == [root / "one-v1"]
    assert a_version(root).name == "one-v2"
    assert sorted(p.name for p in root.iterdir()) == ["one-v1", "one-v2"]


def test_an_error_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    root = tmp_path / "versions"

    def fail() -> None:
        with VersionWriter(root, "one") as writer:
            writer.write({"text": "a"})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(root.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, small_disk: Path
) -> None:
    noise = random.Random(1)
    rows = [{"text": "".join(noise.choices("abcdef ", k=500))} for _ in range(2000)]
    path = write(tmp_path / "d.jsonl", *rows)
    before = path.read_bytes()
    with pytest.raises(BadInput, match="No space left on device; nothing was left behind"):
        clean(path, EXACT, root=small_disk)
    assert list(small_disk.iterdir()) == []
    assert path.read_bytes() == before


def test_a_source_that_changes_meanwhile_makes_no_version(tmp_path: Path) -> None:
    source = write(tmp_path / "d.jsonl", {"text": "a"})

    def copy() -> None:
        with VersionWriter(tmp_path / "v", "d") as writer:
            parent = Source(source, 1)
            writer.write({"text": "a"})
            with source.open("ab") as file:
                file.write(b'{"text": "b"}\n')
            writer.finish([parent], [])

    with pytest.raises(BadInput, match="changed while it was read"):
        copy()
    assert list((tmp_path / "v").iterdir()) == []


def test_a_projects_data_folder_of_shards_can_be_versioned(tmp_path: Path) -> None:
    data = tmp_path / "p" / "data"
    for shard in range(2):
        rows = [{"text": f"shard {shard} row {n}"} for n in range(3)]
        write(data / f"part-0000{shard}-of-00002.jsonl", *rows)
    (tmp_path / "p" / "tuiwb.yaml").write_text("")
    folder = Path(str(clean(data, EXACT, root=data / "versions").folder))
    (parent,) = read_manifest(folder).parents
    assert parent.files == ["part-00000-of-00002.jsonl", "part-00001-of-00002.jsonl"]
    assert parent.bytes == sum(file.stat().st_size for file in data.glob("part-*"))
    assert (verify(folder), changed_parents(folder)) == ([], [])
    clean(data, EXACT, root=data / "versions")
    assert changed_parents(folder) == []
    write(data / "part-00001-of-00002.jsonl", {"text": "other"})
    assert "another sha256" in changed_parents(folder)[0]
    (data / "part-00001-of-00002.jsonl").unlink()
    assert "part-00001-of-00002.jsonl is gone" in changed_parents(folder)[0]


def test_the_marks_and_the_held_out_set_that_decided_are_parents(tmp_path: Path) -> None:
    path = write(tmp_path / "d.jsonl", *({"text": f"some row {n}"} for n in range(4)))
    held = write(tmp_path / "held.jsonl", {"text": "some row 3"})
    dataset = open_dataset(path)
    marks = Marks(path, dataset)
    marks.mark(dataset.row(0), "drop")
    cleaning = Cleaning(apply_marks=True, drop_checks=["leakage"], against=str(held))
    folder = Path(str(clean(path, cleaning).folder))
    parents = {parent.role: parent for parent in read_manifest(folder).parents}
    assert {role: (p.path, p.rows) for role, p in parents.items()} == {
        "rows": ("../../d.jsonl", 4),
        "marks": ("../../d.jsonl.marks", 1),
        "held_out": ("../../held.jsonl", 1),
    }
    marks.mark(dataset.row(1), "keep")
    assert changed_parents(folder) == []
    marks.path.write_bytes(marks.path.read_bytes().replace(b"drop", b"hard"))
    assert "begins otherwise" in changed_parents(folder)[0]


def test_versions_lie_in_the_project_or_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "p" / "data" / "raw").mkdir(parents=True)
    inside = tmp_path / "p" / "data" / "raw" / "a.jsonl"
    assert versions_root(inside) == inside.parent / "versions"
    (tmp_path / "p" / "tuiwb.yaml").write_text("")
    assert versions_root(inside) == tmp_path / "p" / "data" / "versions"
    assert versions_root(tmp_path / "b.jsonl") == tmp_path / "versions"


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.jsonl", "a"), ("my data (1).JSONL.gz", "my-data-1"), ("..json", "dataset"),
     ("x.parquet", "x"), ("ünï.csv", "n"), ("support-v2.jsonl", "support-v2")],
)  # fmt: skip
def test_a_version_is_called_after_its_file(file: str, name: str) -> None:
    assert name_of(Path("/nowhere") / file) == name


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a..b", "x" * 81, "a b", "é"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="can't be a version's name"):
        VersionWriter(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_whose_name_is_not_utf_8_can_be_a_parent(tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"d\xff.jsonl"), {"text": "a"}, {"no": 1})
    folder = Path(str(clean(path, EXACT, name="d", root=tmp_path / "v").folder))
    assert (verify(folder), changed_parents(folder)) == ([], [])
    assert read_manifest(folder).parents[0].path == "../../" + path.name
    row: Row = open_dataset(folder / DATA).row(0)
    assert row.text == "a"


def test_what_a_version_can_not_carry_is_noted(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a", "weight": 0, "name": None},
             {"from": "gpt", "value": "b", "thinking": "c", "extra": None}]  # fmt: skip
    path = write(
        tmp_path / "d.jsonl",
        {"messages": turns, "other": 1},
        {"prompt": "a", "completion": "b", "system": "s"},
        {"text": "t", "system": "kept as a column"},
    )
    outcome = clean(path, EXACT)
    assert outcome.notes == [
        "the source has fields that are not read and not in the version: "
        "messages[].thinking, messages[].weight, system"
    ]
    assert outcome.version is not None
    assert outcome.version.notes == outcome.notes
    assert clean(f"{outcome.folder}/{DATA}", EXACT).notes == []
