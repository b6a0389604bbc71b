"""What a comparison is planned from, and when it counts as answered; no model is loaded."""

import socket
from pathlib import Path

import msgspec
import pytest

from tests.compare.builders import make_run
from tuiwb import jobs
from tuiwb.compare.plan import ADAPTER_FILES, answered, plan, prepare
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs import process
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.folder import JOB
from tuiwb.project import Project


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def run(project: Project, base: Path) -> Path:
    folder = make_run(project, "support-v1", str(base), project.root / "data" / "heldout.jsonl")
    (folder / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (folder / "adapter" / name).write_bytes(b"{}")
    return folder


def end(folder: Path, state: str) -> None:
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state=state))
    writer.close()


def test_the_base_is_compared_at_the_revision_the_run_was_trained_on(project, run):
    job = jobs.load(run)
    job.spec["model"]["revision"] = "v1.5"
    (run / JOB).write_bytes(msgspec.yaml.encode(job))
    assert plan(project, "support-v1")["revision"] == "v1.5"


def test_a_comparison_with_a_base_that_has_changed_is_not_answered(project, run, base):
    spec = plan(project, "support-v1")
    end(prepare(spec), "finished")
    assert answered(spec)
    (base / "model.safetensors").write_bytes(b"other weights")
    assert not answered(spec)


def test_a_comparison_queued_again_is_not_taken_for_one_that_died(project, run):
    spec = plan(project, "support-v1")
    folder = prepare(spec)
    gone = process.ProcessIdentity(pid=1, start=0.0, host=process.socket.gethostname(), boot="x")
    process.write(folder, gone)
    assert jobs.status(folder).state == "died"
    assert prepare(spec) == folder
    assert jobs.status(folder).state == "queued"


def test_prompts_without_one_to_answer_leave_the_finished_comparison_where_it_is(project, run):
    folder = prepare(plan(project, "support-v1"))
    end(folder, "finished")
    empty = project.root / "data" / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(BadInput, match="empty"):
        prepare(plan(project, "support-v1", prompts=empty))
    assert jobs.status(folder).state == "finished"
    assert not folder.with_name("compare-1").exists()


def test_a_served_side_that_is_not_there_leaves_the_finished_comparison_where_it_is(project, run):
    folder = prepare(plan(project, "support-v1"))
    end(folder, "finished")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MissingHere, match="does not answer at"):
            prepare(plan(project, "support-v1", against=["base", f"{url}#m"]))
    assert jobs.status(folder).state == "finished"
    assert jobs.load(folder).spec["sides"] == plan(project, "support-v1")["sides"]
