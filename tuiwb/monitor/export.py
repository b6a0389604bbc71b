"""A run's curves as a table in a file: CSV or Parquet, wide or long.

In: the run's series. Out: a file with the columns step, epoch, tokens, time (seconds since the
run's first event) and, wide, one column a metric and one row a step; long, `metric` and `value`
and one row for each value logged. NaN and infinity stand as such; what was not logged at a step is
empty (CSV) or null (Parquet).
"""

import contextlib
import os
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tuiwb.errors import BadInput
from tuiwb.jobs.events import AnyEvent
from tuiwb.monitor.series import RunSeries
from tuiwb.monitor.watched import Watched, open_watched
from tuiwb.text import inert

Form = Literal["wide", "long"]
SUFFIXES = (".csv", ".parquet")
AXES = ("epoch", "tokens", "time")
Floats = NDArray[np.float64]


def read_whole(folder: Path, within: float = 600.0) -> tuple[Watched, list[AnyEvent]]:
    """A run with its whole history, and what polls showed of it (samples, alerts, states, logs).

    BadInput when it can't be read within so many seconds.
    """
    watched = open_watched(folder)
    until = time.monotonic() + within
    shown: list[AnyEvent] = []
    while True:
        shown += watched.poll(1.0)
        if watched.loaded >= 1.0:
            return watched, shown
        if time.monotonic() > until:
            raise BadInput(f"the log of {folder} could not be read within {within:.0f} s")


def chosen(series: RunSeries, names: Sequence[str]) -> list[str]:
    """`names`, all of the run's when there are none; BadInput for one that was never logged."""
    known = series.names()
    for name in names:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}"
            )
            raise BadInput(f"the run never logged {name!r}: {hint}")
    return list(names) or known


def curve_table(series: RunSeries, names: Sequence[str] = (), form: Form = "wide") -> Any:
    """The curves as a pyarrow Table."""
    import pyarrow as pa

    wanted = chosen(series, names)
    columns = _wide(series, wanted) if form == "wide" else _long(series, wanted)
    return pa.table(columns)


def export_curves(
    series: RunSeries,
    path: Path,
    names: Sequence[str] = (),
    form: Form = "wide",
    *,
    replace: bool = False,
) -> int:
    """Write the curves to a .csv or .parquet file; returns the number of rows.

    BadInput for another suffix, for a file that exists unless `replace`, and when the disk says
    no; the file is whole or not there.
    """
    check_target(path, SUFFIXES, replace=replace)
    table = curve_table(series, names, form)
    text = path.suffix.lower() == ".csv"
    if text:
        table = table.rename_columns([_cell(name) for name in table.column_names])
        if form == "long":
            import pyarrow as pa

            said = pa.array(map(_cell, table["metric"].to_pylist()), pa.string())
            table = table.set_column(table.column_names.index("metric"), "metric", said)

    def write(beside: Path) -> None:
        if text:
            import pyarrow.csv as pa_csv

            pa_csv.write_csv(table, beside)
        else:
            import pyarrow.parquet as pa_parquet

            pa_parquet.write_table(table, beside, compression="zstd")

    write_beside(path, write)
    return int(table.num_rows)


def check_target(path: Path, suffixes: Sequence[str], *, replace: bool) -> None:
    """BadInput unless a file of one of these kinds may be written there."""
    if path.suffix.lower() not in suffixes:
        raise BadInput(f"{path} should end in {' or '.join(suffixes)}: that says what is written")
    if path.exists() and not replace:
        raise BadInput(f"{path} exists already: give another name, or --force to replace it")
    if not path.parent.is_dir():
        raise BadInput(
            f"there is no folder {path.parent} to write {path.name} into: make it first, or name "
            "another"
        )


def write_beside(path: Path, write: Any) -> None:
    """Let `write` make a file beside `path`, then rename it over; BadInput when it can't."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        raise BadInput(f"can't write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def _wide(series: RunSeries, names: list[str]) -> dict[str, Any]:
    import pyarrow as pa

    curves = [(name, *series.points(name)) for name in names]
    steps = np.unique(np.concatenate([x for _n, x, _v in curves] or [np.empty(0)]))
    axes = {axis: np.full(len(steps), np.nan) for axis in AXES}
    columns: dict[str, Any] = {"step": pa.array(steps.astype(np.int64))}
    metrics = {}
    for name, x, values in curves:
        at = np.searchsorted(steps, x)
        column, logged = np.zeros(len(steps)), np.zeros(len(steps), np.bool_)
        column[at], logged[at] = values, True
        metrics[_free(name)] = pa.array(column, mask=~logged)
        for axis, whole in axes.items():
            along = _along(series, name, axis, len(x))
            unknown = np.isnan(whole[at])
            whole[at[unknown]] = along[unknown]
    columns |= {axis: _known(values) for axis, values in axes.items()}
    return columns | metrics


def _long(series: RunSeries, names: list[str]) -> dict[str, Any]:
    import pyarrow as pa

    parts: dict[str, list[Floats]] = {
        "step": [],
        "epoch": [],
        "tokens": [],
        "time": [],
        "value": [],
    }
    numbers: list[NDArray[np.int64]] = []
    for number, name in enumerate(names):
        x, values = series.points(name)
        parts["step"].append(x)
        parts["value"].append(values)
        for axis in AXES:
            parts[axis].append(_along(series, name, axis, len(x)))
        numbers.append(np.full(len(x), number))
    whole = {key: np.concatenate([*found, np.empty(0)]) for key, found in parts.items()}
    which = np.concatenate([*numbers, np.empty(0, np.int64)])
    order = np.lexsort((which, whole["step"]))
    labels = pa.array(names, pa.string())
    return {
        "step": pa.array(whole["step"][order].astype(np.int64)),
        **{axis: _known(whole[axis][order]) for axis in AXES},
        "metric": labels.take(pa.array(which[order])),
        "value": pa.array(whole["value"][order]),
    }


def _along(series: RunSeries, name: str, axis: Any, length: int) -> Floats:
    """Where a series' points stand on an axis; NaN for one that came after `length` was taken."""
    found = series.x(name, axis)[:length]
    return np.concatenate([found, np.full(length - len(found), np.nan)])


def _known(values: Floats) -> Any:
    import pyarrow as pa

    return pa.array(values, mask=np.isnan(values))


def _cell(name: str) -> str:
    """A metric's name as a cell of CSV: no control characters, and no formula of a spreadsheet's
    (owasp.org, "CSV Injection")."""
    words = inert(name, one_line=True)
    return f"'{words}" if words.startswith(("=", "+", "-", "@")) else words


def _free(name: str) -> str:
    """A metric's column; one that is called as an axis keeps apart from it."""
    return f"{name} (metric)" if name in ("step", *AXES) else name
