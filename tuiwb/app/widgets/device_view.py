"""The hardware on the screen: each GPU's memory, past and trouble, its processes, the host.

`show(device, history, estimate)` is all there is to call; what did not change is not painted.
"""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuiwb.jobs.events import Device
from tuiwb.monitor.device_text import ASCII, BLOCKS, Layout, device_lines
from tuiwb.monitor.device_words import Line
from tuiwb.train.estimate import MemoryEstimate

# role -> (theme colour, fainter, bold)
ROLES: dict[str, tuple[str, bool, bool]] = {
    "job": ("primary", False, False),
    "others": ("secondary", False, False),
    "estimate": ("accent", False, True),
    "text": ("foreground", False, False),
    "bold": ("foreground", False, True),
    "muted": ("foreground", True, False),
    "warning": ("warning", False, False),
    "error": ("error", False, True),
}


class DeviceView(ScrollView, can_focus=True):
    """A few lines a GPU, or one where there is no room for more; `processes` lists who holds it."""

    DEFAULT_CSS = """
    DeviceView {
        height: auto;
        width: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "toggle_processes", "GPU processes"),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.processes = False
        self.glyphs = "blocks"  # or "ascii"
        self._device: Device | None = None
        self._history: Sequence[Device] = ()
        self._estimate: tuple[int, int] | None = None
        self._lines: list[Line] = []
        self._strips: list[Strip] = []
        self._look: object = None

    def show(
        self,
        device: Device | None,
        history: Sequence[Device] = (),
        estimate: MemoryEstimate | None = None,
    ) -> None:
        """Take the newest sample, the ones before it and the estimate; paints what changed."""
        self._device, self._history = device, history
        self._estimate = (estimate.low, estimate.high) if estimate else None
        self._draw()

    def action_toggle_processes(self) -> None:
        """Show or hide who holds each GPU's memory."""
        self.processes = not self.processes
        self._draw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the layout for this terminal has."""
        return max(1, len(self._layout_lines(width, max(container.height, 1), viewport.height)))

    def on_resize(self) -> None:
        """Lines are as wide as the widget."""
        self._draw()

    def _layout_lines(self, width: int, height: int, screen: int) -> list[Line]:
        """Blocks where they fit in a third of the screen or in the height given, else lines."""
        if self._device is None:
            return [[("waiting for the first look at the hardware", "muted")]]
        room = max(
            screen // 3, height if self.styles.height and not self.styles.height.is_auto else 0
        )
        layouts: tuple[Layout, ...] = ("block", "line") if width >= 76 else ("line",)
        lines: list[Line] = []
        for layout in layouts:
            lines = device_lines(
                self._device,
                self._history,
                self._estimate,
                width=width,
                layout=layout,
                processes=self.processes,
                glyphs=ASCII if self.glyphs == "ascii" else BLOCKS,
            )
            if len(lines) <= room:
                break
        return lines

    def _draw(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        width = self.scrollable_content_region.width
        lines = self._layout_lines(width, self.size.height, self.app.size.height)
        if lines == self._lines:
            return
        taller = len(lines) != len(self._lines)
        self._lines, self._strips = lines, []
        self.virtual_size = Size(width, len(lines))
        self.refresh(layout=taller)

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        look = (self.app.theme, self.app.current_theme)
        if look != self._look or len(self._strips) != len(self._lines):
            self._look = look
            styles = {role: self._style(*how) for role, how in ROLES.items()}
            self._strips = [
                Strip([Segment(text, styles[role]) for text, role in line]) for line in self._lines
            ]
        at = y + self.scroll_offset.y
        strip = self._strips[at] if at < len(self._strips) else Strip.blank(width)
        return strip.adjust_cell_length(width).apply_style(self.rich_style)

    def _style(self, colour: str, faint: bool, bold: bool) -> Style:
        value = Color.parse(self.app.theme_variables.get(colour, "#ffffff"))
        back = Color.parse(self.app.theme_variables.get("background", "#000000"))
        if value.ansi is not None or back.ansi is not None:
            return Style(color=value.rich_color, dim=faint, bold=bold)
        return Style(color=(back.blend(value, 0.6) if faint else value).rich_color, bold=bold)
