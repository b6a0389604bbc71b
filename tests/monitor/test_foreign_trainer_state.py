"""Output folders of TRL and transformers, as they lie and as they grow."""

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.train.tiny import build_model
from tuiwb.errors import BadInput
from tuiwb.jobs.events import Artifact
from tuiwb.monitor.foreign import open_foreign
from tuiwb.monitor.foreign.trainer_state import Point, when
from tuiwb.monitor.watched import open_watched

SCRIPT = Path(__file__).with_name("trl_script.py")
LIMIT = 240.0


def log(step: int, **values: Any) -> dict[str, Any]:
    return {"step": step, "epoch": step / 10, **(values or {"loss": 1 / step})}


def save(folder: Path, step: int, history: list[Any], at: float, top: bool = False) -> Path:
    """Write a trainer_state.json as the trainer would, at a time."""
    path = (folder if top else folder / f"checkpoint-{step}") / "trainer_state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"global_step": step, "max_steps": 100, "log_history": history}
    path.write_text(json.dumps(state))
    os.utime(path, (at, at))
    return path


def test_the_newest_checkpoint_is_read_and_what_is_added_is_told_once(tmp_path: Path) -> None:
    now = time.time()
    save(tmp_path, 10, [log(n) for n in range(1, 11)], now - 60)
    watched = open_foreign(tmp_path)
    assert [a.path for a in watched.state.artifacts] == ["checkpoint-10"]
    assert watched.series.get("loss").steps.tolist() == list(range(1, 11))
    assert (watched.state.state, watched.state.step, watched.state.total_steps) == (
        "running",
        10,
        100,
    )
    assert watched.commands == frozenset()
    assert watched.poll() == []

    history = [log(n) for n in range(1, 21)]
    save(tmp_path, 20, [*history, log(20, eval_loss=0.5)], now - 5)
    assert [e.path for e in watched.poll() if isinstance(e, Artifact)] == ["checkpoint-20"]
    loss = watched.series.get("loss")
    assert (loss.steps.tolist(), loss.generation) == (list(range(1, 21)), 0)
    assert watched.series.checkpoints == [10, 20]
    assert watched.state.best_loss == 0.5


def test_nothing_is_read_again_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 10, [log(1)], time.time())
    watched = open_foreign(tmp_path)
    watched.poll()
    state = watched.state
    read: list[Path] = []
    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda self, *a, **k: read.append(self) or real(self, *a, **k)
    )
    for _ in range(5):
        watched.poll()
    assert read == []
    assert watched.state is state


def test_nan_and_infinity_as_literals_come_through(tmp_path: Path) -> None:
    history = [log(1, loss=math.nan), log(2, loss=math.inf), log(3, loss=0.5)]
    path = save(tmp_path, 3, history, time.time(), top=True)
    assert "NaN" in path.read_text()
    watched = open_foreign(tmp_path)
    watched.poll()
    first, second, third = watched.series.get("loss").values.tolist()
    assert math.isnan(first)
    assert (second, third) == (math.inf, 0.5)


def test_a_half_written_state_leaves_what_was_known_and_is_read_when_whole(tmp_path: Path) -> None:
    now = time.time()
    save(tmp_path, 10, [log(n) for n in range(1, 11)], now - 60)
    watched = open_foreign(tmp_path)
    watched.poll()
    whole = save(tmp_path, 20, [log(n) for n in range(1, 21)], now - 1)
    text = whole.read_text()
    whole.write_text(text[: len(text) // 2])
    watched.poll()
    assert watched.state.step == 10
    assert "checkpoint-20" in watched.state.message
    assert len(watched.series.get("loss")) == 10
    whole.write_text(text)
    watched.poll()
    assert watched.state.step == 20
    assert "can't be read" not in watched.state.message
    assert watched.series.get("loss").steps.tolist() == list(range(1, 21))


def test_a_folder_whose_only_state_is_broken_is_not_said_to_run(tmp_path: Path) -> None:
    (tmp_path / "trainer_state.json").write_text('{"global_step": 5, "log_hist')
    watched = open_foreign(tmp_path)
    watched.poll()
    assert watched.state.state == "quiet"
    assert watched.state.phase == ""
    assert watched.state.message.startswith(f"{tmp_path / 'trainer_state.json'} can't be read")
    save(tmp_path, 10, [log(n) for n in range(1, 11)], time.time())
    watched.poll()
    assert watched.state.state == "running"


def test_a_run_begun_again_in_the_same_folder_starts_over(tmp_path: Path) -> None:
    now = time.time()
    save(tmp_path, 10, [log(n) for n in range(1, 11)], now - 60)
    watched = open_foreign(tmp_path)
    watched.poll()
    before = watched.series
    save(tmp_path, 10, [log(n, loss=9.0) for n in range(1, 6)], now - 1)
    watched.poll()
    assert watched.series is not before
    assert watched.series.get("loss").values.tolist() == [9.0] * 5
    assert watched.series.checkpoints == [10]


@pytest.mark.parametrize(
    ("age", "step", "state", "words"),
    [
        (5, 50, "running", "last written less than a minute ago"),
        (3 * 3600 + 5, 50, "quiet", "last written 3h ago"),
        (400_000, 50, "quiet", "last written 4d ago"),
        (3 * 3600 + 5, 100, "finished", "last written 3h ago"),
    ],
)
def test_the_state_is_what_files_can_tell_and_no_more(
    tmp_path: Path, age: float, step: int, state: str, words: str
) -> None:
    save(tmp_path, step, [log(step)], time.time() - age)
    watched = open_foreign(tmp_path)
    watched.poll()
    assert (watched.state.state, watched.state.message) == (state, words)


def test_a_trainer_that_saves_every_two_hours_is_not_quiet_after_one(tmp_path: Path) -> None:
    now = time.time()
    save(tmp_path, 10, [log(10)], now - 3 * 3600)
    save(tmp_path, 20, [log(10), log(20)], now - 3600)
    watched = open_foreign(tmp_path)
    watched.poll()
    assert watched.state.state == "running"


def test_times_between_checkpoints_are_interpolated() -> None:
    points = [Point(10, 1000.0), Point(20, 1100.0), Point(40, 1600.0)]
    assert when([1, 10, 15, 30, 40, 50], points, 9.0) == [
        910.0,
        1000.0,
        1050.0,
        1350.0,
        1600.0,
        1600.0,
    ]
    assert when([1, 2], [Point(2, 5.0)], 9.0) == [9.0, 9.0]


@pytest.mark.parametrize(
    "state",
    [
        "[]", "3", "null", "{}", '{"log_history": 3, "global_step": "x"}',
        '{"log_history": [3, null, [], {"step": "a"}, {"step": 1e400}], "max_steps": -1}',
        '{"log_history": [{"step": 2, "loss": "1", "b": true, "c": {"d": 1}}]}',
        '{"log_history": [{"step": 1, "a\\ud800b": 1.5, "x": ' + "9" * 400 + "}]}",
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_state_of_any_shape_is_survived(tmp_path: Path, state: str) -> None:
    (tmp_path / "trainer_state.json").write_text(state)
    watched = open_foreign(tmp_path)
    watched.poll()
    watched.poll()
    for name in watched.series.names():
        name.encode()
    assert watched.state.state in ("running", "finished", "quiet")


def test_a_folder_without_a_run_is_told_and_those_inside_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no run that can be watched: no job\.yaml"):
        open_watched(tmp_path)
    save(tmp_path / "out", 10, [log(1)], time.time())
    with pytest.raises(BadInput, match=r"there are runs in it: .*out"):
        open_watched(tmp_path)
    with pytest.raises(BadInput, match="there is no file or folder"):
        open_watched(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(BadInput, match="is no file of a run"):
        open_watched(tmp_path / "notes.txt")


@pytest.mark.slow
def test_a_real_trl_run_is_watched_from_its_first_checkpoint_to_its_end(tmp_path: Path) -> None:
    model, out = build_model(tmp_path / "model"), tmp_path / "out"
    trainer = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(model), str(out), str(tmp_path / "go")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + LIMIT
        while not list(out.glob("checkpoint-*/trainer_state.json")):
            assert trainer.poll() is None, trainer.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        watched = open_watched(out)
        for saved in (4, 8, 12):
            while watched.state.step < saved:
                assert time.monotonic() < deadline, f"step {saved} is never seen"
                watched.poll()
                time.sleep(0.02)
            assert watched.state.step == saved
            (tmp_path / f"go-{saved}").touch()
        said = trainer.communicate()[0]
        assert trainer.returncode == 0, said
        watched.poll()
    finally:
        trainer.kill()
        trainer.wait()
    history = json.loads((out / "trainer_state.json").read_text())["log_history"]
    for name in ("loss", "grad_norm", "eval_loss", "mean_token_accuracy"):
        logged = [(e["step"], e[name]) for e in history if name in e]
        series = watched.series.get(name)
        assert list(zip(series.steps, series.values, strict=True)) == logged, name
    assert watched.series.checkpoints == [4, 8, 12]
    assert (watched.state.state, watched.state.step) == ("finished", 12)
