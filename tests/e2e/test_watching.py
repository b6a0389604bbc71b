"""A run watched in a real terminal that is lost, resized, slow, poor, suspended or left."""

import math
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LIMIT, QUIET, Terminal, wait_until
from tests.e2e.streamer import streaming
from tuiwb import jobs
from tuiwb.jobs.folder import LOG
from tuiwb.project import Project, copy_sample

pytestmark = pytest.mark.slow

Open = Callable[..., Terminal]

LEFT = (b"?1049l", b"?25h", b"?1000l", b"?1003l", b"?1006l", b"?2004l")
BRAILLE = re.compile("[\u2801-\u28ff]")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the sample project."""
    return copy_sample(tmp_path_factory.mktemp("watching") / "sample")


@pytest.fixture(scope="module")
def live(project: Project) -> Iterator[Path]:
    """A run that streams through all tests of this module, with some history."""
    with streaming(project, history=3000) as folder:
        wait_until(lambda: jobs.status(folder).step > 3000, LIMIT, lambda: "the run never began")
        yield folder


def watch(terminals: Open, project: Project, **how: object) -> Terminal:
    """The Train screen on the streaming run."""
    terminal = terminals(str(project.root), **how)
    terminal.wait_for("Look at the data")
    terminal.press("4")
    terminal.wait_for("live", "step ")
    wait_until(lambda: step(terminal), LIMIT, lambda: f"no step is shown:\n{terminal.text}")
    return terminal


def step(terminal: Terminal) -> int:
    """The step that the head of the run says, 0 where it says none."""
    found = re.search(r"step ([\d,]+)", terminal.text)
    return int(found[1].replace(",", "")) if found else 0


def first_tick(terminal: Terminal) -> float:
    """The least number of whole thousands under a chart."""
    found = re.findall(r"(?<![\d.,])\d+000(?![\d.,])", terminal.text)
    return min(map(int, found), default=math.inf)


def whole(terminal: Terminal) -> bool:
    """Whether the Train screen is shown with the run and nothing above it."""
    words = ("1 Home", "live", "loss", "Quit")
    return not terminal.ended() and step(terminal) > 0 and all(w in terminal.text for w in words)


@pytest.fixture(scope="module")
def opened() -> Iterator[list[Terminal]]:
    """The terminals that are handed from test to test; closed at the end."""
    kept: list[Terminal] = []
    yield kept
    for terminal in kept:
        terminal.close()


@pytest.fixture
def screen(live: Path, project: Project, opened: list[Terminal]) -> Terminal:
    """The Train screen on the streaming run, of the test before if it is as it was."""

    def another(*arguments: str) -> Terminal:
        opened.append(Terminal([*arguments], 120, 36))
        return opened[-1]

    return opened[-1] if opened and whole(opened[-1]) else watch(another, project)


def goes_on(terminal: Terminal) -> None:
    """Wait until newer steps are painted than now."""
    now = step(terminal)
    wait_until(lambda: step(terminal) > now, LIMIT, lambda: f"stands at {now}:\n{terminal.text}")


def test_new_values_are_painted_and_a_killed_screen_comes_back_with_all_of_them(
    live: Path, project: Project, terminals: Open
) -> None:
    first = watch(terminals, project)
    goes_on(first)
    first.kill()
    again = watch(terminals, project)
    assert step(again) > 3000
    goes_on(again)
    # However long ago the stream began: the axis starts in what was there before this screen.
    wait_until(lambda: first_tick(again) <= 3000, LIMIT, lambda: f"no axis:\n{again.text}")
    wait_until(lambda: len(BRAILLE.findall(again.text)) > 100, LIMIT, lambda: again.text)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, "q"])
def test_the_terminal_is_left_as_it_was(
    how: signal.Signals | str, live: Path, project: Project, terminals: Open
) -> None:
    terminal = watch(terminals, project)
    if isinstance(how, str):
        terminal.press(how)
    else:
        os.kill(terminal.pid, how)
    wait_until(terminal.ended, LIMIT, lambda: f"it did not end:\n{terminal.text}")
    wait_until(
        lambda: all(code in terminal.raw.rpartition(b"?1049h")[2] for code in LEFT),
        LIMIT,
        lambda: f"left behind: {terminal.raw[-400:]!r}",
    )
    assert jobs.status(live).state == "running"


def test_quick_resizes_down_to_one_cell_end_in_a_whole_screen(screen: Terminal) -> None:
    terminal = screen
    for columns, rows in ((1, 1), (200, 60), (10, 3), (80, 24), (1, 40), (300, 2), (100, 30)) * 3:
        terminal.resize(columns, rows)
    terminal.resize(120, 36)
    terminal.wait_for("1 Home", "live", "loss", "Quit")
    goes_on(terminal)
    before = terminal.text
    terminal.press("^l")
    wait_until(lambda: "1 Home" in terminal.text, LIMIT, lambda: terminal.text)
    assert [line[:20] for line in before.splitlines()[:2]] == [
        line[:20] for line in terminal.text.splitlines()[:2]
    ]


@pytest.mark.parametrize(
    "environment", [{"TERM": "dumb"}, {"LC_ALL": "C", "LANG": "C"}], ids=["dumb", "no UTF-8"]
)
def test_a_poor_terminal_gets_curves_of_ascii(
    environment: dict[str, str], live: Path, project: Project, terminals: Open
) -> None:
    terminal = watch(terminals, project, environment=environment)
    goes_on(terminal)
    terminal.wait_for("loss")
    assert not BRAILLE.search(terminal.text)


def test_without_colours_the_curves_are_there(
    live: Path, project: Project, terminals: Open
) -> None:
    terminal = watch(terminals, project, environment={"NO_COLOR": "1"})
    goes_on(terminal)
    wait_until(lambda: len(BRAILLE.findall(terminal.text)) > 100, LIMIT, lambda: terminal.text)
    colours = terminal.colours
    assert all(c[:2] == c[2:4] == c[4:] for c in colours if len(c) == 6), colours


def test_a_terminal_that_stops_reading_holds_up_nothing_but_the_screen(
    live: Path, screen: Terminal
) -> None:
    terminal = screen
    before = step(terminal)
    terminal.stop_reading()
    for _ in range(40):
        terminal.press("^l")  # each paints everything: more than any pipe holds
    reached = jobs.status(live).step + 40
    wait_until(lambda: jobs.status(live).step > reached, LIMIT, lambda: "the run stood still")
    seen = terminal.bytes_seen
    terminal.go_on_reading()
    wait_until(lambda: step(terminal) > before + 40, LIMIT, lambda: f"it hangs:\n{terminal.text}")
    assert terminal.bytes_seen - seen < 3_000_000
    terminal.press("f1")
    terminal.wait_for("Train: keys")
    terminal.press("escape")
    wait_until(lambda: "Train: keys" not in terminal.text, LIMIT, lambda: terminal.text)


def test_what_native_code_writes_to_descriptor_2_stays_off_the_screen(screen: Terminal) -> None:
    terminal = screen
    with open(f"/proc/{terminal.pid}/fd/2", "ab", buffering=0) as stderr:
        stderr.write(b"libnative: a warning nobody asked for\n" * 50)
    goes_on(terminal)
    assert "libnative" not in terminal.text


def test_a_line_of_ten_megabytes_in_the_log_is_one_line_on_the_screen(
    live: Path, screen: Terminal
) -> None:
    terminal = screen
    terminal.press("L")
    terminal.wait_for("step ", "Search")
    with (live / LOG).open("ab") as log:
        log.write(b"progress \x1b[31m" + b"x" * 10_000_000 + b"\nafter the long line\n")
    terminal.wait_for("after the long line")
    goes_on(terminal)
    terminal.press("d")
    wait_until(lambda: "after the long line" not in terminal.text, LIMIT, lambda: terminal.text)


def test_a_clock_that_jumps_shows_no_time_before_the_start(
    project: Project, terminals: Open
) -> None:
    with streaming(project, name="clock", history=35, jump=-7200.0):
        terminal = terminals(str(project.root))
        terminal.wait_for("Look at the data")
        terminal.press("4")
        terminal.wait_for("clock", "step ")
        wait_until(lambda: step(terminal) > 45, LIMIT, lambda: f"no step:\n{terminal.text}")
        goes_on(terminal)
        assert not re.search(r"(ETA|for|took) +-", terminal.text), terminal.text


def test_suspended_and_continued_all_is_painted_again(screen: Terminal) -> None:
    terminal = screen
    terminal.press("^z")

    def stopped() -> bool:
        return Path(f"/proc/{terminal.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    wait_until(stopped, LIMIT, lambda: f"not suspended:\n{terminal.text}")
    wait_until(
        lambda: b"?1049l" in terminal.raw, LIMIT, lambda: f"the terminal is held: {terminal.raw!r}"
    )
    with terminal._lock:
        terminal._screen.reset()  # the shell and its programs wrote over everything
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.wait_for("1 Home", "live", "Quit")
    goes_on(terminal)


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_detached_from_tmux_and_attached_again_the_run_is_shown_as_it_is(
    live: Path, project: Project, terminals: Open, tmp_path: Path
) -> None:
    socket = str(tmp_path / "tmux")
    program = Path(sys.executable).with_name("tuiwb")

    def tmux(*arguments: str) -> str:
        command = ["tmux", "-S", socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def shown() -> str:
        return tmux("capture-pane", "-p")

    try:
        tmux("new-session", "-d", "-x", "120", "-y", "36", f"{program} {project.root}")
        wait_until(lambda: "Look at the data" in shown(), LIMIT, shown)
        client = terminals(columns=120, rows=36, program=["tmux", "-S", socket, "attach"])
        client.wait_for("Look at the data")
        client.press("4")
        client.wait_for("live", "step ")
        before = step(client)
        tmux("detach-client")
        wait_until(client.ended, LIMIT, lambda: "the client did not detach")
        wait_until(
            lambda: jobs.status(live).step > before + 20, LIMIT, lambda: "the run stood still"
        )
        again = terminals(columns=150, rows=40, program=["tmux", "-S", socket, "attach"])
        # A mouse report in the old encoding, its column above 95, and bytes that mean nothing.
        again.write(b"\x1b[M \xa9\x30\xff\xfe\x80")
        again.wait_for("live", "step ")
        wait_until(lambda: step(again) > before + 20, LIMIT, lambda: again.text)
        goes_on(again)
    finally:
        tmux("kill-server")


def test_a_run_that_has_ended_costs_the_terminal_nothing(tmp_path: Path, terminals: Open) -> None:
    project = copy_sample(tmp_path / "sample")
    with streaming(project, name="ended", history=200) as folder:
        wait_until(lambda: jobs.status(folder).step > 200, LIMIT, lambda: "it never began")
        jobs.send(folder, "stop")
        wait_until(lambda: jobs.status(folder).state == "finished", LIMIT, lambda: "it never ended")
    terminal = terminals(str(project.root))
    terminal.wait_for("Look at the data")
    terminal.press("4")
    terminal.wait_for("ended", "finished", "loss")
    quiet = {"since": 0.0, "bytes": -1}

    def still() -> bool:
        now = time.monotonic()
        if terminal.bytes_seen - quiet["bytes"] > 200:
            quiet.update(since=now, bytes=terminal.bytes_seen)
        return now - quiet["since"] > QUIET

    wait_until(still, LIMIT, lambda: f"it goes on painting:\n{terminal.text}")
