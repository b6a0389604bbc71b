"""From runs to what the charts of a wall hold: curves with their looks, marks, one x axis for all.

In: the series of a run and of others laid over it. Out: Curves and Marks; nothing is drawn here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tuiwb.app.widgets.chart_curves import Curve
from tuiwb.app.widgets.chart_paint import Mark
from tuiwb.monitor.metric_names import ChartOf, is_exact
from tuiwb.monitor.series import TOKENS, Axis, RunSeries

COLOURS = ("secondary", "success", "warning", "error")
LETTERS = "abcdefgh"
HELD_OUT_MARKER = "◆"


@dataclass(frozen=True)
class Overlay:
    """Another run, drawn over the first by step, or by time since its own start."""

    name: str
    series: RunSeries


def curves_of(
    chart: ChartOf, name: str, series: RunSeries, overlays: Sequence[Overlay], axis: Axis
) -> list[Curve]:
    """The curves of one chart, the lowest first: other runs, then this one's held-out values, then
    its training values. Other runs are told apart by colour and by a letter on their curves."""
    smooth = not is_exact(chart.key)
    curves: list[Curve] = []
    for number, overlay in reversed(list(enumerate(overlays))):
        colour, letter = COLOURS[number % len(COLOURS)], LETTERS[number % len(LETTERS)]
        if chart.held_out is not None and len(overlay.series.get(chart.held_out)):
            words = f"{overlay.name} held-out"
            curve = _curve(words, overlay.series, chart.held_out, axis, colour, letter)
            curves.append(curve.but(dashed=True, smoothed=False))
        if chart.train is not None and len(overlay.series.get(chart.train)):
            curve = _curve(overlay.name, overlay.series, chart.train, axis, colour, letter)
            curves.append(curve.but(smoothed=smooth))
    names = series.names()
    if chart.held_out is not None and chart.held_out in names:
        curve = _curve("held-out", series, chart.held_out, axis, "accent", HELD_OUT_MARKER)
        curves.append(curve.but(smoothed=False))
    if chart.train is not None and chart.train in names:
        curve = _curve(name if overlays else "train", series, chart.train, axis, "primary")
        curves.append(curve.but(smoothed=smooth))
    return curves


def extent_of(runs: Sequence[RunSeries], axis: Axis) -> tuple[float, float] | None:
    """First and last x of everything these runs logged, so that all charts have one x axis."""
    low, high = np.inf, -np.inf
    for series in runs:
        if axis == "tokens":
            arrays = [series.get(TOKENS).values]
        else:
            arrays = [series.x(name, axis) for name in series.names()]
        for x in arrays:
            ends = x[[0, -1]] if len(x) else x
            if not np.isfinite(ends).all():
                ends = x[np.isfinite(x)]
            if len(ends):
                low, high = min(low, float(ends.min())), max(high, float(ends.max()))
    return (low, high) if low <= high else None


def marks_of(series: RunSeries, axis: Axis) -> list[Mark]:
    """Evaluations, checkpoints and alerts of a run at their places on the axis."""
    at: dict[Literal["evaluation", "checkpoint", "alert"], list[int]] = {
        "evaluation": series.evaluations,
        "checkpoint": series.checkpoints,
        "alert": [alert.step for alert in series.alerts if alert.step is not None],
    }
    kinds = [kind for kind, steps in at.items() for _ in steps]
    places = np.array([step for steps in at.values() for step in steps], np.float64)
    if axis != "step" and len(places):
        longest = _longest(series)
        steps = series.get(longest).steps
        x = series.x(longest, axis)[: len(steps)]
        if not len(x):
            return []
        places = x[np.clip(np.searchsorted(steps[: len(x)], places), 0, len(x) - 1)]
    return [Mark(float(x), kind) for x, kind in zip(places, kinds, strict=True) if np.isfinite(x)]


def tells(series: RunSeries, axis: Axis) -> bool:
    """Whether the run's values can be laid out on an axis."""
    if axis == "tokens":
        return len(series.get(TOKENS)) > 0
    x = series.x(_longest(series), axis)
    return len(x) > 0 and bool(np.isfinite(x[-1]))


def _longest(series: RunSeries) -> str:
    return max(series.names(), key=lambda name: len(series.get(name)), default="")


def _curve(
    name: str, series: RunSeries, metric: str, axis: Axis, colour: str, marker: str = ""
) -> Curve:
    x = None if axis == "step" else lambda: series.x(metric, axis)
    return Curve(name, series.get(metric), colour, marker, x=x)
