"""What to serve: a base, finished runs' adapters, an engine, a port."""

from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input, SelectionList, Static
from textual.widgets.selection_list import Selection

from tuiwb.app.widgets.modal import Modal
from tuiwb.text import inert

ENGINES = ("auto", "vllm", "builtin")


class Wanted(msgspec.Struct, frozen=True):
    """What the dialog was told; None where the plan chooses."""

    runs: list[str]
    base: str | None
    engine: str | None
    port: int | None


class StartServer(Modal[Wanted | None]):
    """enter starts from anywhere in it, escape gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+j", "start", "Start", key_display="enter", priority=True),
        Binding("ctrl+e", "engine", "Engine", key_display="ctrl+e", priority=True),
        Binding("escape", "give_up", "Cancel"),
    ]

    def __init__(self, runs: list[str], base: str | None, chosen: str | None = None) -> None:
        super().__init__()
        self._runs = runs
        self._base = base or ""
        self._chosen = chosen or (runs[0] if runs else None)
        self._engine = 0

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as dialog:
            dialog.border_title = "Start a server"
            dialog.border_subtitle = "enter starts, esc cancels"
            yield Static("Adapters (space marks)", markup=False, classes="muted")
            if self._runs:
                yield SelectionList[str](
                    *(
                        Selection(Content(inert(run, one_line=True)), run, run == self._chosen)
                        for run in self._runs
                    ),
                    id="runs",
                    compact=True,
                )
            else:
                yield Static("no finished run yet: the base alone is served", markup=False)
            with Horizontal(classes="field"):
                yield Static("Base", classes="label muted", markup=False)
                yield self._input("base", "", "the base the runs were trained on")
            with Horizontal(classes="field"):
                yield Static("Port", classes="label muted", markup=False)
                yield self._input("port", "", "the first free one from 8000")
            with Horizontal(classes="field"):
                yield Static("Engine", classes="label muted", markup=False)
                yield Static(id="engine", markup=False)

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
        """Close with what was chosen; an impossible port is said here."""
        port = self.query_one("#port", Input).value.strip()
        if port and not port.isdecimal():
            self.notify(f"{port} is no port: give a number", severity="error", markup=False)
            return
        runs = list(self.query_one("#runs", SelectionList).selected) if self._runs else []
        engine = ENGINES[self._engine]
        self.dismiss(
            Wanted(
                runs=[run for run in self._runs if run in runs],
                base=self.query_one("#base", Input).value.strip() or None,
                engine=None if engine == "auto" else engine,
                port=int(port) if port else None,
            )
        )

    def action_give_up(self) -> None:
        """Close without a server."""
        self.dismiss(None)

    def _input(self, name: str, value: str, hint: str) -> Input:
        field = Input(value, placeholder=hint, id=name, compact=True)
        field.cursor_blink = False
        return field

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
