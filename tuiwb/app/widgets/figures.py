"""A dialog of figures: everything measured, with its interval."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiwb.app.widgets.modal import SCROLL, Modal


class FiguresScreen(Modal[None]):
    """Every figure with its interval; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,i,q,enter", "dismiss", "Close"),
        *SCROLL,
    ]

    def __init__(self, figures: Content) -> None:
        super().__init__()
        self._figures = figures

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = "Figures"
            dialog.border_subtitle = "esc closes"
            yield Static(self._figures)
