"""A whole look at the hardware, its history in the log, and how it reads in lines."""

import os
from pathlib import Path

import pytest

from tests.monitor.conftest import Driver
from tests.monitor.fake_nvml import LOST, MIB, Card, Held
from tuiwb.jobs.events import Device, Gpu, GpuProcess, Host, TorchMemory, decode, encode
from tuiwb.monitor import device as device_module
from tuiwb.monitor.device import sample
from tuiwb.monitor.device_past import DevicePast
from tuiwb.monitor.device_text import ASCII, device_lines
from tuiwb.monitor.device_words import cells, sparkline
from tuiwb.monitor.nvml import Nvml
from tuiwb.monitor.visible import mark_visible

GIB = 1 << 30
HOST = Host(
    cpu=12,
    memory_used=41 * GIB,
    memory_total=251 * GIB,
    job_cpu=134,
    job_memory=9 * GIB,
    disk_free=180 * GIB,
    disk_total=450 * GIB,
    cores=32,
)


@pytest.fixture(autouse=True)
def new_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "_nvml", Nvml())


def gpu(index: int = 0, *, job: float | None = 41.2, others: float = 3.1, **how: object) -> Gpu:
    figures: dict[str, object] = {
        "name": "NVIDIA H100 80GB HBM3",
        "uuid": f"GPU-{index}",
        "memory_total": 81559 * MIB,
        "memory_reserved": 565 * MIB,
        "memory_used": int(((job or 0) + others) * GIB),
        "memory_job": int(job * GIB) if job else None,
        "visible": job is not None,
        "utilisation": 97.0,
        "temperature": 61.0,
        "power": 412.3,
        "power_limit": 700.0,
    }
    return Gpu(index=index, **{**figures, **how})  # type: ignore[arg-type]


def text(*args: object, **how: object) -> list[str]:
    return ["".join(t for t, _ in line) for line in device_lines(*args, **how)]  # type: ignore[arg-type]


def test_a_look_holds_the_gpus_the_host_and_the_jobs_share_of_both(
    tmp_path: Path, driver: Driver
) -> None:
    driver([Card(used=20 * GIB, held=[Held(os.getpid(), 18 * GIB)])])
    device = sample(os.getpid(), tmp_path)
    assert device.gpus[0].memory_job == 18 * GIB
    assert device.host is not None
    assert device.host.job_memory is not None
    assert device.host.job_memory > MIB
    assert decode(encode(device)) == device


def test_a_lost_gpu_survives_the_event_log(tmp_path: Path, driver: Driver) -> None:
    driver([Card(), Card(uuid="GPU-1", lost=LOST)])
    device = sample(os.getpid(), tmp_path)
    assert decode(encode(device)) == device
    assert device.gpus[1].problem


def visible(value: str | None, gpus: list[Gpu], order: str = "") -> list[bool | None]:
    environment = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    mark_visible(gpus, environment | ({"CUDA_DEVICE_ORDER": order} if order else {}))
    return [one.visible for one in gpus]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, [True, True, True]),
        ("", [False, False, False]),
        ("1", [False, True, False]),
        ("2,0", [True, False, True]),
        ("GPU-2", [False, False, True]),
        ("0,7,1", [True, False, False]),  # CUDA stops at the first that is none
        ("-1", [False, False, False]),
        ("NoDevFiles", [False, False, False]),
    ],
)
def test_cuda_visible_devices_says_which_gpus_are_the_jobs(
    value: str | None, expected: list[bool]
) -> None:
    assert visible(value, [gpu(n) for n in range(3)]) == expected


def test_an_index_means_nothing_certain_where_cudas_order_may_be_another() -> None:
    mixed = [gpu(0), gpu(1, name="NVIDIA GeForce RTX 3090")]
    assert visible("0", mixed) == [None, None]
    assert visible("0", mixed, "PCI_BUS_ID") == [True, False]
    assert visible("GPU-1", mixed) == [False, True]


def test_a_mig_instance_is_chosen_by_its_uuid() -> None:
    parts = [gpu(0, uuid=f"MIG-{n}", mig="1g.10gb") for n in "abc"]
    assert visible("MIG-b", parts) == [False, True, False]
    assert visible("0", parts) == [None, None, None]
    assert visible("MIG-GPU-1/2/0", parts) == [None, None, None]


def test_the_bar_tells_this_run_others_and_free_apart_without_colour() -> None:
    [line, _] = text(Device(gpus=[gpu()], host=HOST), glyphs=ASCII, width=120)
    bar = line.split()[4]
    assert bar.startswith("#")
    assert set(bar) == {"#", "x", ".", "-"}
    assert bar.count("#") / len(bar) == pytest.approx(41.2 / 79.6, abs=0.03)


def test_the_estimate_is_marked_where_it_stands_and_told_when_over_the_card() -> None:
    [line, _] = text(Device(gpus=[gpu()], host=HOST), [], (38 * GIB, 60 * GIB), width=120)
    bar = line.split()[4]
    assert bar.index("┃") / len(bar) == pytest.approx(60 / 79.6, abs=0.03)
    lines = text(
        Device(gpus=[gpu()], host=HOST), [], (70 * GIB, 90 * GIB), width=120, layout="block"
    )
    assert any("estimate 70.0 to 90.0 GiB, more than the card has" in line for line in lines)


def test_the_smallest_share_has_a_cell_of_its_own() -> None:
    assert cells((1, 0, 5), 1_000_000, 10) == [1, 0, 1]
    assert sum(cells((600_000, 500_000, 5), 1_000_000, 10)) == 10


@pytest.mark.parametrize("width", [1, 7, 20, 40, 76, 116, 300])
@pytest.mark.parametrize("layout", ["line", "block"])
def test_no_line_is_wider_than_asked(width: int, layout: str) -> None:
    torch = [TorchMemory(index=0, allocated=1, reserved=2, peak_allocated=2, peak_reserved=2)]
    device = Device(
        gpus=[
            gpu(processes=[GpuProcess(pid=1, user="ana" * 30, name="x" * 300, memory=GIB)]),
            gpu(1, job=None, throttle=["sw thermal", "sw power cap"], ecc_uncorrected=2),
            Gpu(index=2, name="NVIDIA A100", mig="1g.5gb", uuid="MIG-a"),
            Gpu(index=3, problem="fell off the bus" * 9),
        ],
        host=HOST,
        torch=torch,
    )
    past = [Device(t=t, gpus=device.gpus, host=HOST) for t in (0.0, 50.0, 100.0)]
    lines = text(device, past, (1, 2 * GIB), width=width, layout=layout, processes=True)
    assert all(len(line) <= width for line in lines)


def test_no_gpu_is_said_plainly_and_the_host_shown() -> None:
    lines = text(Device(host=HOST), width=120)
    assert lines[0].startswith("no GPU")
    assert "memory 41.0 of 251 GiB" in lines[1]
    assert "this run 1.3 of 32 cores" in lines[1]


def test_what_keeps_the_driver_from_answering_is_said() -> None:
    assert "versions" in text(Device(problem="different versions", host=HOST), width=120)[0]


def test_a_gpu_off_the_bus_a_throttled_and_a_mig_one_each_say_so() -> None:
    device = Device(
        gpus=[
            Gpu(index=0, name="NVIDIA H100", problem="fell off the bus"),
            gpu(1, throttle=["sw thermal", "idle"]),
            Gpu(index=2, name="NVIDIA A100", mig="1g.5gb", memory_total=5 * GIB, memory_used=GIB),
        ]
    )
    lines = text(device, width=140)
    assert "fell off the bus" in lines[0]
    assert lines[1].endswith("! sw thermal")
    assert "(MIG)" in lines[2]
    assert "N/A" in lines[3]
    assert "0%" not in lines[3]


def test_idle_alone_is_no_trouble() -> None:
    assert "idle" not in "".join(text(Device(gpus=[gpu(throttle=["idle"])]), width=140))


def test_processes_are_listed_most_memory_first_and_this_runs_marked() -> None:
    held = [
        GpuProcess(pid=7, user="bob", name="python serve.py", memory=3 * GIB),
        GpuProcess(pid=9, user="ana", name="python -m tuiwb.jobs.run", memory=41 * GIB, job=True),
        GpuProcess(pid=8, memory=None),
    ]
    lines = text(Device(gpus=[gpu(processes=held)]), width=100, processes=True)
    assert [line.split()[:2] for line in lines[1:3]] == [["▸", "9"], ["7", "bob"]]
    assert "N/A" in lines[3]
    assert "not known" in lines[3]


def test_hostile_names_are_inert() -> None:
    held = [GpuProcess(pid=7, user="\x1b[2J", name="[red]\x1b]0;x\x07", memory=GIB)]
    device = Device(gpus=[gpu(name="NVIDIA \x1b[31m", processes=held)])
    assert "\x1b" not in "".join(text(device, width=100, layout="block", processes=True))


def test_the_sparkline_leaves_gaps_blank_and_shows_a_measured_zero() -> None:
    points = [(float(t), 0.0) for t in range(0, 100, 10)] + [(1000.0, 1.0)]
    line = sparkline(points, 10, " ▁▂▃▄▅▆▇█")
    assert line[0] == "▁"
    assert line[5] == " "
    assert line[-1] == "█"


def test_the_history_of_a_gpu_without_utilisation_is_blank() -> None:
    past = [Device(t=t, gpus=[gpu(utilisation=None)]) for t in (0.0, 60.0)]
    lines = text(past[-1], past, width=120, layout="block")
    busy = next(line for line in lines if line.startswith("busy"))
    assert "N/A" in busy
    assert busy.split("memory")[0].replace("busy", "").replace("N/A", "").strip() == ""


def test_the_disks_pace_says_when_it_is_full() -> None:
    past = [
        Device(
            t=t,
            host=Host(cpu=1, memory_used=1, memory_total=2, disk_free=free, disk_total=100 * GIB),
        )
        for t, free in ((0.0, 20 * GIB), (3600.0, 10 * GIB))
    ]
    assert DevicePast(past).fill_pace() == pytest.approx(10 * GIB / 3600)
    assert any("full in 1h00m" in line for line in text(past[-1], past, width=160))
    assert DevicePast(past[:1]).fill_pace() is None
