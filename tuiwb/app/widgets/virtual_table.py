"""A table over an index: it asks for the rows it paints and no others, so millions cost nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuiwb.text import inert

Cells = Sequence[str]


@dataclass(frozen=True)
class Column:
    """A column: its title, its width in cells (0 takes what is left), its alignment.

    A `mark` column says what makes a row stand out.
    """

    title: str
    width: int = 0
    right: bool = False
    mark: bool = False


class VirtualTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows 0 to `count` - 1, each made by `cells(position)` when it is painted.

    A cell is data: it is shown inert, on one line. `marked(position)` says which rows stand out;
    the text of their mark column says so too, colour only helps.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "virtual-table--header",
        "virtual-table--cursor",
        "virtual-table--dim",
        "virtual-table--mark",
    }
    DEFAULT_CSS = """
    VirtualTable {
        & > .virtual-table--header { color: $text-muted; text-style: bold; }
        & > .virtual-table--cursor { background: $panel; }
        &:focus > .virtual-table--cursor { background: $primary 30%; text-style: bold; }
        & > .virtual-table--dim { color: $foreground 60%; }
        & > .virtual-table--mark { color: $text-error; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f,space", "page(1)", "Page down", show=False),
        Binding("home", "go_to(0)", "First row", show=False),
        Binding("end,G", "go_to(-1)", "Last row", show=False),
        Binding("enter", "open", "Read", show=False),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)

    class Highlighted(Message):
        """The cursor came to a row."""

        def __init__(self, table: "VirtualTable", position: int) -> None:
            super().__init__()
            self.table = table
            self.position = position

        @property
        def control(self) -> "VirtualTable":
            """The table it came from."""
            return self.table

    class Opened(Highlighted):
        """Enter, or a click on the row the cursor was on."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = columns
        self._cells: Callable[[int], Cells] = lambda _position: ()
        self._marked: Callable[[int], bool] = lambda _position: False
        self.count = 0

    def show(
        self,
        count: int,
        cells: Callable[[int], Cells],
        marked: Callable[[int], bool],
        cursor: int = 0,
        columns: Sequence[Column] | None = None,
        quiet: bool = False,
    ) -> None:
        """Show other rows, the cursor on one of them; `quiet` says nothing of the cursor."""
        self.count, self._cells, self._marked = count, cells, marked
        if columns is not None:
            self._columns = columns
        self.virtual_size = Size(0, count + 1)
        with self.prevent(VirtualTable.Highlighted):
            self.set_reactive(VirtualTable.cursor, max(0, min(cursor, count - 1)))
        self._keep_in_view()
        self.refresh()
        if count and not quiet:
            self.post_message(self.Highlighted(self, self.cursor))

    def validate_cursor(self, cursor: int) -> int:
        """The cursor stays on a row."""
        return max(0, min(cursor, self.count - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """Paint the two lines that changed, follow with the scroll, tell."""
        for position in (before, now):
            self._repaint(position)
        self._keep_in_view()
        if before != now and self.count:
            self.post_message(self.Highlighted(self, now))

    def _repaint(self, position: int) -> None:
        y = position + 1 - self.scroll_offset.y
        if 0 < y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _keep_in_view(self) -> None:
        top, room = self.scroll_offset.y, max(1, self.size.height - 1)
        if self.cursor < top:
            self._scroll_for(self.cursor if self.cursor >= top - room else self.cursor - room // 2)
        elif self.cursor >= top + room:
            near = self.cursor < top + 2 * room
            self._scroll_for(self.cursor - (room - 1 if near else room // 2))

    def _scroll_for(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            titles = [column.title for column in self._columns]
            style = self.get_component_rich_style("virtual-table--header")
            return self._strip(titles, width, [style] * len(titles), style)
        position = y - 1 + self.scroll_offset.y
        base = self.rich_style
        if not 0 <= position < self.count:
            return Strip.blank(width, base)
        dim = self.get_component_rich_style("virtual-table--dim")
        mark = self.get_component_rich_style("virtual-table--mark")
        styles = [base if column.width == 0 else dim for column in self._columns]
        if self._marked(position):
            styles = [
                mark if column.mark else style
                for column, style in zip(self._columns, styles, strict=True)
            ]
        styles = self.cell_styles(position, styles)
        strip = self._strip(self._cells(position), width, styles, base)
        if position == self.cursor:
            cursor = self.get_component_rich_style("virtual-table--cursor")
            over = Style(bgcolor=cursor.bgcolor, bold=cursor.bold)
            strip = strip.apply_style(over) if not strip else _painted_over(strip, over)
        return strip

    def cell_styles(self, position: int, styles: list[Style]) -> list[Style]:
        """The styles of a row's cells; a table may colour some of its own."""
        return styles

    def _strip(self, cells: Cells, width: int, styles: list[Style], base: Style) -> Strip:
        fixed = sum(c.width + 1 for c in self._columns if c.width)
        segments = []
        for column, cell, style in zip(self._columns, cells, styles, strict=False):
            room = column.width or max(0, width - fixed)
            text = inert(cell[: room + 64], one_line=True)
            if column.right and len(text) < room:
                text = text.rjust(room)
            segments += [Segment(set_cell_size(text, room), style), Segment(" ", base)]
        return Strip(segments).adjust_cell_length(width, base)

    def on_resize(self) -> None:
        """The cursor stays in sight."""
        self._keep_in_view()

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move the cursor by so many screens."""
        self.cursor += by * max(1, self.size.height - 2)

    def action_go_to(self, position: int) -> None:
        """Put the cursor on a row; negative counts from the end."""
        self.cursor = position if position >= 0 else self.count + position

    def action_open(self) -> None:
        """Say that the row under the cursor is to be read."""
        if self.count:
            self.post_message(self.Opened(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A click moves the cursor; on the cursor it opens."""
        position = event.y - 1 + self.scroll_offset.y
        if event.y > 0 and position < self.count:
            if position == self.cursor:
                self.action_open()
            else:
                self.cursor = position


def _painted_over(strip: Strip, over: Style) -> Strip:
    return Strip([Segment(s.text, (s.style or Style()) + over) for s in strip], strip.cell_length)
