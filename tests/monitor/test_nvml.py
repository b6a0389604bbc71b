"""GPUs through the real pynvml over a library that answers its C calls."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pynvml
import pytest

from benchmarks.nvml_trace import Recorder, Replayed
from tests.monitor.conftest import Driver
from tests.monitor.fake_nvml import (
    DRIVER_NOT_LOADED,
    LOST,
    MIB,
    MISMATCH,
    NO_PERMISSION,
    UNKNOWN,
    Card,
    FakeLibrary,
    Held,
    Instance,
    library,
)
from tuiwb.monitor import nvml
from tuiwb.monitor.nvml import Nvml

PUBLISHED = json.loads(Path(__file__).with_name("published.json").read_text())
ME = os.getpid()
GIB = 1 << 30


def eight(**how: Any) -> list[Card]:
    return [Card(uuid=f"GPU-{n}", **how) for n in range(8)]


@pytest.mark.parametrize("count", [0, 1, 8])
def test_each_gpu_is_one_entry_in_the_drivers_order(driver: Driver, count: int) -> None:
    driver(eight()[:count])
    gpus, problem = Nvml().gpus()
    assert [(gpu.index, gpu.uuid) for gpu in gpus] == [(n, f"GPU-{n}") for n in range(count)]
    assert problem == ""


def test_a_gpu_reports_what_nvidia_smi_would_say(driver: Driver) -> None:
    driver([Card(ecc=(3, 1), reasons=0x4 | 0x20)])
    [gpu] = Nvml().gpus()[0]
    assert gpu.name == "NVIDIA H100 80GB HBM3"
    assert (gpu.utilisation, gpu.memory_utilisation) == (97, 40)
    assert (gpu.temperature, gpu.power, gpu.power_limit) == (61, 412.3, 700)
    assert (gpu.clock_sm, gpu.clock_sm_most, gpu.clock_memory) == (1755, 1980, 2619)
    assert (gpu.ecc_corrected, gpu.ecc_uncorrected) == (3, 1)
    assert gpu.throttle == ["sw power cap", "sw thermal"]
    assert (gpu.pcie_generation, gpu.pcie_width) == (5, 16)
    assert (gpu.pcie_sent, gpu.pcie_received) == (1.2e6, 3.4e8)


@pytest.mark.parametrize("machine", PUBLISHED["machines"], ids=lambda m: str(m["name"]))
def test_published_figures_come_out_as_they_were_published(
    driver: Driver, machine: dict[str, Any]
) -> None:
    card = Card(name=machine["name"])
    if mib := machine.get("mib"):
        card.total, card.reserved, card.used = (mib[k] * MIB for k in ("total", "reserved", "used"))
    if "watts" in machine:
        card.milliwatts, card.limit = round(machine["watts"] * 1000), machine["limit"] * 1000
    if "sm" in machine:
        card.clocks, card.most = (machine["sm"], machine["memory_clock"]), machine["sm_most"]
    if "kilobytes_sent" in machine:
        card.traffic = (machine["kilobytes_sent"], machine["kilobytes_received"])
        card.pcie = (4, machine["width"])
    card.temperature = machine.get("temperature", card.temperature)
    card.reasons = 0x1 if "throttle" in machine else 0
    driver([card])
    [gpu] = Nvml().gpus()[0]
    if mib:
        assert gpu.memory_total is not None
        assert gpu.memory_used is not None
        assert gpu.memory_reserved is not None
        free = gpu.memory_total - gpu.memory_used - gpu.memory_reserved
        # nvidia-smi rounds each of the four to whole MiB.
        assert abs(free / MIB - mib["free"]) <= 2
    if "watts" in machine:
        assert gpu.power == pytest.approx(machine["watts"])
        assert gpu.power_limit == machine["limit"]
    if "sm" in machine:
        assert (gpu.clock_sm, gpu.clock_sm_most) == (machine["sm"], machine["sm_most"])
    if "kilobytes_sent" in machine:
        assert gpu.pcie_sent == 1000 * machine["kilobytes_sent"]
        assert gpu.pcie_width == machine["width"]
    assert gpu.throttle == machine.get("throttle", [])


def test_this_jobs_memory_counts_its_children_and_not_others(driver: Driver) -> None:
    driver(
        [
            Card(
                used=44 * GIB,
                held=[Held(ME, 20 * GIB), Held(1, 3 * GIB), Held(2**22 + 7, 21 * GIB)],
            )
        ]
    )
    [gpu] = Nvml().gpus(frozenset({ME, 2**22 + 7}))[0]
    assert gpu.memory_job == 41 * GIB
    assert {p.pid: p.job for p in gpu.processes} == {ME: True, 1: False, 2**22 + 7: True}
    mine = next(p for p in gpu.processes if p.pid == ME)
    assert mine.user
    assert mine.name.startswith("python")
    gone = next(p for p in gpu.processes if p.pid == 2**22 + 7)
    assert (gone.user, gone.name) == ("", "")


def test_a_process_that_draws_and_computes_counts_once(driver: Driver) -> None:
    driver(
        [Card(held=[Held(ME, 5 * GIB), Held(ME, 5 * GIB, "Graphics"), Held(1, None, "MPSCompute")])]
    )
    [gpu] = Nvml().gpus(frozenset({ME}))[0]
    assert gpu.memory_job == 5 * GIB
    assert [(p.pid, p.memory) for p in gpu.processes] == [(ME, 5 * GIB), (1, None)]


def test_in_a_container_the_hosts_pids_are_taken_for_nobodys(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver([Card(held=[Held(ME, 5 * GIB)])])
    monkeypatch.setattr(nvml, "foreign_pids", lambda: True)
    [gpu] = Nvml().gpus(frozenset({ME}))[0]
    assert gpu.memory_job is None
    assert gpu.job_from == "hidden"
    assert [(p.job, p.user) for p in gpu.processes] == [(False, "")]


def test_what_a_card_does_not_report_is_none_and_not_zero(driver: Driver) -> None:
    driver([Card(busy=None, milliwatts=None, limit=None, ecc=None, pcie=None, traffic=None)])
    [gpu] = Nvml().gpus()[0]
    assert gpu.problem == ""
    for figure in (
        "utilisation",
        "power",
        "power_limit",
        "ecc_corrected",
        "pcie_width",
        "pcie_sent",
    ):
        assert getattr(gpu, figure) is None


def test_an_old_driver_without_the_newer_calls_still_answers(driver: Driver) -> None:
    driver([Card(reasons=0x8, used=10 * GIB, held=[Held(ME, GIB)])], old=True)
    [gpu] = Nvml().gpus(frozenset({ME}))[0]
    assert gpu.throttle == ["hw slowdown"]
    assert gpu.memory_reserved is None
    # Version 1 counts the driver's own share as used: so does nvidia-smi of that time.
    assert gpu.memory_used == 10 * GIB + 565 * MIB
    assert gpu.memory_job == GIB


def test_each_mig_instance_is_an_entry_and_its_utilisation_unknown(driver: Driver) -> None:
    mig = PUBLISHED["mig"]
    instances = [
        Instance(
            "3g.20gb", total * MIB, used * MIB, f"MIG-{n}", [Held(ME, used * MIB)] if not n else []
        )
        for n, (used, total) in enumerate(mig["instances_mib"])
    ]
    driver(
        [
            Card(uuid="GPU-whole"),
            Card(
                name="NVIDIA A100-SXM4-40GB",
                uuid="GPU-split",
                temperature=mig["temperature"],
                milliwatts=mig["watts"] * 1000,
                mig=instances,
            ),
        ]
    )
    whole, *parts = Nvml().gpus(frozenset({ME}))[0]
    assert whole.mig == ""
    assert [(p.index, p.uuid, p.mig) for p in parts] == [
        (1, f"MIG-{n}", "3g.20gb") for n in range(3)
    ]
    assert [p.memory_used for p in parts] == [u * MIB for u, _ in mig["instances_mib"]]
    assert [p.memory_job for p in parts] == [mig["instances_mib"][0][0] * MIB, None, None]
    assert {p.utilisation for p in parts} == {None}
    assert {p.temperature for p in parts} == {33}


def test_a_card_in_mig_mode_without_an_instance_says_so(driver: Driver) -> None:
    driver([Card(mig=[])])
    [gpu] = Nvml().gpus()[0]
    assert "no instance is made" in gpu.problem


@pytest.mark.parametrize(
    ("where", "code"), [("lost", LOST), ("lost_calls", LOST), ("lost", UNKNOWN)]
)
def test_a_gpu_that_falls_off_the_bus_says_so_and_the_others_go_on(
    driver: Driver, where: str, code: int
) -> None:
    cards = eight()
    driver(cards)
    session = Nvml()
    assert all(not gpu.problem for gpu in session.gpus()[0])
    setattr(cards[3], where, code)
    gpus, _ = session.gpus()
    assert [gpu.index for gpu in gpus] == list(range(8))
    assert "bus" in gpus[3].problem
    assert (gpus[3].name, gpus[3].uuid) == ("NVIDIA H100 80GB HBM3", "GPU-3")
    assert gpus[3].memory_used is None
    assert all(gpu.memory_used is not None for gpu in gpus if gpu.index != 3)
    setattr(cards[3], where, 0)
    assert not session.gpus()[0][3].problem


def test_a_gpu_lost_before_the_first_look_has_an_entry_too(driver: Driver) -> None:
    cards = eight()
    cards[0].lost = LOST
    driver(cards)
    gpus, _ = Nvml().gpus()
    assert "bus" in gpus[0].problem
    assert len(gpus) == 8


def test_a_gpu_that_the_driver_no_longer_lists_is_not_forgotten(driver: Driver) -> None:
    fake = driver(eight()[:2])
    session = Nvml()
    session.gpus()
    fake.cards.pop()
    first, second = session.gpus()[0]
    assert not first.problem
    assert second.uuid == "GPU-1"
    assert "doesn't list it" in second.problem


def test_when_the_driver_goes_away_in_mid_run_its_gpus_say_why(driver: Driver) -> None:
    fake = driver(eight()[:2])
    session = Nvml()
    session.gpus()
    fake.open, fake.at_init = 0, MISMATCH
    gpus, problem = session.gpus()
    assert "different versions" in problem
    assert [gpu.problem for gpu in gpus] == [problem, problem]
    fake.at_init = 0
    assert all(not gpu.problem for gpu in session.gpus()[0])


def test_the_session_stays_open_between_looks(driver: Driver) -> None:
    fake = driver(eight()[:1])
    session = Nvml()
    for _ in range(5):
        session.gpus()
    assert fake.calls.count("nvmlInitWithFlags") == 1
    assert "nvmlShutdown" not in fake.calls


def test_pcie_traffic_is_measured_rarely_and_for_one_gpu_at_a_look(driver: Driver) -> None:
    fake = driver(eight())
    session = Nvml()
    for _ in range(3):
        gpus, _ = session.gpus()
    assert fake.calls.count("nvmlDeviceGetPcieThroughput") == 2
    assert gpus[0].pcie_sent == 1.2e6
    assert gpus[1].pcie_sent is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (MISMATCH, "different versions"),
        (DRIVER_NOT_LOADED, "not loaded"),
        (NO_PERMISSION, "may not talk"),
        (LOST, "GPU is lost"),
        (UNKNOWN, "can't be asked"),
    ],
)
def test_a_driver_that_does_not_open_says_what_is_wrong(
    driver: Driver, code: int, words: str
) -> None:
    driver(eight(), at_init=code)
    gpus, problem = Nvml().gpus()
    assert gpus == []
    assert words in problem


def test_a_machine_without_the_library_has_no_gpus_and_no_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "CDLL", nothing)
    monkeypatch.setattr(nvml.Path, "exists", lambda path: False)
    with library(None):
        assert Nvml().gpus() == ([], "")


def test_a_driver_without_its_library_is_a_container_started_without_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(pynvml, "CDLL", nothing)
    monkeypatch.setattr(nvml.Path, "exists", lambda path: True)
    with library(None):
        gpus, problem = Nvml().gpus()
    assert gpus == []
    assert "--gpus" in problem


def test_a_forked_child_opens_a_session_of_its_own(driver: Driver) -> None:
    fake = driver(eight()[:1])
    session = Nvml()
    session.gpus()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        good = False
        try:
            fake.calls.clear()
            fake.open = 0
            good = len(session.gpus()[0]) == 1 and fake.calls[0] == "nvmlInitWithFlags"
        finally:
            os.write(writer, b"y" if good else b"n")
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    os.close(reader)
    os.close(writer)
    assert "nvmlShutdown" not in fake.calls


def test_a_null_handle_is_never_asked(driver: Driver) -> None:
    # The library below asserts it at each call; a real one would crash the process.
    cards = eight()
    for card in cards:
        card.lost = UNKNOWN
    driver(cards)
    assert all(gpu.problem for gpu in Nvml().gpus()[0])


def test_pynvml_is_not_imported_before_the_first_look() -> None:
    code = "import sys, tuiwb.monitor.device; sys.exit('pynvml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_fake_knows_every_call_that_a_look_makes(driver: Driver) -> None:
    asked: list[str] = []

    class Listening(FakeLibrary):
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return super().__getattr__(name)

    with library(Listening([Card(held=[Held(1, GIB)])])):
        Nvml().gpus()
    unknown = {n for n in asked if not hasattr(FakeLibrary, f"do_{n}") and not n.startswith("_")}
    assert unknown == set()


TRACES = sorted((Path(__file__).parent / "traces").glob("*.jsonl.gz"))


def test_a_trace_answers_as_the_machine_it_was_recorded_on(driver: Driver, tmp_path: Path) -> None:
    cards = eight(held=[Held(ME, GIB), Held(1, None)])
    cards[2].mig = [Instance("1g.10gb", 9728 * MIB, 13 * MIB, "MIG-a")]
    cards[4].busy = None
    driver(cards)
    recorder = Recorder(pynvml)
    session = Nvml(recorder)
    before = [session.gpus(frozenset({ME}))[0]]
    cards[5].lost_calls = LOST
    before.append(session.gpus(frozenset({ME}))[0])
    recorder.save(tmp_path / "trace.jsonl.gz", {"gpus": 8})
    trace = Replayed(tmp_path / "trace.jsonl.gz", pynvml)
    again = Nvml(trace)
    assert trace.looks == 2
    assert [again.gpus(frozenset({ME}))[0] for _ in range(2)] == before


@pytest.mark.skipif(not TRACES, reason="no trace of a real machine is recorded yet")
@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_a_recorded_machine_gives_whole_samples_at_every_look(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvml, "foreign_pids", lambda: False)
    trace = Replayed(path, pynvml)
    session = Nvml(trace)
    for _ in range(trace.looks):
        gpus, problem = session.gpus()
        assert problem == ""
        assert [gpu.name for gpu in gpus] == trace.about["gpus"]
        for gpu in gpus:
            assert not gpu.problem
            assert gpu.memory_total is not None
            assert gpu.memory_used is not None
            assert 0 <= gpu.memory_used <= gpu.memory_total
            assert gpu.utilisation is None or 0 <= gpu.utilisation <= 100
