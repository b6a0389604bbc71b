"""The index: kept for the very same file and no other; rows can be read while it grows."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tuiwb.data.index import Index
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.sources import lines
from tuiwb.errors import BadInput

LONG_AGO = 1_700_000_000


def rows_of(count: int, word: str = "row") -> bytes:
    return b"".join(b'{"text": "%s %d"}\n' % (word.encode(), n) for n in range(count))


def write(path: Path, data: bytes, at: int = LONG_AGO) -> Path:
    """Write a file that was last changed long ago, as most are."""
    path.write_bytes(data)
    os.utime(path, (at, at))
    return path


def kept(cache: Path, suffix: str = "index") -> list[Path]:
    return sorted(path for path in cache.glob("*") if f".{suffix}" in path.name)


def texts(dataset: Dataset) -> list[str | None]:
    return [row.text for row in dataset]


CONTAINERS: dict[str, Callable[[int], bytes]] = {
    "a.jsonl": lambda count: b"\n \n" + rows_of(count),
    "a.json": lambda count: b"[" + rows_of(count).rstrip().replace(b"\n", b",\n") + b",",
    "a.csv": lambda count: (
        b"text,id\n" + b"".join(b'"row\n %d",%d\n' % (n, n) for n in range(count))
    ),
    "a.jsonl.zst": lambda count: zstandard.compress(rows_of(count)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_kept_index_opens_the_same_rows_without_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, cache = write(tmp_path / name, CONTAINERS[name](500)), tmp_path / "cache"
    first = [repr(row) for row in open_dataset(path, cache=cache)]
    assert len(kept(cache)) == 1
    before = bytes_read()
    again = open_dataset(path, cache=cache)
    assert bytes_read() - before < 150_000
    monkeypatch.setattr(type(again._parts[0][1]), "_find", None)
    assert [repr(row) for row in open_dataset(path, cache=cache)] == first


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split("\n")[0])


def test_a_changed_file_is_indexed_anew_and_the_old_index_goes(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = write(tmp_path / "a.jsonl", rows_of(50))
    open_dataset(path, cache=cache)
    write(path, rows_of(7, "other"), LONG_AGO + 1)
    assert texts(open_dataset(path, cache=cache)) == [f"other {n}" for n in range(7)]
    assert len(kept(cache)) == 1


def test_a_file_written_over_with_its_old_size_and_time_is_indexed_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n{"text": "bcd"}\n')
    open_dataset(path, cache=cache)
    write(path, b'{"text": "abc"}\n{"text": "d"}\n')
    assert texts(open_dataset(path, cache=cache)) == ["abc", "d"]


def test_a_file_that_was_just_written_keeps_no_index(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(rows_of(9))
    open_dataset(path, cache=tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


@pytest.mark.parametrize("suffix", ["index", "unpacked"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, suffix: str) -> None:
    cache = tmp_path / "cache"
    path = write(tmp_path / "a.jsonl.zst", CONTAINERS["a.jsonl.zst"](40))
    expected = texts(open_dataset(path, cache=cache))
    assert len(expected) == 40
    (file,) = kept(cache, suffix)
    whole = file.read_bytes()
    damaged = [whole[:n] for n in (0, 3, 30, len(whole) // 2, len(whole) - 1)]
    if suffix == "index":
        damaged += [
            whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :] for n in range(0, len(whole), 7)
        ]
        damaged += [whole + b"\0"]
    for data in damaged:
        file.write_bytes(data)
        assert texts(open_dataset(path, cache=cache)) == expected
        assert kept(cache, suffix)[-1].read_bytes() == whole


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    for name, make in CONTAINERS.items():
        dataset = open_dataset(write(tmp_path / name, make(5)), cache=tmp_path / "cache")
        assert len(texts(dataset)) >= 5


def test_without_a_cache_folder_nothing_is_written(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl.zst", CONTAINERS["a.jsonl.zst"](40))
    assert len(open_dataset(path)) == 40
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl.zst"]


def test_offsets_and_lines_survive_saving(tmp_path: Path) -> None:
    index = Index()
    places = [(3, 9, 1), (10, 12, 2), (20, 21, 2), (22, 30, 9), (31, 40, 10)]
    for place in places:
        index.add(*place)
    index.save(tmp_path / "i", {"size": 40})
    loaded = Index.load(tmp_path / "i")
    assert loaded is not None
    again, extra = loaded
    assert extra["size"] == 40
    found = [(again.starts[n], again.ends[n], again.line(n)) for n in range(len(again))]
    assert found == places


class Gate:
    """Holds a scan after its first steps until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        scan = lines.JsonLines._find
        gate = self

        def held(source: lines.JsonLines):  # type: ignore[no-untyped-def]
            for n, step in enumerate(scan(source)):
                if n == 3:
                    gate.reached.set()
                    gate.open.wait(300)
                yield step

        monkeypatch.setattr(lines.JsonLines, "_find", held)


def test_rows_are_read_while_the_rest_is_still_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuiwb.data.sources import file

    monkeypatch.setattr(file, "CHUNK", 2000)
    gate = Gate(monkeypatch)
    path = write(tmp_path / "a.jsonl", rows_of(5000))
    dataset = open_dataset(path, wait=False)
    assert gate.reached.wait(300)
    assert not dataset.complete
    assert 0 < len(dataset) < 1000
    assert 0 < dataset.progress < 1
    last = len(dataset) - 1
    assert dataset.row(last).text == f"row {last}"
    assert not dataset.wait(0.01)
    with pytest.raises(BadInput, match=r"so far, .*no row 4999"):
        dataset.row(4999)
    seen: list[str | None] = []
    reader = threading.Thread(target=lambda: seen.extend(texts(dataset)))
    reader.start()
    gate.open.set()
    reader.join(300)
    assert seen == [f"row {n}" for n in range(5000)]
    assert dataset.wait(300)
    assert (dataset.complete, dataset.progress, len(dataset)) == (True, 1.0, 5000)
    assert dataset.row(4999).text == "row 4999"


def test_many_threads_read_what_one_is_finding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b"\n".join(rows_of(60_000).splitlines(keepends=True)))
    dataset = open_dataset(path, wait=False)
    wrong: list[int] = []

    def read() -> None:
        while not dataset.complete:
            n = len(dataset) - 1
            row = dataset.row(n)
            if (row.text, row.line) != (f"row {n}", 2 * n + 1):
                wrong.append(n)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert dataset.wait(300)
    assert wrong == []
    assert len(dataset) == 60_000


def test_a_file_that_fails_later_is_told_and_never_skipped(tmp_path: Path) -> None:
    good = write(tmp_path / "a.jsonl", rows_of(3))
    bad = write(tmp_path / "b.parquet", b"PAR1 no")
    with pytest.raises(BadInput, match=r"b\.parquet is not a Parquet file"):
        open_dataset([good, bad])
    dataset = open_dataset([good, bad], wait=False)
    with pytest.raises(BadInput, match=r"b\.parquet is not a Parquet file"):
        list(dataset)
    with pytest.raises(BadInput, match=r"b\.parquet"):
        dataset.wait()


def test_rows_appended_later_are_not_seen_and_disturb_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(100))
    dataset = open_dataset(path)
    with path.open("ab") as file:
        file.write(rows_of(50, "new"))
    assert texts(dataset) == [f"row {n}" for n in range(100)]
    assert dataset.row(99).text == "row 99"
    assert len(open_dataset(path)) == 150


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_a_file_cut_or_written_over_gives_broken_rows_and_never_wrong_ones(
    tmp_path: Path, name: str
) -> None:
    path = write(tmp_path / name, CONTAINERS[name](300))
    for change in (
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b"row", b"a much longer row"),
        lambda data: b"\n\n" + data[:-2],
    ):
        write(path, CONTAINERS[name](300))
        dataset = open_dataset(path)
        path.write_bytes(change(path.read_bytes()))
        rows = list(dataset)
        assert len(rows) == len(dataset)
        assert {row.shape for row in rows} <= {"broken"}
        assert "changed" in str(rows[0].problem) or "shorter" in str(rows[0].problem)
        assert dataset.row(5).where == rows[5].where
        with pytest.raises(BadInput, match=rf"{name}:\d+ .*open the dataset again"):
            dataset.raw(5)


def test_a_file_that_is_replaced_keeps_the_rows_it_was_opened_with(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(10))
    dataset = open_dataset(path)
    write(tmp_path / "b.jsonl", rows_of(20, "new")).replace(path)
    assert texts(dataset) == [f"row {n}" for n in range(10)]


def test_a_line_of_fifty_megabytes_is_a_row_like_any_other(tmp_path: Path) -> None:
    long = json.dumps({"text": "x" * 50_000_000}).encode()
    path = write(tmp_path / "a.jsonl", b'{"text": "a"}\n' + long + b'\n{"text": "b"}\n')
    assert [len(text or "") for text in texts(open_dataset(path))] == [1, 50_000_000, 1]
    write(path, b'{"text": "a"}\n' + long[:-1] + b'\n{"text": "b"}\n')
    rows = list(open_dataset(path))
    assert [row.shape for row in rows] == ["text", "broken", "text"]
    assert len(rows[1].text or "") < 10_000


OPEN = """
import os, signal, sys
from pathlib import Path
from tuiwb.data.read import open_dataset
from tuiwb.data.sources import file
file.CHUNK = 1000
unzstd = file._unzstd
def held(feed):
    yield from (data for n, data in zip(range(20), unzstd(feed)))
    print("amid", flush=True)
    sys.stdin.read()
file._unzstd = held
dataset = open_dataset(Path(sys.argv[1]), cache=Path(sys.argv[2]), wait=False)
sys.stdin.readline()
if sys.argv[3] == "close":
    dataset.close()
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[3] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("how", "left"), [("end", 0), ("close", 0), ("kill", 1)])
def test_a_process_that_ends_amid_unpacking_leaves_nothing_for_ever(
    tmp_path: Path, how: str, left: int
) -> None:
    cache = tmp_path / "cache"
    packed = zstandard.ZstdCompressor().compress(os.urandom(200_000).hex().encode())
    path = write(tmp_path / "a.jsonl.zst", zstandard.compress(rows_of(3000)) + packed)
    other = write(tmp_path / "b.jsonl.gz", gzip.compress(rows_of(3)))
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(path), str(cache), how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "amid\n"
    (half,) = kept(cache, "unpacked")
    # Another dataset, opened meanwhile, leaves what is still written alone.
    open_dataset(other, cache=cache)
    assert half.exists()
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.wait(300) == (0 if how == "end" else -signal.SIGKILL)
    process.stdin.close()
    process.stdout.close()
    assert [p.name.startswith(".") for p in cache.iterdir()].count(True) == left
    open_dataset(other, cache=cache)
    assert not [p for p in cache.iterdir() if p.name.startswith(".")]
    assert len(kept(cache, "unpacked")) == 1


def test_a_half_written_index_is_swept_and_strange_files_are_not(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = write(tmp_path / "a.jsonl.gz", gzip.compress(rows_of(3)))
    open_dataset(path, cache=cache)
    (index,) = kept(cache)
    half = cache / f".{index.name}.abcd1234"
    for other in (half, cache / ".gitignore", cache / f".{index.name}"):
        other.write_text("x")
    open_dataset(path, cache=cache)
    assert sorted(p.name for p in cache.iterdir() if p.name.startswith(".")) == sorted(
        [".gitignore", f".{index.name}"]
    )


def open_files(folder: Path) -> list[str]:
    """The files under `folder` that this process holds open, those without a name too."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:
            continue
    return [link for link in links if link.startswith(str(folder))]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.zst"])
def test_a_closed_dataset_holds_no_file_open_and_its_rows_can_be_read(
    tmp_path: Path, name: str
) -> None:
    path, cache = write(tmp_path / name, CONTAINERS[name](500)), tmp_path / "cache"
    dataset = open_dataset(path, cache=cache)
    rows = list(dataset)
    assert open_files(tmp_path) != []
    dataset.close()
    dataset.close()
    assert open_files(tmp_path) == []
    assert [dataset.row(n) for n in range(len(rows))] == rows
    assert list(dataset) == rows
    assert open_files(tmp_path) == []


def test_closing_ends_the_thread_and_lets_go_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tuiwb.data.sources import file

    monkeypatch.setattr(file, "CHUNK", 2000)
    for name in ("a.jsonl", "a.jsonl.gz"):
        with monkeypatch.context() as patch:
            gate = Gate(patch)
            data = rows_of(50_000)
            data = data if name == "a.jsonl" else gzip.compress(data)
            before = threading.enumerate()
            dataset = open_dataset(write(tmp_path / name, data), cache=tmp_path / "c", wait=False)
            assert gate.reached.wait(300)
            # Those of datasets that others have read may be about to end.
            begun = [t for t in threading.enumerate() if t not in before]
            threads = [t for t in begun if t.name.startswith("rows of ")]
            assert len(threads) == 1
            found = len(dataset)
            dataset.close()
            gate.open.set()
            threads[0].join(300)
            assert not threads[0].is_alive()
            assert len(dataset) < found + 200
            for _ in range(2):
                dataset.close()
                with pytest.raises(BadInput, match="was closed before all of it was read"):
                    dataset.wait(300)
            with pytest.raises(BadInput, match="was closed before all of it was read"):
                list(dataset)
            assert dataset.row(found - 1).text == f"row {found - 1}"
            gone = weakref.ref(dataset)
            del dataset
            # Without a collection: nothing refers to it in a circle.
            assert gone() is None
            assert open_files(tmp_path) == []
            assert list(tmp_path.glob("c/.*")) == []


def test_a_dataset_is_closed_while_many_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rows_of(3000))
    dataset = open_dataset(path)
    started, wrong = threading.Barrier(5), list[str]()

    def read() -> None:
        started.wait(300)
        for n in range(3000):
            row = dataset.row(n)
            if row.text != f"row {n}":
                wrong.append(str(row.problem))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait(300)
    while any(thread.is_alive() for thread in threads):
        dataset.close()
        (tmp_path / "other").write_bytes(b"what takes over a descriptor that is closed too soon")
    assert wrong == []
