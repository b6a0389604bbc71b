"""Does a saved adapter hold NaN or infinities? Read from its file, without torch.

In: an adapter folder (a run's, a checkpoint's, any). Out: what is wrong with it and what to do.
A training that diverged leaves such an adapter, and whatever is asked of it answers nothing.
"""

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tuiwb.errors import BadInput
from tuiwb.jobs.events import Metrics, decode, spell
from tuiwb.jobs.folder import EVENTS, JOB, load
from tuiwb.train.checkpoints import ADAPTER, CHECKPOINTS, WEIGHTS, checkpoints, name_of
from tuiwb.train.safetensors_header import read_header

CHUNK = 4 << 20  # bytes looked at at a time
# By safetensors' type: numpy's type of the same width, and the bits that are all set in a number
# that is not finite. The exponent's in IEEE 754 (bfloat16 and E5M2 alike); E4M3 has no infinity,
# and its NaN has the fraction's bits set too (Micikevicius et al. 2022, table 1).
BITS = {
    "F64": ("<u8", 0x7FF0000000000000),
    "F32": ("<u4", 0x7F800000),
    "F16": ("<u2", 0x7C00),
    "BF16": ("<u2", 0x7F80),
    "F8_E5M2": ("u1", 0x7C),
    "F8_E4M3": ("u1", 0x7F),
}
LOSSES = ("loss", "eval_loss")


class Broken(NamedTuple):
    """An adapter that holds NaN or infinities: what was seen, what to do."""

    what: str
    fix: str

    @property
    def sentence(self) -> str:
        """Both, as an error says them."""
        return f"{self.what}: {self.fix}"


def first_not_finite(weights: Path) -> str | None:
    """The first tensor of a safetensors file that holds NaN or infinity; None where none does, or
    the file can't be read, which whoever loads it says. A file that stays is read once."""
    try:
        told = weights.stat()
    except OSError:
        return None
    return _first(weights, told.st_mtime_ns, told.st_size)


def not_finite(adapter: Path) -> Broken | None:
    """What is wrong with an adapter folder that holds NaN or infinities; None for a sound one. Of a
    run's it also says from which step on its loss was not finite, and which checkpoint is."""
    if first_not_finite(adapter / WEIGHTS) is None:
        return None
    run, own = _run_of(adapter)
    if run is None:
        what = f"the adapter in {adapter} holds numbers that are not finite (NaN or infinity)"
        return Broken(what, "take another, or train again at a lower learning_rate")
    whose = f"the adapter of {run.name}" if own else f"{adapter.name} of {run.name}"
    what = f"{whose} holds numbers that are not finite{_since(run)}"
    return Broken(what, _way_on(run, adapter))


@lru_cache(maxsize=512)
def _first(weights: Path, _changed: int, _size: int) -> str | None:
    import numpy as np

    try:
        tensors = read_header(weights)
        with weights.open("rb") as file:
            begin = 8 + int.from_bytes(file.read(8), "little")
            for name, tensor in tensors.items():
                start, end = tensor.data_offsets
                if tensor.dtype not in BITS or not 0 <= start <= end:
                    continue
                kind, bits = BITS[tensor.dtype]
                mask = np.array(bits, kind)
                file.seek(begin + start)
                for at in range(start, end, CHUNK):
                    raw = file.read(min(CHUNK, end - at))
                    numbers = np.frombuffer(raw, kind, len(raw) // mask.itemsize)
                    if ((numbers & mask) == mask).any():
                        return name
    except (BadInput, OSError):
        return None
    return None


def _run_of(adapter: Path) -> tuple[Path | None, bool]:
    """The run an adapter folder belongs to, and whether it is the run's own or a checkpoint's."""
    above = adapter.absolute().parent
    own = adapter.name == ADAPTER
    run = above.parent if not own and above.name == CHECKPOINTS else above
    return (run if (run / JOB).is_file() else None), own


def _since(run: Path) -> str:
    """From which step on the log's loss was not finite, in brackets; '' where it always was."""
    try:
        told = (run / EVENTS).stat()
    except OSError:
        return ""
    return _first_in_log(run / EVENTS, told.st_mtime_ns, told.st_size)


@lru_cache(maxsize=64)
def _first_in_log(log: Path, _changed: int, _size: int) -> str:
    try:
        with log.open("rb") as file:
            for line in file:
                # NaN and infinity are spelled as strings in the log.
                if b'loss":"' not in line:
                    continue
                event = decode(line)
                if not isinstance(event, Metrics):
                    continue
                for name in LOSSES:
                    value = event.values.get(name, 0.0)
                    if not math.isfinite(value):
                        return f" (its {name} was {spell(value)} from step {event.step} on)"
    except OSError:
        pass
    return ""


def _way_on(run: Path, adapter: Path) -> str:
    rate = _rate(run)
    lower = "a lower learning_rate" if rate is None else f"a learning_rate well below {rate:g}"
    others = [p for p in reversed(checkpoints(run)) if p.name != adapter.name]
    sound = next((p for p in others if _sound(p)), None)
    if sound is not None:
        return f"{name_of(sound)} is finite: take that, or train again at {lower}"
    none = "none of its checkpoints is finite, so " if others else ""
    return f"{none}train again at {lower}"


def _sound(checkpoint: Path) -> bool:
    weights = checkpoint / WEIGHTS
    return weights.is_file() and first_not_finite(weights) is None


def _rate(run: Path) -> float | None:
    try:
        spec: dict[str, Any] = load(run).spec
        return float(spec["training"]["learning_rate"])
    except (BadInput, KeyError, TypeError, ValueError):
        return None
