"""What can be told to a run from the screen: stop, save, evaluate, pause, change, resume.

Each key is there only while it makes sense; what destroys asks first. Blocking work runs in
threads; the worker's answer comes back as an event and is shown.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.worker import Worker

from tuiwb import jobs
from tuiwb.app.failed_thread import complain_of
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.screens.run_dialogs import ChangeInFlight
from tuiwb.app.toasts import ToastApp
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.jobs.events import AnyEvent, Control
from tuiwb.monitor.watched import Watched
from tuiwb.text import inert

TRAINING = ("training", "evaluating", "paused", "")


class RunCommands(Vertical):
    """Keys of the run that `watched` is; `python` runs a resumed one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Stop"),
        Binding("S", "stop_now", "Stop now", show=False),
        Binding("c", "checkpoint", "Checkpoint"),
        Binding("e", "evaluate", "Evaluate"),
        Binding("p", "pause", "Pause"),
        Binding("p", "go_on", "Go on"),
        Binding("i", "change", "Change", show=False),
        Binding("r", "resume", "Resume"),
        Binding("F", "to_front", "To the front"),
    ]

    watched: Watched | None = None
    python: str | None = None

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sent: dict[str, tuple[str, str]] = {}  # by id: what was asked, the toast that said it

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """As every screen does."""
        complain_of(self, event)

    def can(self, action: str) -> bool:
        """Whether a command makes sense now."""
        watched = self.watched
        if watched is None:
            return False
        state, obeys = watched.state, watched.commands
        steps = state.state == "running" and state.phase in TRAINING
        match action:
            case "stop":
                return state.running and state.state != "stopping" and "stop" in obeys
            case "stop_now":
                return state.running and "stop" in obeys
            case "checkpoint" | "evaluate":
                return steps and action in obeys
            case "pause":
                return steps and state.phase != "paused" and "pause" in obeys
            case "go_on":
                return steps and state.phase == "paused" and "resume" in obeys
            case "change":
                return steps and "set" in obeys
            case "resume":
                early = state.state in ("died", "failed", "cancelled")
                return bool(obeys) and early and state.last_checkpoint is not None
            case "to_front":
                return bool(obeys) and state.state == "queued"
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key that would do nothing is neither shown nor taken."""
        if action in COMMANDS:
            return self.can(action)
        return super().check_action(action, parameters)

    def answers(self, events: Iterable[AnyEvent]) -> None:
        """Show what the worker answered to commands from here."""
        for event in events:
            if isinstance(event, Control) and event.id in self._sent:
                command, toast = self._sent.pop(event.id)
                if toast and isinstance(self.app, ToastApp):
                    self.app.take_back(toast)
                words = f"{command}: {event.note or ('done' if event.ok else 'it could not')}"
                self.notify(words, severity="information" if event.ok else "warning")

    def action_stop(self) -> None:
        """Ask, then tell the worker to save and end."""
        self._asking(
            lambda state: f"Stop {state.name}?",
            lambda state: (
                f"At step {state.at_step:,}: it saves a checkpoint and its adapter first."
            ),
            lambda folder: self._tell(folder, "stop"),
        )

    def action_stop_now(self) -> None:
        """Ask, then end the worker at once."""
        self._asking(
            lambda state: f"Stop {state.name} now, without saving?",
            lambda state: _lost(state),
            self._stop_now,
        )

    def action_checkpoint(self) -> None:
        """Tell the worker to save a checkpoint at its next step."""
        self._to_run("checkpoint", "saves a checkpoint at its next step")

    def action_evaluate(self) -> None:
        """Tell the worker to evaluate at its next step."""
        self._to_run("evaluate", "evaluates at its next step")

    def action_pause(self) -> None:
        """Let the worker wait after this step; it keeps its memory."""
        self._to_run("pause", "pauses after this step and keeps its memory")

    def action_go_on(self) -> None:
        """Let a paused worker train on."""
        self._to_run("resume", "goes on")

    def action_change(self) -> None:
        """Ask for another learning rate or logging interval, then tell the worker."""
        watched = self.watched
        if watched is None:
            return

        def answer(change: dict[str, float | int] | None) -> None:
            if change:
                self._tell(watched.folder, "set", **change)

        self.app.push_screen(ChangeInFlight(watched.state), answer)

    def action_resume(self) -> None:
        """Go on from the last checkpoint of a run that ended too early."""
        if self.watched is not None:
            self._resume(self.watched.folder)

    def action_to_front(self) -> None:
        """Let a queued run go before all others that wait."""
        if self.watched is not None:
            self._to_front(self.watched.folder)

    def _to_run(self, command: str, words: str) -> None:
        if self.watched is not None:
            toast = f"{self.watched.name} {words}"
            self._tell(self.watched.folder, command, toast)
            self.notify(toast)

    def _asking(
        self,
        question: Callable[[JobState], str],
        detail: Callable[[JobState], str],
        do: Callable[[Path], object],
    ) -> None:
        if self.watched is None:
            return
        folder, state = self.watched.folder, self.watched.state

        def answer(yes: bool | None) -> None:
            if yes:
                do(folder)

        self.app.push_screen(Confirm(question(state), detail(state)), answer)

    @work(thread=True, exit_on_error=False, group="tell")
    def _tell(self, folder: Path, command: str, toast: str = "", **args: object) -> None:
        try:
            sent = jobs.send(folder, command, **args)
        except (TuiwbError, OSError) as error:
            self._complain(error)
        else:
            self._sent[sent.id] = (f"{folder.name}, {command}", toast)

    @work(thread=True, exit_on_error=False, group="stop-now")
    def _stop_now(self, folder: Path) -> None:
        try:
            state = jobs.stop_now(folder)
        except (TuiwbError, OSError) as error:
            self._complain(error)
        else:
            self.app.call_from_thread(self.notify, f"{state.name}: {state.message or state.word}")

    @work(thread=True, exit_on_error=False, group="resume")
    def _resume(self, folder: Path) -> None:
        from tuiwb.train.start import resume

        try:
            checkpoint = resume(folder, python=self.python)
        except (TuiwbError, OSError) as error:
            self._complain(error)
        else:
            words = f"{folder.name} goes on from {checkpoint.name}"
            self.app.call_from_thread(self.notify, words)

    @work(thread=True, exit_on_error=False, group="queue")
    def _to_front(self, folder: Path) -> None:
        from tuiwb.jobs.queue import move_to_front

        try:
            move_to_front(folder)
        except (TuiwbError, OSError) as error:
            self._complain(error)
        else:
            self.app.call_from_thread(self.notify, f"{folder.name} is the next to start")

    def _complain(self, error: Exception) -> None:
        self.app.call_from_thread(self.notify, inert(str(error)), severity="error")


COMMANDS = frozenset(b.action for b in RunCommands.BINDINGS if isinstance(b, Binding))


def _lost(state: JobState) -> str:
    checkpoint = state.last_checkpoint
    if checkpoint is None:
        return f"Nothing is saved: the {state.at_step:,} steps so far are lost."
    after = max(0, state.at_step - (checkpoint.step or 0))
    return f"What came after {checkpoint.path} ({after:,} steps) is lost; it can be resumed there."
