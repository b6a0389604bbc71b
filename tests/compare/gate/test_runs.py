"""The gate on real runs of the sample project: SHIP for the good one, NO-SHIP for each fault."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.compare.gate_runs import SHORT, Case, build, cases, judged, line_words, train
from tuiwb.compare.evaluation.plan import EVAL
from tuiwb.compare.evaluation.results import read_items, read_results
from tuiwb.compare.gate.report import write_reports
from tuiwb.compare.gate.verdict import read_gate, stale, write_gate
from tuiwb.project import Project, copy_sample

pytestmark = pytest.mark.slow
CASES = {case.name: case for case in cases(SHORT)}
LOST = ("canary", "general")
FAULTY = ("over-trained", "scaled-to-nothing", "wrong-template")


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sums on every machine; and several threads spin while they wait, where a worker's
    own environment forbids it."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = copy_sample(tmp_path_factory.mktemp("gate") / "project")
    build(project.root)
    return project


def done(
    sample: Project, case: Case, tasks: Sequence[str] = (), longest: int = 80
) -> tuple[Path, dict[str, str], str]:
    run = train(sample, case)
    found = judged(sample, case.name, limit=24, max_new_tokens=longest, tasks=tasks)
    write_gate(run, found)
    return run, line_words(found), found.sentence


def test_the_good_run_ships_and_says_what_that_rests_on(sample):
    run, lines, sentence = done(sample, CASES["good"])
    assert sentence == (
        "SHIP: better than the base on held-out prompts, no regression above 5% detected"
    )
    assert set(lines.values()) == {"ok"}
    results = read_results(run / EVAL)
    assert results is not None
    canary, general = results.suite("canary"), results.suite("general")
    assert canary is not None
    assert general is not None
    assert (canary.n, canary.base, general.n) == (80, 1.0, 200)
    assert canary.flip_n == 80
    assert general.base > 0.5
    items = read_items(run / EVAL)
    lost = sum(i.base_ok is True and i.adapter_ok is False for i in items if i.suite == "general")
    assert lost == general.worse

    kept = read_gate(run)
    assert kept is not None
    assert stale(run, kept) == []
    pages = write_reports(run, kept)
    assert pages[1].read_text().count("<svg") == 3
    linked = re.findall(r"\]\((gate_files/[a-z0-9-]+\.svg)\)", pages[0].read_text())
    assert linked == [f"gate_files/{n}.svg" for n in ("changes", "curve-0", "curve-1")]
    assert all((run / name).read_text().startswith("<svg") for name in linked)
    (run / "adapter" / "adapter_config.json").touch()
    assert stale(run, kept) == ["adapter/adapter_config.json"]


@pytest.mark.parametrize("name", FAULTY)
def test_a_faulty_run_does_not_ship_and_its_fault_is_named(sample, name):
    case = CASES[name]
    # What the lines in question rest on: the comparison, or what the base knew and is lost. No
    # answer of the canary set is longer than 27 tokens; one that never ends is cut sooner.
    lost = [task for task in LOST if task in case.wrong]
    _, lines, sentence = done(sample, case, ["seen", *lost], 40 if lost else 80)
    assert sentence.startswith("NO-SHIP: does not hold: ")
    assert {line: lines[line] for line in case.wrong} == dict.fromkeys(case.wrong, "NO")
