"""A list beside what it says of the entry under the cursor: alerts, samples, steps of recovery.

In: items, as often as they may have changed; painted when they did. Out: which is current, `Opened`
on enter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tuiwb.app.widgets.menu import Choices


@dataclass(frozen=True)
class Item:
    """An entry: what tells it from others, its line, its text."""

    key: str
    line: Content
    detail: Content


class ListAndDetail(Horizontal, can_focus=True):
    """The list takes the focus; the detail scrolls with the mouse, enter shows it large."""

    DEFAULT_CSS = """
    ListAndDetail {
        height: 1fr;
        & > OptionList {
            width: 36%;
            max-width: 56;
            height: 100%;
            border: none;
            padding: 0;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            &:focus { border: none; }
        }
        & > VerticalScroll { width: 1fr; height: 100%; padding: 0 1; scrollbar-size-vertical: 1; }
        & > #nothing { width: 1fr; padding: 0 1; color: $text-muted; display: none; }
        &.-empty > OptionList, &.-empty > VerticalScroll { display: none; }
        &.-empty > #nothing { display: block; }
    }
    """

    class Opened(Message):
        """Enter on an entry."""

        def __init__(self, view: "ListAndDetail", position: int) -> None:
            super().__init__()
            self.view, self.position = view, position

    def __init__(self, nothing: str, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="-empty")
        self._nothing = nothing
        self.items: list[Item] = []
        self._detail = Content("")

    def compose(self) -> ComposeResult:
        yield Choices(markup=False)
        with VerticalScroll(can_focus=False):
            yield Static(markup=False)
        yield Static(Content(self._nothing), id="nothing", markup=False)

    def say_nothing(self, words: str) -> None:
        """What stands here while there is no entry."""
        if words != self._nothing:
            self._nothing = words
            for shown in self.query("#nothing").results(Static):
                shown.update(Content(words))

    def show(self, items: Sequence[Item]) -> None:
        """Show these entries; the cursor stays on its entry, and at the top if it was there."""
        items = list(items)
        if items == self.items:
            return
        menu = self.query_one(OptionList)
        at = self.position
        current = self.items[at].key if at is not None and at > 0 else None
        same = [i.key for i in items] == [i.key for i in self.items]
        before, self.items = self.items, items
        self.set_class(not items, "-empty")
        with menu.prevent(OptionList.OptionHighlighted):
            if same:
                for n, (old, new) in enumerate(zip(before, items, strict=True)):
                    if old.line != new.line:
                        menu.replace_option_prompt_at_index(n, new.line)
            else:
                menu.clear_options()
                menu.add_options(Option(item.line) for item in items)
                keys = [item.key for item in items]
                if items:
                    menu.highlighted = keys.index(current) if current in keys else 0
        self._show_detail()
        if self.has_focus:
            self.call_after_refresh(self.on_focus)

    def watch_has_focus(self, _has_focus: bool) -> None:
        """No style of it or of what is in it looks at whether all of it has the focus."""

    def on_focus(self) -> None:
        """The list takes the focus as soon as there is one."""
        if self.items:
            self.query_one(OptionList).focus()

    @property
    def position(self) -> int | None:
        """The entry under the cursor."""
        at = self.query_one(OptionList).highlighted
        return at if at is not None and at < len(self.items) else None

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._show_detail()
        self.refresh_bindings()

    @on(OptionList.OptionSelected)
    def _opened(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self.items):
            self.post_message(self.Opened(self, event.option_index))

    def _show_detail(self) -> None:
        at = self.position
        detail = self.items[at].detail if at is not None else Content("")
        if detail != self._detail:
            self._detail = detail
            box = self.query_one(VerticalScroll)
            box.query_one(Static).update(detail)
            box.scroll_home(animate=False)
