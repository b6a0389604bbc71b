"""Which GPUs a job may use, by CUDA_VISIBLE_DEVICES (CUDA's guide, environment variables).

Indexes count in CUDA's order, which is NVML's only with CUDA_DEVICE_ORDER=PCI_BUS_ID or where all
GPUs are of one kind: elsewhere an index says nothing certain.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuiwb.jobs.events import Gpu


def environment_of(pid: int) -> Mapping[str, str]:
    """A process's environment as it began; ours where it is this process, {} where unreadable."""
    if pid == os.getpid():
        return os.environ
    try:
        raw = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in raw.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def mark_visible(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> None:
    """Set each GPU's `visible`: True, False, or None where it can't be known."""
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        for gpu in gpus:
            gpu.visible = True
        return
    names = {gpu.name for gpu in gpus}
    certain = environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(names) <= 1
    wanted = chosen(value, gpus)
    for gpu in gpus:
        if wanted is None or (not certain and any(word.isdigit() for word in words(value))):
            gpu.visible = None
        else:
            gpu.visible = gpu.uuid in wanted if gpu.uuid else str(gpu.index) in wanted


def chosen(value: str, gpus: Sequence[Gpu]) -> set[str] | None:
    """UUIDs (or indexes, of GPUs without one) that the variable lists; CUDA stops at the first
    entry that names none. None where an entry can't be told."""
    by_index = {gpu.index: gpu for gpu in reversed(gpus) if not gpu.mig}
    found: set[str] = set()
    for word in words(value):
        if word.lstrip("+").isdigit():
            match = by_index.get(int(word))
            if match is None:
                # With MIG on, CUDA counts instances; NVML's indexes count cards.
                return None if any(gpu.mig for gpu in gpus) else found
            found.add(match.uuid or str(match.index))
            continue
        named = [gpu for gpu in gpus if gpu.uuid and gpu.uuid.startswith(word)]
        if len(named) != 1:
            # The old form of an instance's name: MIG-GPU-<card>/<gpu instance>/<compute instance>.
            return None if word.startswith("MIG-GPU-") else found
        found.add(named[0].uuid)
    return found


def words(value: str) -> list[str]:
    """The variable's entries."""
    return [word.strip() for word in value.split(",") if word.strip()]
