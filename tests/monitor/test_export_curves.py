"""Curves as CSV and Parquet: every value logged, NaN kept apart from what was not logged."""

import csv
import math
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.monitor.some_runs import job
from tuiwb.errors import BadInput
from tuiwb.jobs.events import Metrics, State
from tuiwb.monitor.export import Form, export_curves, read_whole
from tuiwb.monitor.series import RunSeries

EVENTS = [
    Metrics(step=1, epoch=0.1, t=10.0, values={"loss": math.nan, "num_tokens": 10, 'a,"b': 1 / 3}),
    Metrics(step=2, t=12.0, values={"eval_loss": -math.inf, "time": 3.0}),
    Metrics(step=2, epoch=0.2, t=12.5, values={"loss": 0.1, "num_tokens": 20}),
]


def series() -> RunSeries:
    found = RunSeries()
    found.add(EVENTS)
    return found


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_wide_csv_has_a_row_a_step_and_leaves_empty_what_was_not_logged(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv"
    assert export_curves(series(), path) == 2
    first, second = rows_of(path)
    assert list(first) == [
        "step", "epoch", "tokens", "time", "loss", "num_tokens", 'a,"b', "eval_loss",
        "time (metric)",
    ]  # fmt: skip
    assert (first["step"], first["epoch"], first["tokens"], first["time"]) == (
        "1",
        "0.1",
        "10",
        "0",
    )
    assert math.isnan(float(first["loss"]))
    assert first["eval_loss"] == ""
    assert float(first['a,"b']) == 1 / 3
    assert float(second["eval_loss"]) == -math.inf
    assert (second["epoch"], second["time (metric)"]) == ("0.2", "3")
    assert os.listdir(tmp_path) == ["curves.csv"]


def test_parquet_tells_nan_from_null(tmp_path: Path) -> None:
    path = tmp_path / "curves.parquet"
    export_curves(series(), path, ["loss", "eval_loss"])
    first, second = pq.read_table(path).to_pylist()
    assert math.isnan(first["loss"])
    assert first["eval_loss"] is None
    assert (second["step"], second["eval_loss"]) == (2, -math.inf)


@pytest.mark.parametrize("name", ["curves.csv", "curves.parquet"])
def test_long_has_a_row_for_each_value_logged_in_the_order_of_steps(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    assert export_curves(series(), path, form="long") == 7
    found = rows_of(path) if name.endswith("csv") else pq.read_table(path).to_pylist()
    assert [(int(r["step"]), r["metric"]) for r in found] == [
        (1, "loss"), (1, "num_tokens"), (1, 'a,"b'),
        (2, "loss"), (2, "num_tokens"), (2, "eval_loss"), (2, "time"),
    ]  # fmt: skip
    assert math.isnan(float(found[0]["value"]))


@pytest.mark.parametrize("form", ["wide", "long"])
def test_a_run_that_logged_nothing_gives_a_header(tmp_path: Path, form: Form) -> None:
    path = tmp_path / "curves.csv"
    assert export_curves(RunSeries(), path, form=form) == 0
    assert path.read_text().startswith('"step","epoch","tokens","time"')


@pytest.mark.parametrize("form", ["wide", "long"])
def test_a_metrics_name_is_no_formula_and_no_escape_in_a_spreadsheet(
    tmp_path: Path, form: Form
) -> None:
    found = RunSeries()
    found.add([Metrics(step=1, t=1.0, values={"=cmd|' /C calc'!A0": 1.0, "\x1b[31m\x00": 2.0})])
    path, exact = tmp_path / "curves.csv", tmp_path / "curves.parquet"
    export_curves(found, path, form=form)
    rows = rows_of(path)
    names = [row["metric"] for row in rows] if form == "long" else list(rows[0])[4:]
    assert names == ["'=cmd|' /C calc'!A0", "␛[31m␀"]
    export_curves(found, exact, form=form)
    table = pq.read_table(exact)
    kept = table["metric"].to_pylist() if form == "long" else table.column_names[4:]
    assert kept == ["=cmd|' /C calc'!A0", "\x1b[31m\x00"], "Parquet is read by programs"


def test_what_cannot_be_written_is_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    there = tmp_path / "there.csv"
    there.write_text("mine")
    for path, names, sentence in (
        (there, [], "exists already"),
        (tmp_path / "x.xlsx", [], "should end in .csv or .parquet"),
        (tmp_path / "no" / "x.csv", [], "there is no folder"),
        (tmp_path / "x.csv", ["los"], "did you mean 'loss'"),
    ):
        with pytest.raises(BadInput, match=sentence):
            export_curves(series(), path, names)
    assert there.read_text() == "mine"
    assert export_curves(series(), there, replace=True) == 2
    assert os.listdir(tmp_path) == ["there.csv"]


def test_all_that_a_job_logged_comes_out_once(tmp_path: Path) -> None:
    events = [
        State(state="running", t=1.0),
        *(Metrics(step=n, t=float(n), values={"loss": float(n)}) for n in range(1, 30_001)),
        State(state="finished", t=40_000.0),
    ]
    folder = job(tmp_path / "runs" / "a", events)
    watched, shown = read_whole(folder)
    assert [event.state for event in shown if isinstance(event, State)][-1] == "finished"
    path = tmp_path / "curves.parquet"
    assert export_curves(watched.series, path) == 30_000
    table = pq.read_table(path)
    assert table["step"].to_pylist() == list(range(1, 30_001))
    assert table["loss"].to_pylist() == [float(n) for n in range(1, 30_001)]
