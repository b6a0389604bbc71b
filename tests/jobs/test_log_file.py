"""Whole lines of a log that grows: in any pieces, in bounded memory, and of another log anew."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.jobs.log_file import LogFile


def everything(log: LogFile, limit: int) -> bytes:
    read = b""
    while lines := log.lines(limit):
        assert lines.endswith(b"\n")
        assert len(lines) <= limit or lines.count(b"\n") == 1
        read += lines
    return read


@given(
    st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=12),
    st.lists(st.integers(1, 60), max_size=12),
    st.integers(1, 50),
)
def test_however_a_log_is_written_and_read_each_line_comes_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cuts: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "e"
    whole = b"".join(line + b"\n" for line in lines)
    log, read, at = LogFile(path), b"", 0
    with path.open("wb", buffering=0) as file:
        for cut in [*cuts, len(whole)]:
            file.write(whole[at : at + cut])
            at += cut
            read += everything(log, limit)
    assert read == whole
    assert log.generation == 0
    assert log.share == 1.0


@given(st.lists(st.integers(0, 90), max_size=8), st.integers(1, 200), st.integers(1, 30))
def test_lines_over_the_limit_are_passed_over_and_the_others_are_not(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], piece: int, limit: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "e"
    lines = [str(n).encode() * length + b"\n" for n, length in enumerate(lengths)]
    whole = b"".join(lines)
    log, read = LogFile(path, longest=40), b""
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(whole), piece):
            file.write(whole[start : start + piece])
            read += everything(log, limit)
    assert log.generation == 0
    got = read.splitlines(keepends=True)
    for line in lines:
        if len(line) <= 40:
            assert line in got
    assert set(got) <= set(lines)


def test_a_torn_line_is_not_read_again_until_there_is_more_of_it(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(b"one\ntw")
    log = LogFile(path)
    assert log.lines(100) == b"one\n"
    assert log.lines(100) == b""
    with path.open("ab") as file:
        file.write(b"o\n")
    assert log.lines(100) == b"two\n"


@pytest.mark.parametrize(
    "new", [b"", b"a\n", b"other\nlines\n", b"first\nsecond!\nthird\n"], ids=str
)
def test_another_file_under_the_name_is_read_from_its_beginning(tmp_path: Path, new: bytes) -> None:
    path = tmp_path / "e"
    path.write_bytes(b"first\nsecond\n")
    log = LogFile(path)
    everything(log, 100)
    beside = tmp_path / "beside"
    beside.write_bytes(new)
    beside.rename(path)
    assert everything(log, 100) == new
    assert log.generation == 1


def test_a_file_written_anew_in_place_is_noticed_by_what_stood_before_the_offset(
    tmp_path: Path,
) -> None:
    path = tmp_path / "e"
    path.write_bytes(b"first\n")
    log = LogFile(path)
    assert log.lines(100) == b"first\n"
    path.write_bytes(b"other and longer\n")
    assert log.lines(100) == b"other and longer\n"
    assert log.generation == 1


def test_a_log_that_is_gone_is_empty_and_comes_back(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "e")
    assert log.lines(100) == b""
    (tmp_path / "e").write_bytes(b"x\n")
    assert log.lines(100) == b"x\n"
