"""One run on the screen: head, chart wall, and below it the device, log, samples, alerts, recovery.

In: a `Watched`. It is polled in a thread, slice by slice, so that a long history never holds up a
key; what came is posted, and only what changed is painted.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tuiwb.app.log_tail import LogTail
from tuiwb.app.pace import PromptScreen, calm_in
from tuiwb.app.run_estimate import estimate_of
from tuiwb.app.run_words import ended_words, log_lines, way_on
from tuiwb.app.screens.run_dialogs import ShowText
from tuiwb.app.widgets.alerts_view import AlertsView
from tuiwb.app.widgets.chart_wall import ChartWall, Overlay
from tuiwb.app.widgets.device_view import DeviceView
from tuiwb.app.widgets.list_and_detail import ListAndDetail
from tuiwb.app.widgets.log_view import Line, LogView
from tuiwb.app.widgets.pane_tabs import PaneTabs
from tuiwb.app.widgets.recovery_view import RecoveryView
from tuiwb.app.widgets.run_commands import RunCommands
from tuiwb.app.widgets.run_head import RunHead
from tuiwb.app.widgets.samples_view import SamplesView
from tuiwb.app.widgets.still import StillHorizontal, StillVertical
from tuiwb.app.words import STATE_MARKS
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.jobs.events import AnyEvent, Sample
from tuiwb.jobs.folder import JOB, LOG
from tuiwb.monitor.triage.rule import open_alerts
from tuiwb.monitor.watched import Watched
from tuiwb.train.estimate import MemoryEstimate

PANES = (
    ("d", "device", "Device"),
    ("L", "log", "Log"),
    ("O", "samples", "Outputs"),
    ("a", "alerts", "Alerts"),
    ("g", "recovery", "Diagnose"),
)
WIDE = 150  # columns from which two panes stand side by side
LOOK_EVERY = 0.35  # seconds: three times a second at most
SHARE = 0.025  # of a core, for the UI's thread: what costs more to paint is painted less often
SELDOM = 2.0  # seconds between two looks, however busy the UI is
SILENT = 1.0  # seconds between two looks at a run that says nothing
SLICE = 0.15  # seconds of reading between two looks
LOADING = 0.5  # the same while a long history is read, look after look
LOADING_DRAWN = 1.5  # seconds between two drawings of its curves
HEAD_EVERY = 0.5
CHARTS = 15  # lines that two rows of charts take, with the line on their signs
LEAST_PANE = 4  # lines of the hardware, with the tabs: it does not jump with the first sample
LEAST_SHARED = 6  # lines of any other pane
AT_REST = 3.0  # seconds between two looks at a run that has ended


class RunView(RunCommands):
    """`watch()` gives it a run; `python` is what a resumed run is started with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # The small letters too, where the charts don't take them.
        *(
            Binding(
                f"{key},{key.lower()}" if key.isupper() else key,
                f"pane('{pane}')",
                name,
                show=False,
                key_display=key,
            )
            for key, pane, name in PANES
        ),
        Binding("tab", "other_half", "Charts/below", show=False),
        Binding("z", "zoom", "Zoom", show=False),
    ]

    DEFAULT_CSS = """
    RunView {
        height: 100%;
        & > #wall { height: 3fr; }
        & > #below { height: 2fr; min-height: 6; }
        &.-roomy > #below { height: 1.5fr; }
        &.-charts > #below, &.-pane > #wall { display: none; }
        & #panes { height: 1fr; }
        & #panes > * { width: 1fr; height: 100%; padding: 0 1; }
        & #panes > #device { height: 100%; }
    }
    """

    class Read(Message):
        """What a look at the run brought."""

        def __init__(self, watched: Watched) -> None:
            super().__init__()
            self.watched = watched
            self.events: list[AnyEvent] = []
            self.lines: list[str] = []
            self.rest = ""
            self.ended: Content | None = None
            self.read_at = time.monotonic()

    class Changed(Message):
        """The run came to another state."""

        def __init__(self, state: JobState) -> None:
            super().__init__()
            self.state = state

    def __init__(
        self, *, layout_file: Path | None = None, acts: bool = True, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self._layout_file = layout_file
        self._acts = acts
        self.overlays: list[Watched] = []
        self._pane = "device"
        self._reading = False
        self._looked = self._headed = self._used = self._drawn = 0.0
        self._silent = self._held = False
        self._tail = LogTail(Path())
        self._seen: tuple[object, ...] = ()
        self._stood: tuple[object, ...] = ()
        self._alerted: tuple[object, ...] = ()
        self._estimated: Path | None = None
        self._estimate: MemoryEstimate | None = None
        self._sampled: tuple[object, ...] = ()
        self._end: tuple[tuple[object, ...], Content | None] = ((), None)

    def compose(self) -> ComposeResult:
        yield RunHead(id="head")
        yield ChartWall(self._layout_file, id="wall")
        with StillVertical(id="below"):
            yield PaneTabs(PANES, id="tabs")
            with StillHorizontal(id="panes"):
                yield DeviceView(id="device")
                yield LogView(id="log")
                yield SamplesView(id="samples")
                yield AlertsView(id="alerts", acts=self._acts)
                yield RecoveryView(id="recovery", acts=self._acts)

    def on_mount(self) -> None:
        self._head = self.query_one("#head", RunHead)
        self._wall = self.query_one("#wall", ChartWall)
        self._device = self.query_one("#device", DeviceView)
        self._log = self.query_one("#log", LogView)
        self._samples = self.query_one("#samples", SamplesView)
        self._alerts = self.query_one("#alerts", AlertsView)
        self._recovery = self.query_one("#recovery", RecoveryView)
        self._show_pane()
        self.set_interval(LOOK_EVERY, self.look)

    def watch_run(self, watched: Watched, overlays: Sequence[Watched] = ()) -> None:
        """Show another run, others laid over its curves."""
        self.watched, self.overlays = watched, list(overlays)
        self._tail = LogTail(watched.folder / LOG)
        self._seen = self._stood = self._alerted = self._sampled = ()
        self._looked = self._headed = self._drawn = 0.0
        self._log.clear()
        self._samples.clear()
        ours = (watched.folder / JOB).is_file()
        self._alerts.checked(ours)
        self._samples.recorded(ours)
        self._device.recorded(ours)
        self._show(self.Read(watched))
        if self._pane == "recovery":
            self._recovery.look(watched.folder)
        self.look()

    def look(self) -> None:
        """Read on in a thread, if it is time and nothing is being read."""
        watched = self.watched
        if watched is None or self._reading or self._held:
            return
        now, used = time.monotonic(), time.thread_time()
        read = watched.loaded >= 1 and bool(self._stood)
        due = self._looked + self._pause(used) if read else now
        if now < due or not self.is_on_screen or (read and self._hold(due, self.look)):
            return
        self._looked, self._used, self._reading = now, used, True
        self._read(watched, [o for o in self.overlays if o.state.running or o.loaded < 1])

    def _hold(self, due: float, then: Callable[[], None]) -> bool:
        """Whether news waits for a key that is being worked off; `then` is called after it."""
        wait = calm_in(self.app, due)
        if wait <= 0:
            return False

        def go_on() -> None:
            self._held = False
            then()

        self._held = True
        self.set_timer(wait, go_on)
        return True

    def look_now(self) -> None:
        """Look although it isn't time: something happened to the run."""
        self._looked = -math.inf
        self.look()

    def _pause(self, used: float) -> float:
        """Seconds between two looks, `used` being the time the processor gave to this thread."""
        if self.watched is not None and not self.watched.state.running:
            return AT_REST
        return SILENT if self._silent else min((used - self._used) / SHARE, SELDOM)

    @property
    def is_on_screen(self) -> bool:
        """Whether anybody could see it."""
        return self.is_attached and bool(self.display) and self.screen.is_current

    # A description spells out all arguments, every second.
    @work(thread=True, exit_on_error=False, group="run", description="")
    def _read(self, watched: Watched, overlays: list[Watched]) -> None:
        try:
            read = self.Read(watched)
            read.events = watched.poll(SLICE if watched.loaded >= 1 else LOADING)
            for other in overlays:
                other.poll(SLICE / max(1, len(overlays)))
            read.lines, read.rest = self._tail.poll(), self._tail.rest
            read.ended = self._ended(watched)
            if self._estimated != watched.folder:
                self._estimated, self._estimate = watched.folder, estimate_of(watched.folder)
            self.post_message(read)
        except (TuiwbError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error")
        finally:
            self._reading = False

    def _ended(self, watched: Watched) -> Content | None:
        """Why the run ended too early, looked up once an end; on the reading thread."""
        state = watched.state
        end = (watched.folder, state.state, state.ended)
        if end != self._end[0]:
            self._end = (end, ended_words(watched.folder, state))
        return self._end[1]

    @on(Read)
    def _show(self, message: Read) -> None:
        watched = message.watched
        if watched is not self.watched:
            return
        message.stop()
        if self._stood and self._hold(message.read_at, partial(self._show, message)):
            return
        state = watched.state
        seen = self._seen
        stands = (state.state, state.phase, state.last_checkpoint is None)
        self._show_head(state, at_once=stands != self._stood)
        self._show_curves(watched)
        self._silent = seen == self._seen and not message.events and not message.lines
        self._show_device(watched)
        live: Line | None = (message.rest, "") if message.rest else None
        lines = [*log_lines(message.events), *((line, "") for line in message.lines)]
        self._log.add(lines, live)
        self._samples.add(event for event in message.events if isinstance(event, Sample))
        alerted = (len(state.alerts), message.ended)
        if alerted != self._alerted:
            self._alerted = alerted
            self._alerts.show_alerts(state.alerts, message.ended)
            if message.ended is not None and self._pane == "device":
                # Why it ended is what one comes for.
                self._pane = "alerts"
                self._show_pane()
        self.answers(message.events)
        self._show_tabs(state)
        if watched.loaded < 1:
            self.call_after_refresh(self.look)
        if stands != self._stood:
            self._stood = stands
            self.refresh_bindings()
            self.post_message(self.Changed(state))
            if self._pane == "recovery":
                self._recovery.look(watched.folder)

    def _show_head(self, state: JobState, *, at_once: bool) -> None:
        """At once where the run came to another state, else now and then."""
        now = time.monotonic()
        if self.watched is None or (now - self._headed < HEAD_EVERY and not at_once):
            return
        self._headed = now
        pace = state.tally.pace
        left = None
        if pace is not None and state.total_steps:
            left = max(0.0, (state.total_steps - state.step) * pace)
        loaded = self.watched.loaded
        self._head.show(state, left, pace, loaded, way_on(state, self.can, self._acts), time.time())

    def _show_curves(self, watched: Watched) -> None:
        live = watched.state.running
        seen = (live, *((id(w.series), w.series.version) for w in (watched, *self.overlays)))
        now = time.monotonic()
        # What is still being read is drawn seldom: drawing takes from the reading.
        soon = watched.loaded < 1 and now - self._drawn < LOADING_DRAWN
        if seen == self._seen or soon:
            return
        self._seen, self._drawn = seen, now
        over = [Overlay(other.name, other.series) for other in self.overlays]
        self._wall.show(watched.name, watched.series, over, live=live)

    def _show_device(self, watched: Watched, *, fit: bool = True) -> None:
        """The hardware, when there is a new sample of it and it is in sight."""
        past = not watched.state.running
        sample = (watched.state.device, self._estimate, past)
        if self._device.display and sample != self._sampled:
            self._sampled = sample
            self._device.show(
                watched.state.device, watched.series.devices, self._estimate, past=past
            )
            if fit:
                self._fit_below()

    def _show_tabs(self, state: JobState) -> None:
        alerts = len(open_alerts(state.alerts))
        ended = STATE_MARKS[state.state][0] if state.state in ("failed", "died") else ""
        beside = " ".join(filter(None, (ended, str(alerts) if alerts else "")))
        self.query_one("#tabs", PaneTabs).show(self._pane, {"alerts": beside})

    def _show_pane(self, *, fit: bool = True) -> None:
        """One pane below; where it is wide, the device beside it always. `fit` gives it its
        height at once."""
        for _, pane, _ in PANES:
            other = "log" if self._pane == "device" else "device"
            self.query_one(f"#{pane}").display = pane == self._pane or (
                self._wide and pane == other
            )
        if isinstance(self.screen, PromptScreen):
            self.screen.lay_out(self.query_one("#panes"))
        if fit:
            self._fit_below()
        if self.watched is not None:
            self._show_tabs(self.watched.state)
            self._show_device(self.watched, fit=fit)

    @property
    def _wide(self) -> bool:
        return self.size.width >= WIDE

    def _fit_below(self) -> None:
        """The hardware alone takes the lines it has to say, the charts all others."""
        alone = self._pane == "device" and not self._wide and not self.has_class("-pane")
        below = self.query_one("#below")
        styles = below.styles.inline
        both = self.size.height - self._head.size.height
        if not alone:
            if styles.has_rule("height"):
                styles.clear_rule("height")
                styles.clear_rule("min_height")
                below.refresh(layout=True)
                share = 1.5 if self.has_class("-roomy") else 2.0
                self._wall.foresee(min(int(both * 3 / (3 + share)), both - LEAST_SHARED))
            return
        # Not by a class: all that the run shows would be styled anew.
        if not styles.has_rule("min_height"):
            styles.min_height = 1
        height = self.size.height
        room = max(LEAST_PANE, min(height * 2 // 5, height - self._head.size.height - CHARTS))
        lines = 1 + self._device.lines_in(self.size.width - 2, room - 1)
        fitting = max(min(lines, room), min(LEAST_PANE, height // 3))
        before = styles.height.value if styles.has_rule("height") and styles.height else None
        if before != fitting:
            styles.height = fitting
            self._wall.foresee(both - fitting)

    def on_resize(self) -> None:
        """Two panes side by side where there is room, more for the charts where it is tall."""
        self.set_class(self.size.height >= 45, "-roomy")
        self._show_pane()

    @on(PaneTabs.Chosen)
    def _clicked(self, message: PaneTabs.Chosen) -> None:
        message.stop()
        self.action_pane(message.pane)

    def action_pane(self, pane: str) -> None:
        """Show another pane below, and let it take the keys."""
        self._pane = pane
        self.remove_class("-charts")
        # The pane first; the charts, which get another height with it, once it is painted.
        self._show_pane(fit=False)
        self.call_after_refresh(self._fit_below)
        if pane == "recovery" and self.watched is not None:
            self._recovery.look(self.watched.folder)
        self.focus_below()

    def focus_below(self) -> None:
        """Put the focus into the pane, where it takes any."""
        pane = self.query_one(f"#{self._pane}")
        inner: Widget | None = next(
            (w for w in pane.walk_children(Widget) if w.can_focus and w.display), None
        )
        target = pane if pane.can_focus else inner  # an empty list passes it on once it is filled
        (target or self._wall).focus()

    def focus_charts(self) -> None:
        """Put the focus on the chart wall."""
        self._wall.focus()

    def action_other_half(self) -> None:
        """The keys go to the charts, or to the pane below."""
        if self._wall.has_focus_within:
            self.focus_below()
        else:
            self.focus_charts()

    def action_zoom(self) -> None:
        """The half that has the focus alone; again: both."""
        if self.has_class("-charts") or self.has_class("-pane"):
            self.remove_class("-charts", "-pane")
        else:
            self.add_class("-charts" if self._wall.has_focus_within else "-pane")
        self._fit_below()

    @on(ListAndDetail.Opened)
    def _large(self, message: ListAndDetail.Opened) -> None:
        message.stop()
        item = message.view.items[message.position]
        self.app.push_screen(ShowText(self.watched.name if self.watched else "", item.detail))
