"""Two answers to one prompt: side by side where there is room, else one above the other.

Both answers are cut from the same lines on, in panes of the same size: what moves one moves the
other, and nothing but the words tells them apart.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static

from tuiwb.app.widgets.pair_layout import Layout, Room, laid_out

NOTHING = Content("")
STACK_BELOW = 100
PARTS = ("message", "prompt", "left", "right", "single", "reference", "verdict")
MUTED = "$foreground 60%"


@dataclass(frozen=True)
class PairText:
    """All that is shown of one pair; an empty text hides its part. A `single` text (a diff, the
    tokens) stands in the place of both answers, `asked` is the prompt's last turn, `verdict_least`
    the fewest lines the verdict keeps."""

    title: str
    subtitle: str = ""
    prompt: Content = field(default=NOTHING)
    asked: Content = field(default=NOTHING)
    left: Content = field(default=NOTHING)
    right: Content = field(default=NOTHING)
    left_title: str = ""
    right_title: str = ""
    left_note: str = ""
    right_note: str = ""
    single: Content = field(default=NOTHING)
    single_title: str = ""
    reference: Content = field(default=NOTHING)
    verdict: Content = field(default=NOTHING)
    verdict_title: str = "judge"
    verdict_least: int = 1
    message: Content = field(default=NOTHING)


class PairView(Vertical, can_focus=True, inherit_bindings=False):
    """Scrolls both answers together; paints only the parts that changed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # One line of help for all ways to scroll; those without words are not listed.
        Binding("f,pagedown", "scroll_pair(1, 0)", "Scroll", show=False, key_display="f/d ↑ ↓"),
        Binding("d,pageup", "scroll_pair(-1, 0)", "", show=False),
        Binding("down", "scroll_pair(0, 1)", "", show=False),
        Binding("up", "scroll_pair(0, -1)", "", show=False),
        Binding("home", "scroll_pair(-999, 0)", "", show=False),
        Binding("end", "scroll_pair(999, 0)", "", show=False),
        Binding("p", "whole", "Whole prompt, reference", show=False),
    ]
    DEFAULT_CSS = """
    PairView { height: 1fr; padding: 0 1; }
    PairView Static { height: auto; padding: 0 1; text-wrap: nowrap; }
    PairView .part { border-top: solid $border; border-title-color: $text-muted; }
    PairView #answers { height: auto; layout: horizontal; }
    PairView #right { margin-left: 1; }
    PairView.-stacked #answers { layout: vertical; }
    PairView.-stacked #right { margin-left: 0; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self._shown: PairText | None = None
        self._offset = 0
        self._whole = ""
        self._layout: Layout | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="message", markup=False)
        yield Static(id="prompt", markup=False)
        with Horizontal(id="answers"):
            yield Static(id="left", classes="part", markup=False)
            yield Static(id="right", classes="part", markup=False)
            yield Static(id="single", classes="part", markup=False)
        yield Static(id="reference", classes="part", markup=False)
        yield Static(id="verdict", classes="part", markup=False)

    def on_mount(self) -> None:
        self.query_one("#reference").border_title = "reference"
        for part in self.query(Static):
            part.display = False

    def on_resize(self) -> None:
        self.set_class(self._stacked, "-stacked")
        self._place()

    @property
    def _stacked(self) -> bool:
        return self.app.size.width < STACK_BELOW

    def show(self, pair: PairText) -> None:
        """Take another pair, or new words on this one; back to the top for another."""
        before, self._shown = self._shown, pair
        if pair == before:
            return
        if before is None or before.title != pair.title or before.single_title != pair.single_title:
            self._offset, self._whole = 0, ""
        # Titles may hold names from data: Content is never read as markup.
        self.border_title = Content(pair.title)
        for side in ("left", "right"):
            name, note = getattr(pair, f"{side}_title"), getattr(pair, f"{side}_note")
            self.query_one(f"#{side}", Static).border_title = _titled(name, note)
        self.query_one("#verdict").border_title = pair.verdict_title
        self._place()

    def action_scroll_pair(self, pages: int, lines: int) -> None:
        """Move both answers by pages less a line, or by lines."""
        if self._layout is not None:
            self._move(pages * max(1, self._layout.visible - 1) + lines)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Both answers move, whichever is under the mouse."""
        event.stop()
        self._move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Both answers move, whichever is under the mouse."""
        event.stop()
        self._move(-3)

    def action_whole(self) -> None:
        """Give the answers' place to the first part that is cut, then to the next one, then back;
        what is in view already needs no place twice."""
        if self._shown is None:
            return
        cut = [name for name in ("prompt", "reference", "verdict") if self._has(name)]
        following = cut.index(self._whole) + 1 if self._whole in cut else 0
        self._whole = cut[following] if following < len(cut) else ""
        self._offset = 0
        self._place()

    def _has(self, name: str) -> bool:
        text: Content = getattr(self._shown, name)
        return bool(text.plain) and self._layout is not None and name in self._layout.cut

    def _move(self, by: int) -> None:
        if self._layout is None:
            return
        offset = max(0, min(self._layout.total - self._layout.visible, self._offset + by))
        if offset != self._offset:
            self._offset = offset
            self._place()

    def _place(self) -> None:
        """Size and fill every part for the room there is."""
        pair, size = self._shown, self.content_size
        if pair is None or not size.width or not size.height:
            return
        single, title = pair.single, pair.single_title
        if self._whole:
            single, title = getattr(pair, self._whole), self._whole
        room = Room(size.width, size.height, stacked=self._stacked)
        texts = {name: getattr(pair, name) for name in (*PARTS, "asked") if name != "single"}
        layout = laid_out({**texts, "single": single}, room, self._offset, pair.verdict_least)
        self._layout, self._offset = layout, layout.offset
        with self.app.batch_update():
            for name in PARTS:
                part = self.query_one(f"#{name}", Static)
                placed = layout.parts.get(name)
                part.display = placed is not None
                if placed is not None:
                    part.styles.width, part.styles.height = placed.width, placed.height
                    part.update(placed.text)
            self.query_one("#answers").display = layout.visible > 0
            note = "p goes on" if self._whole else ""
            self.query_one("#single").border_title = _titled(title, note)
            lines = ""
            if layout.total > layout.visible > 0:
                last = min(layout.total, self._offset + layout.visible)
                lines = f"lines {self._offset + 1}-{last} of {layout.total} (f/d)"
            self.border_subtitle = Content("   ".join(filter(None, (pair.subtitle, lines))))


def _titled(name: str, note: str) -> Content:
    return Content.assemble((name, "bold $text-accent"), (f"  {note}" if note else "", MUTED))
