"""Train: the runs, their curves, the hardware and the log; stop, checkpoint and resume by key."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tuiwb import jobs
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets.chart import Chart, Curve
from tuiwb.app.words import STATE_MARKS, number, state_line
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.jobs.events import Device, Log
from tuiwb.jobs.folder import LOG
from tuiwb.jobs.follow import Follower
from tuiwb.jobs.state import tail
from tuiwb.monitor.series import RunSeries
from tuiwb.text import inert, short_bytes, short_count, short_seconds

SMOOTHING = (0.0, 0.6, 0.9)
LOG_LINES = 200


class TrainScreen(WorkbenchScreen):
    """The selected run is followed from its first event on; selecting another starts over."""

    MODE = "train"
    CSS_PATH = "train.tcss"
    HELP_TEXT = (
        "A run is a process of its own: closing this program or losing the connection changes "
        "nothing for it. Stop saves the adapter before the run ends. On the charts: ▲ a "
        "checkpoint, × a value that is NaN or infinite, ◆ a held-out evaluation."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "Stop"),
        Binding("c", "checkpoint", "Checkpoint"),
        Binding("r", "resume", "Resume"),
        Binding("right_square_bracket", "step_run(1)", "Run", key_display="]"),
        Binding("left_square_bracket", "step_run(-1)", "Previous run", key_display="[", show=False),
        Binding("l", "log_y", "Log Y"),
        Binding("m", "smooth", "Smooth"),
    ]

    class Read(Message):
        """What a look at the selected run's folder brought."""

        def __init__(self, follower: Follower, series: RunSeries, lines: list[str]) -> None:
            super().__init__()
            self.follower = follower
            self.series = series
            self.lines = lines

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal():
            runs = OptionList(id="runs", classes="panel", markup=False)
            runs.border_title = "Runs"
            yield runs
            with Vertical():
                yield Static(id="head", markup=False)
                yield Chart("loss", id="loss")
                with Horizontal(id="small"):
                    yield Chart("learning rate", id="rate")
                    yield Chart("gradient norm", id="norm")
                    yield Chart("tokens/s", id="speed")
                yield Static(id="device", markup=False)
                log = Static(id="log", classes="panel", markup=False)
                log.border_title = "Log"
                yield log

    def on_mount(self) -> None:
        self._folders: list[Path] = []
        self._follower: Follower | None = None
        self._series = RunSeries()
        self._read_lines: list[str] = []
        self._notes: list[str] = []
        self._painted: dict[str, object] = {}
        self._smoothing = 1
        self._log_y = False
        self.set_interval(0.5, self._look)

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        runs = [(f, s) for f, s in reversed(jobs.items()) if s.kind == "train"]
        fresh = [f for f, _ in runs if f not in self._folders]
        known = bool(self._folders)
        self._folders = [folder for folder, _ in runs]
        self._list_runs([state for _, state in runs])
        wanted = self.workbench.wanted_run
        if wanted in self._folders:
            self.workbench.wanted_run = None
            self._select(wanted)
        elif runs and (self._follower is None or self._follower.folder not in self._folders):
            self._select(self._folders[0])
        elif known and fresh:
            self._select(fresh[0])
        if not runs:
            self._follower = None
            self._paint(
                "#head", Content("no run yet: press 3, open a config, then ctrl+t trains it")
            )

    def _list_runs(self, states: list[JobState]) -> None:
        menu = self.query_one("#runs", OptionList)
        lines = [
            Content.assemble(
                (f"{STATE_MARKS[s.state][0]} ", STATE_MARKS[s.state][1]),
                (inert(s.name, one_line=True), "bold"),
                "\n  ",
                (state_line(s), "$foreground 60%"),
            )
            for s in states
        ]
        if [c.plain for c in lines] != [str(o.prompt) for o in menu.options]:
            menu.clear_options()
            menu.add_options(Option(line) for line in lines)
            self._mark_selected()

    def _mark_selected(self) -> None:
        if self._follower and self._follower.folder in self._folders:
            menu = self.query_one("#runs", OptionList)
            with menu.prevent(OptionList.OptionHighlighted):
                menu.highlighted = self._folders.index(self._follower.folder)

    @on(OptionList.OptionHighlighted, "#runs")
    def _choose(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._folders):
            self._select(self._folders[event.option_index])

    def _select(self, folder: Path | None) -> None:
        if folder is None or (self._follower is not None and self._follower.folder == folder):
            return
        try:
            self._follower = Follower(folder)
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._series, self._read_lines, self._notes = RunSeries(), [], []
        self._mark_selected()
        self._look()

    def _look(self) -> None:
        if self._follower is not None and self.is_current:
            self._read(self._follower, self._series)

    @work(thread=True, exclusive=True, exit_on_error=False, group="run")
    def _read(self, follower: Follower, series: RunSeries) -> None:
        events = follower.poll()
        series.add(events)
        notes = [event.message for event in events if isinstance(event, Log)]
        self._notes += notes if follower is self._follower else []
        self.post_message(self.Read(follower, series, tail(follower.folder / LOG, LOG_LINES)))

    @on(Read)
    def _show(self, message: Read) -> None:
        if message.follower is not self._follower:
            return
        state = message.follower.state
        self._paint("#head", self._head(state))
        self._show_charts(state)
        self._paint("#device", device_line(state.device))
        self._show_log(state, message.lines)

    def _paint(self, where: str, content: Content) -> None:
        if self._painted.get(where) != content:
            self._painted[where] = content
            self.query_one(where, Static).update(content)

    def _head(self, state: JobState) -> Content:
        mark, style = STATE_MARKS[state.state]
        first: list[Content | str | tuple[str, str]] = [
            (f"{mark} ", style),
            (inert(state.name, one_line=True), "bold"),
            f"  {state.state}",
        ]
        if state.running and state.phase and state.phase not in (state.state, "training"):
            first.append(f", {inert(state.phase, one_line=True)}")
        if state.total_steps:
            share = min(1.0, state.step / state.total_steps)
            bar = "█" * round(share * 16)
            first += [
                "  ",
                (bar, "$primary"),
                ("░" * (16 - len(bar)), "$foreground 30%"),
                f" {share:.0%}  step {state.step}/{state.total_steps}",
            ]
        left = self._series.seconds_left(state.total_steps)
        if state.running and left is not None:
            first.append(f"  ETA {short_seconds(left)}")
        elif state.started and state.ended:
            first.append(f"  took {short_seconds(state.ended - state.started)}")
        return Content.assemble(*first, "\n", self._second_line(state))

    def _second_line(self, state: JobState) -> Content:
        if state.message and state.state in ("failed", "died"):
            return Content.styled(inert(state.message, one_line=True), "$text-error")
        alerts = state.alerts[-1:]
        if alerts:
            return Content.styled(
                f"! {inert(alerts[0].evidence, one_line=True)}  {inert(alerts[0].fix)}",
                "$text-warning",
            )
        values = state.metrics
        words = [
            f"loss {number(values.get('loss'))}",
            f"held-out {number(values.get('eval_loss'))}",
        ]
        if state.best_loss is not None:
            words.append(f"best {number(state.best_loss)}")
        if state.epoch is not None:
            words.append(f"epoch {state.epoch:.2f}")
        if (speed := values.get("tokens_per_second")) is not None:
            words.append(f"{short_count(speed)} tokens/s")
        waiting = state.progress if state.running and not state.step else None
        if waiting is not None and waiting.total:
            words = [f"{waiting.phase} {waiting.done:.0f}/{waiting.total:.0f} {waiting.unit}"]
        return Content("  ".join(words))

    def _show_charts(self, state: JobState) -> None:
        series, marks = self._series, self._series.checkpoints
        legend = f"━ train  ◆ held-out{'  log' if self._log_y else ''}"
        if SMOOTHING[self._smoothing]:
            legend += f"  smooth {SMOOTHING[self._smoothing]}"
        for chart in self.query(Chart):
            chart.log_y, chart.smoothing = self._log_y, 0.0
        loss = self.query_one("#loss", Chart)
        loss.smoothing = SMOOTHING[self._smoothing]
        loss.show(
            [
                Curve("held-out", series.get("eval_loss"), "accent", marker="◆"),
                Curve("train", series.get("loss"), "primary"),
            ],
            marks,
            legend,
        )
        self._small("#rate", "learning_rate", "secondary", state)
        self._small("#norm", "grad_norm", "secondary", state)
        self._small("#speed", "tokens_per_second", "success", state)

    def _small(self, where: str, name: str, colour: str, state: JobState) -> None:
        chart = self.query_one(where, Chart)
        chart.show(
            [Curve(name, self._series.get(name), colour)], [], number(state.metrics.get(name))
        )

    def _show_log(self, state: JobState, lines: list[str]) -> None:
        log = self.query_one("#log", Static)
        height = max(1, log.content_size.height)
        shown = [inert(line, one_line=True) for line in [*self._notes, *lines] if line.strip()]
        self._paint("#log", Content("\n".join(shown[-height:])))

    def action_step_run(self, by: int) -> None:
        """Select the next newer or older run."""
        if self._follower and self._folders:
            at = self._folders.index(self._follower.folder)
            self._select(self._folders[max(0, min(len(self._folders) - 1, at + by))])

    def action_log_y(self) -> None:
        """Logarithmic Y on all charts, or linear again."""
        self._log_y = not self._log_y
        self._look()

    def action_smooth(self) -> None:
        """None, light or strong smoothing of the loss over its raw curve."""
        self._smoothing = (self._smoothing + 1) % len(SMOOTHING)
        self._look()

    def action_stop(self) -> None:
        """Ask, then tell the worker to save and end."""

        def told(state: JobState, folder: Path) -> None:
            def answer(yes: bool | None) -> None:
                if yes:
                    self._tell(folder, "stop", f"{state.name} stops after this step and saves")

            self.app.push_screen(
                Confirm(f"Stop {state.name}?", f"At step {state.step}: the adapter is saved."),
                answer,
            )

        self._with_live_run(told)

    def action_checkpoint(self) -> None:
        """Tell the worker to save a checkpoint at its next step."""
        self._with_live_run(
            lambda state, folder: self._tell(
                folder, "checkpoint", f"{state.name} saves a checkpoint at its next step"
            )
        )

    def action_resume(self) -> None:
        """Go on from the last checkpoint of a run that ended too early."""
        if self._follower is None:
            return
        state, folder = self._follower.state, self._follower.folder
        if state.running:
            self.notify(f"{state.name} is running", severity="warning", markup=False)
        elif state.last_checkpoint is None:
            self.notify(
                f"{state.name} wrote no checkpoint to resume from", severity="warning", markup=False
            )
        else:
            self._resume(folder)

    @work(thread=True, exclusive=True, exit_on_error=False, group="resume")
    def _resume(self, folder: Path) -> None:
        from tuiwb.train.start import resume

        try:
            resume(folder, python=self.project.train_python)
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)

    def _with_live_run(self, act: Callable[[JobState, Path], None]) -> None:
        if self._follower is None:
            return
        if not self._follower.state.running:
            self.notify(
                f"{self._follower.state.name} is not running", severity="warning", markup=False
            )
            return
        act(self._follower.state, self._follower.folder)

    def _tell(self, folder: Path, command: str, words: str) -> None:
        try:
            jobs.send(folder, command)
            self.notify(words, markup=False)
        except OSError as error:
            self.notify(
                f"can't write {folder}/control.jsonl: {error.strerror}",
                severity="error",
                markup=False,
            )


def device_line(device: Device | None) -> Content:
    """GPUs one line each; the host's memory and CPU where there is no GPU, and it says so."""
    if device is None:
        return Content.styled("no sample of the hardware yet", "$foreground 60%")
    lines = []
    for gpu in device.gpus:
        parts = [f"GPU {gpu.index} {inert(gpu.name, one_line=True)}"]
        if gpu.memory_used is not None and gpu.memory_total:
            share = gpu.memory_used / gpu.memory_total
            parts.append(
                f"{meter(share)} {short_bytes(gpu.memory_used)} of {short_bytes(gpu.memory_total)}"
            )
        if gpu.memory_job is not None:
            parts.append(f"this run {short_bytes(gpu.memory_job)}")
        if gpu.utilisation is not None:
            parts.append(f"{gpu.utilisation:.0f}% busy")
        if gpu.temperature is not None:
            parts.append(f"{gpu.temperature:.0f}°C")
        if gpu.power is not None:
            parts.append(f"{gpu.power:.0f} W")
        lines.append("  ".join(parts))
    host = device.host
    if host is not None:
        parts = [] if device.gpus else ["no GPU"]
        parts.append(f"CPU {meter(host.cpu / 100)} {host.cpu:.0f}%")
        share = host.memory_used / max(host.memory_total, 1)
        parts.append(f"memory {meter(share)} {short_bytes(host.memory_used)}")
        if host.job_memory is not None:
            parts.append(f"this run {short_bytes(host.job_memory)}")
        lines.append("  ".join(parts))
    return Content("\n".join(lines))


def meter(share: float, width: int = 6) -> str:
    """A small bar for a share between 0 and 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "▰" * filled + "▱" * (width - filled)
