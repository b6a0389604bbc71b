"""Lists to move in: with the arrows, and with j and k as everywhere else."""

from typing import ClassVar

from textual.binding import BindingType
from textual.widgets import OptionList

from tuiwb.app import keys


class Choices(OptionList):
    """An OptionList in which j and k move as well."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.known("j", "cursor_down", "Down", "one line down, as the arrow does"),
        keys.known("k", "cursor_up", "Up", "one line up, as the arrow does"),
    ]


class Menu(Choices):
    """Its lines lead somewhere: enter is said in the footer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("enter", "select", "Open", "go where the line under the cursor leads")
    ]
