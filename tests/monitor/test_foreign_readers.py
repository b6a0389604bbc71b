"""TensorBoard event files and W&B run files.

Writing and reading real ones needs their packages: those tests are skipped where they are not
installed (pip install tensorboard wandb).
"""

import importlib.util
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tuiwb.errors import MissingHere
from tuiwb.monitor.foreign import open_foreign
from tuiwb.monitor.foreign.source import trainer_name
from tuiwb.monitor.foreign.wandb import BLOCK, FIRST, HEADER, LAST, MIDDLE, RECORD, WHOLE, Records
from tuiwb.monitor.watched import Watched

HEAD = b":W&B" + b"\xe1\xbe" + b"\0"
tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="wandb is not installed"
)


@pytest.fixture(autouse=True)
def no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reading W&B's files sets in the environment stays with the test."""
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


def read(watched: Watched) -> Watched:
    watched.poll(1.0)
    while watched.loaded < 1.0:
        watched.poll(1.0)
    return watched


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("train/loss", "loss"),
        ("train/rewards/margins", "rewards/margins"),
        ("eval/loss", "eval_loss"),
        ("val/loss", "val/loss"),
        ("train/", "train/"),
        ("loss", "loss"),
    ],
)
def test_metrics_have_the_names_that_the_trainer_logged(tag: str, name: str) -> None:
    assert trainer_name(tag) == name


@tensorboard
def test_scalars_of_an_event_file_are_read_as_they_are_written(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    folder = tmp_path / "runs" / "Nov24_host"
    writer = SummaryWriter(str(folder))
    for step in range(1, 11):
        writer.add_scalar("train/loss", math.nan if step == 3 else 1 / step, step)
        writer.add_scalar("train/epoch", step / 10, step)
    writer.add_text("note", "[red]\x1b[31m")
    writer.flush()
    watched = read(open_foreign(tmp_path))
    loss = watched.series.get("loss")
    assert loss.steps.tolist() == list(range(1, 11))
    assert math.isnan(loss.values[2])
    assert watched.series.names() == ["loss"]
    assert (watched.state.epoch, watched.state.state) == (pytest.approx(1.0), "running")

    writer.add_scalar("train/loss", 0.05, 11)
    writer.add_scalar("eval/loss", 0.5, 11)
    writer.close()
    watched.poll(1.0)
    assert watched.series.get("loss").steps.tolist() == list(range(1, 12))
    assert watched.state.best_loss == 0.5
    assert watched.poll() == []


@tensorboard
def test_a_torn_event_file_gives_what_is_whole_and_later_the_rest(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "whole"))
    for step in range(1, 101):
        writer.add_scalar("train/loss", 1 / step, step)
    writer.close()
    source = next((tmp_path / "whole").iterdir())
    data = source.read_bytes()
    copy = tmp_path / "growing" / source.name
    copy.parent.mkdir()
    copy.write_bytes(data[: len(data) // 2])
    watched = read(open_foreign(copy.parent))
    assert 0 < len(watched.series.get("loss")) < 100
    with copy.open("ab") as file:
        file.write(data[len(data) // 2 :])
    read(watched)
    assert watched.series.get("loss").steps.tolist() == list(range(1, 101))
    copy.write_bytes(os.urandom(len(data) * 2))
    os.utime(copy, (time.time() + 5, time.time() + 5))
    watched.poll(1.0)


@tensorboard
def test_steps_that_a_trainers_state_lacks_come_from_its_events(tmp_path: Path) -> None:
    import json

    from torch.utils.tensorboard import SummaryWriter

    def state(step: int) -> None:
        history = [{"step": n, "loss": 1 / n, "epoch": n / 10} for n in range(1, step + 1)]
        path = tmp_path / f"checkpoint-{step}" / "trainer_state.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"global_step": step, "max_steps": 100, "log_history": history}))

    state(10)
    writer = SummaryWriter(str(tmp_path / "runs" / "x"))
    for step in range(5, 16):
        writer.add_scalar("train/loss", 1 / step, step)
    writer.flush()
    watched = read(open_foreign(tmp_path))
    assert watched.series.get("loss").steps.tolist() == list(range(1, 16))
    state(20)
    watched.poll(1.0)
    loss = watched.series.get("loss")
    assert (loss.steps.tolist(), loss.generation) == (list(range(1, 21)), 0)
    writer.close()


@wandb
@pytest.mark.slow
def test_an_offline_run_of_wandb_is_read_to_its_end(tmp_path: Path) -> None:
    script = """
import wandb
with wandb.init(mode="offline", project="p", config={"max_steps": 200}) as run:
    for n in range(1, 21):
        loss = float("nan") if n == 7 else 2 / n
        run.log({"train/loss": loss, "train/global_step": n * 10, "train/epoch": n / 20})
    run.log({"eval/loss": 1.0, "train/global_step": 200, "note": "[red]"})
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    watched = read(open_foreign(tmp_path))
    loss = watched.series.get("loss")
    assert loss.steps.tolist() == [n * 10.0 for n in range(1, 21)]
    assert math.isnan(loss.values[6])
    assert sorted(watched.series.names()) == ["eval_loss", "loss"]
    state = watched.state
    assert (state.state, state.step, state.total_steps, state.best_loss) == (
        "finished",
        200,
        200,
        1.0,
    )


def framed(*records: bytes) -> bytes:
    """Records as W&B's writer frames them, split over blocks where they don't fit."""
    out = bytearray(HEAD)
    for record in records:
        rest, first = record, True
        while True:
            left = BLOCK - len(out) % BLOCK
            if left < RECORD:
                out += bytes(left)
                continue
            part, rest = rest[: left - RECORD], rest[left - RECORD :]
            kind = (WHOLE if first else LAST) if not rest else (FIRST if first else MIDDLE)
            out += bytes(4) + len(part).to_bytes(2, "little") + bytes([kind]) + part
            first = False
            if not rest:
                break
    return bytes(out)


def test_records_that_span_blocks_are_put_together_wherever_the_file_was_cut(
    tmp_path: Path,
) -> None:
    records = [b"a" * 10, b"b" * (BLOCK - HEADER - 3 * RECORD - 12), b"c" * (3 * BLOCK), b"", b"d"]
    data = framed(*records)
    path = tmp_path / "run-x.wandb"
    for cut in (
        0,
        3,
        HEADER,
        HEADER + 5,
        BLOCK - 3,
        BLOCK,
        BLOCK + 2,
        2 * BLOCK + 9,
        len(data) - 1,
    ):
        path.write_bytes(data[:cut])
        reader = Records(path)
        found = reader.read()
        path.write_bytes(data)
        found += reader.read()
        assert found == records, cut


def test_a_file_that_only_ends_in_wandb_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run-x.wandb"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="not a W&B run file"):
        Records(path).read()


@pytest.mark.parametrize(
    ("package", "file"),
    [("tensorboard", "events.out.tfevents.1.host"), ("wandb", "run-abc.wandb")],
)
def test_without_its_reader_a_run_is_one_sentence_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, file: str
) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(MissingHere, match=f"pip install {package}$"):
        open_foreign(tmp_path)
