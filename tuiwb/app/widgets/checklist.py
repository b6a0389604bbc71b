"""Things to choose, each with a box: the mark says what is chosen, not its colour."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuiwb.app.widgets.menu import Choices


class Checklist(Choices):
    """Lines of (key, words, chosen); space or a click turns one on and off. Enter is the form's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "Choose", show=False),
    ]

    class Changed(Message):
        """A line was turned on or off."""

    def __init__(self, choices: Sequence[tuple[str, str, bool]], *, id: str | None = None) -> None:
        super().__init__(markup=False, id=id)
        self._choices = choices
        self.chosen = {key for key, _words, chosen in choices if chosen}
        self.add_options(Option(self._line(i)) for i in range(len(choices)))
        self.highlighted = 0

    def _line(self, i: int) -> Content:
        key, words, _default = self._choices[i]
        box = "[x] " if key in self.chosen else "[ ] "
        return Content.assemble((box, "bold $accent"), words)

    def action_choose(self) -> None:
        """Choose the line under the cursor, or leave it out again."""
        if self.highlighted is not None:
            self.chosen ^= {self._choices[self.highlighted][0]}
            self.replace_option_prompt_at_index(self.highlighted, self._line(self.highlighted))
            self.post_message(self.Changed())

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click chooses as well."""
        event.stop()
        self.highlighted = event.option_index
        self.action_choose()
