"""Small real workers for tests of the lifecycle: job kinds brought in through PYTHONPATH."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tuiwb.jobs import create, process, status

# What each kind does once it has started; `context` is the JobContext.
KINDS = {
    "obeys": """
        import time
        until = time.monotonic() + 900  # whatever becomes of its test
        while time.monotonic() < until:
            context.stop_if_asked()
            context.emit(Metrics(step=1, values={"loss": 1.0}))
            time.sleep(0.05)
    """,
    "stubborn": """
        import signal, subprocess, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        here = subprocess.Popen(["sleep", "600"])
        away = subprocess.Popen(["sleep", "600"], start_new_session=True)
        (context.folder / "children").write_text(f"{here.pid} {away.pid}")
        context.emit(Metrics(step=7, values={"loss": 1.0}))
        while True:
            time.sleep(600)
    """,
    "exits": """
        import os
        context.emit(Metrics(step=3, values={"loss": 1.0}))
        os._exit(context.spec["code"])
    """,
    "raises_late": """
        import threading, os, sys, time, traceback
        context.emit(Metrics(step=3, values={"loss": 1.0}))
        try:
            raise RuntimeError(context.spec["says"])
        except RuntimeError:
            traceback.print_exc()
        os._exit(1)
    """,
    "eats": """
        import time
        context.emit(Metrics(step=3, values={"loss": 1.0}))
        held = []
        while True:
            held.append(bytearray(b"x" * (8 << 20)))
            time.sleep(0.01)
    """,
}


def install(root: Path) -> str:
    """Write the kinds' modules below `root`; what PYTHONPATH must be for a worker to know them."""
    place = root / "kinds"
    place.mkdir()
    for kind, body in KINDS.items():
        lines = [line[8:] for line in body.strip("\n").splitlines()]
        text = "\n".join(f"    {line}" for line in lines)
        (place / f"kind_{kind}.py").write_text(
            f"from tuiwb.jobs.events import Metrics\n\n\ndef run(context):\n{text}\n"
        )
    added = {kind: f"kind_{kind}" for kind in KINDS}
    (place / "sitecustomize.py").write_text(
        f"import tuiwb.jobs.run\ntuiwb.jobs.run.WORKERS.update({added!r})\n"
    )
    return str(place)


def job(folder: Path, kind: str, **spec: object) -> Path:
    """A new job of a kind."""
    create(folder, kind, dict(spec))
    return folder


def wait_for(condition: Callable[[], object], folder: Path, seconds: float = 180.0) -> None:
    """Poll until the condition holds; shows the job when it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            log = folder / "worker.log"
            said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise AssertionError(f"waited in vain: {status(folder)}\n{said}")
        time.sleep(0.02)


def supervisor_of(pid: int) -> int:
    """The parent of a worker, if it is its supervisor."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert b"supervise.py" in Path(f"/proc/{parent}/cmdline").read_bytes()
    return parent


def end(folder: Path) -> None:
    """Kill what still does the job in `folder`."""
    identity = process.read(folder)
    if identity is not None and process.alive(identity):
        os.kill(identity.pid, signal.SIGKILL)


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096) == 4096:
            pass
