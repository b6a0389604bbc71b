"""Lists to move in: with the arrows, and with j and k as everywhere else."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import OptionList


class Choices(OptionList):
    """An OptionList in which j and k move as well."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False),
        Binding("k", "cursor_up", "Up", show=False),
    ]


class Menu(Choices):
    """Its lines lead somewhere: enter is said in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select", "Open")]
