"""When a screen is painted: what a key did at once, news between keys.

In: changes of widgets, and when keys came. Out: paints. Textual paints at most at the ticks of a
timer; a key whose effect reaches the screen in two steps then waits for two of them.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, cast

from textual import events
from textual.app import App
from textual.geometry import Region, Size
from textual.screen import ModalScreen, Screen, ScreenResultType
from textual.widget import Widget

from tuiwb.app.painter import Painter

if TYPE_CHECKING:
    from tuiwb.app.frame import FramedApp

CALM = 0.15  # seconds after a key in which news waits: what the key did comes first
LATEST = 1.0  # seconds after which news comes although keys are pressed all the time
FRAME = 1 / 60  # seconds between two paints of news
TURNS = 8  # of the event loop, in which a key reaches all that it changes


def calm_in(app: App[Any], due: float = 0.0) -> float:
    """Seconds until no key has come for a while; 0 when that is so. News that has been `due` (by
    the monotonic clock) for `LATEST` waits no longer."""
    now = time.monotonic()
    wait = float(getattr(app, "last_input", 0.0)) + CALM - now
    if due:
        wait = min(wait, due + LATEST - now)
    return max(0.0, wait)


def ground_of(screen: Screen[Any]) -> Screen[Any]:
    """The screen that shows around a dialog; itself where it is none."""
    stack = screen.app.screen_stack
    if screen not in stack:
        return screen
    at = stack.index(screen)
    while at > 0 and isinstance(stack[at], ModalScreen):
        at -= 1
    return stack[at]


class PromptScreen(Screen[ScreenResultType]):
    """A screen painted as soon as a key has been worked off, else at most once a frame.

    Asked to paint itself as a whole, because a dialog over it opened or closed, it paints what
    `painted_over` says: all else stands on the terminal.
    """

    def __init__(
        self, name: str | None = None, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._compositor: Painter = Painter()
        self._planned: asyncio.Handle | None = None
        self._last_paint = 0.0
        self._asked_for: set[Region] = set()
        self._all_asked_for = False
        self._whole_layout = True
        self._styled_for: tuple[object, ...] = ()
        self.painted_over: set[Region] = set()  # what dialogs over it have painted on

    async def _on_idle(self, event: events.Idle) -> None:
        event.prevent_default()
        changed = (
            self._layout_required
            or self._scroll_required
            or self._repaint_required
            or self._recompose_required
            or self._dirty_widgets
        )
        if changed and not self.app._batch_count and self.is_current:
            self._plan_paint()
        else:
            await self._invoke_and_clear_callbacks()

    def _plan_paint(self) -> None:
        """Paint soon, or at the next frame; a key brings forward what waits for that."""
        soon = calm_in(self.app) > 0
        if self._planned is not None:
            if not soon or not isinstance(self._planned, asyncio.TimerHandle):
                return
            self._planned.cancel()
        wait = 0.0 if soon else self._last_paint + FRAME - time.monotonic()
        if wait > 0:
            self._planned = asyncio.get_running_loop().call_later(wait, self._paint_changes)
        else:
            self._paint_in(TURNS)

    def _paint_in(self, turns: int) -> None:
        if turns:
            self._planned = asyncio.get_running_loop().call_soon(self._paint_in, turns - 1)
        else:
            self._paint_changes()

    @property
    def stands(self) -> bool:
        """Whether the terminal shows this screen as it was painted last, but for dialogs on it."""
        app = cast("FramedApp", self.app)
        return getattr(app, "painted_ground", None) is ground_of(self)

    def refresh(
        self,
        *regions: Region,
        repaint: bool = True,
        layout: bool = False,
        recompose: bool = False,
    ) -> Self:
        """As any widget's; what is asked for by its region is painted in any case."""
        self._asked_for.update(regions)
        self._all_asked_for |= repaint and not regions
        self._whole_layout |= layout
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self

    def lay_out(self, container: Widget) -> None:
        """Have some of a container's children, just shown or hidden, laid out by the next paint.

        By Textual's messages it may come after that paint, which then paints in vain.
        """
        for child in container.children:
            child._check_refresh()
        self._layout_widgets.setdefault(container, set())
        self._layout_required = True

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        changed = self._layout_widgets.keys()
        if size is None and not scroll and not self._whole_layout:
            # Each with what is around it until that has a size of its own: the outermost have one.
            self._compositor.parts = frozenset(
                cast("Widget", node) for node in changed if changed.isdisjoint(node.ancestors)
            )
        self._whole_layout = False
        super()._refresh_layout(size, scroll)

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """What is styled for this theme and state of the app is not styled again."""
        app = self.app
        state = (app._css_update_count, len(app.stylesheet.source), app.pseudo_classes, app.classes)
        if state == self._styled_for:
            event.refresh_styles = False
        self._styled_for = state

    def _own_regions(self) -> set[Region]:
        """What has to be painted where all of it was asked for and it stands."""
        regions, self.painted_over = self.painted_over, set()
        return regions

    def _on_timer_update(self) -> None:
        if self._repaint_required and not self._layout_required and self.stands:
            below = self.app.screen is not self  # what changed of it, the dialog's screen paints
            if below or self._all_asked_for:
                self._repaint_required = False
                self._repaint_regions.clear()
                if not below and (regions := self._own_regions() | self._asked_for):
                    self._set_dirty(*regions)
                    self._dirty_widgets.add(self)
        self._asked_for.clear()
        self._all_asked_for = False
        super()._on_timer_update()

    def _paint_changes(self) -> None:
        self._planned = None
        if not self.is_running or self._closing or self.app._exit:
            return
        try:
            self._on_timer_update()
        except Exception as error:
            self.app._handle_exception(error)
        self._last_paint = time.monotonic()
