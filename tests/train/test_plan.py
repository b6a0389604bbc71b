"""What is checked before a run is launched: each thing that would stop it gets one sentence."""

import json
import math
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.train.adapters import write_adapter
from tests.train.tiny import CONFIG, UNMARKED_CHATML, build_project
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs import create, process, status
from tuiwb.jobs.events import EventReader, EventWriter, Log, Metrics, State
from tuiwb.project import Project
from tuiwb.train import base_model
from tuiwb.train.check import check_config
from tuiwb.train.checkpoints import is_whole, last_checkpoint, remove_broken
from tuiwb.train.plan import plan, read
from tuiwb.train.room import lora_parameters
from tuiwb.train.start import _created, model_fingerprint, resume, start


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a tiny model, chats, and configs/base.yaml."""
    return Project(build_project(tmp_path / "project"))


def configured(project: Project, **changes: str) -> Path:
    """configs/base.yaml with texts replaced."""
    path = project.root / "configs" / "base.yaml"
    text = CONFIG
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text)
    return path


def refused(project: Project, name: str | None = None) -> str:
    """The one sentence a launch of configs/base.yaml is refused with; nothing is left behind."""
    with pytest.raises((BadInput, MissingHere)) as caught:
        start(project, project.root / "configs" / "base.yaml", name)
    assert not project.runs.exists() or not any(project.runs.iterdir())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plan_has_every_default_and_every_path_absolute(project: Project) -> None:
    folder, spec = plan(project, project.root / "configs" / "base.yaml")
    assert folder == project.runs / "base-v1"
    assert spec["model"]["base"] == str(project.root / "models/tiny")
    assert spec["data"]["train"] == [str(project.root / "data/train.jsonl")]
    assert spec["data"]["heldout"] == str(project.root / "data/heldout.jsonl")
    assert spec["training"]["assistant_only_loss"] is True
    assert spec["rows"] == {"train": 40, "heldout": 6}
    json.dumps(spec)


def test_the_next_free_version_names_the_run(project: Project) -> None:
    for name in ("base-v1", "base-v2", "base-v4"):
        create(project.runs / name, "train", {})
    assert plan(project, project.root / "configs" / "base.yaml")[0].name == "base-v3"


def test_a_run_name_that_exists_is_refused_and_the_run_untouched(project: Project) -> None:
    create(project.runs / "mine", "train", {"n": 1})
    before = (project.runs / "mine" / "job.yaml").read_bytes()
    with pytest.raises(BadInput, match="a run named 'mine' exists already"):
        start(project, project.root / "configs" / "base.yaml", "mine")
    assert os.listdir(project.runs / "mine") == ["job.yaml"]
    assert (project.runs / "mine" / "job.yaml").read_bytes() == before


def test_a_name_that_is_no_folder_name_is_refused(project: Project) -> None:
    assert "can't be a run's name" in refused(project, "../out")


def test_an_error_in_the_config_is_said_with_its_line_and_how_many_more(project: Project) -> None:
    path = configured(project, **{"r: 4": "r: 0", "max_steps: 12": "max_stepz: 12"})
    said = refused(project)
    assert said.startswith(f"{path}:3: lora.r must be a whole number at least 1")
    assert said.endswith(f"(1 more: tuiwb config check {path})")


def test_a_missing_base_model_is_said(project: Project) -> None:
    configured(project, **{"models/tiny": "models/tinny"})
    said = refused(project)
    assert said == (
        f"{project.root}/configs/base.yaml:1: there is no base model {project.root}/models/tinny: "
        "did you mean tiny?"
    )


def test_a_hub_id_that_is_neither_cached_nor_reachable_is_missing_here(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    configured(project, **{"models/tiny": "someone/some-model"})
    said = refused(project)
    assert "no hub model someone/some-model in the cache" in said


@pytest.mark.parametrize(("status", "sentence"), [(404, "no hub model"), (401, "HF_TOKEN")])
def test_a_hub_id_the_hub_does_not_give_out_is_said(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, sentence: str
) -> None:
    import http.server
    import threading

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status if "private" in self.path else 200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    try:
        configured(project, **{"models/tiny": "someone/private"})
        assert sentence in refused(project)
        path = configured(project, **{"models/tiny": "someone/public"})
        assert plan(project, path)[1]["model"]["base"] == "someone/public"
    finally:
        server.shutdown()
        server.server_close()


def test_a_cached_hub_id_is_taken_and_checked(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / "abc").symlink_to(project.root / "models/tiny")
    path = configured(project, **{"models/tiny": "someone/some-model"})
    assert plan(project, path)[1]["model"]["base"] == "someone/some-model"
    (project.root / "models/tiny/tokenizer.json").unlink()
    assert "has no tokenizer" in refused(project)


@pytest.mark.parametrize(
    ("lacks", "sentence"),
    [
        ("config.json", "has no config.json: it is not a model's folder"),
        ("model.safetensors", "has no safetensors weights"),
        ("tokenizer.json", "has no tokenizer (tokenizer.json)"),
        ("chat_template.jinja", "has no chat template and the data are chats"),
    ],
)
def test_a_model_folder_that_lacks_a_file_is_said(
    project: Project, lacks: str, sentence: str
) -> None:
    (project.root / "models/tiny" / lacks).unlink()
    assert sentence in refused(project)


def test_weights_cut_short_are_said(project: Project) -> None:
    weights = project.root / "models/tiny/model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    assert "cut short" in refused(project)
    weights.write_bytes(b"PK\x03\x04 a pickle")
    assert "cut short or not safetensors" in refused(project)


def test_weights_in_another_format_are_named(project: Project) -> None:
    folder = project.root / "models/tiny"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is another format" in refused(project)


def test_a_template_without_generation_markers_needs_the_whole_sequence_loss(
    project: Project,
) -> None:
    (project.root / "models/tiny/chat_template.jinja").write_text(UNMARKED_CHATML)
    assert "doesn't mark the assistant's tokens" in refused(project)
    path = configured(project, **{"training:\n": "training:\n  assistant_only_loss: false\n"})
    assert plan(project, path)[0].name == "base-v1"


def test_a_template_trl_has_a_training_version_of_needs_no_markers(project: Project) -> None:
    import importlib.util

    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.origin is not None
    known = (Path(spec.origin).parent / "chat_templates" / "qwen2_5.jinja").read_text("utf-8")
    assert not base_model.marks_generation(known)
    (project.root / "models/tiny/chat_template.jinja").write_text(known, "utf-8")
    assert plan(project, project.root / "configs" / "base.yaml")[0].name == "base-v1"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "there is no file"),
        (b"", "is empty"),
        (b'{"messages": [{"role": "user", "con', "train.jsonl:1"),
        (b'{"chosen": "a", "rejected": "b", "prompt": "c"}\n', "sft needs"),
    ],
    ids=["missing", "empty", "half a line", "preference"],
)
def test_data_that_can_not_be_trained_on_is_said_with_its_place(
    project: Project, content: bytes | None, sentence: str
) -> None:
    path = project.root / "data/train.jsonl"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    said = refused(project)
    assert sentence in said
    assert "train.jsonl" in said


def test_half_a_json_line_after_good_ones_stops_the_run_unless_it_may_be_skipped(
    project: Project,
) -> None:
    data = project.root / "data/train.jsonl"
    data.write_text(data.read_text() + '{"messages": [{"role": "us')
    whole = data.read_bytes()
    assert f"{data}:41" in refused(project)
    path = configured(project, **{"data: {": "data: {malformed: skip, "})
    assert plan(project, path)[1]["rows"]["train"] == 40
    assert data.read_bytes() == whole


def test_a_full_disk_is_said_before_the_run(project: Project, tmp_path: Path) -> None:
    project.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(project.runs)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {done.stderr.strip()}")
    try:
        said = refused(project)
    finally:
        subprocess.run(["umount", str(project.runs)], check=True)
    assert "512.0 KiB free and the run needs about" in said


def test_a_python_that_is_not_there_is_missing_here(project: Project) -> None:
    (project.root / "tuiwb.yaml").write_text("python: {train: /nowhere/python}\n")
    with pytest.raises(MissingHere, match=r"python\.train in tuiwb\.yaml names /nowhere/python"):
        start(Project(project.root), project.root / "configs" / "base.yaml")
    assert not project.runs.exists()


def test_the_training_python_is_the_same_from_every_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = project.root / "venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to("/bin/sh")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(project.root))
    monkeypatch.setenv("PATH", str(own.parent))
    for named in ("venv/bin/python", "~/venv/bin/python", "python", str(own)):
        (project.root / "tuiwb.yaml").write_text(f"python: {{train: {named}}}\n")
        found = Project(project.root)
        assert found.train_python == str(own)
        assert plan(found, project.root / "configs" / "base.yaml")


def test_lora_parameters_are_those_of_every_linear_layer(project: Project) -> None:
    config = read(project.root / "configs" / "base.yaml")
    # hidden 64, inner 128, keys 32: q and o 64+64, k and v 64+32, gate, up and down 64+128.
    per_layer = 4 * (2 * 128 + 2 * 96 + 3 * 192)
    assert lora_parameters(config, project.root / "models/tiny") == 2 * per_layer


def test_a_check_of_a_config_opens_what_it_names_and_gives_the_lines(project: Project) -> None:
    path = configured(project, **{"data/train": "data/none", "models/tiny": "./nowhere"})
    said = {p.line: p.message for p in check_config(project, path) if p.severity == "error"}
    assert set(said) == {1, 2}
    assert "there is no base model" in said[1]
    assert "none.jsonl" in said[2]
    path = configured(project)
    (note,) = check_config(project, path)
    assert note.message == "40 rows in batches of 4 make 10 steps an epoch, 12 in all"


def test_a_model_fingerprint_changes_with_the_weights(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.root / "models/tiny"
    before = model_fingerprint(folder)
    monkeypatch.setattr("tuiwb.train.start.HASHED_WHOLE", 1)
    ends = model_fingerprint(folder)
    assert ends.startswith("sha256-ends:")
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    assert model_fingerprint(folder) != ends
    monkeypatch.undo()
    assert model_fingerprint(folder) != before


def checkpoint(folder: Path, step: int) -> Path:
    """A checkpoint folder with every file a resume reads, written by the real formats."""
    import zipfile

    import numpy as np
    from safetensors.numpy import save_file

    path = folder / "checkpoints" / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    save_file({"a": np.zeros(64, np.float32)}, path / "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt"):
        with zipfile.ZipFile(path / name, "w") as archive:
            archive.writestr("data", b"x" * 500)
    return path


@pytest.mark.parametrize(
    "name", ["trainer_state.json", "adapter_model.safetensors", "optimizer.pt", "scheduler.pt"]
)
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_checkpoint_with_a_file_missing_or_cut_short_is_not_whole(
    tmp_path: Path, name: str, how: str
) -> None:
    good, bad = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    assert is_whole(bad)
    if how == "missing":
        (bad / name).unlink()
    else:
        os.truncate(bad / name, (bad / name).stat().st_size - 5)
    assert not is_whole(bad)
    assert last_checkpoint(tmp_path) == good
    assert remove_broken(tmp_path) == [bad]
    assert good.is_dir()
    assert not bad.exists()


@pytest.mark.parametrize(
    ("reached", "again"),
    [
        (38, ", steps 31-38 are trained again"),
        (31, ", step 31 is trained again"),
        (30, ""),
    ],
)
def test_a_death_stays_in_the_log_once_the_run_is_resumed(
    project: Project, reached: int, again: str
) -> None:
    folder = project.runs / "a"
    create(folder, "train", {})
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="running", phase="training"))
    for step in range(1, reached + 1):
        writer.emit(Metrics(step=step, total_steps=100, values={"loss": 1.0}))
    writer.close()
    history = [{"step": step, "loss": 1.0} for step in range(1, 31)]
    (checkpoint(folder, 30) / "trainer_state.json").write_text(
        json.dumps({"global_step": 30, "log_history": history})
    )
    gone = subprocess.Popen(["sleep", "60"])
    process.write(folder, process.identify(gone.pid))
    gone.kill()
    gone.wait()
    died = status(folder)
    assert died.state == "died"

    resume(folder, python="false")  # a worker that ends at once: what the launcher writes remains
    said = list(EventReader(folder / "events.jsonl").read())
    at = next(n for n, event in enumerate(said) if isinstance(event, Log))
    before, log = said[at - 1], said[at]
    assert isinstance(log, Log)
    assert log.level == "warn"
    assert log.message.startswith(f"died at step {reached}: ")
    assert log.message.endswith(f"; resumed from checkpoint-30{again}")
    assert isinstance(before, State)
    assert before.state == "queued"
    assert [log.message] == [warning.message for warning in status(folder).warnings]


def test_the_time_for_which_a_run_lay_dead_is_not_counted_once_it_is_resumed(
    project: Project,
) -> None:
    folder = project.runs / "a"
    create(folder, "train", {})
    began = time.time() - 1000
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="running", phase="training", t=began))
    writer.emit(Metrics(step=30, total_steps=100, values={"loss": 1.0}, t=began + 100))
    writer.close()
    history = [{"step": 30, "loss": 1.0}]
    (checkpoint(folder, 30) / "trainer_state.json").write_text(
        json.dumps({"global_step": 30, "log_history": history})
    )
    gone = subprocess.Popen(["true"])
    process.write(folder, process.identify(gone.pid))
    gone.wait()
    assert status(folder).lasted(time.time()) == pytest.approx(100)
    resume(folder, python="false")
    assert status(folder).warnings
    lasted = status(folder).lasted(time.time())
    assert lasted is not None
    assert lasted < 800


def test_a_run_without_a_checkpoint_can_not_be_resumed(project: Project) -> None:
    folder = project.runs / "a"
    create(folder, "train", {})
    (folder / "events.jsonl").write_bytes(b'{"type":"state","state":"failed","v":1,"t":1}\n')
    with pytest.raises(BadInput, match="left no whole checkpoint"):
        resume(folder)


def test_a_run_is_not_resumed_from_a_checkpoint_that_holds_nan(project: Project) -> None:
    folder = project.runs / "a"
    create(folder, "train", {"training": {"learning_rate": 3.0}})
    (folder / "events.jsonl").write_bytes(b'{"type":"state","state":"cancelled","v":1,"t":1}\n')
    for step, bad in ((10, None), (20, math.nan)):
        write_adapter(checkpoint(folder, step), bad)
    before = (folder / "events.jsonl").read_bytes()
    with pytest.raises(BadInput, match="checkpoint-20 of a holds numbers that are not") as refused:
        resume(folder)
    assert "a:checkpoint-10 is finite: take that" in str(refused.value)
    assert (folder / "events.jsonl").read_bytes() == before


def test_two_starts_of_a_config_at_once_get_a_number_each(project: Project) -> None:
    path = project.root / "configs" / "base.yaml"
    first, spec = plan(project, path)
    second, _ = plan(project, path)
    assert first == second, "neither has made its folder yet"
    made = [_created(project, path, first, spec, {}, named=False) for _ in range(3)]
    assert [folder.name for folder in made] == ["base-v1", "base-v2", "base-v3"]
    assert all((folder / "job.yaml").is_file() for folder in made)
    with pytest.raises(BadInput, match="exists already"):
        _created(project, path, first, spec, {}, named=True)
