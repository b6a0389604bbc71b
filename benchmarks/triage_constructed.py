"""Runs for the rules over hardware: samples of a GPU made by hand, put into a real run's log.

No GPU is at hand to make hot or to starve; the log around the samples is a real one, its times
stretched so that it lasts as long as a run on a GPU would.
"""

import gzip
import json
from pathlib import Path
from typing import Any

STRETCH, EVERY, GIB = 20.0, 2.0, 1 << 30
# What NVML says of a card that trains at full load.
BUSY: dict[str, Any] = {
    "index": 0,
    "name": "NVIDIA A100-SXM4-80GB",
    "memory_used": 60 * GIB,
    "memory_total": 80 * GIB,
    "utilisation": 97.0,
    "temperature": 62.0,
    "power": 350.0,
    "clock_sm": 1410.0,
    "clock_sm_most": 1410.0,
    "throttle": ["sw power cap"],
}
FAULTS: dict[str, dict[str, Any]] = {
    "thermal_throttling": {
        "throttle": ["sw thermal", "hw thermal"],
        "temperature": 92.0,
        "clock_sm": 885.0,
    },
    "data_starvation": {"utilisation": 18.0, "power": 110.0, "throttle": []},
}


def construct(folder: Path) -> None:
    """Write thermal_throttling-N and data_starvation-N, each from a healthy run's log."""
    for rule, fault in FAULTS.items():
        for seed, source in ((31, "healthy-01"), (32, "healthy-02")):
            run = json.loads(gzip.decompress((folder / f"{source}.json.gz").read_bytes()))
            run |= {
                "name": f"{rule}-{seed}",
                "rule": rule,
                "half": "tune" if seed % 2 else "report",
                "source": "constructed",
                "events": _with_samples(run["events"], fault, brief=seed % 2 == 0),
            }
            with gzip.GzipFile(folder / f"{rule}-{seed}.json.gz", "wb", mtime=0) as file:
                file.write(json.dumps(run).encode())


def _with_samples(
    events: list[dict[str, Any]], fault: dict[str, Any], brief: bool
) -> list[dict[str, Any]]:
    """The log stretched, with a sample every 2 s; the fault from a third on, `brief`: for 90 s."""
    logged = [event for event in events if event["type"] not in ("device", "alert")]
    began = logged[0]["t"]
    for event in logged:
        event["t"] = began + STRETCH * (event["t"] - began)
    ends = logged[-1]["t"]
    third = began + (ends - began) / 3
    samples, now = [], began
    while now < ends:
        bad = third < now < (third + 90 if brief else ends)
        host = {"cpu": 55.0, "memory_used": 9 * GIB, "memory_total": 64 * GIB, "job_cpu": 104.0}
        samples.append(
            {
                "type": "device",
                "v": 1,
                "t": now,
                "gpus": [BUSY | (fault if bad else {})],
                "host": host,
            }
        )
        now += EVERY
    return sorted([*logged, *samples], key=lambda event: event["t"])
