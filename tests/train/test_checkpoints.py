"""Checkpoints that no run can resume from are taken out of the way, never what someone may want."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tuiwb.train.checkpoints import (
    checkpoints,
    keep_tokens,
    last_checkpoint,
    remove_broken,
    remove_cut,
    tokens_of,
)


def checkpoint(folder: Path, step: int, *, weights: bool = True) -> Path:
    """A checkpoint without an optimizer, as someone leaves it who needs the room."""
    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    history = [{"step": 2, "loss": 1.0, "num_tokens": 100}]
    (path / "trainer_state.json").write_text(
        json.dumps({"global_step": step, "log_history": history})
    )
    target = path / "adapter_model.safetensors"
    save_file({"a": np.ones(4, np.float32)}, target)
    if not weights:
        target.write_bytes(target.read_bytes()[:-3])
    return path


def test_a_checkpoint_thinned_out_by_hand_is_set_aside_with_all_it_has(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 10)
    kept = (path / "adapter_model.safetensors").read_bytes()
    assert remove_broken(tmp_path) == [path]
    aside = tmp_path / "checkpoints" / "set-aside-checkpoint-10"
    assert (aside / "adapter_model.safetensors").read_bytes() == kept
    assert checkpoints(tmp_path) == []
    # The trainer's own rotation deletes what is named checkpoint-*.
    assert not list((tmp_path / "checkpoints").glob("checkpoint-*"))
    checkpoint(tmp_path, 10)
    remove_broken(tmp_path)
    assert aside.is_dir()
    assert aside.with_name("set-aside-checkpoint-10-2").is_dir()


def test_what_a_cut_write_left_of_its_weights_is_deleted(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 10, weights=False)
    remove_broken(tmp_path)
    assert not list(path.parent.iterdir())


def test_a_write_that_failed_just_now_gives_its_room_back(tmp_path: Path) -> None:
    older, newest = checkpoint(tmp_path, 5), checkpoint(tmp_path, 10)
    remove_cut(tmp_path)
    assert older.is_dir(), "an older one is someone's"
    assert not newest.exists()
    assert last_checkpoint(tmp_path) is None


def test_the_token_count_is_the_checkpoints_own_and_else_the_last_logged(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, 10)
    assert tokens_of(path) == 100
    keep_tokens(path, 130)
    assert tokens_of(path) == 130
