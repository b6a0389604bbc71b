"""The fold of `state.py` over a whole block of events at once; the result is the same."""

import math

import numpy as np
from numpy.typing import NDArray

from tuiwb.jobs.blocks import Block, Floats, Places
from tuiwb.jobs.events import AnyEvent, Device, Progress, Sample, State
from tuiwb.jobs.state import JobState, apply, fold
from tuiwb.jobs.tally import ACTIVE, IDLE_PHASES, LONGEST_SILENCE, OLD, Tally

Bools = NDArray[np.bool_]
REMEMBERED = 256  # log lines; what came before weighs 1e-40 of a pace, less than its last bit
_LATEST_COUNTS = frozenset({Progress, Device, Sample})  # a state holds only the newest of these


def fold_block(state: JobState, block: Block | list[AnyEvent]) -> JobState:
    """Apply a block to `state`; the same object is changed and returned."""
    if isinstance(block, list):
        return fold(state, block)
    if not len(block.times):
        return state
    _count(state.tally, block, state.seen)
    state.seen = float(block.times[-1])
    latest: dict[type, AnyEvent] = {}
    logged = int(block.places[-1]) if len(block.places) else -1
    trained = None if len(block.places) else state.trained
    for place, event in block.others:
        if type(event) in _LATEST_COUNTS:
            latest[type(event)] = event
            if type(event) is Progress and event.in_steps and place > logged:
                trained = event
        else:
            apply(state, event)
    for event in latest.values():
        apply(state, event)
    if len(block.places):
        _metrics(state, block)
    state.trained = trained
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
        if type(event) is Device:
            tally.take_device(event)
        elif type(event) is State:
            counting[place + 1 :] = event.state in ACTIVE and event.phase not in IDLE_PHASES
            anew[place] = event.state in ("queued", "starting")
    counts = counting[:-1] & ~anew & (gaps > 0) & (gaps <= LONGEST_SILENCE)
    # With the sum so far in front, so that the order of additions is that of one by one.
    active = np.cumsum(np.append(tally.active, np.where(counts, gaps, 0.0)))[1:]
    _, steps, losses = _rows(block, "eval_loss")
    _best(tally, "eval_loss", steps, losses)
    places, steps, losses = _rows(block, "loss")
    _best(tally, "loss", steps, losses)
    if len(losses):
        _pace(tally, places, steps, active, counting, anew)
    elif anew.any():
        tally.paced_step = None
    tally.active = float(active[-1])
    tally.counting = bool(counting[-1])


def _rows(block: Block, name: str) -> tuple[Places, Floats, Floats]:
    """Places, steps and values of a name in the order of the log."""
    found = [
        (group.rows, group.values[:, group.names.index(name)])
        for group in block.groups
        if name in group.names
    ]
    if not found:
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    rows, values = found[0]
    if len(found) > 1:
        rows = np.concatenate([r for r, _ in found])
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], np.concatenate([v for _, v in found])[order]
    return block.places[rows], block.steps[rows], values


def _best(tally: Tally, name: str, steps: Floats, values: Floats) -> None:
    finite = np.where(np.isfinite(values), values, np.inf)
    if len(finite):
        at = int(np.argmin(finite))
        tally.take_best(name, float(finite[at]), int(steps[at]))


def _pace(
    tally: Tally, places: Places, steps: Floats, active: Floats, counting: Bools, anew: Bools
) -> None:
    """The pace after the block's log lines; a start in between begins it anew."""
    began = np.append(0, np.cumsum(anew)[places])
    steps = np.append(0 if tally.paced_step is None else tally.paced_step, steps)
    spent = np.append(tally.paced_active, active[places])
    did, took = np.diff(steps), np.diff(spent)
    paced = (np.diff(began) == 0) & counting[places + 1] & (did > 0)
    paced[0] &= tally.paced_step is not None
    each = took[paced] / did[paced]
    if len(each) > REMEMBERED:
        each = each[-REMEMBERED:]
        tally.pace = None
    if len(each):
        # The pace so far, if any, weighs as much as was left to it after each line.
        first = each[0] if tally.pace is None else tally.pace
        rest = each[1:] if tally.pace is None else each
        weights = (1 - OLD) * OLD ** np.arange(len(rest) - 1, -1, -1)
        tally.pace = float(first * OLD ** len(rest) + rest @ weights)
    tally.paced_step = int(steps[-1]) if anew.sum() == began[-1] else None
    tally.paced_active = float(spent[-1])
