"""A run's log: what its worker printed and what happened, wrapped, searched, inert.

In: lines with a kind ("", "note", "warn", "error"). It keeps the newest `KEPT`, of long ones the
last `MOST` characters, follows the end until one scrolls up, and paints only when a line came.
"""

import re
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from rich.cells import chop_cells
from rich.segment import Segment
from rich.style import Style
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from tuiwb.text import inert

KEPT = 2000
MOST = 200_000  # characters, of lines that are long
PARTS = 1 << 13  # rows of a line at most: more than a line has characters
Line = tuple[str, str]  # text, kind


class LogLines(ScrollView, can_focus=True, inherit_bindings=False):
    """The lines themselves; `search()` moves between those that match."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--note",
        "log--warn",
        "log--error",
        "log--match",
        "log--here",
    }
    DEFAULT_CSS = """
    LogLines {
        height: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        & > .log--note { color: $text-accent; }
        & > .log--warn { color: $text-warning; }
        & > .log--error { color: $text-error; }
        & > .log--match { text-style: underline; }
        & > .log--here { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_by(-1)", "Up", show=False),
        Binding("down,j", "scroll_by(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f,space", "page(1)", "Page down", show=False),
        Binding("home", "go_to_start", "First line", show=False),
        Binding("end,G", "go_to_end", "Last line", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: deque[Line] = deque()
        self._length = 0  # characters of them
        # Of each row: the number of its line * PARTS + which part of it. The texts of the parts are
        # made when they are painted: thousands of them would be kept for the few that show.
        self._rows = array("q")
        self._first = 0  # the number of the oldest line kept
        self._live: Line | None = None
        self._pattern: re.Pattern[str] | None = None
        self._found: deque[int] = deque()  # the numbers of the lines that match
        self._here = -1
        self._width = 0

    def clear(self) -> None:
        """Forget everything, what was searched for too."""
        self._lines.clear()
        self._found.clear()
        self._pattern = None
        self._length = 0
        self._rows, self._first, self._live, self._here = array("q"), 0, None, -1
        self.virtual_size = Size(0, 0)
        self.scroll_to(y=0, animate=False, force=True)
        self.refresh()

    def add(self, lines: Iterable[Line], live: Line | None = None) -> None:
        """Append lines; `live` is a last one that is still being written."""
        fresh = [(inert(text, one_line=True), kind) for text, kind in lines if text.strip()]
        shown = (inert(live[0], one_line=True), live[1]) if live and live[0].strip() else None
        if not fresh and shown == self._live:
            return
        follow = self.at_end
        if self._live is not None:
            while self._rows and self._rows[-1] // PARTS == self._first + len(self._lines):
                self._rows.pop()
        for line in fresh:
            self._add_rows(line[0])
            if self._pattern is not None and self._pattern.search(line[0]):
                self._found.append(self._first + len(self._lines))
            self._lines.append(line)
            self._length += len(line[0])
        self._drop_old()
        self._live = shown
        if shown is not None:
            self._add_rows(shown[0])
        self._sized(follow)

    @property
    def at_end(self) -> bool:
        """Whether the last row is in sight."""
        return self.scroll_offset.y >= self.max_scroll_y - 1

    @property
    def text(self) -> str:
        """Everything that is kept, as it is shown before wrapping."""
        live = [self._live[0]] if self._live else []
        return "\n".join([*(text for text, _ in self._lines), *live])

    def search(self, words: str, step: int) -> tuple[int, int]:
        """Go to the next (1) or previous (-1) line with `words`, a regex where it is one; '' ends
        the search. (which match it is from 1, how many there are); (0, 0) for none."""
        self._found.clear()
        if not words:
            self._pattern, self._here = None, -1
            self.refresh()
            return 0, 0
        try:
            self._pattern = re.compile(words, re.IGNORECASE)
        except re.error:
            self._pattern = re.compile(re.escape(words), re.IGNORECASE)
        self._found.extend(
            self._first + n for n, (text, _) in enumerate(self._lines) if self._pattern.search(text)
        )
        found = self._matching()
        if not found:
            self._here = -1
            self.refresh()
            return 0, 0
        if self._here < 0:
            at = len(found) - 1
        elif step > 0:
            at = next((n for n, line in enumerate(found) if line > self._here), 0)
        else:
            at = next((n for n in reversed(range(len(found))) if found[n] < self._here), -1)
            at %= len(found)
        self._here = found[at]
        row = bisect_left(self._rows, self._here * PARTS)
        self.scroll_to(y=max(0, row - self.size.height // 2), animate=False, force=True)
        self.refresh()
        return at + 1, len(found)

    @property
    def matches(self) -> tuple[int, int]:
        """Which match one is at, from 1, 0 for none; how many there are."""
        found = self._matching()
        return found.index(self._here) + 1 if self._here in found else 0, len(found)

    def _matching(self) -> list[int]:
        """The numbers of the lines that match, with the one that is still being written."""
        live = self._live is not None and self._pattern and self._pattern.search(self._live[0])
        return [*self._found, *([self._first + len(self._lines)] if live else [])]

    def _wrap(self, text: str) -> list[str]:
        rows = chop_cells(text, self._width) if self._width > 0 else [text]
        return rows if len(rows) > 1 else [text]  # the same string, not a copy of it

    def _add_rows(self, text: str) -> None:
        """Room for the next line, after all that are kept."""
        first = (self._first + len(self._lines)) * PARTS
        self._rows.extend(range(first, first + min(len(self._wrap(text)), PARTS)))

    def _row(self, at: int) -> tuple[int, str, str]:
        """A row: the number of its line, its text, its kind."""
        number, part = divmod(self._rows[at], PARTS)
        place = number - self._first
        text, kind = self._lines[place] if place < len(self._lines) else self._live or ("", "")
        return number, self._wrap(text)[part], kind

    def _drop_old(self) -> None:
        while len(self._lines) > KEPT or (self._length > MOST and len(self._lines) > 1):
            self._length -= len(self._lines.popleft()[0])
            self._first += 1
        while self._found and self._found[0] < self._first:
            self._found.popleft()
        if dropped := bisect_left(self._rows, self._first * PARTS):
            del self._rows[:dropped]

    def _sized(self, follow: bool) -> None:
        if not all(node.display for node in self.ancestors_with_self):
            return  # a new size would lay out the whole screen for what nobody sees
        self.virtual_size = Size(0, len(self._rows))
        if follow:
            self.scroll_to(y=max(0, len(self._rows) - self.size.height), animate=False, force=True)
        self.refresh()

    def on_show(self) -> None:
        """Catch up with what was added meanwhile."""
        self._sized(self.at_end)

    def on_resize(self) -> None:
        """Wrap anew at another width; the end stays in sight."""
        width = max(1, self.scrollable_content_region.width)
        follow = self.at_end
        if width != self._width:
            self._width = width
            lines = [*self._lines, *([self._live] if self._live is not None else [])]
            self._rows = array(
                "q",
                (
                    (self._first + n) * PARTS + part
                    for n, (text, _) in enumerate(lines)
                    for part in range(min(len(self._wrap(text)), PARTS))
                ),
            )
        self._sized(follow)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        at = y + self.scroll_offset.y
        if not 0 <= at < len(self._rows):
            return Strip.blank(width, base)
        number, row, kind = self._row(at)
        style = base + self.get_component_rich_style(f"log--{kind}", partial=True) if kind else base
        if number == self._here:
            style += self.get_component_rich_style("log--here", partial=True)
        return Strip(self._marked(row, style)).adjust_cell_length(width, base)

    def _marked(self, row: str, style: Style) -> list[Segment]:
        if self._pattern is None:
            return [Segment(row, style)]
        match = style + self.get_component_rich_style("log--match", partial=True)
        segments, end = [], 0
        for hit in self._pattern.finditer(row):
            if hit.end() > hit.start():
                segments += [
                    Segment(row[end : hit.start()], style),
                    Segment(row[hit.start() : hit.end()], match),
                ]
                end = hit.end()
        return [*segments, Segment(row[end:], style)]

    def action_scroll_by(self, by: int) -> None:
        """Scroll by rows."""
        self.scroll_to(y=self.scroll_offset.y + by, animate=False, force=True)

    def action_page(self, by: int) -> None:
        """Scroll by screens."""
        self.action_scroll_by(by * max(1, self.size.height - 1))

    def action_go_to_start(self) -> None:
        """The oldest line."""
        self.scroll_to(y=0, animate=False, force=True)

    def action_go_to_end(self) -> None:
        """The newest line, and follow from there."""
        self.scroll_to(y=self.max_scroll_y, animate=False, force=True)


class LogView(Vertical):
    """The lines and, after `/`, a field to search them in, then which match it is of how many."""

    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        & > Input { height: 1; border: none; padding: 0; display: none; }
        & > Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; display: none; }
        &.-found > Static { display: block; }
        &.-searching > Input { display: block; }
        &.-searching > Static { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/"),
        Binding("n", "again(1)", "Next match"),
        Binding("N", "again(-1)", "Previous match", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield LogLines()
        yield Static(markup=False)
        field = Input(placeholder="text or regex; enter searches backwards, esc ends", compact=True)
        field.cursor_blink = False
        yield field

    def on_mount(self) -> None:
        self.lines = self.query_one(LogLines)
        self._words = ""
        self._matches = 0, 0

    def clear(self) -> None:
        """Forget everything, what was searched for too."""
        self.lines.clear()
        self._words = ""
        self.remove_class("-found")
        self.refresh_bindings()

    def add(self, lines: Iterable[Line], live: Line | None = None) -> None:
        """Append lines; `live` is a last one that is still being written."""
        self.lines.add(lines, live)
        if self._words and self.lines.matches != self._matches:
            self._say(*self.lines.matches)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """n and N are there once something was searched for."""
        return bool(self._words) if action == "again" else True

    def action_search(self) -> None:
        """Ask for what to search."""
        self.add_class("-searching")
        field = self.query_one(Input)
        field.value = self._words
        field.focus()

    def action_again(self, step: int) -> None:
        """The next or previous line that matches."""
        self._look(step)

    def on_key(self, event: object) -> None:
        """Escape closes the field."""
        from textual.events import Key

        field = self.query_one(Input)
        if isinstance(event, Key) and event.key == "escape" and field.has_focus:
            event.stop()
            self._close("")

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._close(event.value)

    def _close(self, words: str) -> None:
        self._words = words
        self.remove_class("-searching")
        self.lines.focus()
        self._look(-1)
        self.refresh_bindings()

    def _look(self, step: int) -> None:
        self._say(*self.lines.search(self._words, step))

    def _say(self, at: int, of: int) -> None:
        """Which match one is at, of how many."""
        self._matches = at, of
        words = inert(self._words, one_line=True)
        place = f"match {at} of {of}" if at else f"{of} found"
        said = (
            Content.styled(f"{place}: {words}", "$text-accent")
            if of
            else Content.styled(f"nothing found: {words}", "$text-warning")
        )
        self.query_one(Static).update(said)
        self.set_class(bool(words), "-found")
