"""Why a job died: the strongest sign wins, in a line, with the way on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.jobs.workers import end, install, job, wait_for
from tuiwb.jobs import create, launch, process, status
from tuiwb.jobs.death import Death, exit_record, why
from tuiwb.jobs.events import Artifact, EventWriter, Metrics, State

GONE = process.ProcessIdentity(pid=2**22 - 1, start=1.0, host="", boot="")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "job"
    end(tmp_path / "job")


def died(folder: Path, log: str = "", saved: bool = True, **record: Any) -> Death:
    """Why a job died whose worker left this log and whose supervisor left this record."""
    create(folder, "train", {})
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="running", phase="training"))
    writer.emit(Metrics(step=41, total_steps=100, values={"loss": 1.0}))
    if saved:
        writer.emit(Artifact(kind="checkpoint", path="checkpoints/checkpoint-40", step=40))
    writer.close()
    (folder / "worker.log").write_text(log)
    boot = record.pop("boot", process.boot_id())
    host = os.uname().nodename
    identity = msgspec.structs.replace(GONE, boot=boot, host=host)
    process.write(folder, identity)
    if record:
        whole = {"pid": identity.pid, "start": 1.0, "boot": boot, "t": 1e9, **record}
        (folder / "exit.json").write_bytes(msgspec.json.encode(whole))
    state = status(folder)
    assert state.state == "died"
    found = why(folder, state)
    assert state.message == found.sentence
    assert "\n" not in found.sentence
    assert len(found.sentence) < 500
    return found


@pytest.mark.parametrize(
    ("record", "log", "cause", "says"),
    [
        ({"signal": 9, "oom_kills": [3, 4]}, "", "out_of_memory", "OOM killer ended it"),
        (
            {"signal": 9, "kernel": ["Out of memory: Killed process 41 (python)"]},
            "",
            "out_of_memory",
            "the kernel said so",
        ),
        ({"signal": 9, "oom_kills": [3, 3]}, "", "killed", "SIGKILL, not by the OOM killer"),
        ({"signal": 9}, "", "killed", "by whom can't be read here"),
        ({"signal": 15}, "", "killed", "ended by SIGTERM"),
        ({"signal": 11}, "Fatal Python error: Segmentation fault", "crashed", "SIGSEGV"),
        (
            {"code": 1},
            "Traceback (most recent call last):\n  File\nValueError: no such thing",
            "exited",
            "ValueError: no such thing",
        ),
        ({"code": 17}, "", "exited", "exit code 17"),
        (
            {"code": 1},
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
            "gpu",
            "GPU's memory was full",
        ),
        (
            {"code": 1},
            "RuntimeError: CUDA error: device-side assert triggered\nCompile with TORCH_USE",
            "gpu",
            "device-side assert",
        ),
        (
            {"signal": 6, "kernel": ["NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus"]},
            "",
            "gpu",
            "fallen off the bus",
        ),
        (
            {
                "signal": 9,
                "oom_kills": [0, 0],
                "kernel": ["NVRM: Xid (PCI:0000:01:00): 31, pid=12345, name=other, MMU Fault"],
            },
            "",
            "killed",
            "SIGKILL",
        ),
        ({}, "so far so good", "unknown", "gone without a word at step 41; its log ends: so far"),
    ],
)
def test_the_strongest_sign_is_the_reason(
    folder: Path, record: dict[str, Any], log: str, cause: str, says: str
) -> None:
    found = died(folder, log, **record)
    assert found.cause == cause
    assert says in found.sentence
    assert found.sentence.endswith("it can resume from checkpoints/checkpoint-40")
    assert found.resume == "checkpoints/checkpoint-40"
    assert found.t == (1e9 if record else status(folder).seen)


STARTED = "[transformers] Token indices sequence length is longer than the maximum (4335 > 1024)"
LOGGED = STARTED + "\n{'loss': '1.2', 'epoch': '0.5'}\n"


@pytest.mark.parametrize(
    ("record", "log", "ends"),
    [
        ({"signal": 9, "oom_kills": [3, 3]}, LOGGED, ""),
        ({"signal": 9}, STARTED, ""),
        ({"signal": 11}, LOGGED, ""),
        ({"code": 3}, LOGGED, ""),
        ({"code": 3}, LOGGED + "bus error on /mnt\nbye", "bus error on /mnt"),
        ({"code": 3}, LOGGED + "bye", "bye"),
        ({"signal": 6}, LOGGED + "terminate called\nbye", "terminate called"),
        ({"code": 1}, LOGGED + "ValueError: no such thing", ""),
    ],
)
def test_the_log_is_quoted_only_where_it_tells_of_the_end(
    folder: Path, record: dict[str, Any], log: str, ends: str
) -> None:
    found = died(folder, log, **record)
    assert found.sentence.partition("its log ends: ")[2].partition(";")[0] == ends


def test_another_boot_is_a_restart_of_the_machine(folder: Path) -> None:
    found = died(folder, boot="another")
    assert found.cause == "restarted"
    assert found.sentence.startswith("the machine was restarted while it ran at step 41")


def test_a_worker_that_ended_before_the_restart_is_told_as_it_was(folder: Path) -> None:
    assert died(folder, boot="another", signal=9, oom_kills=[0, 1]).cause == "out_of_memory"


def test_without_a_checkpoint_the_way_on_is_another_start(folder: Path) -> None:
    found = died(folder, saved=False, code=1)
    assert found.resume is None
    assert found.way_on == "start it again to retry"


def test_a_log_of_ten_megabytes_in_a_line_makes_no_long_sentence(folder: Path) -> None:
    found = died(folder, "x" * 10_000_000, signal=9)
    assert max(map(len, found.evidence)) < 1000


def test_the_evidence_says_what_could_not_be_read(folder: Path) -> None:
    found = died(folder, "last line", signal=9)
    assert "the kernel's log can't be read here" in found.evidence
    assert "its cgroup's count of OOM kills can't be read here" in found.evidence
    assert "log: last line" in found.evidence


def test_a_job_of_another_host_is_not_called_dead(folder: Path) -> None:
    died(folder)
    identity = msgspec.structs.replace(GONE, boot="other", host="elsewhere")
    process.write(folder, identity)
    state = status(folder)
    assert state.state == "running"
    found = why(folder, state)
    assert found.cause == "elsewhere"
    assert found.sentence.startswith("not heard of since ")
    assert "elsewhere" in found.sentence


def test_a_job_of_another_host_that_is_silent_for_long_says_so_itself(folder: Path) -> None:
    create(folder, "train", {})
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="running", t=time.time() - 3600))
    writer.close()
    process.write(folder, msgspec.structs.replace(GONE, boot="other", host="elsewhere"))
    assert status(folder).message.startswith("not heard of since ")


# --- a real OOM kill: the kernel's own, in a memory cgroup ------------------------------------

IN_GROUP = """
import os, sys
from pathlib import Path
open(sys.argv[2], "w").write(str(os.getpid()))
from tuiwb.jobs import launch
print(launch(Path(sys.argv[1])), flush=True)
"""


def memory_group(limit: int) -> Path:
    """A new memory cgroup below ours with a limit in bytes; skips where that isn't permitted."""
    refused = ["no memory cgroup is mounted"]
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        for root, file in (
            (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
            (Path("/sys/fs/cgroup"), "memory.max"),
        ):
            ours = "memory" in names.split(",") if "limit" in file else names == ""
            for parent in (root / path.lstrip("/"), root) if ours else ():
                group = parent / f"tuiwb-test-{os.getpid()}"
                try:
                    group.mkdir()
                    (group / file).write_text(str(limit))
                except OSError as error:
                    refused.append(str(error))
                    if group.is_dir():
                        group.rmdir()
                    continue
                for swap in ("memory.swap.max", "memory.swappiness"):
                    # With swap it would be long until the kernel kills.
                    with contextlib.suppress(OSError):
                        (group / swap).write_text("0")
                return group
    pytest.skip(f"no memory cgroup can be made here: {refused[-1]}")


def test_the_kernels_oom_killer_is_named_as_what_ended_a_worker(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = memory_group(200 << 20)
    monkeypatch.setenv("PYTHONPATH", install(tmp_path))
    job(folder, "eats")
    try:
        subprocess.run(
            [sys.executable, "-c", IN_GROUP, str(folder), str(group / "cgroup.procs")],
            check=True,
            capture_output=True,
        )
        wait_for(lambda: status(folder).state == "died", folder)
        state = status(folder)
        record = exit_record(folder)
        assert record is not None
        assert record.signal == signal.SIGKILL
        found = why(folder, state)
        assert found.cause == "out_of_memory"
        assert found.sentence.startswith("the kernel's OOM killer ended it")
        assert "OOM kills in its cgroup while it ran: 1" in found.evidence
        if record.kernel_log:
            assert any("Killed process" in line for line in record.kernel)
            # And where the supervisor went with the worker the kernel's log is asked itself.
            (folder / "exit.json").unlink()
            assert why(folder, state).cause == "out_of_memory"
    finally:
        end(folder)
        wait_for(lambda: not (group / "cgroup.procs").read_text().strip(), folder)
        group.rmdir()


def test_a_kill_by_a_person_is_not_blamed_on_the_kernel(folder: Path, tmp_path: Path) -> None:
    launch(job(folder, "obeys"), environment={"PYTHONPATH": install(tmp_path)})
    wait_for(lambda: status(folder).step == 1, folder)
    end(folder)
    wait_for(lambda: status(folder).state == "died", folder)
    assert why(folder, status(folder)).cause == "killed"


def test_an_error_on_the_way_out_is_the_reason(folder: Path, tmp_path: Path) -> None:
    environment = {"PYTHONPATH": install(tmp_path)}
    launch(job(folder, "raises_late", says="the moon is full"), environment=environment)
    wait_for(lambda: status(folder).state == "died", folder)
    assert "RuntimeError: the moon is full" in status(folder).message
