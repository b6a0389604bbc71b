"""CPU per redraw of the chart at 1k, 100k and 1M points, next to textual-plot.

Both widgets show the same growing series of steps in braille, 120x36, in the same Textual app with
its real layout, compositor and update path (the headless driver takes the bytes). Before each
redraw a point is appended, as in a run that is watched. textual-plot: `clear()`, `plot()`, the way
its documentation updates a plot. Prints milliseconds of CPU of the whole process per redraw, and
beside them a floor: a Static of that size whose text changes. Before them the figures of attach.py:
what it takes to attach to a run of a million metric events.
"""

import argparse
import asyncio
import gc
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import attach
import numpy as np
from common import finish, machine, median
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static

from tuiwb.app.widgets.chart import Chart, Curve
from tuiwb.jobs.events import Metrics
from tuiwb.monitor.series import RunSeries

SIZES = (1_000, 100_000, 1_000_000)
WIDTH, HEIGHT = 120, 36
ROUNDS = 40
PASSES = 5  # over all sizes: a machine that slows down slows all of them
Step = Callable[[], None]


class Showing(App[None]):
    """One widget that fills the screen."""

    CSS = "Screen > * { width: 100%; height: 100%; }"

    def __init__(self, shown: Widget) -> None:
        super().__init__()
        self.shown = shown

    def compose(self) -> ComposeResult:
        yield self.shown


def values(points: int) -> np.ndarray:
    """A falling, noisy loss."""
    rng = np.random.default_rng(points)
    return 1.0 + 1.5 * np.exp(-np.linspace(0, 6, points)) + rng.normal(0, 0.05, points)


def run_of(losses: np.ndarray) -> RunSeries:
    """The series of a run that logged these, a step each."""
    run = RunSeries()
    run.add(Metrics(t=float(n), step=n, values={"loss": v}) for n, v in enumerate(losses.tolist()))
    return run


async def redraws(shown: Widget, step: Callable[[], None], rounds: int) -> float:
    """Median CPU seconds of one redraw after `step`."""
    app = Showing(shown)
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        await settled(pilot, step)
        took = []
        gc.collect()
        for _ in range(rounds):
            start = time.process_time()
            await settled(pilot, step)
            took.append(time.process_time() - start)
    return median(took)


async def settled(pilot: Pilot[None], step: Callable[[], None]) -> None:
    """Do the step and wait until it has been painted."""
    painted = asyncio.Event()
    step()
    pilot.app.screen.call_after_refresh(painted.set)
    await painted.wait()


def ours(run: RunSeries, smoothing: float) -> tuple[Chart, Step]:
    """Our chart and what appends a point and shows it."""
    chart = Chart("loss")
    chart.smoothing = smoothing
    chart.glyphs = "braille"

    def step() -> None:
        n = len(run.get("loss"))
        run.add([Metrics(t=float(n), step=n, values={"loss": 1.0 + n % 7 / 50})])
        chart.show([Curve("train", run.get("loss"))])

    return chart, step


def theirs(losses: np.ndarray) -> tuple[Any, Step]:
    """textual-plot's widget and the same."""
    from textual_plot import HiResMode, PlotWidget

    widget = PlotWidget()
    y = losses.tolist()

    def step() -> None:
        y.append(1.0 + len(y) % 7 / 50)
        widget.clear()
        widget.plot(np.arange(float(len(y))), np.array(y), hires_mode=HiResMode.BRAILLE)

    return widget, step


def floor() -> tuple[Static, Step]:
    """A Static of the same size whose text changes."""
    widget = Static()
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        widget.update("\n".join(f"{count:>{WIDTH}}" for _ in range(HEIGHT)))

    return widget, step


async def measure(quick: bool) -> dict[str, Any]:
    """Milliseconds per redraw by size."""
    results: dict[str, Any] = {"floor_ms": round(1e3 * await redraws(*floor(), ROUNDS), 2)}
    print(f"{'points':>10} {'chart':>9} {'smoothed':>9} {'textual-plot':>13} {'ratio':>7}  ms CPU")
    losses = {size: values(size) for size in SIZES}
    runs = {size: run_of(losses[size]) for size in SIZES}
    passes: dict[tuple[int, str], list[float]] = defaultdict(list)
    for _ in range(PASSES):
        for size, run in runs.items():
            passes[size, "chart_ms"].append(await redraws(*ours(run, 0.0), ROUNDS))
            passes[size, "chart_smoothed_ms"].append(await redraws(*ours(run, 0.6), ROUNDS))
            passes[size, "zoom_ms"].append(await zoom(run))
    for size in SIZES:
        start = time.process_time()
        took = {name: median(passes[size, name]) for of, name in passes if of == size}
        entry = {name: round(seconds * 1e3, 2) for name, seconds in took.items()}
        rounds = {1_000: ROUNDS, 100_000: 5}.get(size, 1)
        if not (quick and size > 100_000):
            peer = await redraws(*theirs(losses[size]), rounds)
            entry["textual_plot_ms"] = round(peer * 1e3, 2)
            entry["ratio"] = round(peer / took["chart_ms"], 1)
            entry["ratio_smoothed"] = round(peer / took["chart_smoothed_ms"], 1)
        results[str(size)] = entry
        print(
            f"{size:>10,} {entry['chart_ms']:>9.2f} {entry['chart_smoothed_ms']:>9.2f} "
            f"{entry.get('textual_plot_ms', 0):>13.2f} {entry.get('ratio', 0):>7.1f}"
            f"   (zoom {entry['zoom_ms']:.2f}, {time.process_time() - start:.0f} s)",
            flush=True,
        )
    print(f"{'floor':>10} {results['floor_ms']:>9.2f}   a Static of {WIDTH}x{HEIGHT} that changes")
    return results


async def zoom(run: RunSeries) -> float:
    """The same for a zoom to another place, without new points."""
    chart, step = ours(run, 0.0)
    count = 0

    def look() -> None:
        nonlocal count
        if not count:
            step()
        count += 1
        whole = len(run.get("loss"))
        chart.view = (whole * 0.3 + count, whole * 0.4 + count)

    return await redraws(chart, look, ROUNDS)


def main() -> int:
    """Print the table; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="textual-plot not at 1M points, and no attaching"
    )
    options = parser.parse_args()
    print(machine())
    attached = None
    if not options.quick:
        # First: a child's peak memory counts from what this process holds when it starts it.
        attached = attach.attach()
        print(attach.table(attached))
    results = asyncio.run(measure(options.quick))
    few, many, most = (results[str(size)] for size in SIZES)
    at_most = {
        "redraw at 1M points, ms": (most["chart_ms"], 20.0),
        "redraw at 1M points, smoothed, ms": (most["chart_smoothed_ms"], 20.0),
        "1M points over 1k": (most["chart_ms"] / few["chart_ms"], 1.5),
        "1M points over 1k, smoothed": (
            most["chart_smoothed_ms"] / few["chart_smoothed_ms"],
            1.5,
        ),
    }
    if attached is not None:
        results["attach"] = attached
        at_most |= attach.targets(attached)
    return finish(
        "chart", results, at_most, {"textual-plot over ours at 100k points": (many["ratio"], 30)}
    )


if __name__ == "__main__":
    raise SystemExit(main())
