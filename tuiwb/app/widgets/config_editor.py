"""The configs' list and the text of one: read with the arrows, where letters are keys of the
screen; edited when asked to, where they are letters."""

import contextlib
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import TextArea

from tuiwb.app.widgets.menu import Choices


class ConfigList(Choices):
    """Moving through it, or a click, opens; only enter edits."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "screen.edit", "Edit", show=False)]


class ConfigEditor(TextArea):
    """A YAML TextArea that starts read only."""

    def __init__(self) -> None:
        super().__init__(
            id="editor",
            classes="panel",
            read_only=True,
            show_line_numbers=True,
            tab_behavior="indent",
            highlight_cursor_line=True,
            compact=True,
            placeholder="no config: ctrl+n makes a commented one, e starts an empty one",
        )
        self.indent_width = 2
        self.cursor_blink = False
        with contextlib.suppress(Exception):  # a platform without the tree-sitter wheels
            self.language = "yaml"

    def on_paste(self, event: events.Paste) -> None:
        """A paste where letters are keys says what lets it in; TextArea takes it elsewhere."""
        if self.read_only:
            event.stop()
            self.notify("nothing was pasted: e edits, then paste again", severity="warning")

    @property
    def editing(self) -> bool:
        """Whether letters go into the text."""
        return not self.read_only

    def edit_on(self, on: bool) -> None:
        """Let letters go into the text, or be keys."""
        self.read_only = not on
        self.border_subtitle = "editing: esc ends it" if on else ""

    def take_back(self, text: str) -> None:
        """Show another text as an edit of this one, so that ctrl+z brings this one back."""
        self.replace(text, (0, 0), self.document.end)
        self.move_cursor((0, 0))
