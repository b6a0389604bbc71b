"""The only way a worker starts: `python -m tuiwb.jobs.run DIR`.

Reads job.yaml, imports the worker of its kind, gives it a `JobContext`, and writes how it ended.
A worker module has one public function, `run(context) -> None`.
"""

import contextlib
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from types import FrameType
from typing import Any, cast

from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs import process
from tuiwb.jobs.control import ANSWERED, Command, ControlReader
from tuiwb.jobs.environment import write_environment
from tuiwb.jobs.events import AnyEvent, Artifact, Control, Log, Progress, State
from tuiwb.jobs.folder import EVENTS, load
from tuiwb.jobs.state import ENDED
from tuiwb.jobs.writer import WorkerLog

WORKERS = {
    "check": "tuiwb.data.check_worker",
    "generate": "tuiwb.data.generate.worker",
    "version": "tuiwb.data.version_worker",
    "train": "tuiwb.train.worker",
    "compare": "tuiwb.compare.worker",
    "judge": "tuiwb.compare.judge.worker",
    "evaluate": "tuiwb.compare.evaluation.worker",
    "serve": "tuiwb.serve.worker",
}


class Stopped(Exception):
    """Raised by a worker that ends early because it was told to stop; may say what it left."""


def worker_of(kind: str) -> str:
    """The module that does jobs of a kind; BadInput for a kind this version doesn't know."""
    try:
        return WORKERS[kind]
    except KeyError:
        raise BadInput(f"no worker does {kind!r} jobs: one of {', '.join(WORKERS)}") from None


class JobContext:
    """What a worker is given: its folder, its spec, and its voice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job = load(folder)
        self.events = WorkerLog(folder / EVENTS)
        # Taken out: what this process starts is no worker of this job.
        self.control = ControlReader(folder, int(os.environ.pop(ANSWERED, "0")))
        self.stop_requested = False
        self.stop_at_once = False
        self._later: list[Command] = []
        # What hears every event and may answer with more; it must never raise.
        self.listeners: list[Callable[[AnyEvent], Iterable[AnyEvent]]] = []

    @property
    def spec(self) -> dict[str, Any]:
        """What was asked, defaults resolved."""
        return self.job.spec

    def emit(self, event: AnyEvent) -> None:
        """Append an event to the log, and what the listeners say to it."""
        ends = isinstance(event, State) and event.state in ENDED
        if not ends:
            self.events.emit(event)
        for listener in self.listeners:
            for answer in listener(event):
                self.emit(answer)
        if ends:
            self.events.emit(event)  # nothing comes after the last word

    def state(self, state: str, phase: str = "", message: str = "") -> None:
        """Say which state and phase the job is in."""
        self.emit(State(state=state, phase=phase, message=message))

    def progress(self, phase: str, done: float, total: float = 0, unit: str = "") -> None:
        """Say how far a phase has come."""
        self.emit(Progress(phase=phase, done=done, total=total, unit=unit))

    def log(self, message: str, level: str = "info") -> None:
        """Keep a line beside the raw log."""
        self.emit(Log(level=level, message=message))

    def artifact(
        self,
        kind: str,
        path: str,
        sha256: str = "",
        step: int | None = None,
        finite: bool | None = None,
    ) -> None:
        """Say what was made; `path` is relative to the job folder, `finite` as in `Artifact`."""
        self.emit(Artifact(kind=kind, path=path, sha256=sha256, step=step, finite=finite))

    def commands(self) -> list[Command]:
        """New commands; `stop` also sets `stop_requested`, and `stop_at_once` when it says now.

        Acknowledge each with `answer`.
        """
        commands = [*self._later, *self.control.read()]
        self._later = []
        for command in commands:
            if command.command == "stop":
                self.stop_requested = True
                self.stop_at_once = self.stop_at_once or bool(command.args.get("now"))
        return commands

    def answer(self, command: Command, ok: bool = True, note: str = "") -> None:
        """Acknowledge a command."""
        self.emit(Control(id=command.id, command=command.command, ok=ok, note=note))

    def stop_if_asked(self, later: Container[str] = ()) -> None:
        """Between two units of work: answer commands, raise Stopped when told to stop.

        Commands named in `later` are kept for the next look.
        """
        kept = []
        for command in self.commands():
            if command.command in later:
                kept.append(command)
                continue
            known = command.command == "stop"
            self.answer(command, ok=known, note="" if known else "not known to this kind of job")
        self._later = kept
        if self.stop_requested:
            for command in kept:
                self.answer(command, ok=False, note="the job is stopping")
            raise Stopped


def main(folder: Path) -> int:
    """Do the job in `folder`; returns the exit code."""
    folder = folder.resolve()
    context = JobContext(folder)
    try:
        process.write(folder, process.identify(os.getpid()))
        write_environment(folder)
    except OSError as error:
        print(f"can't write process.json or environment.json: {error}", file=sys.stderr)  # noqa: T201

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        context.stop_requested = True

    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: ask_to_stop,
        signal.SIGINT: ask_to_stop,
        signal.SIGHUP: signal.SIG_IGN,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        return _do(context)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _do(context: JobContext) -> int:
    """Run the worker and write how it ended; returns the exit code."""
    context.state("starting", "loading libraries")
    try:
        worker = importlib.import_module(worker_of(context.job.kind))
        worker.run(context)
        end = State(state="finished", exit_code=0)
    except Stopped as stopped:
        end = State(state="cancelled", message=str(stopped) or "stopped on request", exit_code=0)
    except TuiwbError as error:
        end = State(state="failed", message=str(error), exit_code=error.exit_code)
    except ImportError as error:
        traceback.print_exc()
        end = State(state="failed", message=f"{type(error).__name__}: {error}", exit_code=3)
    except Exception as error:
        traceback.print_exc()
        words = " ".join(f"{type(error).__name__}: {error}".split())
        end = State(state="failed", message=words[:500], exit_code=4)
    context.emit(end)
    context.events.close()
    return end.exit_code or 0


class _Spared(io.FileIO):
    """A file whose writes never fail."""

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError):
            return super().write(data) or 0
        return len(data)


def unfailing_output() -> None:
    """Let no library's print end a job because worker.log's disk is full."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        spared = cast(Any, _Spared(fd, "w", closefd=False))
        text = io.TextIOWrapper(spared, "utf-8", errors="backslashreplace", write_through=True)
        setattr(sys, name, text)


if __name__ == "__main__":
    # Not our own main: workers import tuiwb.jobs.run, whose Stopped is another class than
    # __main__'s.
    runner = importlib.import_module("tuiwb.jobs.run")
    runner.unfailing_output()
    sys.exit(runner.main(Path(sys.argv[1])))
