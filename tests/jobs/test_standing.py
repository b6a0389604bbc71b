"""Where a job stands: at once from a long log's end, exactly once it is read, kept beside it."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jobs.event_strategies import logs
from tests.jobs.test_blocks import plainly, same
from tuiwb import jobs
from tuiwb.jobs import snapshot, standing
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    EventReader,
    Log,
    Metrics,
    State,
    decode,
    encode,
)
from tuiwb.jobs.folder import EVENTS, create
from tuiwb.jobs.follow import Feed, Follower
from tuiwb.jobs.log_end import end_of
from tuiwb.jobs.snapshot import SNAPSHOT
from tuiwb.jobs.standing import Standing, glance
from tuiwb.jobs.state import JobState, fold

STEPS = 40_000  # about 10 MB of log


def long_events(steps: int = STEPS) -> list[AnyEvent]:
    events: list[AnyEvent] = [
        State(t=1.0, state="starting"),
        State(t=2.0, state="running", phase="training"),
        Metrics(t=2.0, step=0, values={"eval_loss": 0.25}),
    ]
    for step in range(1, steps + 1):
        values = {"loss": 1 + 1 / step, "learning_rate": 1e-4, "num_tokens": step * 512.0}
        events.append(
            Metrics(t=2.0 + step / 10, step=step, total_steps=steps, epoch=1.0, values=values)
        )
        if step % 10_000 == 0:
            t = 2.0 + step / 10
            events.append(Metrics(t=t, step=step, values={"eval_loss": step / 1e4}))
            events.append(Artifact(t=t, kind="checkpoint", path=f"c-{step}", step=step))
            events.append(Alert(t=t, rule="r", severity="note", evidence=str(step)))
    return events


@pytest.fixture(scope="module")
def long_log() -> bytes:
    return b"".join(encode(event) for event in long_events())


@pytest.fixture
def job(tmp_path: Path) -> Path:
    create(tmp_path / "run", "train", {})
    return tmp_path / "run"


def write(folder: Path, data: bytes, mode: str = "wb") -> Path:
    with (folder / EVENTS).open(mode) as file:
        file.write(data)
    return folder


def expected(data: bytes) -> JobState:
    return fold(JobState(name="run", kind="train"), plainly(data))


def told(state: JobState) -> JobState:
    """Without what depends on the folder's process and age."""
    state.created, state.pid = 0.0, None
    return state


def test_a_glance_at_a_long_log_is_right_about_now_without_reading_it(
    job: Path, long_log: bytes
) -> None:
    state = glance(write(job, long_log), seconds=0.0)
    assert (state.state, state.phase, state.step) == ("running", "training", STEPS)
    assert state.metrics["eval_loss"] == STEPS / 1e4
    assert state.metrics["loss"] == 1 + 1 / STEPS
    assert state.last_checkpoint is not None
    assert state.last_checkpoint.path == f"c-{STEPS}"
    assert state.started == 1.0


def test_the_state_of_a_long_log_is_that_of_all_its_events(job: Path, long_log: bytes) -> None:
    state = jobs.status(write(job, long_log))
    assert same(told(state), expected(long_log))
    assert state.best_loss == 0.25
    assert len(state.artifacts) == len(state.alerts) == STEPS // 10_000


def test_what_was_folded_is_kept_and_the_log_is_not_read_again(job: Path, long_log: bytes) -> None:
    jobs.status(write(job, long_log))
    again = Standing(job)
    assert again.log.offset == len(long_log)
    again.poll(0.0)
    assert again.exact
    assert same(told(again.state), expected(long_log))


def test_a_kept_state_is_taken_further_by_what_was_added_since(job: Path, long_log: bytes) -> None:
    jobs.status(write(job, long_log))
    added = encode(Metrics(t=9e4, step=STEPS + 1, values={"eval_loss": 0.125}))
    write(job, added, "ab")
    state = glance(job, 0.0)
    assert (state.step, state.best_loss) == (STEPS + 1, 0.125)


def test_a_run_that_ended_is_not_read_again_though_its_log_is_short(job: Path) -> None:
    log = b"".join(encode(event) for event in long_events(500))
    jobs.status(write(job, log))
    assert Standing(job).log.offset == 0, "while it runs, a short log is read in a moment"
    log += encode(State(t=60.0, state="finished"))
    assert same(told(jobs.status(write(job, log))), expected(log))
    assert Standing(job).log.offset == len(log)


@pytest.mark.parametrize("harm", ["deleted", "cut", "another", "empty", "older"])
def test_a_kept_state_that_does_not_fit_counts_for_nothing(
    job: Path, long_log: bytes, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if harm == "older":
        with monkeypatch.context() as patch:
            patch.setattr(snapshot, "_FORMAT", "0 something else")
            jobs.status(write(job, long_log))
    else:
        jobs.status(write(job, long_log))
    kept = job / SNAPSHOT
    assert kept.is_file()
    match harm:
        case "deleted":
            kept.unlink()
        case "cut":
            kept.write_bytes(kept.read_bytes()[:-9])
        case "empty":
            kept.write_bytes(b"")
        case "another":
            long_log = b"".join(encode(event) for event in long_events(STEPS - 7))
            write(job, long_log)
    assert same(told(jobs.status(job)), expected(long_log))


def test_a_folder_that_cant_be_written_to_is_told_all_the_same(job: Path, long_log: bytes) -> None:
    write(job, long_log)
    (job / f"{SNAPSHOT}.{os.getpid()}.tmp").mkdir()
    assert same(told(jobs.status(job)), expected(long_log))
    assert not (job / SNAPSHOT).exists()


def test_a_log_that_was_rewound_is_told_anew(job: Path, long_log: bytes) -> None:
    standing = Standing(write(job, long_log))
    while not standing.exact or not standing.log.offset:
        standing.poll(1.0)
    short = b"".join(encode(event) for event in long_events(100))
    (job / "new").write_bytes(short)
    (job / "new").rename(job / EVENTS)
    standing.poll(1.0)
    assert standing.generation == 1
    assert same(told(standing.state), expected(short))


def test_a_follower_starts_over_on_another_log_and_says_so(job: Path) -> None:
    write(job, encode(Log(t=1.0, message="old")) * 3)
    follower = Follower(job)
    assert len(follower.poll()) == 3
    (job / "new").write_bytes(encode(Metrics(t=1.0, step=4, values={})) * 5)
    (job / "new").rename(job / EVENTS)
    assert len(follower.poll()) == 5
    assert (follower.generation, follower.state.step) == (1, 4)


def test_a_feed_has_long_runs_at_once_and_fills_them_in(tmp_path: Path, long_log: bytes) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder in folders:
        create(folder, "train", {})
        write(folder, long_log)
    feed = Feed()
    states, changed = feed.poll(folders, seconds=0.0)
    assert changed
    assert {s.step for s in states.values()} == {STEPS}
    for _ in range(1000):
        states, changed = feed.poll(folders, seconds=0.05)
        if not changed and all(len(s.artifacts) == STEPS // 10_000 for s in states.values()):
            break
    assert {s.best_loss for s in states.values()} == {0.25}
    assert feed.poll(folders)[1] is False


def test_lines_of_many_megabytes_are_read_like_any_other(job: Path) -> None:
    data = encode(Log(t=1.0, message="x" * 10_000_000)) + encode(
        Metrics(t=2.0, step=3, values={"loss": 1.0})
    )
    assert jobs.status(write(job, data * 2)).step == 3
    assert glance(job, 0.0).step == 3


@settings(deadline=None, max_examples=60)
@given(logs, st.integers(0, 4000), st.integers(1, 500))
def test_a_log_cut_anywhere_and_read_in_any_pieces_gives_the_state_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, cut: int, piece: int
) -> None:
    folder = tmp_path_factory.mktemp("run") / "run"
    create(folder, "train", {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "READ", piece)
        patch.setattr(standing, "AT_ONCE", 3 * piece)
        write(folder, log[:cut])
        one = Standing(folder)
        one.poll(60.0)
        write(folder, log[cut:], "ab")
        one.poll(60.0)
    assert same(one.folded, expected_in(folder, log))


def expected_in(folder: Path, log: bytes) -> JobState:
    state = JobState(name="run", kind="train", created=jobs.load(folder).created)
    return fold(state, plainly(log))


@settings(deadline=None, max_examples=60)
@given(logs, st.integers(0, 3000))
def test_the_end_of_a_log_is_made_of_its_own_events_in_order(
    tmp_path_factory: pytest.TempPathFactory, log: bytes, start: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "e"
    path.write_bytes(log + b'{"type":"log","torn')
    start = log.rfind(b"\n", 0, start) + 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tuiwb.jobs.log_end.END", 200)
        patch.setattr("tuiwb.jobs.log_end._PIECE", 300)
        events, offset = end_of(path, start)
    assert offset == len(log)
    whole = [repr(e) for e in plainly(log[start:])]
    at = 0
    for event in events:
        at = whole.index(repr(event), at) + 1
    states = [e for e in plainly(log[start:]) if isinstance(e, State)]
    assert [e for e in events if isinstance(e, State)][-1:] == states[-1:]


def test_a_reader_and_a_standing_agree_on_where_a_log_ends(job: Path) -> None:
    write(job, encode(Log(t=1.0, message="a")) + b"{torn")
    reader, standing = EventReader(job / EVENTS), Standing(job)
    reader.read()
    standing.poll()
    assert reader.offset == standing.log.offset
    assert decode(b"{torn") is None
