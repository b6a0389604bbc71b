"""Folders, saved datasets, hub ids and several files: the rows of each keep their own file."""

import gc
import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuiwb.data.read import open_dataset, training_examples
from tuiwb.data.rows import Message
from tuiwb.data.sources import columns, slices
from tuiwb.errors import BadInput, MissingHere
from tuiwb.project import Project


def records(first: int, count: int) -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": f"row {n}"},
                          {"role": "assistant", "content": "yes"}]}
            for n in range(first, first + count)]  # fmt: skip


def jsonl(path: Path, first: int, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records(first, count)))
    return path


def parquet(path: Path, first: int, count: int, group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records(first, count)), path, row_group_size=group)
    return path


def saved(folder: Path, counts: list[int], batch: int = 3) -> Path:
    """What datasets' save_to_disk leaves: Arrow streams and a state.json that names them."""
    folder.mkdir(parents=True)
    names, first = [], 0
    for n, count in enumerate(counts):
        names.append(f"data-{n:05}-of-{len(counts):05}.arrow")
        table = pa.Table.from_pylist(records(first, count))
        with (
            pa.OSFile(str(folder / names[-1]), "wb") as out,
            pa.ipc.new_stream(out, table.schema) as stream,
        ):
            stream.write_table(table, max_chunksize=batch)
        first += count
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def asked(path: Any) -> list[tuple[str, int, int, str]]:
    """(file name, line, index, what the user said) of every row, read in order and one by one."""
    dataset = open_dataset(path)
    rows = list(dataset)
    assert [dataset.row(n) for n in reversed(range(len(rows)))] == rows[::-1]
    return [(Path(r.file).name, r.line, r.index, (r.messages or [])[0].content) for r in rows]


def test_several_files_are_one_dataset_whose_rows_know_their_file(tmp_path: Path) -> None:
    one = jsonl(tmp_path / "one.jsonl", 0, 2)
    two = parquet(tmp_path / "two.parquet", 2, 4)
    assert asked([one, two]) == [
        ("one.jsonl", 1, 0, "row 0"), ("one.jsonl", 2, 1, "row 1"),
        *(("two.parquet", n + 1, n + 2, f"row {n + 2}") for n in range(4)),
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"one\.jsonl was given twice"):
        open_dataset([one, two, one])
    with pytest.raises(BadInput, match="no dataset file was given"):
        open_dataset([])


@pytest.mark.parametrize("make", [jsonl, parquet])
def test_a_folder_of_shards_is_one_dataset(tmp_path: Path, make: Any) -> None:
    suffix = ".jsonl" if make is jsonl else ".parquet"
    for n in range(3):
        make(tmp_path / f"part-{n}{suffix}", 5 * n, 5)
    (tmp_path / "README.md").write_text("no data")
    rows = asked(tmp_path)
    assert [text for *_, text in rows] == [f"row {n}" for n in range(15)]
    assert rows[-1][:3] == (f"part-2{suffix}", 5, 14)


def open_files() -> set[tuple[str, str]]:
    """Descriptor and path of each file of rows or slices that this process holds open."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # Another thread may close what was listed.
            link = os.readlink(f"/proc/self/fd/{number}")
            if link.endswith((".parquet", ".jsonl", " (deleted)")):
                found.add((number, link))
    return found


def test_more_files_than_may_be_held_open_are_one_dataset(tmp_path: Path) -> None:
    for n in range(1200):
        (tmp_path / f"{n:04}.jsonl").write_text(f'{{"text": "row {n}"}}\n')
    dataset = open_dataset(tmp_path)
    assert [row.text for row in dataset] == [f"row {n}" for n in range(1200)]
    assert len(open_files()) < 200


def test_train_and_test_shards_of_one_folder_are_never_mixed(tmp_path: Path) -> None:
    parquet(tmp_path / "train-00000-of-00002.parquet", 0, 3)
    parquet(tmp_path / "train-00001-of-00002.parquet", 3, 3)
    parquet(tmp_path / "test-00000-of-00001.parquet", 6, 3)
    with pytest.raises(BadInput, match=r"holds test, train: name one, as in .*:test"):
        open_dataset(tmp_path)
    assert [text for *_, text in asked(f"{tmp_path}:train")] == [f"row {n}" for n in range(6)]
    with pytest.raises(BadInput, match="holds test, train, not dev"):
        open_dataset(f"{tmp_path}:dev")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([], "is a folder without dataset files"),
        (["notes.txt"], "is a folder without dataset files"),
        (["a.jsonl", "b.csv"], r"holds \.csv and \.jsonl files"),
        (["data/a.jsonl"], r"give one of .*/data"),
        (["state.json"], "names no files"),
        (["dataset_dict.json"], "holds files that name no split"),
    ],
)
def test_a_folder_that_is_no_dataset_is_one_sentence(
    tmp_path: Path, files: list[str], sentence: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    with pytest.raises(BadInput, match=sentence):
        open_dataset(tmp_path)


def test_a_saved_dataset_opens_from_its_arrow_files(tmp_path: Path) -> None:
    folder = saved(tmp_path / "set", [7, 4])
    rows = asked(folder)
    assert [text for *_, text in rows] == [f"row {n}" for n in range(11)]
    assert rows[7][:3] == ("data-00001-of-00002.arrow", 1, 7)
    assert open_dataset(folder).container == "arrow"
    assert training_examples([folder], "sft")[0][0] == records(0, 1)[0]


def test_a_split_of_a_saved_dict_is_named(tmp_path: Path) -> None:
    saved(tmp_path / "set" / "train", [3])
    saved(tmp_path / "set" / "test", [2])
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(BadInput, match=r"holds train, test: name one, as in .*/set:train"):
        open_dataset(tmp_path / "set")
    assert len(open_dataset(f"{tmp_path}/set:test")) == 2
    assert len(open_dataset(tmp_path / "set" / "train")) == 3


def test_what_datasets_itself_saves_opens(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    code = (
        "import json, sys, datasets; d = datasets.Dataset.from_list(json.loads(sys.argv[1])); "
        "d.select([3, 1]).save_to_disk(sys.argv[2]); "
        "datasets.DatasetDict(train=d).save_to_disk(sys.argv[3], num_shards={'train': 2})"
    )
    one, several = str(tmp_path / "one"), str(tmp_path / "several")
    given = json.dumps(records(0, 5))
    environment = os.environ | {"HF_HOME": str(tmp_path / "home")}
    done = subprocess.run([sys.executable, "-c", code, given, one, several], env=environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [text for *_, text in asked(one)] == ["row 3", "row 1"]
    assert [text for *_, text in asked(several)] == [f"row {n}" for n in range(5)]


def test_an_arrow_file_that_was_cut_keeps_the_rows_before_and_says_so(tmp_path: Path) -> None:
    (file,) = saved(tmp_path / "set", [30]).glob("*.arrow")
    whole = file.read_bytes()
    for length in range(len(whole) // 3, len(whole) - 8, 97):
        file.write_bytes(whole[:length])
        rows = list(open_dataset(file))
        good = [row for row in rows if row.problem is None]
        assert [(row.messages or [])[0].content for row in good] == [
            f"row {n}" for n in range(len(good))
        ]
        assert len(good) < 30
        assert "can't be read from here on" in str(rows[-1].problem)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is bounded is bounded to little, so that files of a few rows are large."""
    for name, value in (("WHOLE", 0), ("BATCH", 7), ("HELD", 2)):
        monkeypatch.setattr(columns, name, value)
    monkeypatch.setattr(slices, "SLICE", 60)


def one_batch(path: Path, count: int, stream: bool, kind: str) -> Path:
    """An Arrow file of one batch; its texts plain, in a dictionary, or in one inside a struct."""
    texts: Any = pa.array([f"row {n % 40}" for n in range(count)])
    texts = texts if kind == "plain" else texts.dictionary_encode()
    turns = pa.StructArray.from_arrays([pa.array(["user"] * count), texts], ["role", "content"])
    one_each = pa.array(range(count + 1), pa.int32())
    arrays = [pa.ListArray.from_arrays(one_each, turns), pa.array(range(count))]
    if kind != "inner":
        arrays = [texts, pa.array(range(count))]
    batch = pa.RecordBatch.from_arrays(arrays, ["messages" if kind == "inner" else "text", "id"])
    with pa.OSFile(str(path), "wb") as out:
        new = pa.ipc.new_stream if stream else pa.ipc.new_file
        with new(out, batch.schema) as writer:
            writer.write_batch(batch)
    return path


@pytest.mark.usefixtures("small")
def test_a_large_row_group_is_read_in_slices(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 0, 500, group=230)
    assert [text for *_, text in asked(path)] == [f"row {n}" for n in range(500)]
    dataset = open_dataset(path)
    order = [n * 197 % 500 for n in range(500)]
    assert [(dataset.row(n).messages or [])[0].content for n in order] == [
        f"row {n}" for n in order
    ]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", ["plain", "dictionary", "inner"])
def test_an_arrow_file_of_one_large_batch_is_read_in_slices(
    tmp_path: Path, stream: bool, kind: str
) -> None:
    dataset = open_dataset(one_batch(tmp_path / "a.arrow", 200, stream, kind))
    rows = list(dataset)
    assert [row.tags["id"] for row in rows] == list(range(200))
    assert {text for row in rows for _, _, text in row.fields()} == {f"row {n}" for n in range(40)}
    assert [dataset.row(n) for n in reversed(range(200))] == rows[::-1]


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split("\n")[0])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One row group of 20,000 rows, 13 MB, that no packing makes smaller."""
    path = tmp_path_factory.mktemp("large") / "a.parquet"
    texts = [f"{n} {os.urandom(330).hex()}" for n in range(20_000)]
    pq.write_table(pa.table({"text": texts}), path, compression="none", use_dictionary=False)
    assert pq.ParquetFile(path).num_row_groups == 1
    return path


def test_a_jump_into_a_large_row_group_opens_one_slice(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "HELD", 4)
    dataset = open_dataset(large)
    dataset.row(19_999)
    before = bytes_read()
    for n in range(200):
        at = n * 7919 % 20_000
        assert str(dataset.row(at).text).startswith(f"{at} ")
    assert bytes_read() - before < 200 * 2 * slices.SLICE


def test_paging_up_reads_every_row_once(large: Path) -> None:
    dataset = open_dataset(large)
    dataset.row(19_999)
    before = bytes_read()
    for top in range(19_950, -1, -50):
        assert [dataset.row(n).index for n in range(top, top + 50)] == list(range(top, top + 50))
    assert bytes_read() - before < 1.5 * large.stat().st_size


def test_what_is_kept_decoded_is_bounded(large: Path) -> None:
    before = pa.total_allocated_bytes()
    dataset = open_dataset(large)
    at = [(n * 7919) % 20_000 for n in range(100)]
    held = []
    for n in at:
        dataset.row(n)
        held.append(pa.total_allocated_bytes() - before)
    assert max(held) < columns.HELD_BYTES + columns.WHOLE + 8 * slices.SLICE
    dataset.close()
    assert pa.total_allocated_bytes() - before < slices.SLICE


def test_two_passes_at_once_and_jumps_between_them_cost_no_more_than_a_few(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "HELD", 4)
    dataset = open_dataset(large)
    before = bytes_read()
    behind = iter(dataset)
    for n, row in enumerate(dataset):
        assert row.index == n
        if n > 5000:
            assert next(behind).index == n - 5001
        if n % 50 == 0:
            dataset.row((n * 7919) % 20_000)
    assert bytes_read() - before < 5 * large.stat().st_size + 400 * 2 * slices.SLICE


@pytest.mark.usefixtures("small")
def test_without_room_on_the_disk_rows_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "spool", partial(open, "/dev/full", "wb", buffering=0))
    path = parquet(tmp_path / "a.parquet", 0, 100, group=60)
    assert [text for *_, text in asked(path)] == [f"row {n}" for n in range(100)]


@pytest.mark.usefixtures("small")
def test_slices_of_many_files_hold_few_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "MOST", 2)
    monkeypatch.setattr(slices, "DECODED", 1)
    for n in range(9):
        parquet(tmp_path / f"{n}.parquet", 40 * n, 40, group=40)
    before = open_files()
    dataset = open_dataset(tmp_path)
    most = set()
    for n in [n * 97 % 360 for n in range(720)]:
        assert (dataset.row(n).messages or [])[0].content == f"row {n}"
        opened = open_files() - before
        slices_of = {link for link in opened if link[1].endswith(" (deleted)")}
        assert len(slices_of) <= 2
        assert len(opened - slices_of) <= 2
        most |= opened
    assert most
    del dataset
    gc.collect()
    assert not most & open_files()


@pytest.mark.usefixtures("small")
def test_slices_that_took_their_room_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slices, "ROOM", 20_000)
    dataset = open_dataset(parquet(tmp_path / "a.parquet", 0, 300, group=50))
    for n in [n * 97 % 300 for n in range(600)]:
        assert (dataset.row(n).messages or [])[0].content == f"row {n}"


@pytest.mark.usefixtures("small")
def test_a_row_group_that_is_damaged_gives_the_same_rows_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    texts = [f"{n} {os.urandom(50).hex()}" for n in range(300)]
    pq.write_table(
        pa.table({"text": texts}), path, use_dictionary=False, data_page_size=2000,
        write_batch_size=10, compression="gzip",
    )  # fmt: skip
    whole = path.read_bytes()
    some = 0
    for at in range(4000, len(whole) - 2000, len(whole) // 9):
        path.write_bytes(whole[:at] + b"\0" * 40 + whole[at + 40 :])
        dataset = open_dataset(path)
        rows = list(dataset)
        assert [dataset.row(n) for n in reversed(range(300))] == rows[::-1]
        again = open_dataset(path)
        assert [again.row(n) for n in range(299, -1, -1)] == rows[::-1]
        good = [row.index for row in rows if row.problem is None]
        assert len(good) < 300
        assert good == list(range(len(good)))
        some += len(good) > 0
    assert some > 3


def test_what_can_be_opened_is_listed_and_the_other_way_round(tmp_path: Path) -> None:
    data = tmp_path / "data"
    jsonl(data / "A.JSONL", 0, 2)
    (data / "b.jsonl.GZ").write_bytes(gzip.compress(b'{"text": "a"}\n'))
    parquet(data / "C.Parquet", 0, 2)
    one_batch(data / "d.arrow", 5, True, "plain")
    (data / "manifest.json").write_text("{}")
    (data / "e.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    (data / "notes.txt").write_text("no")
    listed = Project(tmp_path).datasets()
    assert [path.name for path in listed] == ["A.JSONL", "C.Parquet", "b.jsonl.GZ", "d.arrow"]
    assert [len(open_dataset(path)) for path in listed] == [2, 2, 1, 5]


def test_a_version_with_its_manifest_is_a_dataset(tmp_path: Path) -> None:
    jsonl(tmp_path / "rows.jsonl", 0, 3)
    jsonl(tmp_path / "more.JSONL", 3, 1)
    for name in ("manifest.json", "dropped.jsonl"):
        (tmp_path / name).write_text("{}")
    assert len(open_dataset(tmp_path)) == 4


def test_a_parquet_file_replaced_while_open_gives_broken_rows(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", 0, 300)
    dataset = open_dataset(path)
    parquet(path, 900, 300)
    rows = list(dataset)
    assert rows[0].problem is None
    assert rows[-1].problem is not None
    assert all(r.problem or (r.messages or [])[0].content == f"row {r.index}" for r in rows)
    assert {r.problem for r in rows if r.problem} == {
        "can't be read any more: the file changed since it was opened"
    }


def test_columns_that_datasets_turned_inside_out_are_messages_again(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(
        [{"messages": {"role": ["user", "assistant"], "content": ["a", "b"]}}]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    row = open_dataset(tmp_path / "a.parquet").row(0)
    assert row.messages == [Message("user", "a"), Message("assistant", "b")]


CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/part-*
  - split: test
    path: data/hard.jsonl
---
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as its client asks for: one dataset, me/set."""

    files: ClassVar[dict[str, bytes]] = {
        "README.md": CARD,
        "data/part-1.jsonl": b'{"text": "a"}\n{"text": "b"}\n',
        "data/part-2.jsonl": b'{"text": "c"}\n',
        "data/hard.jsonl": b'{"text": "d"}\n',
    }

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        name = path.partition("/resolve/main/")[2]
        if path.startswith("/api/datasets/me/set/tree/main"):
            listed = [{"type": "file", "path": name, "oid": "a" * 40, "size": len(data)}
                      for name, data in self.files.items()]  # fmt: skip
            data = json.dumps(listed).encode()
        elif path.startswith("/datasets/me/set/") and name in self.files:
            data = self.files[name]
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{name.encode().hex()}"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


READ = """
import sys
from tuiwb.data.read import open_dataset
from tuiwb.errors import TuiwbError
for name in sys.argv[1:]:
    try:
        print(" ".join(row.text for row in open_dataset(name)))
    except TuiwbError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_a_hub_id_is_fetched_once_and_then_read_from_the_cache(tmp_path: Path, hub: str) -> None:
    def read(endpoint: str, *names: str) -> list[str]:
        environment = os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home")}
        for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
            environment.pop(name, None)
        done = subprocess.run([sys.executable, "-c", READ, *names], env=environment,
                              capture_output=True, text=True, timeout=300)  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    found = read(hub, "me/set", "me/set:test", "me/set:dev", "me/other")
    assert found[:2] == ["a b c", "d"]
    assert "has the splits test, train, not dev" in found[2]
    assert found[3].startswith("BadInput me/other is neither a file nor a dataset of the hub")
    nowhere = "http://127.0.0.1:9"
    away = read(nowhere, "me/set", "me/set:test", "me/other")
    assert away[:2] == ["a b c", "d"]
    assert away[2].startswith("MissingHere me/other is neither a file nor whole in the hub's cache")


def test_a_hub_cache_with_a_shard_missing_is_not_taken_for_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    folder = tmp_path / "datasets--me--set"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc")
    data = folder / "snapshots" / "abc" / "data"
    parquet(data / "train-00000-of-00002.parquet", 0, 2)
    with pytest.raises(MissingHere, match=r"127\.0\.0\.1 can't be reached"):
        open_dataset("me/set")
    parquet(data / "train-00001-of-00002.parquet", 2, 2)
    assert [text for *_, text in asked("me/set")] == [f"row {n}" for n in range(4)]
