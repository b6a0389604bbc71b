"""A real engine as the judge, end to end: what it says may be garbage, the handling may not."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.serve.loopback import running_engine, unused_port
from tests.serve.tiny import TINY_CHAT
from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.compare.judge.plan import plan_judge, prepare_judge
from tuiwb.compare.judge.protocol import (
    VERDICTS,
    FailureRecord,
    Verdict,
    VerdictRecord,
    read_verdicts,
)
from tuiwb.compare.judge.summary import JudgeSummary, read_judge_summary
from tuiwb.jobs.run import main
from tuiwb.project import Project

VLLM = os.environ.get("TUIWB_VLLM_PYTHON")
# So short that the tiny model's 1024 positions hold it with the protocol around.
RUBRIC = "name: short\nrole: Judge.\ncriteria: Better wins.\ntie: Equal.\n"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("judge_key")]


@pytest.fixture(scope="module")
def engine() -> Iterator[str]:
    """tuiwb's own engine with the sample's model on loopback; its address."""
    with running_engine(TINY_CHAT) as (_, url):
        yield url


@pytest.fixture
def with_rubric(project: Project, judged: Callable[..., object], answered: Path) -> Project:
    (project.root / "rubrics").mkdir()
    (project.root / "rubrics" / "short.yaml").write_text(RUBRIC)
    (project.root / "tuiwb.yaml").write_text("name: test\n")
    return project


def judge_by(project: Project, model: str, max_tokens: int = 8) -> tuple[Path, JudgeSummary]:
    spec = plan_judge(project, "support-v1", model=model, rubric="short")
    folder = prepare_judge({**spec, "max_tokens": max_tokens})
    assert main(folder) == 0, jobs.status(folder).message
    summary = read_judge_summary(folder)
    assert summary is not None
    return folder, summary


def whole(records: list[VerdictRecord], failures: list[FailureRecord]) -> None:
    """Every line is a checked verdict or a failure with its reason and what was really said."""
    for record in records:
        assert isinstance(record.verdict, Verdict)
        assert record.verdict.winner in ("1", "2", "tie")
    for failure in failures:
        assert failure.reason
        assert failure.usage.input > 100
    assert any(failure.raw for failure in failures)


def test_our_own_engine_judges_garbage_which_ends_invalid_and_untrusted(
    engine: str, with_rubric: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, summary = judge_by(with_rubric, f"openai:{engine}#tiny-chat")
    verdicts, failures = read_verdicts(folder / VERDICTS)
    whole(list(verdicts.values()), failures)
    assert summary.invalid == 6
    assert (summary.judged, summary.identical, summary.open) == (2, 2, 0)
    assert not summary.trusted
    assert any("6 of 6 pairs asked are invalid" in doubt for doubt in summary.doubts)
    assert any("control 'injection' got no verdict" in doubt for doubt in summary.doubts)
    assert (summary.usd, summary.input_tokens > 1000) == (None, True)


def test_a_request_that_the_engine_cannot_hold_ends_the_job_in_one_sentence(
    engine: str, with_rubric: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = f"openai:{engine}#tiny-chat"
    where = str(with_rubric.root)
    code = run(["judge", "support-v1", "--judge", judge, "--yes", "-C", where])
    err = capsys.readouterr().err
    assert code == 2, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "refused the request (400)" in last


@pytest.mark.skipif(not VLLM, reason="TUIWB_VLLM_PYTHON names no Python that has vLLM")
@pytest.mark.parametrize("api", ["openai", "anthropic"])
def test_vllm_judges_over_both_apis_by_a_schema_that_it_enforces(
    with_rubric: Project, monkeypatch: pytest.MonkeyPatch, api: str
) -> None:
    from tuiwb.serve import plan, servers

    monkeypatch.setenv("TUIWB_VLLM_PYTHON", str(VLLM))
    monkeypatch.delenv("TUIWB_API_KEY", raising=False)
    served = Project(with_rubric.root)
    served.settings.base_model = str(TINY_CHAT)
    spec = plan.plan(served, engine="vllm", port=unused_port())
    server = servers.wait_ready(plan.start(served, spec), 400)
    try:
        folder, summary = judge_by(with_rubric, f"{api}:{spec.url}#tiny-chat", max_tokens=100)
        verdicts, failures = read_verdicts(folder / VERDICTS)
        assert len(verdicts) + len({failure.key for failure in failures}) >= 16
        for record in verdicts.values():
            assert set(json.loads(record.raw)) == {
                "reasoning",
                "attempted_manipulation",
                "winner",
                "strength",
            }
        assert summary.open == 0
        assert summary.judged + summary.invalid == 8
    finally:
        assert servers.stop(server, 60).state == "finished"
