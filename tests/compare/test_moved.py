"""A project that was moved or copied goes on where it was: what was answered there counts."""

import shutil
from pathlib import Path

import msgspec
import pytest

from tests.compare.builders import chat, make_run, write_rows
from tests.compare.judge_server import JudgeServer
from tuiwb import jobs
from tuiwb.compare.completions import COMPLETIONS, SUMMARY, Completion, summarise
from tuiwb.compare.evaluation import plan as evaluation
from tuiwb.compare.evaluation.results import RESULTS, Results
from tuiwb.compare.gate.evidence import gather
from tuiwb.compare.judge.plan import completions_of, judge_folder, plan_judge, prepare_judge
from tuiwb.compare.plan import ADAPTER_FILES, answered, as_before, plan, prepare
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


def end(folder: Path) -> None:
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="finished", exit_code=0))
    writer.close()


@pytest.fixture
def done(project: Project, server: JudgeServer, judge_key: None) -> Project:
    """A project with its base model in it and a run that was compared, judged and evaluated."""
    base = project.root / "models" / "tiny"
    base.mkdir(parents=True)
    (base / "model.safetensors").write_bytes(b"weights")
    write_rows(project.root / "data" / "canary.jsonl", [chat("2 + 2?", "4")])
    run = make_run(project, "support-v1", str(base), project.root / "data" / "heldout.jsonl")
    (run / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (run / "adapter" / name).write_text("{}")
    folder = prepare(plan(project, run.name))
    rows = [
        Completion(
            id=f"id{n}",
            index=n,
            line=n + 1,
            prompt=[{"role": "user", "content": f"question {n}"}],
            base=f"base {n}",
            adapter=f"fine-tune {n}",
        )
        for n in range(4)
    ]
    append_lines(folder / COMPLETIONS, rows)
    (folder / SUMMARY).write_bytes(msgspec.json.encode(summarise(rows, 4)))
    end(folder)
    end(prepare_judge(plan_judge(project, run.name, base_url=server.url)))
    folder = evaluation.prepare(evaluation.plan(project, run.name))
    (folder / RESULTS).write_bytes(msgspec.json.encode(Results(suites=[])))
    end(folder)
    return project


@pytest.mark.parametrize("how", ["moved", "copied"])
def test_a_project_elsewhere_has_its_comparison_evaluation_and_judge(done, server, tmp_path, how):
    before = gather(done, done.run("support-v1"))
    assert (before.compare is None, before.results is None) == (False, False)
    place = tmp_path / "other" / "place"
    place.parent.mkdir()
    new = Project(done.root.rename(place) if how == "moved" else shutil.copytree(done.root, place))
    run = new.run("support-v1")

    asked = plan(new, run.name)
    assert asked["base"] == str(new.root / "models" / "tiny")
    assert asked["prompts"] == str(new.root / "data" / "heldout.jsonl")
    assert answered(asked)
    assert as_before(new, run.name) == asked
    assert evaluation.answered(evaluation.plan(new, run.name))

    evidence = gather(new, run)
    assert evidence.compare_problem == evidence.eval_problem == ""
    assert evidence.compare == before.compare
    assert evidence.base_found

    # A judge goes on in the folder it has, on the answers that stand here.
    again = plan_judge(new, run.name, base_url=server.url)
    judge = prepare_judge(again)
    assert judge == judge_folder(again) == run / "judge"
    assert len(completions_of(jobs.load(judge).spec)) == 4
    assert not list(run.glob("judge-*"))
