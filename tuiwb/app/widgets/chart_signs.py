"""What the line below a wall of charts says: how they are drawn, and which signs stand in them.

In: the arrangement, the runs, what is chosen. Out: words; a sign is explained where there is one.
"""

from collections.abc import Sequence

import numpy as np

from tuiwb.app.widgets.chart_feed import LETTERS, Overlay
from tuiwb.monitor.glyphs import Glyphs
from tuiwb.monitor.layout import Layout
from tuiwb.monitor.series import RunSeries
from tuiwb.text import inert


class NotNumbers:
    """Whether runs logged a NaN; each value is looked at once."""

    def __init__(self) -> None:
        self._looked: dict[tuple[int, str], tuple[int, int, bool]] = {}

    def any(self, runs: Sequence[RunSeries]) -> bool:
        """Whether one of these runs has a NaN in it now."""
        ids = {id(run) for run in runs}
        self._looked = {key: found for key, found in self._looked.items() if key[0] in ids}
        return any(self._in(run, name) for run in runs for name in run.names())

    def _in(self, run: RunSeries, name: str) -> bool:
        key, series = (id(run), name), run.get(name)
        generation, values = series.generation, series.values
        before, length, found = self._looked.get(key, (generation, 0, False))
        if before != generation or length > len(values):
            length, found = 0, False
        found = found or bool(np.isnan(values[length:]).any())
        self._looked[key] = (generation, len(values), found)
        return found


def signs(
    layout: Layout,
    words: str,
    charts: tuple[int, int],
    zoomed: bool,
    run: RunSeries,
    overlays: Sequence[Overlay],
    look: Glyphs | None,
    nan: bool,
) -> str:
    """The line: `charts` are those that are shown and all, `look` None where there is none."""
    shown, total = charts
    parts = [f"x: {layout.axis}"]
    if words:
        parts.append(f"/{inert(words, one_line=True)}: {shown} of {total} charts")
    elif shown != total:
        parts.append(f"{shown} of {total} charts")
    if layout.smoothing:
        parts.append(f"smooth {layout.smoothing:g}")
    if not layout.clip:
        parts.append("outliers in scale")
    if zoomed:
        parts.append("zoomed, 0 shows all")
    parts += [
        f"{LETTERS[n % len(LETTERS)]} {inert(overlay.name, one_line=True)}"
        for n, overlay in enumerate(overlays)
    ]
    if look is not None:
        there = (
            (run.checkpoints, f"{look.checkpoint} checkpoint"),
            (run.evaluations, f"{look.evaluation} evaluation"),
            (run.alerts, f"{look.alert} alert"),
            (nan, f"{look.nan} NaN"),
        )
        if explained := [said for found, said in there if found]:
            parts.append("  ".join(explained))
    return "  ·  ".join(parts)
