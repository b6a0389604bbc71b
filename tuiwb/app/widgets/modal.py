"""A dialog that leaves the screen below as it is: nothing of it is tinted, and so nothing of it is
painted or sent again when the dialog opens, changes or closes."""

from textual import events
from textual._context import visible_screen_stack
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.geometry import Region
from textual.screen import ModalScreen, ScreenResultType
from textual.strip import Strip

from tuiwb.app.pace import PromptScreen, ground_of
from tuiwb.app.painter import Painter
from tuiwb.app.widgets.key_line import KeyLine

# Keys of a dialog whose text may be longer than it.
SCROLL = (
    Binding("j", "scroll(1)", "Down", show=False),
    Binding("k", "scroll(-1)", "Up", show=False),
)


class Modal(ModalScreen[ScreenResultType], PromptScreen[ScreenResultType]):
    """Where the dialog has no widget, the lines of the screen below, without what they can do."""

    def __init__(self) -> None:
        super().__init__()
        self._opening = False

    def _on_mount(self, _event: events.Mount) -> None:
        self.bindings_updated_signal.subscribe(self, lambda _screen: self._name_keys())

    def _on_screen_resume(self, _event: events.ScreenResume) -> None:
        self._opening = True
        self._name_keys()

    def _name_keys(self) -> None:
        """The key line of the screen below names the keys of the dialog."""
        if self.is_current:
            for line in ground_of(self).query(KeyLine):
                line.look_again()

    def on_click(self, event: events.Click) -> None:
        """The key line stands below it: what it names can be pressed there, too."""
        for line in ground_of(self).query(KeyLine):
            if event.widget is self and event.screen_y == line.region.y:
                line.press_at(event.screen_x - line.region.x)

    def action_scroll(self, by: int) -> None:
        """Scroll its text by a line."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    @property
    def covered(self) -> set[Region]:
        """Where it has widgets that show."""
        shown = self._compositor.visible_widgets.items()
        found = {region.intersection(clip) for widget, (region, clip) in shown if widget != self}
        return {region for region in found if region}

    def _own_regions(self) -> set[Region]:
        return super()._own_regions() | self.covered

    def _compositor_refresh(self) -> None:
        if self._opening:
            self._opening = False
            if self.stands:
                dirty, whole = self._compositor._dirty_regions, self._compositor.size.region
                # What changed below meanwhile is in it, too; and what was beyond a smaller screen.
                changed = {region.intersection(whole) for region in dirty} - {whole}
                changed |= {region.intersection(whole) for region in self._own_regions()}
                dirty.clear()
                dirty.update(region for region in changed if region)
        if self.app.screen is self:
            for below in self.app._background_screens:
                if isinstance(below, PromptScreen):
                    below.painted_over |= self.covered
        super()._compositor_refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        try:
            below = visible_screen_stack.get().pop()
        except LookupError:
            return super().render_lines(crop)
        compositor = below._compositor
        if isinstance(compositor, Painter):
            lines = compositor.lines(crop)
        else:
            lines = compositor.render_strips(self.size)[crop.y : crop.bottom]
        strips = [line.crop(crop.x, crop.right).discard_meta() for line in lines]
        missing = crop.height - len(strips)
        return strips + [Strip.blank(crop.width, self.rich_style)] * missing
