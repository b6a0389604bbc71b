"""`tuiwb gpu` as a user calls it: without a GPU for real, with GPUs over the fake library."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.monitor.fake_nvml import LOST, Card, FakeLibrary, Held, library
from tuiwb.cli import run
from tuiwb.monitor import device, nvml

GIB = 1 << 30
GPU = [sys.executable, "-m", "tuiwb", "gpu"]
NOBODY = 2**22 + 7  # above the highest pid


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Card]]:
    """Two GPUs; the second may be changed by the test."""
    cards = [Card(uuid="GPU-0", used=20 * GIB, held=[Held(NOBODY, 20 * GIB)]), Card(uuid="GPU-1")]
    monkeypatch.setattr(nvml, "foreign_pids", lambda: False)
    monkeypatch.setattr(device, "_nvml", nvml.Nvml())
    with library(FakeLibrary(cards)):
        yield cards


@pytest.fixture
def no_driver(tmp_path: Path) -> dict[str, str]:
    """An environment in which no NVIDIA library can be loaded, whatever this machine has."""
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes\n"
        "def nothing(name, *a, **k):\n"
        "    raise OSError(name)\n"
        "class Loader(ctypes.CDLL):\n"
        "    def __init__(self, name, *a, **k):\n"
        "        if name and 'nvidia' in str(name): raise OSError(name)\n"
        "        super().__init__(name, *a, **k)\n"
        "ctypes.CDLL = Loader\n"
    )
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_without_a_gpu_it_says_so_and_exits_0(no_driver: dict[str, str]) -> None:
    done = subprocess.run(GPU, capture_output=True, text=True, env=no_driver, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no GPU")
    assert "memory" in done.stdout
    assert "\x1b" not in done.stdout


def test_json_is_one_document(no_driver: dict[str, str]) -> None:
    done = subprocess.run(
        [*GPU, "--json"], capture_output=True, text=True, env=no_driver, check=True
    )
    document = json.loads(done.stdout)
    assert document["gpus"] == []
    assert document["host"]["memory_total"] > 0
    assert document["t"] > 0


def test_with_an_interval_json_is_one_line_a_look(no_driver: dict[str, str]) -> None:
    process = subprocess.Popen(
        [*GPU, "--json", "--interval", "0.2"], stdout=subprocess.PIPE, text=True, env=no_driver
    )
    assert process.stdout is not None
    try:
        looks = [json.loads(process.stdout.readline()) for _ in range(3)]
    finally:
        process.kill()
        process.wait()
    assert looks[0]["t"] < looks[1]["t"] < looks[2]["t"]
    assert [look["gpus"] for look in looks] == [[], [], []]


def test_each_gpu_is_shown_with_its_processes(
    machine: list[Card], capsys: pytest.CaptureFixture[str]
) -> None:
    machine[1].lost = LOST
    assert run(["gpu"]) == 0
    out = capsys.readouterr().out
    assert "GPU 0  NVIDIA H100 80GB HBM3" in out
    assert "20.0 used · 59.1 free of 79.6 GiB" in out
    assert str(NOBODY) in out
    assert "fell off the bus" in out


def test_json_has_every_figure_of_a_gpu(
    machine: list[Card], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["gpu", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["gpus"]
    assert first["memory_used"] == 20 * GIB
    assert first["processes"][0]["pid"] == NOBODY
    assert second["uuid"] == "GPU-1"


def test_an_interval_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["gpu", "--interval", "0"]) == 2
    assert "--interval" in capsys.readouterr().err
    assert run(["gpu", "--interval", "nan"]) == 2


def test_on_a_terminal_it_goes_on_until_ctrl_c(no_driver: dict[str, str]) -> None:
    child = pexpect.spawn(
        GPU[0],
        [*GPU[1:], "--interval", "0.2"],
        env={**no_driver, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
        dimensions=(24, 80),
        timeout=180,
        encoding="utf-8",
    )
    for _ in range(2):
        child.expect("no GPU")
        child.expect("ctrl\\+c ends")
    child.sendcontrol("c")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_neither_textual_nor_torch_is_loaded() -> None:
    code = (
        "import sys; from tuiwb.cli import run; run(['gpu', '--once']); "
        "sys.exit(any(name in sys.modules for name in ('textual', 'torch', 'pyarrow')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0


def test_doctor_names_the_gpu_that_is_lost_and_the_one_that_is_there(
    machine: list[Card],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    machine[1].lost = LOST
    run(["doctor", "--json"])
    checks = json.loads(capsys.readouterr().out)["checks"]
    [found] = [check for check in checks if check["name"] == "gpu"]
    assert found["status"] == "note"
    assert "H100 80GB HBM3 (79.6 GiB)" in found["found"]
    assert "GPU 1 fell off the bus" in found["todo"]
