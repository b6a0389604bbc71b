"""The script that vLLM's Python runs: what its engine started does not outlive the worker."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.compare.builders import HELD_OUT, kill_worker, make_adapter, make_run, wait_until
from tests.compare.builders import write_rows as rows_into
from tests.serve.tiny import TINY_CHAT
from tuiwb import jobs
from tuiwb.compare.inference import vllm_offline
from tuiwb.compare.plan import plan, start
from tuiwb.project import Project

WAIT = 180.0  # seconds, of a busy machine too; three of them are less than what sleeps here
VLLM = os.environ.get("TUIWB_VLLM_PYTHON")
# Starts processes as vLLM does: one by fork, one by exec, neither of which ends by itself.
ENGINE = """
import os, subprocess, sys, time
class LLM:
    def __init__(self, **options):
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
        forked = os.fork()
        if not forked:
            time.sleep(600)
        with open("started.new", "w") as file:
            file.write(f"{started} {forked}")
        os.rename("started.new", "started")
        time.sleep(600)
SamplingParams = LoRARequest = None
"""
WORKER = """
import subprocess, sys, time
from tuiwb.jobs.child import ending_with_parent
subprocess.Popen(
    [sys.executable, sys.argv[1], "request.json", "answers.jsonl"],
    start_new_session=True, preexec_fn=ending_with_parent(),
)
time.sleep(600)
"""
REQUEST = (
    '{"model": "m", "revision": null, "dtype": "auto", "max_model_len": 8, "options": {},'
    ' "adapters": {}, "prompts": []}'
)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it went between the two looks
        return False


@pytest.mark.parametrize("ended", ["worker", "script"])
def test_what_an_engine_started_ends_with_the_worker_that_is_killed(
    tmp_path: Path, ended: str
) -> None:
    (tmp_path / "vllm" / "lora").mkdir(parents=True)
    for name in ("__init__.py", "lora/__init__.py", "lora/request.py"):
        (tmp_path / "vllm" / name).write_text(ENGINE)
    (tmp_path / "request.json").write_text(REQUEST)
    script = Path(vllm_offline.__file__).with_name("vllm_batch.py")
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
    )
    try:
        wait_until((tmp_path / "started").exists, WAIT)
        started = [psutil.Process(int(pid)) for pid in (tmp_path / "started").read_text().split()]
        (main,) = psutil.Process(worker.pid).children()
        assert all(map(lives, [main, *started]))
        # A fork that the engine ends by itself takes nothing with it.
        started[1].terminate()
        wait_until(lambda: not lives(started[1]), WAIT)
        assert lives(main)
        assert lives(started[0])
        (worker if ended == "worker" else main).send_signal(
            signal.SIGKILL if ended == "worker" else signal.SIGTERM
        )
        wait_until(lambda: not any(map(lives, [main, *started])), WAIT)
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.slow
@pytest.mark.skipif(not VLLM, reason="TUIWB_VLLM_PYTHON names no Python that has vLLM")
def test_vllm_ends_with_the_worker_that_is_killed(tmp_path: Path) -> None:
    root = tmp_path / "project"
    heldout = rows_into(root / "data" / "heldout.jsonl", HELD_OUT)
    project = Project(root)
    run = make_run(project, "chat", str(TINY_CHAT), heldout)
    shutil.copytree(make_adapter(TINY_CHAT, tmp_path / "adapter", scale=0.05), run / "adapter")
    folder = start(project, plan(project, "chat", max_new_tokens=400, engine="vllm"))

    def engine() -> list[psutil.Process]:
        worker = psutil.Process(jobs.status(folder).pid)
        found = worker.children(recursive=True)
        return found if any("EngineCore" in process.name() for process in found) else []

    wait_until(lambda: jobs.status(folder).pid, WAIT)
    started = wait_until(engine, 300)
    kill_worker(folder)
    wait_until(lambda: not any(map(lives, started)), WAIT)
