"""A dialog that leaves the screen below as it is: nothing of it is tinted, and so nothing of it is
painted or sent again when the dialog opens, changes or closes."""

from textual._context import visible_screen_stack
from textual.geometry import Region
from textual.screen import ModalScreen, ScreenResultType
from textual.strip import Strip

from tuiwb.app.painter import Painter


class Modal(ModalScreen[ScreenResultType]):
    """Where the dialog has no widget, the lines of the screen below, without what they can do."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = Painter()

    def render_lines(self, crop: Region) -> list[Strip]:
        try:
            below = visible_screen_stack.get().pop()
        except LookupError:
            return super().render_lines(crop)
        lines = below._compositor.render_strips(self.size)[crop.y : crop.bottom]
        strips = [line.crop(crop.x, crop.right).discard_meta() for line in lines]
        missing = crop.height - len(strips)
        return strips + [Strip.blank(crop.width, self.rich_style)] * missing
