"""What a comparison is planned from, and when it counts as answered; no model is loaded."""

import math
import os
import socket
from pathlib import Path

import msgspec
import pytest

from tests.compare.builders import chat, make_run, write_rows
from tests.train.adapters import write_adapter
from tuiwb import jobs
from tuiwb.compare.completions import ANSWERS, SideAnswer, read_side_answers
from tuiwb.compare.go_on import go_on
from tuiwb.compare.plan import ADAPTER_FILES, answered, as_before, bring_back, plan, prepare, to_ask
from tuiwb.compare.vote.records import VOTES, Undo, Vote
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs import process
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.folder import JOB
from tuiwb.jobs.lines import append_lines
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


def test_an_adapter_that_holds_nan_since_leaves_the_comparison_where_it_is(project, run):
    folder = prepare(plan(project, "support-v1"))
    end(folder, "finished")
    write_adapter(run / "adapter", math.nan)
    before = (folder / JOB).read_bytes()
    for again in (lambda: plan(project, "support-v1"), lambda: go_on(project, "support-v1", print)):
        with pytest.raises(BadInput, match="the adapter of support-v1 holds numbers that are not"):
            again()
    assert (folder / JOB).read_bytes() == before


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


def vote(folder: Path, count: int) -> None:
    votes = [Vote(pair=f"p{n}", choice="left", rater="ann") for n in range(count + 1)]
    append_lines(folder / VOTES, [*votes, Undo(pair=votes[-1].pair, rater="ann")])


def other_prompts(project: Project) -> Path:
    path = project.root / "data" / "other.jsonl"
    return write_rows(path, [chat("Where is the invoice?", "With the parcel.")])


def test_the_comparison_that_asked_the_same_before_is_taken_back_with_its_votes(project, run):
    first, said = plan(project, "support-v1"), []
    folder = prepare(first, said.append)
    end(folder, "finished")
    vote(folder, 5)
    votes = (folder / VOTES).read_bytes()
    second = plan(project, "support-v1", prompts=other_prompts(project))
    end(prepare(second, said.append), "finished")
    assert said == [
        "the comparison that stood here, with 5 votes, is set aside as support-v1/compare-1: "
        "asking the same as it did brings it back"
    ]
    assert not (folder / VOTES).exists()
    assert answered(first)
    assert bring_back(first, said.append)
    assert (folder / VOTES).read_bytes() == votes
    assert jobs.load(folder).spec["prompts"] == first["prompts"]
    assert said[1:] == ["support-v1/compare-1 asked the same: it is taken back, with 5 votes"]
    assert not bring_back(first, said.append)
    # The other one stands where it can be taken back from in its turn.
    prepare(second, said.append)
    assert jobs.load(folder).spec["prompts"] == second["prompts"]
    assert sorted(path.name for path in run.glob("compare-*")) == ["compare-1"]
    assert "with 5 votes, is set aside as support-v1/compare-1" in said[2]


def test_a_comparison_at_work_is_not_set_aside_for_an_earlier_one(project, run):
    first = plan(project, "support-v1")
    end(prepare(first), "finished")
    end(folder := prepare(plan(project, "support-v1", prompts=other_prompts(project))), "running")
    process.write(folder, process.identify(os.getpid()))
    with pytest.raises(BadInput, match="is running already"):
        bring_back(first, print)
    assert (run / "compare-1" / JOB).is_file()


def test_what_was_answered_in_the_present_pairing_goes_along_into_the_one_taken_back(project, run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = f"http://127.0.0.1:{server.getsockname()[1]}#m"
        end(folder := prepare(plan(project, "support-v1")), "finished")
        end(prepare(plan(project, "support-v1", against=[served, "base"])), "finished")
        append_lines(folder / ANSWERS, [SideAnswer(id="p1", side="base", text="Sure.")])
        again = plan(project, "support-v1", against=["base", served])
        paid = again["sides"][2]["name"]
        assert to_ask(again)[1] == {(paid, "p1")}
        prepare(again)
        assert {(a.side, a.id) for a in read_side_answers(folder)} == {(paid, "p1")}
        assert to_ask(again)[1] == {(paid, "p1")}
        # Taken back once, it stands: what is there is not written twice.
        prepare(again)
        assert len(read_side_answers(folder)) == 1


def test_a_comparison_is_gone_on_with_as_it_was_asked_and_not_by_the_defaults(project, run):
    assert as_before(project, "support-v1") == plan(project, "support-v1")
    other = other_prompts(project)
    folder = prepare(plan(project, "support-v1", prompts=other, limit=3))
    vote(folder, 1)
    for state in ("cancelled", "finished"):
        end(folder, state)
        spec = as_before(project, "support-v1")
        assert (spec["limit"], spec["prompts"]) == (3, str(other))
        assert answered(spec) is (state == "finished")
    prepare(spec)
    assert not list(run.glob("compare-*"))
    other.unlink()
    with pytest.raises(BadInput, match=r"no prompts file .*other\.jsonl any more"):
        as_before(project, "support-v1")


def test_a_further_side_that_never_answered_leaves_when_it_is_not_asked_again(project, run):
    with socket.create_server(("127.0.0.1", 0)) as server:
        served = f"http://127.0.0.1:{server.getsockname()[1]}"
        both = ["base", f"{served}#mute", f"{served}#spoke"]
        folder = prepare(plan(project, "support-v1", against=both))
        mute, spoke = (side["name"] for side in jobs.load(folder).spec["sides"][2:])
        append_lines(folder / ANSWERS, [SideAnswer(id="p1", side=spoke, text="Sure.")])
        end(folder, "failed")
        prepare(as_before(project, "support-v1"))
        assert mute in [side["name"] for side in jobs.load(folder).spec["sides"]]
        spec = plan(project, "support-v1")
        assert [side["name"] for side in to_ask(spec)[0]] == ["base", "adapter", spoke]
        prepare(spec)
    assert [side["name"] for side in jobs.load(folder).spec["sides"]] == ["base", "adapter", spoke]
    assert not list(run.glob("compare-*"))


def test_who_asks_nobody_goes_on_with_what_stands_and_spends_nothing(project, run, monkeypatch):
    limited = plan(project, "support-v1", limit=2)
    end(folder := prepare(limited), "finished")
    vote(folder, 2)
    said: list[str] = []
    assert (go_on(project, "support-v1", said.append), said) == ("answered", [])
    weights = run / "adapter" / ADAPTER_FILES[1]
    weights.write_bytes(b"other")
    end(prepare(limited), "finished")
    weights.write_bytes(b"{}")
    assert go_on(project, "support-v1", said.append) == "taken back"
    assert said == ["support-v1/compare-1 asked the same: it is taken back, with 2 votes"]
    assert (folder / VOTES).is_file()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "k-0123456789")
        prepare(plan(project, "support-v1", limit=2, against=["base", "anthropic:m"]))
        with pytest.raises(BadInput, match=r"calls to m, .* with the same options, asks you first"):
            go_on(project, "support-v1", said.append)
