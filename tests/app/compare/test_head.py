"""The lines above a pair on Compare, drawn without the screen."""

from dataclasses import replace
from pathlib import Path

from tuiwb.app.widgets.compare_figures import figures
from tuiwb.app.widgets.compare_view import Subject, head, pair
from tuiwb.compare.completions import Completion, summarise
from tuiwb.compare.judge.protocol import PairVerdict
from tuiwb.compare.judge.summary import summarise_verdicts
from tuiwb.compare.left_out import LeftOut
from tuiwb.compare.look import Comparison
from tuiwb.jobs.events import Progress
from tuiwb.jobs.state import JobState
from tuiwb.project import Project

ROW = Completion(id="a", index=0, line=1, prompt=[], base="b", adapter="c")


def subject(seen: Comparison, *, verdicts: bool = False) -> Subject:
    return Subject(
        project=Project(Path()),
        run=seen.run,
        which=1,
        runs=1,
        seen=seen,
        job=None,
        job_kind="compare",
        place=0,
        verdicts=verdicts,
    )


def test_a_comparison_that_does_not_name_its_prompts_is_shown_all_the_same():
    seen = Comparison(run=Path("runs/old"), spec={"run": "runs/old"})
    assert "base unknown, prompts unknown" in head(subject(seen), 80).plain
    assert "Press enter" in pair(subject(seen)).message.plain


def test_progress_is_told_of_the_phase_that_it_is_of():
    seen = Comparison(run=Path("runs/old"), spec={"run": "runs/old"})
    job = JobState(name="old", kind="compare", state="running", phase="generating")
    job.progress = Progress(phase="generating", done=9, total=12, unit="prompts")
    of_it = replace(subject(seen), job=job)
    assert "generating 9/12 prompts" in head(of_it, 80).plain
    job.phase = "writing the report"
    assert "writing the report" in head(of_it, 80).plain
    assert "9/12" not in head(of_it, 80).plain
    assert "9/12" in head(replace(of_it, job_kind="judge"), 80).plain


def test_a_judge_that_gave_no_verdict_is_not_said_to_have_some():
    said = summarise_verdicts([ROW], [], [], model="m", rubric="r")
    seen = Comparison(run=Path("runs/new"), completions=[ROW], judge=said)
    assert "judge" not in head(subject(seen), 80).plain
    assert "not trusted" in head(subject(seen, verdicts=True), 80).plain


def test_a_judge_whose_answers_were_all_invalid_is_said_to_have_no_valid_verdict():
    said = summarise_verdicts([ROW], [], [], model="m", rubric="r")
    invalid = {"a": PairVerdict(pair="a", outcome="invalid")}
    seen = Comparison(run=Path("runs/new"), completions=[ROW], judge=said, verdicts=invalid)
    assert "judge  gave no valid verdict: y marks the pairs" in head(subject(seen), 80).plain
    seen.verdicts |= {"b": PairVerdict(pair="b", outcome="tie")}
    assert "judge  has verdicts: y shows them" in head(subject(seen), 80).plain


def test_the_head_and_the_figures_say_which_prompts_were_left_out():
    summary = summarise([ROW], 1)
    summary.left_out = [LeftOut(file="/p/data/held.jsonl", line=59, why="fills all 64 positions")]
    seen = Comparison(run=Path("runs/new"), completions=[ROW], summary=summary)
    said = "1 prompt left out: held.jsonl:59 fills all 64 positions"
    assert said in head(subject(seen), 80).plain
    assert said in figures(summary, None, [], None).plain
