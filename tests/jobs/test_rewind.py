"""An event log taken back to a checkpoint: every metric once and in order, nothing thrown away."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.workers import fill
from tuiwb.errors import BadInput
from tuiwb.jobs import create, process
from tuiwb.jobs.events import (
    Alert,
    AnyEvent,
    Artifact,
    Control,
    Device,
    EventReader,
    EventWriter,
    Host,
    Log,
    Metrics,
    Progress,
    Sample,
    State,
)
from tuiwb.jobs.rewind import LOST, rewind

EVALUATED = (4, 8)


def history(until: int) -> list[dict[str, Any]]:
    """What a trainer that logs each step and evaluates at 4 and 8 has logged by a step."""
    entries: list[dict[str, Any]] = []
    for step in range(1, until + 1):
        entries.append({"step": step, "epoch": step / 10, "loss": 5.0 - step / 10, "num_tokens": 9})
        if step in EVALUATED:
            entries.append({"step": step, "epoch": step / 10, "eval_loss": 4.0})
    return entries


def told(entry: dict[str, Any]) -> Metrics:
    values = {k: float(v) for k, v in entry.items() if k not in ("step", "epoch")}
    more = {"tokens_per_second": 1e3} if "loss" in values else {}
    return Metrics(
        step=entry["step"], epoch=entry["epoch"], total_steps=20, values={**values, **more}
    )


def write(folder: Path, events: list[AnyEvent]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    writer = EventWriter(folder / "events.jsonl")
    for number, event in enumerate(events):
        event.t = event.t or 1000.0 + number
        writer.emit(event)
    writer.close()
    return folder


def leg(first: int, last: int, saved: int) -> list[AnyEvent]:
    """A process's part of a log: its steps, a checkpoint on the way, what else happens."""
    events: list[AnyEvent] = [State(state="starting"), State(state="running", phase="training")]
    for entry in history(last):
        if entry["step"] < first:
            continue
        step = entry["step"]
        if "eval_loss" in entry:
            events += [Sample(step=step, text="a"), told(entry)]
        else:
            events += [Progress(phase="training", done=step, total=20, unit="steps"), told(entry)]
            events.append(Device(host=Host(cpu=1.0, memory_used=1, memory_total=2)))
        if step == saved and (step not in EVALUATED or "eval_loss" in entry):
            path = f"checkpoints/checkpoint-{saved}"
            events.append(Artifact(kind="checkpoint", path=path, step=saved))
    return events


def read(folder: Path, name: str = "events.jsonl") -> list[AnyEvent]:
    return EventReader(folder / name).read()


def metrics(folder: Path) -> list[tuple[int, dict[str, float]]]:
    return [
        (e.step, {k: v for k, v in e.values.items() if k != "tokens_per_second"})
        for e in read(folder)
        if isinstance(e, Metrics)
    ]


def expected(until: int) -> list[tuple[int, dict[str, float]]]:
    return [
        (e["step"], {k: float(v) for k, v in e.items() if k not in ("step", "epoch")})
        for e in history(until)
    ]


def test_metrics_beyond_the_checkpoint_move_to_the_lost_ones(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", leg(1, 9, saved=4))
    before = (folder / "events.jsonl").read_bytes().splitlines()
    found = rewind(folder, 4, history(4))
    assert metrics(folder) == expected(4)
    kept = (folder / "events.jsonl").read_bytes().splitlines()
    lost = (folder / LOST).read_bytes().splitlines()
    assert found.lost == len(lost)
    assert sorted(kept + lost) == sorted(before), "nothing is thrown away"
    beyond = [e for e in read(folder, LOST) if isinstance(e, Metrics)]
    assert [e.step for e in beyond] == [5, 6, 7, 8, 8, 9]
    assert not [e for e in read(folder) if isinstance(e, Sample | Progress) and _step(e) > 4]


def _step(event: Sample | Progress) -> float:
    return event.step if isinstance(event, Sample) else event.done


def test_samples_of_the_hardware_stay_for_that_time_was_spent(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", leg(1, 9, saved=4))
    rewind(folder, 4, history(4))
    assert len([e for e in read(folder) if isinstance(e, Device)]) == 9


def test_two_legs_are_one_curve(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", leg(1, 9, saved=4))
    rewind(folder, 4, history(4))
    write(folder, leg(5, 12, saved=10))
    rewind(folder, 10, history(10))
    assert metrics(folder) == expected(10)
    lost = [e.step for e in read(folder, LOST) if isinstance(e, Metrics)]
    assert lost == [5, 6, 7, 8, 8, 9, 11, 12]


def test_a_log_that_a_resume_without_rewind_left_is_mended(tmp_path: Path) -> None:
    doubled = [*leg(1, 9, saved=4), *leg(5, 12, saved=10)]
    for event in doubled[:40]:
        if isinstance(event, Metrics) and event.step > 4:
            event.values = {k: v + 0.01 for k, v in event.values.items()}
    folder = write(tmp_path / "a", doubled)
    rewind(folder, 10, history(10))
    assert metrics(folder) == expected(10)


def test_metrics_that_a_power_cut_took_are_put_back_in_order(tmp_path: Path) -> None:
    events = [e for e in leg(1, 9, saved=8) if not (isinstance(e, Metrics) and e.step in (3, 4, 8))]
    folder = write(tmp_path / "a", events)
    found = rewind(folder, 8, history(8))
    assert found.restored == 5
    assert metrics(folder) == expected(8)


def test_the_summary_of_a_run_that_was_stopped_is_not_its_last_word(tmp_path: Path) -> None:
    summary = Metrics(step=4, epoch=0.4, values={"train_runtime": 9.0, "train_loss": 5.0})
    folder = write(tmp_path / "a", [*leg(1, 4, saved=4), summary, State(state="cancelled")])
    rewind(folder, 4, history(4))
    assert metrics(folder) == expected(4)
    assert [e.values for e in read(folder, LOST) if isinstance(e, Metrics)] == [summary.values]


def test_a_nan_is_the_same_nan(tmp_path: Path) -> None:
    entry = {"step": 1, "epoch": 0.1, "loss": math.nan}
    folder = write(tmp_path / "a", [told(entry)])
    assert rewind(folder, 1, [entry]).lost == 0


def test_nothing_to_take_back_leaves_the_very_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", leg(1, 4, saved=4))
    before = (folder / "events.jsonl").stat()
    rewind(folder, 4, history(4))
    after = (folder / "events.jsonl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert sorted(os.listdir(folder)) == ["events.jsonl"]


def test_alerts_and_checkpoints_beyond_go_and_the_adapter_stays(tmp_path: Path) -> None:
    more: list[AnyEvent] = [
        Alert(rule="plateau", severity="note", evidence="", step=9),
        Alert(rule="odd_rows", severity="note", evidence=""),
        Artifact(kind="checkpoint", path="checkpoints/checkpoint-9", step=9),
        Artifact(kind="adapter", path="adapter", step=9),
        Log(message="a word"),
    ]
    folder = write(tmp_path / "a", [*leg(1, 9, saved=4), *more])
    rewind(folder, 4, history(4))
    kept = read(folder)
    assert [e.rule for e in kept if isinstance(e, Alert)] == ["odd_rows"]
    assert [e.path for e in kept if isinstance(e, Artifact)] == [
        "checkpoints/checkpoint-4",
        "adapter",
    ]
    assert isinstance(kept[-1], Log)


def test_what_was_set_after_the_checkpoint_is_told_as_undone(tmp_path: Path) -> None:
    early, late = "learning_rate 1 -> 2 from step 3 on", "learning_rate 2 -> 3 from step 6 on"
    events = leg(1, 9, saved=4)
    events.insert(6, Control(id="1", command="set", note=early))
    events += [Control(id="2", command="set", note=late), Log(message=late)]
    folder = write(tmp_path / "a", events)
    assert rewind(folder, 4, history(4)).undone == [late]
    assert [e.note for e in read(folder) if isinstance(e, Control)] == [early]
    assert not [e for e in read(folder) if isinstance(e, Log)]


def test_lines_that_no_one_understands_stay_where_they_are(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", leg(1, 6, saved=4))
    with (folder / "events.jsonl").open("ab") as file:
        file.write(b'{"type":"future","step":99}\nnoise\n{"type":"metr')
    rewind(folder, 4, history(4))
    assert (
        (folder / "events.jsonl")
        .read_bytes()
        .endswith(b'{"type":"future","step":99}\nnoise\n{"type":"metr\n')
    )


def test_a_job_that_lives_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    create(folder, "train", {})
    write(folder, leg(1, 9, saved=4))
    process.write(folder, process.identify(os.getpid()))
    before = (folder / "events.jsonl").read_bytes()
    with pytest.raises(BadInput, match="still has its process"):
        rewind(folder, 4, history(4))
    assert (folder / "events.jsonl").read_bytes() == before


REWIND = """
import sys, json
from pathlib import Path
import os
# A slow disk: the parent has time to kill within each of the steps.
calls = {name: getattr(os, name) for name in ("fsync", "replace")}
def say_then(name):
    def call(*arguments, **keywords):
        print(name, flush=True)
        sys.stdin.readline()
        return calls[name](*arguments, **keywords)
    return call
for name in calls:
    setattr(os, name, say_then(name))
from tuiwb.jobs.rewind import rewind
rewind(Path(sys.argv[1]), 4, json.loads(sys.argv[2]))
print("done", flush=True)
"""


def test_a_kill_at_any_moment_leaves_the_old_log_or_the_new(tmp_path: Path) -> None:
    import json

    steps = 0
    while True:
        folder = write(tmp_path / str(steps), leg(1, 9, saved=4))
        before = (folder / "events.jsonl").read_bytes()
        child = subprocess.Popen(
            [sys.executable, "-c", REWIND, str(folder), json.dumps(history(4))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        said = child.stdout.readline()
        for _ in range(steps):
            if said == b"done\n":
                break
            child.stdin.write(b"\n")
            child.stdin.flush()
            said = child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdin.close()
        child.stdout.close()
        after = (folder / "events.jsonl").read_bytes()
        assert after == before or metrics(folder) == expected(4)
        # And the next try makes it whole, with the lost ones there once.
        rewind(folder, 4, history(4))
        assert metrics(folder) == expected(4)
        kept = (folder / "events.jsonl").read_bytes().splitlines()
        lost = (folder / LOST).read_bytes().splitlines()
        assert sorted(kept + lost) == sorted(before.splitlines())
        if said == b"done\n":
            break
        steps += 1
    assert steps >= 5


def test_a_full_disk_is_said_and_nothing_has_changed(tmp_path: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    try:
        folder = write(tmp_path / "a", leg(1, 9, saved=4))
        before = (folder / "events.jsonl").read_bytes()
        fill(tmp_path / "filler")
        with pytest.raises(BadInput, match="free some space and resume again: nothing has changed"):
            rewind(folder, 4, history(4))
        assert os.listdir(folder) == ["events.jsonl"]
        assert (folder / "events.jsonl").read_bytes() == before
        (tmp_path / "filler").unlink()
        rewind(folder, 4, history(4))
        assert metrics(folder) == expected(4)
    finally:
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)
