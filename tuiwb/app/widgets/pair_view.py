"""Two answers to one prompt: side by side where there is room, else one above the other."""

from dataclasses import dataclass, field
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

NOTHING = Content("")
STACK_BELOW = 100


@dataclass(frozen=True)
class PairText:
    """All that is shown of one pair; an empty text hides its part."""

    title: str
    subtitle: str = ""
    prompt: Content = field(default=NOTHING)
    left: Content = field(default=NOTHING)
    right: Content = field(default=NOTHING)
    left_title: str = ""
    right_title: str = ""
    left_note: str = ""
    right_note: str = ""
    reference: Content = field(default=NOTHING)
    verdict: Content = field(default=NOTHING)
    message: Content = field(default=NOTHING)


class PairView(VerticalScroll, inherit_bindings=False):
    """Scrolls prompt, both answers and reference together; paints only the parts that changed."""

    # One line of help for all ways to scroll; those without words are not listed.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Scroll", show=False, key_display="↑ ↓ pgup pgdn"),
        Binding("down", "scroll_down", "", show=False),
        Binding("pageup", "page_up", "", show=False),
        Binding("pagedown", "page_down", "", show=False),
        Binding("home", "scroll_home", "", show=False),
        Binding("end", "scroll_end", "", show=False),
    ]
    DEFAULT_CSS = """
    PairView { height: 1fr; padding: 0 1; }
    PairView Static { height: auto; padding: 0 1; }
    PairView .part { border-top: solid $border; border-title-color: $text-muted;
                     border-subtitle-color: $text-muted; }
    PairView #prompt { border-top: none; }
    PairView #answers { height: auto; layout: horizontal; }
    PairView #answers Static { width: 1fr; }
    PairView.-stacked #answers { layout: vertical; }
    PairView.-stacked #answers Static { width: 100%; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self._shown: PairText | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="message", markup=False)
        yield Static(id="prompt", classes="part", markup=False)
        with Horizontal(id="answers"):
            yield Static(id="left", classes="part", markup=False)
            yield Static(id="right", classes="part", markup=False)
        yield Static(id="reference", classes="part", markup=False)
        yield Static(id="verdict", classes="part", markup=False)

    def on_mount(self) -> None:
        self.query_one("#reference").border_title = "reference"
        self.query_one("#verdict").border_title = "judge"
        for part in self.query(Static):
            part.display = False

    def on_resize(self) -> None:
        self.set_class(self.app.size.width < STACK_BELOW, "-stacked")

    def show(self, pair: PairText) -> None:
        """Take another pair, or new words on this one; scrolls back to the top for another."""
        before, self._shown = self._shown, pair
        if pair == before:
            return
        if before is None or before.title != pair.title:
            self.scroll_home(animate=False)
        # Titles may hold names from data: Content is never read as markup.
        self.border_title, self.border_subtitle = Content(pair.title), Content(pair.subtitle)
        for name in ("message", "prompt", "left", "right", "reference", "verdict"):
            text: Content = getattr(pair, name)
            part = self.query_one(f"#{name}", Static)
            part.display = bool(text.plain)
            if before is None or getattr(before, name) != text:
                part.update(text)
        for side in ("left", "right"):
            part = self.query_one(f"#{side}", Static)
            name, note = getattr(pair, f"{side}_title"), getattr(pair, f"{side}_note")
            part.border_title = Content.assemble(
                (name, "bold $text-accent"), (f"  {note}" if note else "", "$foreground 60%")
            )
