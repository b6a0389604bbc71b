"""Folders, saved datasets, hub ids and several files: the rows of each keep their own file."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tuiwb.data.read import open_dataset, training_examples
from tuiwb.data.rows import Message
from tuiwb.errors import BadInput, MissingHere


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


def test_more_files_than_may_be_held_open_are_one_dataset(tmp_path: Path) -> None:
    for n in range(1200):
        (tmp_path / f"{n:04}.jsonl").write_text(f'{{"text": "row {n}"}}\n')
    dataset = open_dataset(tmp_path)
    assert [row.text for row in dataset] == [f"row {n}" for n in range(1200)]
    assert len(os.listdir("/proc/self/fd")) < 200


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


def test_a_large_row_group_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuiwb.data.sources import columns

    monkeypatch.setattr(columns, "WHOLE", 0)
    monkeypatch.setattr(columns, "BATCH", 4)
    path = parquet(tmp_path / "a.parquet", 0, 50, group=23)
    assert [text for *_, text in asked(path)] == [f"row {n}" for n in range(50)]


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
        environment.pop("HF_HUB_CACHE", None)
        done = subprocess.run([sys.executable, "-c", READ, *names], env=environment,
                              capture_output=True, text=True, timeout=120)  # fmt: skip
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
