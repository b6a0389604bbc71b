"""One look at the hardware: GPUs through NVML, the host through psutil and cgroups.

NVML is slow (milliseconds to tens of them a GPU): call it off the UI's thread, every 1-2 s.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from tuiwb.jobs.events import Device
from tuiwb.monitor.host import HostWatch
from tuiwb.monitor.nvml import Nvml
from tuiwb.monitor.processes import family
from tuiwb.monitor.visible import environment_of, mark_visible

_nvml = Nvml()
_hosts: dict[int, HostWatch] = {}


def sample(pid: int, disk: Path, environment: Mapping[str, str] | None = None) -> Device:
    """The GPUs and the host now; the share of `pid` and its children in both, and the disk of the
    folder `disk`.

    `environment`: that of `pid`, whose CUDA_VISIBLE_DEVICES says which GPUs are its own; by
    default read from the process. A machine without NVIDIA GPUs gives an empty list of GPUs, and
    `problem` where there may well be some. Never raises.
    """
    pids = family(pid)
    gpus, problem = _nvml.gpus(pids)
    mark_visible(gpus, environment if environment is not None else environment_of(pid))
    if pid not in _hosts and len(_hosts) > 100:
        _hosts.clear()
    watch = _hosts.setdefault(pid, HostWatch())
    return Device(gpus=gpus, problem=problem, host=watch.look(pids, disk))


def forget() -> None:
    """Close the driver's session; the next sample opens another."""
    _nvml.close()


def _after_fork() -> None:
    global _nvml
    # The parent's lock may have been held by a thread that this process doesn't have.
    _nvml = Nvml()
    _hosts.clear()


os.register_at_fork(after_in_child=_after_fork)
