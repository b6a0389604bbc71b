"""The hardware on the screen: each GPU's memory, past and trouble, its processes, the host.

`show(device, history, estimate)` is all there is to call; what did not change is not painted.
"""

import time
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tuiwb.jobs.events import Device
from tuiwb.monitor.device_past import DevicePast
from tuiwb.monitor.device_text import ASCII, BLOCKS, Layout, device_lines
from tuiwb.monitor.device_words import Line
from tuiwb.train.estimate import MemoryEstimate

# role -> theme colour, how much of it (the rest is background), bold
ROLES: dict[str, tuple[str, float, bool]] = {
    "job": ("primary", 1, False),
    "past": ("primary", 0.7, False),
    "others": ("secondary", 1, False),
    "estimate": ("accent", 1, True),
    "text": ("foreground", 1, False),
    "bold": ("foreground", 1, True),
    "muted": ("foreground", 0.6, False),
    "warning": ("warning", 1, False),
    "error": ("error", 1, True),
}


WAITING = "waiting for the first look at the hardware"
NOT_RECORDED = "not recorded by this trainer"


def as_of(t: float) -> str:
    """When the hardware was last looked at, in words; "" where no clock has such a time."""
    try:
        return time.strftime("as of %Y-%m-%d %H:%M:%S, the last look", time.localtime(t))
    except (OverflowError, ValueError, OSError):  # a log may hold any number
        return ""


class DeviceView(ScrollView, can_focus=True):
    """A few lines a GPU, or one where there is no room for more.

    `processes` lists who holds the memory: None where there is room for it. `glyphs`: "blocks" or
    "ascii".
    """

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
        self.processes: bool | None = None
        self.glyphs = "blocks"
        self._nothing = WAITING
        self._device: Device | None = None
        self._past = DevicePast()
        self._estimate: tuple[int, int] | None = None
        self._as_of = ""
        self._lines: list[Line] = []
        self._strips: list[Strip] = []
        self._blank = Strip.blank(0)
        self._look: object = None
        self._listed = False
        self._made_of: tuple[tuple[object, ...], object] = ((None,) * 4, None)

    def show(
        self,
        device: Device | None,
        history: DevicePast | Sequence[Device] = (),
        estimate: MemoryEstimate | None = None,
        *,
        past: bool = False,
    ) -> None:
        """Take the newest sample, the ones before it and the estimate; paints what changed.

        `past`: it is no longer so, and when it was is said.
        """
        had, self._device = self._has_gpu, device
        self._past = history if isinstance(history, DevicePast) else DevicePast(history)
        self._as_of = as_of(device.t) if past and device is not None else ""
        self._estimate = (estimate.low, estimate.high) if estimate else None
        self._draw()
        if had != self._has_gpu:
            self.refresh_bindings()

    def recorded(self, by_trainer: bool) -> None:
        """Whether the run's trainer looks at the hardware at all."""
        self._nothing = WAITING if by_trainer else NOT_RECORDED
        self._draw()

    @property
    def _has_gpu(self) -> bool:
        return self._device is not None and bool(self._device.gpus)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Processes are listed where there is a GPU that they could be on."""
        return self._has_gpu if action == "toggle_processes" else True

    def action_toggle_processes(self) -> None:
        """Show or hide who holds each GPU's memory."""
        self.processes = not self._listed
        self._draw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the layout for this terminal has."""
        return max(1, len(self._layout_lines(width, max(container.height, 1), viewport.height)))

    def lines_in(self, width: int, room: int) -> int:
        """How many lines of that width it has to say, at most `room` if that can be."""
        return len(self._layout_lines(width, room, 0))

    def on_resize(self) -> None:
        """Lines are as wide as the widget."""
        self._draw()

    def _layout_lines(self, width: int, height: int, screen: int) -> list[Line]:
        """The fullest layout that fits: the widget's height, or a third of the screen if auto."""
        if self._device is None:
            return [[(self._nothing, "muted")]]
        fixed = self.styles.height is not None and not self.styles.height.is_auto
        room = height if fixed else max(screen // 3, 4)
        head: list[Line] = [[(self._as_of, "muted")]] if self._as_of and room > 1 else []
        room -= len(head)
        layouts: tuple[Layout, ...] = ("block", "brief", "line") if width >= 40 else ("line",)
        if self.processes is None:
            # What each GPU does comes before who else is on it.
            plans = [(layouts[0], True), *((layout, False) for layout in layouts)]
        else:
            plans = [(layout, self.processes) for layout in layouts]
        lines: list[Line] = []
        for layout, listed in plans:
            lines = device_lines(
                self._device,
                self._past,
                self._estimate,
                width=width,
                layout=layout,
                processes=listed,
                glyphs=ASCII if self.glyphs == "ascii" else BLOCKS,
            )
            self._listed = listed
            if len(lines) <= room:
                break
        return head + lines

    def _draw(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        width = self.scrollable_content_region.width
        times = self._past.times
        made_of = (
            (self._device, len(times), times[-1] if times else None, self._estimate),
            (
                width,
                self.size.height,
                self.app.size.height,
                self.processes,
                self.glyphs,
                self._nothing,
                self._as_of,
            ),
        )
        if self._made_of[1] == made_of[1] and all(
            a is b or (isinstance(a, int | float | tuple) and a == b)
            for a, b in zip(self._made_of[0], made_of[0], strict=True)
        ):
            return
        self._made_of = made_of
        lines = self._layout_lines(width, self.size.height, self.app.size.height)
        if lines == self._lines:
            return
        taller = len(lines) != len(self._lines)
        self._lines, self._strips = lines, []
        self.virtual_size = Size(width, len(lines))
        self.refresh(layout=taller)

    def render_lines(self, crop: Region) -> list[Strip]:
        width, base = self.scrollable_content_region.width, self.rich_style
        look = (self.app.theme, self.app.current_theme, base, width)
        if look != self._look or len(self._strips) != len(self._lines):
            self._look, self._blank = look, Strip.blank(width, base)
            styles = {role: base + self._style(*how) for role, how in ROLES.items()}
            self._strips = [
                Strip([Segment(text, styles[role]) for text, role in line]).adjust_cell_length(
                    width, base
                )
                for line in self._lines
            ]
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        at = y + self.scroll_offset.y
        return self._strips[at] if at < len(self._strips) else self._blank

    def _style(self, colour: str, share: float, bold: bool) -> Style:
        value = Color.parse(self.app.theme_variables.get(colour, "#ffffff"))
        back = Color.parse(self.app.theme_variables.get("background", "#000000"))
        if value.ansi is not None or back.ansi is not None:
            return Style(color=value.rich_color, dim=share < 1, bold=bold)
        return Style(color=back.blend(value, share).rich_color, bold=bold)
