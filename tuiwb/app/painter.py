"""Which widgets are asked for their lines when a part of the screen is painted.

In: the regions that changed. Out: the strips of those regions. Textual asks every widget within the
rectangle around all changes, containers below others too; here only those that show in a change.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from textual._compositor import ChopsUpdate
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tuiwb.app.part_layout import PartLayout


class Painter(PartLayout):
    """The compositor of our screens."""

    def __init__(self) -> None:
        super().__init__()
        self._changes: list[Region] = []

    def update_widgets(self, widgets: set[Widget]) -> None:
        # For one that doesn't show, Textual would arrange all of the screen anew.
        super().update_widgets({widget for widget in widgets if widget in self.visible_widgets})

    def render_partial_update(self) -> ChopsUpdate | None:
        self._changes = list(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changes = []

    def lines(self, region: Region) -> list[Strip]:
        """The whole lines of the screen that a region touches."""
        rows = range(max(0, region.y), min(region.bottom, len(self.cuts)))
        whole = Region(0, rows.start, self.size.width, len(rows))
        chops = self._render_chops(whole, rows.__contains__)
        return [Strip.join(chops[y].values()) for y in rows]

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        """Front to back, until every piece that is wanted is there."""
        cuts = self.cuts
        chops: list[dict[int, Strip | None]] = [dict.fromkeys(cut[:-1]) for cut in cuts]
        changes = self._changes or [crop]
        open_cuts = self._wanted(changes, is_rendered_line)
        for widget, (region, clip) in self.visible_widgets.items():
            if not open_cuts:
                break
            shown = region.intersection(clip)
            if not shown or not any(shown.overlaps(change) for change in changes):
                continue
            first, last = shown.column_span
            rows = [
                y
                for y in shown.line_range
                if y in open_cuts and any(first <= cut < last for cut in open_cuts[y])
            ]
            if not rows:
                continue
            strips = widget.render_lines(
                Region(shown.x - region.x, rows[0] - region.y, shown.width, rows[-1] + 1 - rows[0])
            )
            for y in rows:
                if y - rows[0] >= len(strips):
                    continue
                line, wanted = chops[y], open_cuts[y]
                bounds = [cut for cut in cuts[y] if first <= cut <= last]
                strip = strips[y - rows[0]]
                ends = [cut - shown.x for cut in bounds[1:]]
                # One that is whole would keep itself in its cache of divisions: a cycle, which is
                # freed only when the collector comes.
                pieces = [strip] if ends == [strip.cell_length] else strip.divide(ends)
                for cut, piece in zip(bounds, pieces, strict=False):
                    if line[cut] is None:
                        line[cut] = piece
                        wanted.discard(cut)
                if not wanted:
                    del open_cuts[y]
        return cast("Sequence[Mapping[int, Strip]]", chops)

    def _wanted(
        self, changes: Sequence[Region], is_rendered_line: Callable[[int], bool]
    ) -> dict[int, set[int]]:
        """By line, where the pieces begin that lie in a change."""
        cuts = self.cuts
        wanted: dict[int, set[int]] = {}
        for change in changes:
            first, last = change.column_span
            for y in change.line_range:
                if not 0 <= y < len(cuts) or not is_rendered_line(y):
                    continue
                row = cuts[y]
                found = wanted.setdefault(y, set())
                found.update(
                    cut for cut, end in itertools.pairwise(row) if cut < last and end > first
                )
        return {y: found for y, found in wanted.items() if found}
