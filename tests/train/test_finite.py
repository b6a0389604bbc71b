"""Whether a saved adapter holds NaN or infinities, and the sentence that says so."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from tests.train.adapters import write_adapter
from tuiwb import jobs
from tuiwb.jobs.events import EventWriter, Metrics
from tuiwb.train.finite import CHUNK, first_not_finite, not_finite


def write(path: Path, dtype: str, *tensors: bytes) -> Path:
    """A safetensors file of the type `dtype` with one tensor for each of `tensors`."""
    header, at = {}, 0
    for number, raw in enumerate(tensors):
        place = [at, at + len(raw)]
        header[f"t{number}"] = {"dtype": dtype, "shape": [len(raw)], "data_offsets": place}
        at += len(raw)
    head = json.dumps({"__metadata__": {}, **header}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + b"".join(tensors))
    return path


def bits(kind: str, *values: int) -> bytes:
    return np.array(values, kind).tobytes()


# The largest finite number of each type, its infinity and a NaN, as IEEE 754, the bfloat16 paper
# and Micikevicius et al. 2022 spell them.
TYPES = [
    ("F64", "<u8", 0x7FEFFFFFFFFFFFFF, [0x7FF0000000000000, 0xFFF8000000000001]),
    ("F32", "<u4", 0x7F7FFFFF, [0x7F800000, 0xFFC00000]),
    ("F16", "<u2", 0x7BFF, [0x7C00, 0xFE00]),
    ("BF16", "<u2", 0x7F7F, [0x7F80, 0xFFC0]),
    ("F8_E5M2", "u1", 0x7B, [0x7C, 0xFE]),
    ("F8_E4M3", "u1", 0x7E, [0x7F, 0xFF]),
]


@pytest.mark.parametrize(("dtype", "kind", "largest", "wrong"), TYPES)
def test_each_type_is_known_by_its_bits(
    tmp_path: Path, dtype: str, kind: str, largest: int, wrong: list[int]
) -> None:
    sound = bits(kind, 0, largest, 1)
    assert first_not_finite(write(tmp_path / "sound", dtype, sound, sound)) is None
    for number, value in enumerate(wrong):
        broken = write(tmp_path / f"broken{number}", dtype, sound, bits(kind, 0, value))
        assert first_not_finite(broken) == "t1"


def test_the_last_number_of_a_long_tensor_is_looked_at_and_integers_are_passed_over(
    tmp_path: Path,
) -> None:
    long = np.zeros(CHUNK // 4 * 2 + 3, np.float32)
    assert first_not_finite(write(tmp_path / "sound", "F32", long.tobytes())) is None
    long[-1] = math.inf
    assert first_not_finite(write(tmp_path / "broken", "F32", long.tobytes())) == "t0"
    assert first_not_finite(write(tmp_path / "whole", "I64", bits("<u8", 2**64 - 1))) is None


def test_a_file_that_can_not_be_read_is_left_to_whoever_loads_it(tmp_path: Path) -> None:
    assert first_not_finite(tmp_path / "none") is None
    for number, raw in enumerate((b"", b"\xff" * 40, b"\x02" + bytes(7) + b"{}")):
        (tmp_path / str(number)).write_bytes(raw)
        assert first_not_finite(tmp_path / str(number)) is None
    backwards = {"t": {"dtype": "F32", "shape": [1], "data_offsets": [4, -4]}}
    head = json.dumps(backwards).encode()
    (tmp_path / "b").write_bytes(len(head).to_bytes(8, "little") + head)
    assert first_not_finite(tmp_path / "b") is None


def test_a_file_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "w", "F32", np.float32([math.nan]).tobytes())
    assert first_not_finite(path) == "t0"
    write(path, "F32", np.float32([1.0]).tobytes())
    os.utime(path, ns=(1, 1))
    assert first_not_finite(path) is None


def a_run(root: Path, *, losses: bool = True) -> Path:
    """A run whose loss was NaN from step 6 on."""
    folder = root / "runs" / "diverged"
    jobs.create(folder, "train", {"training": {"learning_rate": 50.0}})
    writer = EventWriter(folder / "events.jsonl")
    for step in range(2, 12, 2):
        loss = 2.0 if step < 6 else math.nan
        writer.emit(Metrics(step=step, values={"loss": loss} if losses else {"grad_norm": loss}))
    writer.close()
    return folder


def test_a_run_is_told_since_when_and_to_train_again(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    broken = not_finite(write_adapter(run / "adapter", math.nan))
    assert broken is not None
    assert broken.sentence == (
        "the adapter of diverged holds numbers that are not finite (its loss was NaN from step 6 "
        "on): train again at a learning_rate well below 50"
    )
    for step in (8, 10):
        write_adapter(run / "checkpoints" / f"checkpoint-{step}", math.inf)
    broken = not_finite(run / "adapter")
    assert broken is not None
    assert broken.fix.startswith("none of its checkpoints is finite, so train again")


def test_the_newest_checkpoint_that_is_finite_is_named(tmp_path: Path) -> None:
    run = a_run(tmp_path, losses=False)
    for step, bad in ((2, None), (4, None), (6, math.inf)):
        write_adapter(run / "checkpoints" / f"checkpoint-{step}", bad)
    broken = not_finite(write_adapter(run / "adapter", math.nan))
    assert broken is not None
    assert broken.sentence == (
        "the adapter of diverged holds numbers that are not finite: diverged:checkpoint-4 is "
        "finite: take that, or train again at a learning_rate well below 50"
    )
    broken = not_finite(run / "checkpoints" / "checkpoint-6")
    assert broken is not None
    assert broken.what == "checkpoint-6 of diverged holds numbers that are not finite"
    assert not_finite(run / "checkpoints" / "checkpoint-4") is None


def test_a_folder_that_is_no_runs_is_named_by_its_path(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "loose", -math.inf)
    broken = not_finite(adapter)
    assert broken is not None
    assert broken.what.startswith(f"the adapter in {adapter} holds numbers that are not finite")
    assert not_finite(write_adapter(tmp_path / "sound")) is None
