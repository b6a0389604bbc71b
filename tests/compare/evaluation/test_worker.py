"""The evaluate job with a real tiny model and a real adapter."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.compare.builders import chat, make_run, write_rows
from tuiwb import jobs
from tuiwb.compare.evaluation.plan import plan, prepare
from tuiwb.compare.evaluation.results import Suite, read_results
from tuiwb.jobs.run import main
from tuiwb.project import Project

pytestmark = pytest.mark.slow


@pytest.fixture
def canary(project: Project, tiny_base: Path, tiny_adapter: Path) -> Callable[[list[str]], Suite]:
    """Evaluates a run on a canary set of these questions."""
    run = make_run(project, "support-v1", str(tiny_base), None)
    shutil.copytree(tiny_adapter, run / "adapter")

    def evaluated(questions: list[str]) -> Suite:
        path = write_rows(project.root / "data" / "set.jsonl", [chat(q, "x") for q in questions])
        spec = plan(project, "support-v1", tasks=["canary"], canary=path, max_new_tokens=3)
        folder = prepare(spec)
        main(folder)
        assert jobs.status(folder).state == "finished", jobs.status(folder).message
        results = read_results(folder)
        assert results is not None
        (suite,) = results.suites
        return suite

    return evaluated


def test_a_question_that_fills_the_model_counts_for_neither_side(canary):
    suite = canary(["short", "x" * 400, "another"])
    assert (suite.state, suite.n) == ("done", 2)
    assert [one.place for one in suite.left_out] == ["set.jsonl:2"]


def test_a_set_whose_every_question_fills_the_model_is_not_run_and_names_a_line(canary):
    suite = canary(["x" * 400])
    assert suite.state == "not run"
    assert "set.jsonl:1 fills all 256 positions of the model" in suite.reason
