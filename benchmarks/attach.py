"""Attaching to a run whose log holds a million metrics: to its state, to its whole curves, memory.

Each measurement is a fresh process that has the UI's modules imported. "unread": nobody read the
log before (nothing derived beside it, nothing of it in the page cache, as far as the kernel lets
go of it); "kept": the curves and the state lie beside it. Floors in the same run: reading the
file's bytes, `json.loads` of each line, and TensorBoard's event file reader where it is installed
(for as many scalars, written by its own writer).
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import finish, median

from tuiwb import jobs
from tuiwb.jobs.events import (
    Alert,
    Artifact,
    Device,
    Gpu,
    Host,
    Log,
    Metrics,
    Progress,
    State,
    TorchMemory,
    encode,
)

EVENTS = 1_000_000
SEED = 7
GB = 10**9
ATTACH = """
import json, os, resource, sys, time
from pathlib import Path
import tuiwb.app.app, tuiwb.app.screens.train
folder = Path(sys.argv[1])
if sys.argv[2] == "unread":
    for derived in folder.glob(".events.*"):
        derived.unlink()
    fd = os.open(folder / "events.jsonl", os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began, cpu = time.perf_counter(), time.process_time()
from tuiwb.monitor.watched import open_watched
watched = open_watched(folder)
state = watched.state
to_state = time.perf_counter() - began
said = state.state, state.step, state.metrics["loss"], state.metrics["eval_loss"]
watched.poll(0.0)
slowest = 0.0
while watched.loaded < 1:
    at = time.perf_counter()
    watched.poll(0.1)
    slowest = max(slowest, time.perf_counter() - at)
to_curves = time.perf_counter() - began
loss = watched.series.get("loss")
cpu = time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
watched.poll(0.0)  # leaves the curves beside the log
print(json.dumps({
    "state_s": to_state, "curves_s": to_curves, "curves_cpu_s": cpu,
    "peak_mb": peak, "before_mb": before,
    "slowest_poll_s": slowest, "points": len(loss), "last": [float(loss.steps[-1]), *said],
    "names": len(watched.series.names()), "checkpoints": len(watched.series.checkpoints),
    "sum": float(loss.values.sum()),
}))
"""
FLOOR = """
import json, sys, time
began = time.perf_counter()
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.read(1 << 20):
        pass
read = time.perf_counter() - began
began, total = time.perf_counter(), 0.0
with open(sys.argv[1], "rb") as file:
    for line in file:
        event = json.loads(line)
        if event["type"] == "metrics":
            total += event["values"].get("loss", 0.0)
print(json.dumps({"read_s": read, "json_loads_s": time.perf_counter() - began, "sum": total}))
"""
TENSORBOARD = """
import json, sys, time
from pathlib import Path
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
writer = EventFileWriter(sys.argv[1])
names = [f"train/{n}" for n in range(7)]
for step in range(int(sys.argv[2])):
    values = [summary_pb2.Summary.Value(tag=n, simple_value=step * 0.5) for n in names]
    summary = summary_pb2.Summary(value=values)
    writer.add_event(event_pb2.Event(wall_time=step, step=step, summary=summary))
writer.close()
began = time.perf_counter()
EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()
print(json.dumps({"tensorboard_s": time.perf_counter() - began}))
"""


def write_log(path: Path, events: int, seed: int = SEED) -> None:
    """A run as the trainer writes one: metrics at each step; the hardware, the progress, held-out
    evaluations, checkpoints and now and then an alert among them."""
    rng = random.Random(seed)
    t = 1.78e9
    with path.open("wb") as file:

        def emit(event: Any) -> None:
            event.v, event.t = 1, t
            file.write(encode(event))

        emit(State(state="starting", phase="loading libraries"))
        emit(State(state="running", phase="training"))
        for step in range(1, events + 1):
            t += rng.uniform(0.05, 0.15)
            share = step / events
            emit(
                Metrics(
                    step=step,
                    epoch=3 * share,
                    total_steps=events,
                    values={
                        "loss": 2.5 - 1.4 * share + rng.gauss(0, 0.08),
                        "grad_norm": abs(rng.gauss(0.8, 0.2)),
                        "learning_rate": 2e-4 * (1 - share),
                        "entropy": 1.5 + rng.gauss(0, 0.05),
                        "num_tokens": step * 8192.0,
                        "mean_token_accuracy": 0.5 + 0.3 * share + rng.gauss(0, 0.01),
                        "tokens_per_second": rng.gauss(81_000, 900),
                    },
                )
            )
            if step % 10 == 0:
                emit(Progress(phase="training", done=step, total=events, unit="steps"))
            if step % 20 == 0:
                emit(_device(rng))
            if step % 2000 == 0:
                emit(State(state="running", phase="evaluating"))
                values = {"eval_loss": 2.4 - share + rng.gauss(0, 0.02), "eval_runtime": 4.1}
                emit(Metrics(step=step, epoch=3 * share, total_steps=events, values=values))
                emit(State(state="running", phase="training"))
            if step % 5000 == 0:
                name = f"checkpoints/checkpoint-{step}"
                emit(Artifact(kind="checkpoint", path=name, sha256="a" * 64, step=step))
            if step % 50_000 == 0:
                emit(Log(message=f"step {step}"))
                emit(Alert(rule="spike", severity="note", evidence="the loss rose", step=step))


def _device(rng: random.Random) -> Device:
    gpu = Gpu(
        index=0,
        name="NVIDIA H100 80GB HBM3",
        memory_used=rng.randrange(60 * GB, 70 * GB),
        memory_total=80 * GB,
        memory_job=60 * GB,
        utilisation=97.0,
        temperature=rng.uniform(60, 70),
        power=rng.uniform(600, 700),
        power_limit=700.0,
        clock_sm=1980.0,
    )
    host = Host(cpu=12.0, memory_used=90 * GB, memory_total=256 * GB, job_memory=9 * GB)
    torch = TorchMemory(
        index=0,
        allocated=50 * GB,
        reserved=58 * GB,
        peak_allocated=55 * GB,
        peak_reserved=58 * GB,
    )
    return Device(gpus=[gpu], host=host, torch=[torch])


def attach(events: int = EVENTS, rounds: int = 3) -> dict[str, Any]:
    """Measure; seconds and megabytes, medians over `rounds` fresh processes.

    Keys `unread`, `kept` (each with state_s, curves_s, curves_cpu_s, peak_mb ...), `floor`,
    `tensorboard` (None where it is not installed), `log_mb`, `kept_mb`, `points`.
    """
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where) / "run"
        jobs.create(folder, "train", {})
        log = folder / "events.jsonl"
        write_log(log, events)
        measured: dict[str, list[dict[str, Any]]] = {"unread": [], "kept": []}
        for _ in range(rounds):
            for kind in measured:
                measured[kind].append(_python(ATTACH, str(folder), kind))
        floor = _python(FLOOR, str(log))
        for each in (*measured["unread"], *measured["kept"]):
            if each["points"] != events or abs(each["sum"] - floor["sum"]) > 1e-6 * events:
                sys.exit(f"the curves are not the log's: {each}")
        beside = sum(p.stat().st_size for p in folder.glob(".events.*"))
        return {
            **{kind: _medians(found) for kind, found in measured.items()},
            "floor": floor,
            "tensorboard": _tensorboard(Path(where) / "tensorboard", events),
            "log_mb": log.stat().st_size / 1e6,
            "kept_mb": beside / 1e6,
            "points": events,
        }


def _tensorboard(folder: Path, events: int) -> dict[str, Any] | None:
    try:
        return _python(TENSORBOARD, str(folder), str(events))
    except subprocess.CalledProcessError:
        return None


def _python(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if code is TENSORBOARD else None,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _medians(found: list[dict[str, Any]]) -> dict[str, Any]:
    keys = ("state_s", "curves_s", "curves_cpu_s", "slowest_poll_s", "before_mb", "peak_mb")
    return {key: median([each[key] for each in found]) for key in keys}


def targets(results: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """(value, at most) of what attaching must keep to."""
    return {
        **{f"{k}: state, s": (results[k]["state_s"], 0.5) for k in ("unread", "kept")},
        **{f"{k}: curves, s": (results[k]["curves_s"], 3.0) for k in ("unread", "kept")},
        **{f"{k}: peak memory, MB": (results[k]["peak_mb"], 300.0) for k in ("unread", "kept")},
    }


def table(results: dict[str, Any]) -> str:
    """The results as a table."""
    rows = [f"{'':<28}{'state':>9}{'curves':>9}{'CPU':>9}{'peak':>10}"]
    for kind, words in (("unread", "log never read before"), ("kept", "curves kept beside it")):
        r = results[kind]
        rows.append(
            f"{words:<28}{r['state_s']:>7.2f} s{r['curves_s']:>7.2f} s"
            f"{r['curves_cpu_s']:>7.2f} s{r['peak_mb']:>7.0f} MB"
        )
    floor = results["floor"]
    rows.append(f"{'floor: reading the bytes':<28}{'':>9}{floor['read_s']:>7.2f} s")
    rows.append(f"{'floor: json.loads a line':<28}{'':>9}{floor['json_loads_s']:>7.2f} s")
    board = results["tensorboard"]
    said = f"{board['tensorboard_s']:>7.2f} s" if board else "  not installed"
    rows.append(f"{'TensorBoard, same scalars':<28}{'':>9}{said}")
    return "\n".join(rows)


def main() -> int:
    """Print the table and the closing JSON line; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    results = attach(asked.events, asked.rounds)
    print(f"{results['points']:,} metric events, {results['log_mb']:.0f} MB of log, ", end="")
    print(f"{results['kept_mb']:.0f} MB kept beside it")
    print(table(results))
    return finish("attach", results, targets(results))


if __name__ == "__main__":
    sys.exit(main())
