"""What the terminal shows, kept so that only what differs is sent.

In: a compositor's update (whole widgets, painted again). Out: the escape sequences of the cells
that are not on the screen yet. A curve that grew by a point repaints its chart, and a few cells of
it differ: over SSH the bytes are what lags.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip

from tuiwb.app.key_order import KeysInOrder
from tuiwb.app.pace import PromptScreen, ground_of

SAME_BETWEEN = 5  # cells worth sending again: to move the cursor over them takes as many bytes
MOST_CHARACTERS = 1 << 13
FIRST_WIDE = 0x2E80  # East Asian scripts and pictographs, which terminals measure differently


class Frame:
    """The cells a terminal shows; `forget()` when something else may have painted there."""

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}
        self._whole = Region()  # what was painted last as a whole

    def forget(self) -> None:
        """The next updates are sent whole."""
        self._rows.clear()

    def difference(self, update: CompositorUpdate) -> CompositorUpdate:
        """The same update, of which only what differs will be rendered."""
        if isinstance(update, LayoutUpdate | ChopsUpdate):
            return _Difference(self, update)
        self.forget()
        return update

    def render(self, update: LayoutUpdate | ChopsUpdate, console: Console) -> str:
        """The sequences that bring the terminal to what `update` shows."""
        if isinstance(update, LayoutUpdate) and update.region != self._whole:
            # The terminal has another size: what was painted for the one before fell anywhere.
            self._whole = update.region
            self.forget()
        system = console._color_system or ColorSystem.TRUECOLOR
        out: list[str] = []
        for y, x, strip in _pieces(update):
            row = self._rows.get(y)
            if row is None:
                row = self._rows[y] = _Row()
            out += row.paint(x, y, strip, system, console)
        return "".join(out)


class _Difference(CompositorUpdate):
    """An update that is compared with the frame when it is rendered, not before."""

    def __init__(self, frame: Frame, update: LayoutUpdate | ChopsUpdate) -> None:
        self._frame = frame
        self._update = update

    def render_segments(self, console: Console) -> str:
        return self._frame.render(self._update, console)


class _Row:
    """One row of the screen: the strips painted there, and its cells where they are known."""

    def __init__(self) -> None:
        self._strips: dict[int, Strip] = {}
        self._cells: list[tuple[str, str]] = []

    def paint(
        self, x: int, y: int, strip: Strip, system: ColorSystem, console: Console
    ) -> Iterator[str]:
        """Sequences for a strip that begins at column `x`; nothing if it stands there already."""
        if (known := self._strips.get(x)) is not None and (known is strip or known == strip):
            return
        end = x + strip.cell_length
        for start, other in list(self._strips.items()):
            if start < end and start + other.cell_length > x:
                del self._strips[start]
        self._strips[x] = strip
        if len(self._cells) < end:
            self._cells += [("", "")] * (end - len(self._cells))
        parts = _parts(strip, system)
        if parts is None:
            self._cells[x:end] = [("", "")] * (end - x)
            yield f"\x1b[{y + 1};{x + 1}H"
            yield strip.render(console)
            return
        cells = [(char, look) for text, look in parts for char in text]
        before = self._cells[x:end]
        self._cells[x:end] = cells
        for first, last in _runs(before, cells):
            yield f"\x1b[{y + 1};{x + first + 1}H"
            for text, look in _between(parts, first, last):
                yield f"\x1b[{look}m{text}\x1b[0m" if look else text


def _between(parts: list[tuple[str, str]], first: int, last: int) -> Iterator[tuple[str, str]]:
    """(text, look) of the cells from `first` on and before `last`; neighbours differ in look."""
    said, said_look = "", ""
    start = 0
    for text, look in parts:
        if start >= last:
            break
        piece = text[max(0, first - start) : last - start]
        start += len(text)
        if not piece:
            continue
        if said and look != said_look:
            yield said, said_look
            said = ""
        said, said_look = said + piece, look
    if said:
        yield said, said_look


def _runs(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """Where the cells differ, as (first, past the last); runs that almost touch become one."""
    if before == after:
        return
    differ = [at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    first = last = differ[0]
    for at in differ:
        if at - last > SAME_BETWEEN:
            yield first, last + 1
            first = at
        last = at
    yield first, last + 1


def _parts(strip: Strip, system: ColorSystem) -> list[tuple[str, str]] | None:
    """(text, its colours and attributes) one after the other; None where a cell isn't one
    character.

    Links are left to Textual, too.
    """
    parts: list[tuple[str, str]] = []
    for text, style, _ in strip:
        if not _plain(text) or (style is not None and style._link):
            return None
        parts.append((text, "" if style is None else _ansi(style, system)))
    return parts


def _ansi(style: Style, system: ColorSystem) -> str:
    return style._ansi if style._ansi is not None else Strip.render_ansi(style, system)


class _OneCell(dict[str, bool]):
    """Whether a character takes one cell, in any terminal; asked once of each."""

    def __missing__(self, char: str) -> bool:
        found = ord(char) < FIRST_WIDE and get_character_cell_size(char) == 1
        if len(self) < MOST_CHARACTERS:
            self[char] = found
        return found


_ONE_CELL = _OneCell()
# Box drawing, blocks and braille beside plain ASCII: what most of a screen is made of.
_DRAWN = re.compile("[ -~\u2500-\u259f\u2800-\u28ff]*").fullmatch


def _plain(text: str) -> bool:
    """Whether every character takes one cell. By character: whole texts would be kept for ever."""
    if text.isascii():
        return text.isprintable()
    return bool(_DRAWN(text)) or all(_ONE_CELL[char] for char in set(text))


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """(y, x, strip) of everything an update paints."""
    if isinstance(update, LayoutUpdate):
        for y, line in enumerate(update.strips, update.region.y):
            x = update.region.x
            painted: Iterable[Strip | None] = line
            for strip in painted:
                if strip is None:
                    # The terminal grew and the screen below a dialog is not laid out yet: what
                    # is painted next brings the rest of the row.
                    break
                yield y, x, strip
                x += strip.cell_length
        return
    for y, x1, x2 in update.spans:
        for end, (x, piece) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if piece is None or x > x2 or end <= x1:
                continue
            yield y, x, piece if x2 > x >= x1 and end <= x2 else piece.crop(0, min(end, x2) - x)


class FramedApp(KeysInOrder):
    """An app that sends only what differs; ctrl+l paints everything, ctrl+z suspends."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "ctrl+l",
            "repaint",
            "Paint again",
            show=False,
            id="repaint",
            tooltip="paint the whole screen again",
        ),
        Binding(
            "ctrl+z",
            "suspend_process",
            "Suspend",
            show=False,
            id="suspend",
            tooltip="to the shell; fg comes back",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._frame = Frame()
        # The screen that the terminal shows, dialogs aside; None when that isn't certain.
        self.painted_ground: Screen[Any] | None = None

    def on_mount(self) -> None:
        """What was painted over while we were suspended is painted again."""
        self.app_resume_signal.subscribe(self, lambda _: self.action_repaint())

    @contextmanager
    def suspend(self) -> Iterator[None]:
        """Leave the terminal to another program; the screen comes back also where that raises,
        as Textual's own does not."""
        raised: BaseException | None = None
        with super().suspend():
            try:
                yield
            except BaseException as error:
                raised = error
        if raised is not None:
            raise raised

    def _display(self, screen: Screen[object], renderable: Any) -> None:
        if isinstance(renderable, CompositorUpdate):
            # Others' dialogs may tint what is below.
            ground = ground_of(screen) if isinstance(screen, PromptScreen) else None
            whole = isinstance(renderable, LayoutUpdate) and renderable.region == self.size.region
            if not whole and ground is not self.painted_ground:
                ground = None  # a part says nothing of the rest
            self.painted_ground = ground
            renderable = self._frame.difference(renderable)
        super()._display(screen, renderable)

    def on_resize(self) -> None:
        """A terminal that was resized, or attached again, may show anything."""
        self.action_repaint()

    def action_repaint(self) -> None:
        """Paint the whole screen, also what should stand there already."""
        self._frame.forget()
        self.painted_ground = None
        self.screen.refresh()
