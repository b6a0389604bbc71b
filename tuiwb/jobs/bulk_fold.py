"""The fold of `state.py` over a whole block of events at once; the result is the same."""

import math

import numpy as np

from tuiwb.jobs.blocks import Block, Floats, Places
from tuiwb.jobs.events import AnyEvent, Device, State
from tuiwb.jobs.state import JobState, apply, fold
from tuiwb.jobs.tally import ACTIVE, IDLE_PHASES, LONGEST_SILENCE, Tally

_LATE = 128  # log lines; what came before them has no weight left in a pace


def fold_block(state: JobState, block: Block | list[AnyEvent]) -> JobState:
    """Apply a block to `state`; the same object is changed and returned."""
    if isinstance(block, list):
        return fold(state, block)
    if not len(block.times):
        return state
    _count(state.tally, block, state.seen)
    state.seen = float(block.times[-1])
    for _, event in block.others:
        apply(state, event)
    if len(block.places):
        _metrics(state, block)
    return state


def _metrics(state: JobState, block: Block) -> None:
    state.step = int(block.steps[-1])
    epochs = block.epochs[~np.isnan(block.epochs)]
    totals = block.totals[np.nan_to_num(block.totals) != 0]
    state.epoch = float(epochs[-1]) if len(epochs) else state.epoch
    state.total_steps = int(totals[-1]) if len(totals) else state.total_steps
    for group in block.groups:
        state.metrics.update(zip(group.names, group.values[-1].tolist(), strict=True))
        if "eval_loss" in group.names:
            values = group.values[:, group.names.index("eval_loss")]
            values = values[np.isfinite(values)]
            if len(values):
                best = math.inf if state.best_loss is None else state.best_loss
                state.best_loss = min(float(values.min()), best)


def _count(tally: Tally, block: Block, before: float | None) -> None:
    """What `Tally.add` counts, over the block."""
    gaps = np.diff(block.times, prepend=block.times[0] if before is None else before)
    counting = np.full(len(gaps) + 1, tally.counting)
    anew = np.zeros(len(gaps), np.bool_)
    for place, event in block.others:
        if isinstance(event, State):
            counting[place + 1 :] = event.state in ACTIVE and event.phase not in IDLE_PHASES
            anew[place] = event.state in ("queued", "starting")
        elif isinstance(event, Device):
            tally.take_device(event)
    counts = counting[:-1] & ~anew & (gaps > 0) & (gaps <= LONGEST_SILENCE)
    # With the sum so far in front, so that the order of additions is that of one by one.
    active = np.cumsum(np.append(tally.active, np.where(counts, gaps, 0.0)))[1:]
    _best(tally, block, "eval_loss")
    places, steps, losses = _rows(block, "loss")
    if len(losses):
        _best(tally, block, "loss")
        _pace(tally, places, steps, active, counting, anew)
    elif anew.any():
        tally.paced_step = None
    tally.active = float(active[-1])
    tally.counting = bool(counting[-1])


def _rows(block: Block, name: str) -> tuple[Places, Floats, Floats]:
    """Places, steps and values of a name in the order of the log."""
    rows = [np.empty(0, np.int64)]
    values = [np.empty(0)]
    for group in block.groups:
        if name in group.names:
            rows.append(group.rows)
            values.append(group.values[:, group.names.index(name)])
    found, column = np.concatenate(rows), np.concatenate(values)
    order = np.argsort(found, kind="stable")
    found = found[order]
    return block.places[found], block.steps[found], column[order]


def _best(tally: Tally, block: Block, name: str) -> None:
    _, steps, values = _rows(block, name)
    finite = np.isfinite(values)
    if not finite.any():
        return
    at = int(np.argmin(np.where(finite, values, np.inf)))
    tally.take_best(name, float(values[at]), int(steps[at]))


def _pace(
    tally: Tally,
    places: Places,
    steps: Floats,
    active: Floats,
    counting: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
    anew: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
) -> None:
    """The pace after the block's log lines; a start in between begins it anew."""
    began = np.cumsum(anew)
    late = range(max(0, len(places) - _LATE), len(places))
    if late.start:
        previous = late.start - 1
        tally.paced_step = int(steps[previous])
        tally.paced_active = float(active[places[previous]])
        seen = int(began[places[previous]])
    else:
        seen = 0
    for row in late:
        place = int(places[row])
        if began[place] != seen:
            tally.paced_step, seen = None, int(began[place])
        tally.take_pace(int(steps[row]), float(active[place]), bool(counting[place + 1]))
    if began[-1] != seen:
        tally.paced_step = None
