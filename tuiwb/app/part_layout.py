"""A layout of the part of a screen that changed.

In: the containers whose content changed and whose own size does not hang on it. Out: the same map
of all widgets as a layout of the whole screen would give. Textual lays out every widget of a screen
whenever one is shown or hidden.
"""

from collections.abc import Iterable

from textual._compositor import Compositor, CompositorMap, ReflowResult
from textual.geometry import Size
from textual.map_geometry import MapGeometry
from textual.scrollbar import ScrollBar, ScrollBarCorner
from textual.widget import Widget

OF_THE_ROOT = (0, 0, 0)  # what the order of painting begins with, but for what floats above all


class PartLayout(Compositor):
    """A compositor whose next `reflow` may be told by `parts` that nothing else changed."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: frozenset[Widget] = frozenset()

    def reflow(self, parent: Widget, size: Size) -> ReflowResult:
        scrolled = self._visible_map is not None or self._full_map_invalidated
        if scrolled or parent is not self.root or size != self.size:
            self.parts = frozenset()
        try:
            result = super().reflow(parent, size)
        finally:
            self.parts = frozenset()
        self._full_map_invalidated = False  # it holds what is scrolled out of sight, too
        return result

    def _arrange_root(
        self, root: Widget, size: Size, visible_only: bool = True
    ) -> tuple[CompositorMap, set[Widget]]:
        if self.parts and not visible_only:
            merged = self._with_parts(root, self.parts)
            if merged is not None:
                return merged
        return super()._arrange_root(root, size, visible_only)

    def _with_parts(
        self, root: Widget, parts: Iterable[Widget]
    ) -> tuple[CompositorMap, set[Widget]] | None:
        """The map and the widgets as they are, those parts arranged anew; None if that can't be."""
        found, widgets = self._full_map, self.widgets
        if _floats(found):
            return None
        for part in parts:
            place = found.get(part)
            if place is None:
                return None
            arranged, inside = super()._arrange_root(part, place.region.size, visible_only=False)
            if _floats(arranged):
                return None
            depth = len(place.order)
            found = {w: at for w, at in found.items() if at.order[:depth] != place.order}
            found.update(_moved(part, place, arranged))
            widgets = {w for w in widgets if _stays(w, root, part)} | inside
        return found, widgets


def _floats(arranged: CompositorMap) -> bool:
    """Whether anything is painted above all else, as an open list is, wherever it belongs."""
    return any(at.order[0] != OF_THE_ROOT for at in arranged.values())


def _stays(widget: Widget, root: Widget, part: Widget) -> bool:
    above = widget.ancestors_with_self
    return root in above and part not in above


def _moved(part: Widget, place: MapGeometry, arranged: CompositorMap) -> CompositorMap:
    """What was arranged from the screen's corner on, where the part is."""
    offset = place.region.offset
    count = place.order[-1][2]
    moved: CompositorMap = {}
    for widget, at in arranged.items():
        inner = len(at.order) > 1
        bar = isinstance(widget, ScrollBar | ScrollBarCorner)  # its place is the screen's
        moved[widget] = at._replace(
            region=at.region + offset,
            virtual_region=at.virtual_region + offset if bar else at.virtual_region,
            clip=(at.clip + offset).intersection(place.clip) if inner else place.clip,
            order=place.order + tuple((layer, z, n + count) for layer, z, n in at.order[1:]),
        )
    own = moved[part]
    moved[part] = own._replace(virtual_region=place.virtual_region, dock_gutter=place.dock_gutter)
    return moved
