"""All metrics of a run as a wall of charts that share zoom and crosshair.

In: a RunSeries, and others to lay over it. Out: nothing; the layout is kept in a file of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.containers import VerticalScroll

from tuiwb.app.widgets.chart import Chart, Curve
from tuiwb.monitor.series import RunSeries


@dataclass(frozen=True)
class Overlay:
    """Another run, drawn over the first by step, or by time since its own start."""

    name: str
    series: RunSeries


class ChartWall(VerticalScroll):
    """`show()` gives it a run; every metric of it gets a chart. The whole wall takes the focus."""

    def __init__(self, layout_file: Path | None = None, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.layout_file = layout_file

    def show(
        self, name: str, series: RunSeries, overlays: Sequence[Overlay] = (), live: bool = False
    ) -> None:
        """Show run `name`; call it as often as there may be news, it paints only what changed.

        `live` says that the run goes on, so that the view follows its tail.
        """
        names = [n for n in series.names() if not n.startswith("eval_")]
        charts = {str(c.border_title): c for c in self.query(Chart)}
        for metric in names:
            if metric not in charts:
                charts[metric] = Chart(metric)
                self.mount(charts[metric])
            charts[metric].show([Curve(metric, series.get(metric))])
