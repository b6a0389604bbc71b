"""`tuiwb config`: every problem as file:line, and a code a script can act on."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Tuiwb
from tests.train.tiny import CONFIG, build_project


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on a tiny model."""
    return build_project(tmp_path_factory.mktemp("config_cli") / "project")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, if there is one, is hidden."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def test_a_config_that_can_run_is_fine(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("config", "check", "configs/base.yaml")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "configs/base.yaml:4: note: 40 rows in batches of 4 make 10 steps an epoch, 12 in all",
        "configs/base.yaml: fine",
    ]
    assert done.stderr == ""


def test_a_file_is_found_in_the_project_that_is_named_and_a_config_in_another_uses_its_own(
    home: Path, tuiwb: Tuiwb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (home / "tuiwb.yaml").touch()
    rows = (home / "data" / "train.jsonl").read_text().splitlines()
    monkeypatch.chdir(home.parent)
    config = str(Path(home.name, "configs", "base.yaml"))
    other = tuiwb("config", "check", config)
    assert (other.returncode, other.stderr) == (0, f"in the project {home}\n")
    assert other.stdout.splitlines()[-1] == f"{config}: fine"
    monkeypatch.chdir(tmp_path)
    for command in (("config", "check"), ("train", "--name", "bad/name")):
        done = tuiwb(*command, "configs/base.yaml", "-C", str(home))
        assert "does not exist" not in done.stderr
    assert "bad/name" in done.stderr
    shown = tuiwb("data", "rows", "data/train.jsonl", "-C", str(home), "--json")
    assert json.loads(shown.stdout)["rows"] == len(rows)
    monkeypatch.chdir(home / "data")
    assert tuiwb("config", "check", "configs/base.yaml").returncode == 0
    missing = tuiwb("config", "check", "configs/none.yaml", "-C", str(home))
    assert "configs/none.yaml does not exist" in missing.stderr


def test_all_errors_are_printed_with_their_lines_and_the_code_is_2(
    home: Path, tuiwb: Tuiwb
) -> None:
    path = home / "bad.yaml"
    path.write_text(CONFIG.replace("r: 4", "rr: 4").replace("max_steps: 12", "max_steps: a"))
    done = tuiwb("config", "check", "bad.yaml")
    assert done.returncode == 2
    first, second = done.stdout.splitlines()
    assert first.startswith("bad.yaml:3: error: unknown key 'rr' in lora: ")
    assert second == (
        "bad.yaml:5: error: training.max_steps must be a whole number at least -1, not the text 'a'"
    )


def test_json_holds_the_same_problems_and_nothing_else_is_on_stdout(
    home: Path, tuiwb: Tuiwb
) -> None:
    path = home / "bad.yaml"
    path.write_text(CONFIG.replace("max_length", "max_seq_length") + "  optim: sgdd\n")
    done = tuiwb("config", "check", "bad.yaml", "--json")
    assert done.returncode == 2
    said = json.loads(done.stdout)
    assert said["ok"] is False
    assert [(p["line"], p["key"], p["severity"]) for p in said["problems"]] == [
        (13, "training.max_seq_length", "note"),
        (14, "training.optim", "error"),
    ]


@pytest.mark.parametrize("command", [("config", "check"), ("train",)])
def test_a_config_that_is_not_there_is_one_sentence(tuiwb: Tuiwb, command: tuple[str, ...]) -> None:
    done = tuiwb(*command, "configs/none.yaml")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: configs/none.yaml does not exist: give a run's config (YAML)\n"


def test_hostile_text_in_a_config_never_reaches_the_terminal_raw(home: Path, tuiwb: Tuiwb) -> None:
    path = home / "hostile.yaml"
    path.write_text(CONFIG + '  optim: "\\e[31m[red]\\0"\n  "\\e]0;x\\a": 1\n')
    done = tuiwb("config", "check", "hostile.yaml")
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr
    assert "\x00" not in done.stdout + done.stderr


def test_a_new_config_is_written_once_and_passes_its_own_check(home: Path, tuiwb: Tuiwb) -> None:
    done = tuiwb("config", "new", "--base", "models/tiny", "--json")
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["file"])
    assert path == home / "configs" / "train-lora.yaml"
    assert "heldout: data/heldout.jsonl" in path.read_text()
    checked = tuiwb("config", "check", str(path))
    assert checked.returncode == 0, checked.stdout
    again = tuiwb("config", "new", "--base", "models/tiny")
    assert again.returncode == 2
    assert "exists already" in again.stderr
    path.unlink()


def test_what_only_this_machine_lacks_has_a_code_of_its_own(home: Path, tuiwb: Tuiwb) -> None:
    (home / "gpu.yaml").write_text(f"{CONFIG}  fp16: true\n")
    done = tuiwb("config", "check", "gpu.yaml")
    assert done.returncode == 3
    assert "gpu.yaml:14: missing here: fp16 needs a GPU" in done.stdout
    assert done.stdout.splitlines()[-1] == ("gpu.yaml: right, but this machine lacks what it wants")
    started = tuiwb("train", "gpu.yaml")
    assert started.returncode == 3
    assert "gpu.yaml:14: missing here: fp16 needs a GPU" in started.stderr
    assert not (home / "runs").exists()


def test_a_new_config_by_name_is_listed_and_a_missing_dataset_is_refused(
    home: Path, tuiwb: Tuiwb, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = tuiwb("config", "new", "mine")
    assert done.returncode == 0, done.stderr
    assert (home / "configs" / "mine.yaml").is_file()
    assert "it trains models/tiny on data/train.jsonl, held out: data/heldout.jsonl" in done.stdout
    done = tuiwb("config", "new", "other", "--data", "nosuch.jsonl")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no file nosuch.jsonl")
    assert not (home / "configs" / "other.yaml").exists()
    new = ("config", "new", "-C", "..", "--data", "../data/train.jsonl", "here.yaml")
    monkeypatch.chdir(home / "configs")
    done = tuiwb(*new)
    assert done.returncode == 0, done.stderr
    assert "train: data/train.jsonl" in (home / "configs" / "here.yaml").read_text()
