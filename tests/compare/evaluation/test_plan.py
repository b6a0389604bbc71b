"""What an evaluation is asked, and what it keeps of the one before."""

import importlib.util
from pathlib import Path

import msgspec
import pytest

from tests.compare.builders import chat, make_run, write_rows
from tuiwb.compare.evaluation.harness import run_task
from tuiwb.compare.evaluation.plan import answered, plan, plan_missing, prepare, start
from tuiwb.compare.evaluation.results import ITEMS, RESULTS, Item, Results, Suite, read_results
from tuiwb.compare.evaluation.tasks import leave_out
from tuiwb.compare.gate.evidence import gather
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs import load
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


@pytest.fixture
def run(project: Project, tiny_base: Path, tiny_adapter: Path) -> Path:
    folder = make_run(project, "support-v1", str(tiny_base), project.root / "data/heldout.jsonl")
    (folder / "adapter").symlink_to(tiny_adapter)
    write_rows(project.root / "data" / "canary.jsonl", [chat("2 + 2?", "4")])
    return folder


def finished(folder: Path) -> None:
    """As the worker leaves it: an item, a benchmark's figures, an end."""
    append_lines(folder / ITEMS, [Item(suite="canary", id="1")])
    (folder / "benchmarks-arc_easy.json").write_bytes(msgspec.json.encode(Suite(name="arc_easy")))
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="finished", exit_code=0))
    writer.close()


def test_without_tasks_all_of_our_own_are_asked_and_files_are_found_where_they_usually_are(
    project, run
):
    spec = plan(project, "support-v1")
    assert spec["tasks"] == ["canary", "ood", "general", "seen"]
    assert spec["canary"] == str(project.root / "data" / "canary.jsonl")
    assert spec["ood"] is None
    assert plan(project, "support-v1", tasks=["truthfulqa", " gsm8k", "gsm8k"])["tasks"] == [
        "truthfulqa_mc2",
        "gsm8k",
    ]


def test_more_tasks_join_what_was_done_and_answers_and_benchmarks_stay(project, run):
    first = plan(project, "support-v1", tasks=["canary", "arc_easy"])
    folder = prepare(first)
    assert not answered(first)
    finished(folder)
    assert answered(first)
    assert answered(plan(project, "support-v1", tasks=["arc_easy"]))

    more = plan(project, "support-v1", tasks=["general"])
    assert not answered(more)
    prepare(more)
    assert load(folder).spec["tasks"] == ["canary", "arc_easy", "general"]
    assert (folder / ITEMS).is_file()
    assert (folder / "benchmarks-arc_easy.json").is_file()
    assert not list(run.glob("eval-*"))


def test_another_limit_or_task_file_asks_benchmarks_again_and_keeps_the_answers(project, run):
    folder = prepare(plan(project, "support-v1", tasks=["canary", "arc_easy"]))
    finished(folder)
    (project.root / "benchmarks").mkdir()
    assert answered(plan(project, "support-v1", tasks=["canary"], limit=5))
    fewer = plan(project, "support-v1", tasks=["arc_easy"], limit=5)
    assert not answered(fewer)
    prepare(fewer)
    assert (folder / ITEMS).is_file()
    assert not (folder / "benchmarks-arc_easy.json").exists()


def test_another_canary_set_or_setting_sets_the_old_evaluation_aside(project, run):
    folder = prepare(plan(project, "support-v1"))
    finished(folder)
    write_rows(project.root / "data" / "canary.jsonl", [chat("3 + 3?", "6")])
    assert not answered(plan(project, "support-v1"))
    prepare(plan(project, "support-v1"))
    assert not (folder / ITEMS).exists()
    assert (run / "eval-1" / ITEMS).is_file()


def test_what_is_missing_is_asked_as_the_last_evaluation_was(project, run):
    other = write_rows(project.root / "data" / "other.jsonl", [chat("a", "b")])
    finished(prepare(plan(project, "support-v1", tasks=["canary"], canary=other, max_new_tokens=9)))
    again = plan_missing(project, "support-v1")
    assert (again["canary"], again["max_new_tokens"]) == (str(other), 9)
    assert again["tasks"] == ["canary", "ood", "general", "seen"]
    other.unlink()
    assert plan_missing(project, "support-v1")["canary"].endswith("canary.jsonl")


def test_a_file_that_no_suite_can_be_read_from_leaves_the_finished_evaluation_where_it_is(
    project, run
):
    folder = prepare(plan(project, "support-v1", tasks=["canary"]))
    finished(folder)
    empty = write_rows(project.root / "data" / "empty.jsonl", [])
    with pytest.raises(BadInput, match=r"empty\.jsonl is empty"):
        prepare(plan(project, "support-v1", tasks=["canary"], canary=empty))
    assert (folder / ITEMS).is_file()
    assert not list(run.glob("eval-*"))
    prepare(plan(project, "support-v1", tasks=["general"], canary=empty))


def test_a_canary_set_that_the_settings_name_and_that_is_not_there_is_said(project, run):
    prepare(plan(project, "support-v1"))
    (project.root / "tuiwb.yaml").write_text("gate: {canary: data/none.jsonl}\n")
    named = Project(project.root)
    with pytest.raises(BadInput, match=r"gate\.canary in tuiwb\.yaml names data/none\.jsonl, and"):
        plan(named, "support-v1")
    with pytest.raises(BadInput, match=r"gate\.canary in tuiwb\.yaml names data/none\.jsonl, and"):
        gather(named, run)
    assert plan(named, "support-v1", canary="data/canary.jsonl")["canary"]


def test_a_base_that_is_gone_is_named(project, tiny_adapter):
    folder = make_run(project, "lost", "/nowhere/model", None)
    (folder / "adapter").symlink_to(tiny_adapter)
    with pytest.raises(BadInput, match="the base model of run lost is gone from /nowhere/model"):
        plan(project, "lost")


def test_a_benchmark_without_the_harness_is_not_run_and_says_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "lm_eval" else found(name)
    )
    asked: list[str] = []
    suite = run_task(None, "mmlu", limit=None, batch_size=1, folder=None, watch=asked.append)
    assert (suite.state, suite.n, asked) == ("not run", 0, [])
    assert "pip install 'tuiwb[eval]'" in suite.reason


@pytest.fixture
def without_harness(monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "lm_eval" else found(name)
    )


@pytest.fixture
def with_harness(tmp_path, monkeypatch) -> None:
    """A package of the harness's name that has one task, in a group and under a tag."""
    tasks = tmp_path / "there" / "lm_eval" / "tasks" / "winter"
    tasks.mkdir(parents=True)
    (tasks.parent.parent / "__init__.py").write_text("")
    (tasks / "one.yaml").write_text("tag:\n  - seasons\ntask: winter_qa\n")
    monkeypatch.syspath_prepend(tasks.parent.parent.parent)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("canery", "there is no task 'canery': did you mean canary"),
        ("helaswag", "did you mean hellaswag"),
        ("zzz", "tuiwb's own are canary, ood, general, seen; further ones of lm-eval"),
    ],
)
def test_a_task_that_nobody_has_is_refused_with_the_nearest(
    project, run, without_harness, name, said
):
    with pytest.raises(BadInput, match=said):
        plan(project, "support-v1", tasks=["canary", name])
    assert not (run / "eval").exists()


def test_a_task_of_the_projects_own_files_and_one_that_the_harness_has_are_known(
    project, run, with_harness
):
    (project.root / "benchmarks").mkdir()
    (project.root / "benchmarks" / "mine.yaml").write_text("task: 'our_tone'  # ours\n")
    names = ["our_tone", "winter_qa", "seasons"]
    assert plan(project, "support-v1", tasks=names)["tasks"] == names
    with pytest.raises(BadInput, match="there is no task 'our_to'"):
        plan(project, "support-v1", tasks=["our_to"])


def test_benchmarks_alone_without_the_harness_start_nothing(project, run, without_harness):
    with pytest.raises(MissingHere, match=r"mmlu can't run: .*pip install 'tuiwb\[eval\]'"):
        start(project, plan(project, "support-v1", tasks=["mmlu"]))
    assert not (run / "eval").exists()


def test_a_benchmark_that_was_not_run_leaves_when_it_is_asked_no_more(
    project, run, without_harness
):
    def evaluated(*tasks: str) -> Path:
        folder = prepare(plan(project, "support-v1", tasks=tasks))
        finished(folder)
        suites = [
            Suite(name=name, state="not run" if name == "mmlu" else "done")
            for name in load(folder).spec["tasks"]
        ]
        (folder / RESULTS).write_bytes(msgspec.json.encode(Results(suites=suites)))
        return folder

    def kept(folder: Path) -> list[str]:
        results = read_results(folder)
        assert results is not None
        assert load(folder).spec["tasks"] == [suite.name for suite in results.suites]
        return [suite.name for suite in results.suites]

    folder = evaluated("canary", "mmlu", "arc_easy")
    asked = plan(project, "support-v1", tasks=["canary", "mmlu"])
    assert answered(asked)
    leave_out(folder, asked["tasks"])
    assert kept(folder) == ["canary", "mmlu", "arc_easy"]
    # With more tasks it does not go along, and from a finished one it is taken out.
    leave_out(folder, ["canary"])
    assert kept(folder) == ["canary", "arc_easy"]
    assert kept(evaluated("canary", "mmlu")) == ["canary", "arc_easy", "mmlu"]
    assert kept(evaluated("general")) == ["canary", "arc_easy", "general"]


def test_a_benchmark_that_was_not_run_is_asked_again_once_the_harness_is_there(
    project, run, with_harness
):
    spec = plan(project, "support-v1", tasks=["canary", "mmlu"])
    folder = prepare(spec)
    finished(folder)
    suites = [Suite(name="canary"), Suite(name="mmlu", state="not run")]
    (folder / RESULTS).write_bytes(msgspec.json.encode(Results(suites=suites)))
    assert not answered(spec)
    assert answered(plan(project, "support-v1", tasks=["canary"]))
