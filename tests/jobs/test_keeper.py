"""A worker with a long log has what readers need left beside it, by a process of its own."""

import os
from pathlib import Path

import pytest

from tests.jobs.test_standing import STEPS, long_events
from tests.jobs.workers import wait_for
from tuiwb.jobs import keeper, writer
from tuiwb.jobs.events import Device, EventReader, Metrics
from tuiwb.jobs.folder import EVENTS, create
from tuiwb.jobs.snapshot import SNAPSHOT
from tuiwb.jobs.standing import Standing
from tuiwb.jobs.writer import WorkerLog


def test_when_a_worker_with_a_long_log_has_ended_its_state_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    create(folder, "train", {})
    log = WorkerLog(folder / EVENTS)
    for event in long_events():
        log.emit(event)
    log.close()
    wait_for((folder / SNAPSHOT).is_file, folder)
    standing = Standing(folder)
    assert standing.log.offset == (folder / EVENTS).stat().st_size
    assert standing.state.step == STEPS
    assert standing.state.best_loss == 0.25


def test_a_short_log_is_not_worth_a_process(tmp_path: Path) -> None:
    found = keeper.Keeper(tmp_path, 0)
    found.grew(keeper.GROWTH - 1)
    found.ended(keeper.ENDED - 1)
    assert found._running is None


def test_while_a_disk_stays_full_metrics_wait_and_samples_of_the_hardware_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MANY", 5)
    monkeypatch.setattr(os, "write", lambda fd, data: 0)
    log = WorkerLog(tmp_path / EVENTS)
    for step in range(10):
        log.emit(Metrics(step=step))
        log.emit(Device())
    monkeypatch.undo()
    log.close()
    events = EventReader(tmp_path / EVENTS).read()
    assert [e.step for e in events if isinstance(e, Metrics)] == list(range(10))
    assert 0 < len(events) - 10 < 5
