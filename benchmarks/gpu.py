"""What a look at the GPUs costs, and whether it says what nvidia-smi says.

Where there is a GPU: our figures next to nvidia-smi's of the same moment, and our look next to
spawning nvidia-smi for the same figures. Everywhere: our code's own cost over eight pretended GPUs,
next to bare pynvml calls of the same questions. `--record FILE` writes the driver's raw answers
down, for tests/monitor/traces/, where they are replayed.
"""

import argparse
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import finish, median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pynvml
from nvml_trace import Recorder

from tests.monitor.fake_nvml import Card, FakeLibrary, Held, library
from tuiwb.jobs.events import Gpu
from tuiwb.monitor.nvml import Nvml

LOOKS = 50
# nvidia-smi's query names, what each is of ours, and how far two readings may lie apart: memory
# and clocks move between two looks.
QUESTIONS: list[tuple[str, str, float, float]] = [
    ("memory.total", "memory_total", 1 / 2**20, 1),
    ("memory.reserved", "memory_reserved", 1 / 2**20, 2),
    ("memory.used", "memory_used", 1 / 2**20, 64),
    ("temperature.gpu", "temperature", 1, 3),
    ("enforced.power.limit", "power_limit", 1, 0.01),
    ("clocks.max.sm", "clock_sm_most", 1, 0),
    ("pcie.link.width.current", "pcie_width", 1, 0),
    ("ecc.errors.uncorrected.volatile.total", "ecc_uncorrected", 1, 0),
]


def main() -> int:
    """Measure, or record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write a trace (.jsonl.gz)")
    parser.add_argument("--looks", type=int, default=30, help="looks of a trace, 2 s apart")
    options = parser.parse_args()
    if options.record:
        return record(options.record, options.looks)
    ours, bare = pretended()
    print(f"{'a look at eight pretended GPUs':<44} {ours * 1000:8.2f} ms")
    print(f"{'the same questions, bare pynvml':<44} {bare * 1000:8.2f} ms")
    results: dict[str, Any] = {"pretended look ms": ours * 1000, "bare ms": bare * 1000}
    targets = {"pretended look / bare": (ours / bare, 3.0)}
    session = Nvml()
    gpus, problem = session.gpus()
    if not gpus:
        print(f"no GPU here ({problem or 'no driver'}): nothing is held against nvidia-smi")
        return finish("gpu", results, targets)
    looks = [timed(session) for _ in range(LOOKS)]
    results["look ms"] = median(looks) * 1000
    print(f"{f'a look at {len(gpus)} real GPUs':<44} {results['look ms']:8.2f} ms")
    if shutil.which("nvidia-smi"):
        spawned, apart = against_smi(session)
        results["nvidia-smi ms"] = spawned * 1000
        print(f"{'nvidia-smi --query-gpu, spawned':<44} {spawned * 1000:8.2f} ms")
        targets["figures apart from nvidia-smi's"] = (apart, 0)
        targets["look / nvidia-smi"] = (median(looks) / spawned, 1.0)
    return finish("gpu", results, targets)


def timed(session: Nvml) -> float:
    """Seconds of one look."""
    start = time.perf_counter()
    session.gpus()
    return time.perf_counter() - start


def pretended() -> tuple[float, float]:
    """Seconds of our look and of the bare calls it makes, over eight pretended GPUs."""
    cards = [Card(uuid=f"GPU-{n}", held=[Held(1, 1 << 30)]) for n in range(8)]
    with library(FakeLibrary(cards)):
        recorder = Recorder(pynvml)
        # PCIe traffic is asked of one GPU at a look: past that, looks are alike.
        session = Nvml(recorder)
        for _ in range(3):
            session.gpus()
        recorder.calls.clear()
        session.gpus()
        names = [entry["call"] for entry in recorder.calls]
        ours = Nvml()
        ours.gpus()
        mine, theirs = [], []
        for _ in range(LOOKS):
            mine.append(timed(ours))
            theirs.append(bare_calls(names, len(cards)))
        return median(mine), median(theirs)


def bare_calls(names: list[str], cards: int) -> float:
    """Seconds of those questions asked of pynvml and nothing done with the answers."""
    start = time.perf_counter()
    handles = [pynvml.nvmlDeviceGetHandleByIndex(n) for n in range(cards)]
    at = -1
    for name in names:
        if name == "nvmlDeviceGetHandleByIndex":
            at += 1
        more = MORE.get(name, ())
        if name.startswith("nvmlDevice") and "Count" not in name and "Handle" not in name:
            try:
                getattr(pynvml, name)(handles[at], *more)
            except pynvml.NVMLError:
                pass
    return time.perf_counter() - start


MORE: dict[str, tuple[Any, ...]] = {
    "nvmlDeviceGetMemoryInfo": (pynvml.nvmlMemory_v2,),
    "nvmlDeviceGetTemperature": (pynvml.NVML_TEMPERATURE_GPU,),
    "nvmlDeviceGetClockInfo": (pynvml.NVML_CLOCK_SM,),
    "nvmlDeviceGetMaxClockInfo": (pynvml.NVML_CLOCK_SM,),
    "nvmlDeviceGetTotalEccErrors": (0, 0),
    "nvmlDeviceGetPcieThroughput": (pynvml.NVML_PCIE_UTIL_TX_BYTES,),
}


def against_smi(session: Nvml) -> tuple[float, int]:
    """Seconds that nvidia-smi takes, and how many figures are not those that it says."""
    query = ",".join(["index", *(name for name, *_ in QUESTIONS)])
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    times, apart = [], 0
    for _ in range(5):
        start = time.perf_counter()
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        times.append(time.perf_counter() - start)
        # A card in MIG mode is several entries of ours: nvidia-smi's row is about the card.
        whole = {gpu.index: gpu for gpu in session.gpus()[0] if not gpu.mig}
        for line in said.splitlines():
            index, *values = [word.strip() for word in line.split(",")]
            if int(index) in whole:
                apart += compare(whole[int(index)], values)
    return median(times), apart


def compare(gpu: Gpu, values: list[str]) -> int:
    """How many of nvidia-smi's values are not ours; each is printed."""
    apart = 0
    for (name, field, scale, most), said in zip(QUESTIONS, values, strict=True):
        mine = getattr(gpu, field)
        theirs = None if said.startswith(("[", "N/A")) else float(said)
        same = (mine is None) == (theirs is None)
        if same and mine is not None and theirs is not None:
            same = abs(mine * scale - theirs) <= most
        if not same:
            apart += 1
            print(f"GPU {gpu.index} {name}: nvidia-smi says {said}, we {mine}")
    return apart


def record(path: Path, looks: int) -> int:
    """Write the raw answers of `looks` looks; 0, with a sentence where there is no GPU."""
    recorder = Recorder(pynvml)
    session = Nvml(recorder)
    gpus, problem = session.gpus()
    if not gpus:
        print(f"no GPU here ({problem or 'no driver'}): nothing to record")
        return 0
    for _ in range(looks - 1):
        time.sleep(2.0)
        session.gpus()
    about = {
        "gpus": [gpu.name for gpu in gpus],
        "driver": pynvml.nvmlSystemGetDriverVersion(),
        "nvidia-ml-py": getattr(pynvml, "__version__", ""),
        "kernel": platform.release(),
        "recorded": time.strftime("%Y-%m-%d"),
    }
    recorder.save(path, about)
    print(f"{path}: {looks} looks, {len(recorder.calls)} answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
