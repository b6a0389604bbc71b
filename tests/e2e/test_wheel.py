"""The wheel carries what the program needs, and works from a folder of its own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), "."],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(out.glob("tuiwb-*.whl"))


@pytest.mark.slow
def test_the_wheel_carries_themes_styles_and_the_sample_project(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for needed in (
        "tuiwb/bundled/themes/workbench-dark.yaml",
        "tuiwb/bundled/sample_data/tuiwb.yaml",
        "tuiwb/bundled/sample_data/models/tiny-chat/model.safetensors",
        "tuiwb/bundled/sample_data/data/heldout.jsonl",
        "tuiwb/bundled/sample_data/configs/support-lora.yaml",
        "tuiwb/app/app.tcss",
        "tuiwb/app/screens/train.tcss",
        "tuiwb/train/renamed.yaml",
        "tuiwb/llm/prices.yaml",
    ):
        assert needed in names


@pytest.mark.slow
def test_an_installed_wheel_makes_the_sample_project_without_the_checkout(
    wheel: Path, tmp_path: Path
) -> None:
    target = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(target)
    # Only the wheel's own copy may be found: -P and a path that starts with it.
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tuiwb", "init", str(tmp_path / "p"), "--sample", "--json"],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "p" / "models" / "tiny-chat" / "model.safetensors").is_file()
    assert not (tmp_path / "p" / "build.py").exists()
