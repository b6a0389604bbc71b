"""Watching a run in a real terminal: what a key, a minute and an idle screen cost.

The whole program in a PTY of 120x36 on a project whose run streams 10 metric events a second, and
beside it, in the same minutes and by the same harness, a bare Textual app (the floor). Prints the
time from a key to its paint, the UI's CPU, bytes to the terminal and memory by time; then the same
with nothing new.
"""

import argparse
import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from common import finish, machine
from screen import percentile

from tuiwb.jobs import control, events, folder, process
from tuiwb.project import Project, copy_sample
from tuiwb.train.plan import plan

RATE = 10  # metric events a second
EVALUATE_EVERY, SAVE_EVERY = 100, 200  # steps
OLD_RUNS, OLD_STEPS = 10, 600
BURST_EVERY = 30.0  # seconds between the beginnings of two bursts of keys
PAUSE = 0.06  # seconds without output after which a paint is over
QUIET = 0.4  # seconds between two keys of a burst
SILENT, IDLE = 30.0, 60.0  # seconds measured with a silent run, and after its end
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")

BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    count = 0
    def compose(self):
        yield Static("press 0;")
    def on_key(self, event):
        self.count += 1
        self.query_one(Static).update(f"press {self.count};")
Bare().run()
"""


class Pane:
    """A program in a terminal of 120x36. All panes are read by one loop, as their output comes."""

    open: "list[Pane]" = []

    def __init__(self, command: Sequence[str]) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            for name in ("NO_COLOR", "SSH_CONNECTION", "LINES", "COLUMNS"):
                os.environ.pop(name, None)
            os.execvp(command[0], list(command))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
        self.sent = 0
        self._screen = pyte.Screen(120, 36)
        self._stream = pyte.ByteStream(self._screen)
        self._unseen: list[tuple[float, bytes]] = []
        Pane.open.append(self)

    def key(self, keys: bytes, shown: "Shown", seconds: float = 30) -> float:
        """Seconds from the write of `keys` to the output with which `shown` came true.

        `shown` is asked of the screen after each piece of output; the emulation waits until
        nothing comes, so that it takes no time from the program nor from the clock.
        """
        self.look()
        began = time.perf_counter()
        os.write(self._fd, keys)
        while time.perf_counter() - began < seconds:
            while pump(PAUSE) or (not self._unseen and time.perf_counter() - began < 1):
                pass
            found = None
            for came, data in self._taken():
                self._stream.feed(data)
                if found is None and shown(self):
                    found = came
            if found is not None:
                return found - began
        sys.exit(f"{keys!r} did not lead to its paint in {seconds} s:\n{self.text}")

    def look(self) -> None:
        """Bring the emulated screen up to date."""
        for _, data in self._taken():
            self._stream.feed(data)

    @property
    def text(self) -> str:
        """The screen as lines."""
        return "\n".join(self._screen.display)

    def crosshair(self) -> str:
        """The x that a crosshair stands on, "" where there is none: the reversed number."""
        for row in self._screen.buffer.values():
            words = "".join(row[x].data if row[x].reverse else "|" for x in range(120))
            # Bars around it: the number may stand at the terminal's edge.
            if found := re.search(r"\| ([\d,.]+) \|", f"|{words}|"):
                return found[1]
        return ""

    def _taken(self) -> list[tuple[float, bytes]]:
        taken, self._unseen = self._unseen, []
        return taken

    def read(self) -> None:
        """Take what is there; without this a program would wait for its terminal."""
        data = os.read(self._fd, 1 << 16)
        self._unseen.append((time.perf_counter(), data))
        self.sent += len(data)

    def fileno(self) -> int:
        """For select()."""
        return self._fd

    def cpu(self) -> float:
        """Seconds of processor time the program has used (proc(5): utime + stime)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> float:
        """Resident memory in MB (2**20 bytes)."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE / 2**20

    def close(self) -> None:
        """End the program."""
        Pane.open.remove(self)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


Shown = Callable[[Pane], bool]


def pump(seconds: float) -> bool:
    """Read what any pane paints, until something came or `seconds` passed; whether it came."""
    ready = select.select(Pane.open, [], [], seconds)[0]
    for pane in ready:
        pane.read()
    return bool(ready)


def rest(seconds: float) -> None:
    """Keep reading for a while."""
    end = time.perf_counter() + seconds
    while (left := end - time.perf_counter()) > 0:
        pump(left)
    for pane in Pane.open:
        pane.look()


def shows(pattern: str) -> Shown:
    """Whether a pattern is on the screen."""
    return lambda pane: bool(re.search(pattern, pane.text))


def hides(pattern: str) -> Shown:
    """Whether a pattern is on the screen no more."""
    return lambda pane: not re.search(pattern, pane.text)


@dataclass
class Minutes:
    """What was measured while the run streamed."""

    ours: list[tuple[str, float]] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def values_at(step: int, draw: random.Random) -> dict[str, float]:
    """What TRL's SFT trainer logs at a step, by its names, with the noise of a real curve."""
    loss = 0.6 + 2.4 / (1 + step / 150) + draw.gauss(0, 0.06)
    return {
        "loss": round(loss, 4),
        "grad_norm": round(abs(draw.gauss(0.9, 0.25)), 6),
        "learning_rate": 2e-4 * max(0.0, 1 - step / 7000),
        "entropy": round(0.8 * loss + draw.gauss(0, 0.02), 6),
        "num_tokens": float(step * 2048),
        "mean_token_accuracy": round(1 / (1 + loss / 2), 6),
        "tokens_per_second": round(draw.gauss(20480, 600), 1),
    }


def device(draw: random.Random, step: int) -> events.Device:
    """A sample of one GPU, its processes and the host, as the worker's watch writes it."""
    used = 41_000_000_000 + draw.randrange(200_000_000)
    return events.Device(
        gpus=[
            events.Gpu(
                index=0,
                name="NVIDIA H100 80GB HBM3",
                uuid="GPU-6f1c2a7e-90d4-4d2f-8a55-0d3f9a7f1c11",
                memory_used=used,
                memory_total=85_520_809_984,
                memory_job=used - 600_000_000,
                utilisation=float(draw.randrange(88, 100)),
                memory_utilisation=float(draw.randrange(40, 60)),
                temperature=float(draw.randrange(58, 66)),
                power=draw.gauss(540, 30),
                power_limit=700.0,
                clock_sm=float(draw.choice((1755, 1830, 1980))),
                clock_sm_most=1980.0,
                clock_memory=2619.0,
                ecc_corrected=0,
                ecc_uncorrected=0,
                pcie_generation=5,
                pcie_width=16,
                pcie_sent=draw.uniform(1e7, 9e7),
                pcie_received=draw.uniform(1e7, 9e7),
                processes=[
                    events.GpuProcess(
                        pid=os.getpid(), user="ana", name="python", memory=used, job=True
                    )
                ],
            )
        ],
        host=events.Host(
            cpu=draw.uniform(20, 60),
            memory_used=24_000_000_000 + draw.randrange(900_000_000),
            memory_total=135_000_000_000,
            job_cpu=draw.uniform(90, 140),
            job_memory=6_100_000_000 + draw.randrange(50_000_000),
            disk_free=900_000_000_000 - step * 1_000_000,
            disk_total=1_900_000_000_000,
        ),
        torch=[
            events.TorchMemory(
                index=0,
                allocated=30_000_000_000 + draw.randrange(10**9),
                reserved=39_000_000_000,
                peak_allocated=36_000_000_000,
                peak_reserved=39_000_000_000,
            )
        ],
    )


def stream(run: Path, seconds: float) -> None:
    """Be the run's worker for `seconds`, then silent until told to stop, then finished."""
    draw = random.Random(4)
    writer = events.EventWriter(run / folder.EVENTS)
    log = (run / folder.LOG).open("a", buffering=1)
    process.write(run, process.identify(os.getpid()))
    writer.emit(events.State(state="starting", phase="loading"))
    writer.emit(events.State(state="running", phase="training"))
    total = round(seconds * RATE)
    began = time.monotonic()
    for step in range(1, total + 1):
        time.sleep(max(0.0, began + step / RATE - time.monotonic()))
        values = values_at(step, draw)
        emit = writer.emit
        emit(events.Metrics(step=step, epoch=step / 500, total_steps=total * 2, values=values))
        log.write(f"{values}\n")
        if step % RATE == 0:
            emit(
                events.Progress(phase="training", done=step, total=total * 2, unit="steps"),
            )
        if step % (2 * RATE) == 0:
            emit(device(draw, step))
        if step % EVALUATE_EVERY == 0:
            held = {"eval_loss": values["loss"] + 0.1, "eval_runtime": 1.2}
            emit(events.Metrics(step=step, epoch=step / 500, total_steps=total * 2, values=held))
        if step % SAVE_EVERY == 0:
            emit(
                events.Artifact(kind="checkpoint", path=f"checkpoints/checkpoint-{step}", step=step)
            )
    inbox = control.ControlReader(run)
    while not any(command.command == "stop" for command in inbox.read()):
        time.sleep(0.2)
    writer.emit(events.State(state="finished", phase="", exit_code=0))
    writer.close()


def make_project(root: Path) -> tuple[Project, Path]:
    """A project with finished runs and one that is about to stream; its folder."""
    project = copy_sample(root / "sample")
    draw = random.Random(2)
    config = project.configs()[0]
    for number in range(OLD_RUNS):
        run, spec = plan(project, config, f"older-{number}")
        folder.create(run, "train", spec)
        writer = events.EventWriter(run / folder.EVENTS)
        writer.emit(events.State(state="running", phase="training"))
        for step in range(1, OLD_STEPS + 1):
            writer.emit(
                events.Metrics(step=step, total_steps=OLD_STEPS, values=values_at(step, draw))
            )
        writer.emit(events.State(state="finished", exit_code=0))
        writer.close()
        process.write(
            run, process.ProcessIdentity(pid=1, start=1.0, host="here", boot="another boot")
        )
    run, spec = plan(project, config, "streaming")
    folder.create(run, "train", spec)
    return project, run


def keys(pane: Pane) -> Iterator[tuple[str, bytes, Shown]]:
    """What is pressed in a burst: a name, the key, and what the screen must show then."""
    for _ in range(6):
        at = pane.crosshair()
        yield "crosshair", b"\x1b[D", lambda pane, at=at: pane.crosshair() not in (at, "")
    yield "crosshair off", b"\x1b[27u", lambda pane: not pane.crosshair()
    yield "smooth", b"m", shows(r"smooth 0.9 ")
    yield "smooth", b"m", shows(r"smooth 0.99")
    yield "smooth", b"m", hides(r"smooth")
    yield "smooth", b"m", shows(r"smooth 0.6")
    yield "log y", b"y", shows(r"━ log ━")
    yield "log y", b"y", hides(r"━ log ━")
    yield "zoom", b"+", shows(r"zoomed")
    yield "zoom", b"0", hides(r"zoomed")
    yield "next chart", b"j", shows(r"━ learning rate")
    yield "next chart", b"k", shows(r"━ loss")
    yield "pane", b"a", hides(r"GPU 0")
    yield "pane", b"d", shows(r"GPU 0")
    yield "focus", b"\t", shows(r"Enlarge")
    yield "help", b"\x1bOP", shows(r"Train: keys")
    yield "close help", b"\x1bOP", hides(r"Train: keys")


def watch(ours: Pane, bare: Pane, seconds: float) -> Minutes:
    """Bursts of keys to both, in turn, and minutes of only looking; memory as it goes."""
    seen = Minutes()
    began = time.perf_counter()
    presses = 0
    while (now := time.perf_counter() - began) < seconds:
        for name, key, shown in keys(ours):
            seen.ours.append((name, ours.key(key, shown)))
            rest(QUIET / 2)
            presses += 1
            seen.bare.append(bare.key(b"k", shows(rf"\b{presses};")))
            rest(QUIET / 2)
        while time.perf_counter() - began < min(seconds, now + BURST_EVERY):
            rest(1.0)
            seen.memory.append((time.perf_counter() - began, ours.memory()))
    return seen


@dataclass
class Rates:
    """Share of a core and bytes a second over some seconds."""

    cpu: float
    bytes: float


class Meter:
    """CPU and bytes of a pane since it was made."""

    def __init__(self, pane: Pane) -> None:
        self._pane, self._cpu, self._sent = pane, pane.cpu(), pane.sent
        self._began = time.perf_counter()

    def stop(self) -> Rates:
        """The rates since the start."""
        seconds = time.perf_counter() - self._began
        return Rates(
            (self._pane.cpu() - self._cpu) / seconds, (self._pane.sent - self._sent) / seconds
        )


def growth(memory: list[tuple[float, float]], seconds: float) -> float:
    """Memory in the last minute over that in the second one, medians; 1.0 is flat.

    Of less than 3 minutes: of the last quarter over the second one.
    """
    part = 60.0 if seconds >= 180 else seconds / 4
    early = [mb for t, mb in memory if part <= t < 2 * part]
    late = [mb for t, mb in memory if t >= seconds - part]
    return statistics.median(late) / statistics.median(early)


def by_minute(memory: list[tuple[float, float]]) -> list[float]:
    """The median of each minute, MB."""
    last = int(memory[-1][0] // 60)
    groups = ([mb for t, mb in memory if t // 60 == minute] for minute in range(last + 1))
    return [round(statistics.median(group), 1) for group in groups if group]


def measure(root: Path, minutes: float) -> tuple[dict[str, object], dict[str, tuple[float, float]]]:
    """Everything: results, and targets as (value, at most)."""
    project, run = make_project(root)
    seconds = minutes * 60
    script = [sys.executable, __file__, "--stream", str(run), "--seconds", str(seconds + 12)]
    streamer = subprocess.Popen(script)
    program = str(Path(sys.executable).with_name("tuiwb"))
    ours = Pane([program, str(project.root)])
    bare = Pane([sys.executable, "-c", BARE])
    try:
        bare.key(b"", shows(r"press 0;"))
        ours.key(b"", shows(r"Look at the data"))
        rest(2)
        ours.key(b"4", shows(r"streaming"))
        rest(6)
        ours.look()
        whole, quiet_meter = Meter(ours), Meter(bare)
        seen = watch(ours, bare, seconds)
        streaming, floor = whole.stop(), quiet_meter.stop()
        rest(15)
        meter = Meter(ours)
        rest(SILENT)
        silent = meter.stop()
        control.send(run, "stop")
        streamer.wait(30)
        rest(6)
        meter = Meter(ours)
        rest(IDLE)
        idle = meter.stop()
    finally:
        streamer.kill()
        streamer.wait()
        for pane in list(Pane.open):
            pane.close()
    return report(seen, seconds, streaming, floor, silent, idle)


def report(
    seen: Minutes, seconds: float, streaming: Rates, floor: Rates, silent: Rates, idle: Rates
) -> tuple[dict[str, object], dict[str, tuple[float, float]]]:
    """Print the table; results and targets."""
    ours = [taken for _, taken in seen.ours]
    p95, bare95 = percentile(ours, 95) * 1000, percentile(seen.bare, 95) * 1000
    p50, bare50 = statistics.median(ours) * 1000, statistics.median(seen.bare) * 1000
    names = dict.fromkeys(name for name, _ in seen.ours)
    each = {
        name: [
            round(statistics.median(t) * 1000, 1),
            round(percentile(t, 95) * 1000, 1),
        ]
        for name in names
        for t in [[taken for n, taken in seen.ours if n == name]]
    }
    minutes = by_minute(seen.memory)
    print(f"{machine()}; Textual, a bare app, is the floor; {seconds / 60:g} minutes at 120x36")
    rows = [
        ("key to paint p50, ms", p50, bare50),
        ("key to paint p95, ms", p95, bare95),
        ("CPU while it streams, % of a core", streaming.cpu * 100, floor.cpu * 100),
        ("bytes/s while it streams", streaming.bytes, floor.bytes),
        ("CPU while the run is silent, %", silent.cpu * 100, None),
        ("bytes/s while the run is silent", silent.bytes, None),
        ("CPU after its end, %", idle.cpu * 100, None),
        ("bytes/s after its end", idle.bytes, None),
    ]
    print(f"{'':36}{'tuiwb':>10}{'bare':>10}")
    for words, value, other in rows:
        print(f"{words:36}{value:>10.2f}{'' if other is None else f'{other:10.2f}'}")
    print("each key, ms p50 / p95: " + ", ".join(f"{n} {a}/{b}" for n, (a, b) in each.items()))
    print(f"memory by minute, MB: {minutes}")
    results: dict[str, object] = {words: round(value, 3) for words, value, _ in rows}
    results |= {
        "bare p50, ms": round(bare50, 3),
        "bare p95, ms": round(bare95, 3),
        "keys": len(ours),
        "by key, ms p50 and p95": each,
        "minutes": seconds / 60,
        "memory by minute, MB": minutes,
    }
    targets = {
        "key to paint p95, times the bare app's": (p95 / bare95, 3.0),
        "CPU while it streams, % of a core": (streaming.cpu * 100, 5.0),
        "kB/s while it streams": (streaming.bytes / 1000, 20.0),
        "B/s with nothing new": (max(silent.bytes, idle.bytes), 200.0),
        "CPU with nothing new, %": (max(silent.cpu, idle.cpu) * 100, 1.0),
        "memory, last minute over the second": (growth(seen.memory, seconds), 1.03),
    }
    return results, targets


def main() -> int:
    """Measure, print, leave the results in results/terminal.json."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--stream", type=Path)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--save", action="store_true", help="write results/terminal.json")
    chosen = options.parse_args()
    if chosen.stream:
        stream(chosen.stream, chosen.seconds)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        results, targets = measure(Path(temporary), chosen.minutes)
    code = finish("terminal", results, targets)
    if chosen.save:
        path = Path(__file__).parent / "results" / "terminal.json"
        entry = {"machine": machine(), "results": results, "targets": targets}
        path.write_text(json.dumps(entry, indent=1) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
