"""Output to a terminal that is quick, slow, or gone."""

import os
import threading
import tty
from collections.abc import Iterator

import pytest

from tuiwb.app.terminal_writer import TerminalWriter, writer


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """A terminal's two ends, its own first, without any translation."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, theirs
    for end in (ours, theirs):
        try:
            os.close(end)
        except OSError:
            pass


def test_what_is_painted_is_there_when_write_returns(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    out = TerminalWriter(os.fdopen(theirs, "w", closefd=False))
    out.start()
    out.write("\x1b[1mloss ▲")
    assert os.read(ours, 100) == "\x1b[1mloss ▲".encode()
    out.stop()


def test_a_terminal_that_takes_nothing_holds_nobody_up_and_gets_all_in_order(
    ends: tuple[int, int],
) -> None:
    ours, theirs = ends
    out = TerminalWriter(os.fdopen(theirs, "w", closefd=False))
    out.start()
    parts = [f"{number:06}" * 50 for number in range(1000)]
    for part in parts:
        out.write(part)  # 300 kB: no terminal's own buffer holds that
    wanted = "".join(parts).encode()
    got = bytearray()

    def read() -> None:
        while len(got) < len(wanted):
            got.extend(os.read(ours, 1 << 16))

    reader = threading.Thread(target=read)
    reader.start()
    out.stop()
    reader.join(20)
    assert bytes(got) == wanted


def test_a_terminal_that_is_gone_ends_nothing_but_the_output(ends: tuple[int, int]) -> None:
    ours, theirs = ends
    out = TerminalWriter(os.fdopen(theirs, "w", closefd=False))
    out.start()
    os.close(ours)
    for _ in range(100):
        out.write("x" * 50_000)
    out.stop()
    assert not out.is_alive()


def test_where_output_is_no_terminal_the_library_writes_it(tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "out"), "w+") as file:
        out = writer(file)
        assert not isinstance(out, TerminalWriter)
        out.start()
        out.write("as before")
        out.stop()
        file.seek(0)
        assert file.read() == "as before"
