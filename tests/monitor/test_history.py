"""A job folder watched: the state at once, the curves as they are read, kept for the next time."""

import threading
from pathlib import Path

import pytest

from tests.jobs.test_standing import STEPS, long_events
from tests.monitor.test_series import look_of, one_by_one
from tuiwb.errors import BadInput
from tuiwb.jobs.events import AnyEvent, Artifact, Log, Metrics, State, encode
from tuiwb.jobs.folder import EVENTS, create
from tuiwb.monitor import history, keep
from tuiwb.monitor.history import LONG, RunHistory
from tuiwb.monitor.series_file import SERIES
from tuiwb.monitor.watched import Watched, open_watched


@pytest.fixture(scope="module")
def long_log() -> bytes:
    return b"".join(encode(event) for event in long_events())


@pytest.fixture
def job(tmp_path: Path) -> Path:
    create(tmp_path / "run", "train", {})
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def small_logs_are_worth_keeping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "WORTH", 1 << 20)


def read_all(watched: Watched) -> list[AnyEvent]:
    shown = watched.poll(0.05)
    while watched.loaded < 1.0:
        shown += watched.poll(0.05)
    return shown + watched.poll(0.05)  # what is kept is written after the curves are complete


def test_the_state_is_there_before_the_curves_are(job: Path, long_log: bytes) -> None:
    (job / EVENTS).write_bytes(long_log)
    watched = open_watched(job)
    assert (watched.state.step, watched.state.phase) == (STEPS, "training")
    assert watched.loaded < 1.0
    read_all(watched)
    assert look_of(watched.series) == look_of(one_by_one(long_log))


def test_a_second_look_reads_the_kept_curves_and_sees_the_same(job: Path, long_log: bytes) -> None:
    (job / EVENTS).write_bytes(long_log)
    first = RunHistory(job)
    read_all(first)
    assert (job / SERIES).is_file()
    with (job / EVENTS).open("ab") as file:
        file.write(encode(Metrics(t=1e5, step=STEPS + 1, values={"loss": 7.0})))
    again = RunHistory(job)
    assert again.loaded == 1.0
    assert again.series.get("loss").values[-1] == 7.0
    (job / SERIES).unlink()
    without = RunHistory(job)
    read_all(without)
    assert look_of(again.series) == look_of(without.series)
    assert again.state.best_loss == without.state.best_loss == 0.25
    assert again.state.artifacts == without.state.artifacts


def test_a_rewound_log_starts_the_curves_over(job: Path, long_log: bytes) -> None:
    (job / EVENTS).write_bytes(long_log)
    watched = RunHistory(job)
    read_all(watched)
    short = b"".join(encode(event) for event in long_events(50))
    (job / "new").write_bytes(short)
    (job / "new").rename(job / EVENTS)
    watched.poll()
    assert len(watched.series.get("loss")) == 50
    assert watched.state.step == 50
    fresh = RunHistory(job)
    assert look_of(fresh.series) == look_of(watched.series), "the old curves fit no longer"


def test_a_poll_returns_what_a_person_reads_and_not_every_number(job: Path) -> None:
    events: list[AnyEvent] = [State(t=1.0, state="running")]
    events += [Metrics(t=2.0, step=n, values={"loss": 1.0}) for n in range(500)]
    events += [Log(t=3.0, message=str(n)) for n in range(500)]
    events += [Log(t=3.0, message="x" * 10_000_000)]
    (job / EVENTS).write_bytes(b"".join(encode(event) for event in events))
    shown = read_all(RunHistory(job))
    logs = [event.message for event in shown if isinstance(event, Log)]
    assert len(shown) == history.SHOWN
    assert logs[-2] == "499"
    assert len(logs[-1]) == LONG + 1


def test_what_the_worker_keeps_serves_whoever_attaches_first(job: Path, long_log: bytes) -> None:
    (job / EVENTS).write_bytes(long_log)
    assert keep.main(job) == 0
    watched = RunHistory(job)
    assert watched.loaded == 1.0
    assert len(watched.series.get("loss")) == STEPS
    assert keep.main(job.parent / "none") == 1


def test_polls_from_several_threads_take_each_event_once(job: Path, long_log: bytes) -> None:
    (job / EVENTS).write_bytes(long_log)
    watched = RunHistory(job)
    threads = [threading.Thread(target=read_all, args=(watched,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert look_of(watched.series) == look_of(one_by_one(long_log))


def test_a_live_run_grows_with_each_poll(job: Path) -> None:
    watched = open_watched(job)
    assert (watched.state.state, watched.loaded) == ("queued", 1.0)
    with (job / EVENTS).open("ab", buffering=0) as file:
        for step in (1, 2, 3):
            file.write(encode(Metrics(t=float(step), step=step, values={"loss": 1.0})))
            file.write(encode(Artifact(t=float(step), kind="checkpoint", path="c", step=step)))
            assert [type(e) for e in watched.poll()] == [Artifact]
            assert watched.series.get("loss").steps.tolist() == list(range(1, step + 1))
            assert watched.series.checkpoints == list(range(1, step + 1))


def test_a_folder_that_nothing_can_watch_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        open_watched(tmp_path)


def test_a_worker_obeys_what_its_kind_obeys(tmp_path: Path) -> None:
    create(tmp_path / "train", "train", {})
    create(tmp_path / "check", "check", {})
    assert "pause" in open_watched(tmp_path / "train").commands
    assert open_watched(tmp_path / "check").commands == {"stop"}
