"""The event log: what is written is read back, and nothing broken stops a reader."""

import math
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Control,
    Device,
    EventReader,
    EventWriter,
    Gpu,
    Host,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
    decode,
    encode,
)

ONE_OF_EACH: list[AnyEvent] = [
    State(state="running", phase="training", message="on it", exit_code=0),
    Progress(phase="tokenising", done=3, total=10, unit="rows"),
    Metrics(step=7, epoch=0.5, total_steps=9, values={"loss": 1.25, "grad_norm": 0.5}),
    Device(
        gpus=[Gpu(index=0, name="H200", memory_used=1, memory_total=2, utilisation=99.0)],
        host=Host(cpu=12.5, memory_used=3, memory_total=4, disk_free=5),
    ),
    Sample(step=1, prompt="\x1b[31m[red]\x00", text="line\nline \u202e"),
    Artifact(kind="checkpoint", path="checkpoints/checkpoint-5", sha256="ab", step=5),
    Alert(rule="not_finite", severity="critical", evidence="loss is nan", fix="stop", step=3),
    Log(level="warn", message="naïve ☃"),
    Control(id="x1", command="stop", ok=False, note="too late"),
]


def log_of(path: Path, events: list[AnyEvent]) -> Path:
    writer = EventWriter(path)
    for event in events:
        writer.emit(event)
    writer.close()
    return path


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda e: type(e).__name__)
def test_every_type_of_event_comes_back_as_it_was_written(tmp_path: Path, event: AnyEvent) -> None:
    path = log_of(tmp_path / "events.jsonl", [event])
    (read,) = EventReader(path).read()
    assert read == event
    assert read.v == 1
    assert read.t > 1.7e9


def test_events_come_back_in_the_order_they_were_written(tmp_path: Path) -> None:
    path = log_of(tmp_path / "e", [Log(message=str(n)) for n in range(500)])
    assert [e.message for e in EventReader(path).read() if isinstance(e, Log)] == [
        str(n) for n in range(500)
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stays_so_and_the_line_is_plain_json(value: float) -> None:
    line = encode(Metrics(step=1, values={"loss": value, "lr": 0.1}))
    assert msgspec.json.decode(line)["values"]["loss"] in ("NaN", "Infinity", "-Infinity")
    read = decode(line)
    assert isinstance(read, Metrics)
    assert str(read.values["loss"]) == str(value)
    assert read.values["lr"] == 0.1


@given(st.dictionaries(st.text(), st.floats(), max_size=5), st.integers(0, 2**40))
def test_any_metrics_survive_the_trip(values: dict[str, float], step: int) -> None:
    read = decode(encode(Metrics(step=step, values=values)))
    assert isinstance(read, Metrics)
    assert read.step == step
    assert {k: str(v) for k, v in read.values.items()} == {k: str(v) for k, v in values.items()}


@given(st.binary(max_size=300))
def test_no_bytes_whatever_stop_a_reader(line: bytes) -> None:
    decode(line)


def test_a_torn_last_line_waits_for_its_rest(tmp_path: Path) -> None:
    path = log_of(tmp_path / "e", [Log(message="first")])
    whole = encode(Log(message="second", v=1, t=1.0))
    with path.open("ab") as file:
        file.write(whole[:9])
    reader = EventReader(path)
    assert [type(e) for e in reader.read()] == [Log]
    assert reader.read() == []
    with path.open("ab") as file:
        file.write(whole[9:])
    assert [e.message for e in reader.read() if isinstance(e, Log)] == ["second"]


def test_broken_lines_and_unknown_types_are_passed_over(tmp_path: Path) -> None:
    path = log_of(tmp_path / "e", [Log(message="before")])
    with path.open("ab") as file:
        file.write(b'{"type":"telepathy","v":9,"t":1}\n')
        file.write(b"\xff\xfe not json\n\n[]\nnull\n" + b"[" * 5000 + b"\n")
    log_of(path, [Log(message="after")])
    said = [e.message for e in EventReader(path).read() if isinstance(e, Log)]
    assert said == ["before", "after"]


def test_a_field_from_a_newer_version_is_ignored() -> None:
    event = decode(b'{"type":"progress","v":2,"t":1,"phase":"x","done":1,"colour":"blue"}')
    assert isinstance(event, Progress)
    assert event.done == 1


def test_a_writer_after_a_torn_line_starts_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "e"
    path.write_bytes(b'{"type":"log","mess')
    log_of(path, [Log(message="whole")])
    assert [e.message for e in EventReader(path).read() if isinstance(e, Log)] == ["whole"]


def test_two_threads_never_mix_their_lines(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "e")

    def write(name: str) -> None:
        for n in range(300):
            writer.emit(Log(message=f"{name}{n} " + "x" * 500))

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    said = [e.message for e in EventReader(tmp_path / "e").read() if isinstance(e, Log)]
    assert len(said) == 600
    for name in "ab":
        mine = [m.split()[0] for m in said if m.startswith(name)]
        assert mine == [f"{name}{n}" for n in range(300)]


def test_a_huge_limit_asks_for_no_more_memory_than_the_log_holds(tmp_path: Path) -> None:
    path = log_of(tmp_path / "e", [Log(message="small")])
    assert len(EventReader(path).read(limit=1 << 60)) == 1


def test_a_line_longer_than_the_limit_is_still_read_whole(tmp_path: Path) -> None:
    path = log_of(tmp_path / "e", [Log(message="x" * 100_000), Log(message="after")])
    reader = EventReader(path)
    said: list[int] = []
    while events := reader.read(limit=1000):
        said += [len(e.message) for e in events if isinstance(e, Log)]
    assert said == [100_000, 5]


def test_a_missing_log_reads_as_empty(tmp_path: Path) -> None:
    assert EventReader(tmp_path / "none").read() == []


def test_on_a_full_disk_events_wait_and_are_written_in_order_once_there_is_room(
    small_disk: Path,
) -> None:
    writer = EventWriter(small_disk / "events.jsonl")
    writer.emit(Log(message="0"))
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space left"):
        ballast.write_bytes(b"x" * (1 << 20))
    n = 0
    while not writer.waiting:
        n += 1
        writer.emit(Log(message=f"{n} " + "y" * 1000))
    writer.emit(State(state="failed", message="full"))
    at_the_worst = EventReader(small_disk / "events.jsonl")
    at_the_worst.read()
    assert at_the_worst.offset == (small_disk / "events.jsonl").stat().st_size, "a half line"
    ballast.unlink()
    writer.close()
    events = EventReader(small_disk / "events.jsonl").read()
    assert [e.message.split()[0] for e in events] == [*(str(i) for i in range(n + 1)), "full"]


@pytest.fixture
def small_disk(tmp_path: Path):
    """A real filesystem of 256 KiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(tmp_path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)
