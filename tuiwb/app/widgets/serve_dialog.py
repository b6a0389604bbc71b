"""What to serve: a base, finished runs' adapters, an engine, a port."""

from collections.abc import Callable, Collection
from typing import ClassVar, TypeVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tuiwb.app.screens.dialogs import Form
from tuiwb.app.widgets.checklist import Checklist
from tuiwb.errors import BadInput
from tuiwb.text import inert

ENGINES = ("auto", "vllm", "builtin")
PORTS = range(1, 65536)
P = TypeVar("P")


class Wanted(msgspec.Struct, frozen=True):
    """What the dialog was told; None where the plan chooses."""

    runs: list[str]
    base: str | None
    engine: str | None
    port: int | None


class StartServer(Form[P]):
    """enter starts from anywhere in it, escape gives up; gives what `plan` makes of what is wanted,
    and says here why that can't be served. The first run that is not `broken`, whose numbers are
    finite, is chosen to begin with."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+j", "start", "Start", key_display="enter", priority=True),
        Binding("ctrl+e", "engine", "Engine", key_display="ctrl+e", priority=True),
    ]

    def __init__(
        self,
        runs: list[str],
        base: str | None,
        plan: Callable[[Wanted], P],
        broken: Collection[str] = (),
    ) -> None:
        super().__init__()
        self._runs = runs
        self._base = base or ""
        self._plan = plan
        self._broken = broken
        self._chosen = next((run for run in runs if run not in broken), None)
        self._engine = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as dialog:
            dialog.border_title = "Start a server"
            dialog.border_subtitle = "enter starts, esc cancels"
            yield Static("Adapters (space chooses)", markup=False, classes="muted")
            if self._runs:
                lines = [(run, self._line(run), run == self._chosen) for run in self._runs]
                yield Checklist(lines, id="runs")
            else:
                yield Static("no finished run yet: the base alone is served", markup=False)
            with Horizontal(classes="line"):
                yield Static("Base", classes="label muted", markup=False)
                yield self.field(name="base", hint="the base the runs were trained on")
            with Horizontal(classes="line"):
                yield Static("Port", classes="label muted", markup=False)
                yield self.field(name="port", hint="the first free one from 8000")
            with Horizontal(classes="line"):
                yield Static("Engine", classes="label muted", markup=False)
                yield Static(id="engine", markup=False)
            yield self.problem()

    def _line(self, run: str) -> str:
        words = inert(run, one_line=True)
        return f"{words}  holds NaN or infinity: can't be served" if run in self._broken else words

    def on_mount(self) -> None:
        self._show_engine()
        if not self._runs:
            self.query_one("#base", Input).value = self._base
        self.query_one("#runs" if self._runs else "#base").focus()

    def action_engine(self) -> None:
        """The next engine."""
        self._engine = (self._engine + 1) % len(ENGINES)
        self._show_engine()

    def action_start(self) -> None:
        """Close with the plan of what was chosen, or say why it can't be."""
        chosen = self.query_one("#runs", Checklist).chosen if self._runs else set()
        runs = [run for run in self._runs if run in chosen]
        base = self.query_one("#base", Input).value.strip() or None
        port = self.query_one("#port", Input).value.strip()
        engine = None if ENGINES[self._engine] == "auto" else ENGINES[self._engine]
        self.take_later(lambda: self._plan(Wanted(runs, base, engine, _port(port))))

    def _show_engine(self) -> None:
        words = {
            "auto": "vLLM where it is found, else built-in",
            "vllm": "vLLM",
            "builtin": "built-in (transformers and PEFT)",
        }
        self.query_one("#engine", Static).update(
            Content.assemble(
                words[ENGINES[self._engine]], ("   ctrl+e changes it", "$foreground 60%")
            )
        )


def _port(said: str) -> int | None:
    """A port as it was typed, None for nothing; BadInput for what is none."""
    if not said:
        return None
    if not said.isdecimal() or len(said) > 5 or int(said) not in PORTS:
        raise BadInput(f"{said} is no port: give a number from 1 to 65535")
    return int(said)
