"""The compare job with a real tiny model and a real adapter, in a real detached process."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.compare.builders import (
    HELD_OUT,
    chat,
    make_adapter,
    make_base,
    make_run,
    wait_until,
    write_rows,
)
from tests.serve.tiny import TINY_CHAT
from tuiwb import jobs
from tuiwb.compare import worker
from tuiwb.compare.completions import COMPLETIONS, read_completions, read_summary
from tuiwb.compare.plan import plan, prepare, start
from tuiwb.jobs.control import Command
from tuiwb.jobs.events import Alert
from tuiwb.jobs.run import JobContext, main
from tuiwb.jobs.state import ENDED
from tuiwb.project import Project

pytestmark = pytest.mark.slow

SECRET = "sk-very-secret"
VLLM = os.environ.get("TUIWB_VLLM_PYTHON")


@pytest.fixture
def run(project: Project, tiny_base: Path, tiny_adapter: Path) -> Path:
    folder = make_run(
        project, "support-v1", str(tiny_base), project.root / "data" / "heldout.jsonl"
    )
    shutil.copytree(tiny_adapter, folder / "adapter")
    return folder


@pytest.fixture
def do() -> Callable[[dict[str, Any]], Path]:
    """Run a compare job's own main in this process, where torch is loaded once."""

    def here(spec: dict[str, Any]) -> Path:
        folder = prepare(spec)
        main(folder)
        return folder

    return here


def finish(folder: Path) -> jobs.JobState:
    return wait_until(lambda: (s := jobs.status(folder)).state in ENDED and s)


@pytest.fixture(scope="module")
def detached(
    tiny_base: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, jobs.JobState]:
    """The folder of a comparison that a process of its own made, with a key in its environment;
    how it ended."""
    root = tmp_path_factory.mktemp("detached") / "project"
    heldout = write_rows(root / "data" / "heldout.jsonl", HELD_OUT)
    project = Project(root)
    run = make_run(project, "support-v1", str(tiny_base), heldout)
    shutil.copytree(tiny_adapter, run / "adapter")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ANTHROPIC_API_KEY", SECRET)
        folder = start(project, plan(project, "support-v1", max_new_tokens=12, batch_size=2))
    return folder, finish(folder)


def test_both_sides_answer_every_prompt_as_one_at_a_time_generation_does(
    detached, tiny_base, tiny_adapter
):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, state = detached
    assert state.state == "finished", state.message
    found = read_completions(folder)
    assert [c.index for c in found] == list(range(len(HELD_OUT)))
    assert [c.reference for c in found] == [row["messages"][1]["content"] for row in HELD_OUT]

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)

    def alone(model, messages):
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        out = model.generate(ids, do_sample=False, max_new_tokens=12, pad_token_id=0)
        return tokenizer.decode(out[0, ids.shape[1] :]).removesuffix("<|im_end|>")

    assert [c.base for c in found] == [alone(base, c.prompt) for c in found]
    tuned = PeftModel.from_pretrained(base, tiny_adapter)
    assert [c.adapter for c in found] == [alone(tuned, c.prompt) for c in found]
    assert any(c.base != c.adapter for c in found)

    summary = read_summary(folder)
    assert (summary.total, summary.done, summary.adapter_applied) == (5, 5, True)
    assert summary.max_logit_difference > 0
    assert summary.metric("json_valid").n == 2
    assert summary.base.tokens == sum(c.base_tokens for c in found)
    report = (folder / "report.md").read_text()
    assert "| JSON valid | 2 |" in report
    assert "\x1b" not in report
    assert {a.path for a in state.artifacts} >= {COMPLETIONS, "summary.json", "report.md"}


def test_a_stopped_comparison_goes_on_without_answering_again(project, run, do, monkeypatch):
    rows = [chat(f"question number {i} where is my order", "x") for i in range(16)]
    prompts = write_rows(project.root / "data" / "many.jsonl", rows)
    spec = plan(project, "support-v1", prompts=prompts, max_new_tokens=8, batch_size=1)
    sent: list[Command] = []

    def emit(context: Any, event: Any) -> None:
        if not sent and read_completions(context.folder):
            sent.append(jobs.send(context.folder, "stop"))
        events(context, event)

    events = JobContext.emit
    monkeypatch.setattr(JobContext, "emit", emit)
    monkeypatch.setattr(worker, "WATCH_EVERY", 0.0)  # else a quick machine is through by then
    folder = do(spec)
    assert finish(folder).state == "cancelled"
    before = (folder / COMPLETIONS).read_bytes()
    answered = len(read_completions(folder))
    assert 0 < answered < 16

    # A torn last line, as a crash leaves it, is answered again and nothing else is.
    (folder / COMPLETIONS).write_bytes(before + b'{"id": "torn')
    assert do(spec) == folder
    assert finish(folder).state == "finished"
    after = (folder / COMPLETIONS).read_bytes()
    assert after.startswith(before)
    lines = [line for line in after.split(b"\n") if line and not line.endswith(b"torn")]
    ids = [json.loads(line)["id"] for line in lines]
    assert len(ids) == len(set(ids)) == 16


def test_an_adapter_that_changes_nothing_raises_an_alert_with_the_logit_difference(
    project, run, do, tiny_base
):
    shutil.rmtree(run / "adapter")
    make_adapter(tiny_base, run / "adapter", scale=0.0)
    state = finish(do(plan(project, "support-v1", max_new_tokens=4)))
    assert state.state == "finished"
    (alert,) = [a for a in state.alerts if isinstance(a, Alert)]
    assert alert.rule == "adapter_not_applied"
    assert "largest logit difference from the base 0" in alert.evidence
    assert read_summary(run / "compare").adapter_applied is False


def test_an_adapter_too_weak_to_change_an_answer_raises_the_alert_at_the_end(
    project, run, do, tiny_base
):
    shutil.rmtree(run / "adapter")
    make_adapter(tiny_base, run / "adapter", scale=1e-6)
    state = finish(do(plan(project, "support-v1", max_new_tokens=4)))
    (alert,) = state.alerts
    assert alert.rule == "adapter_not_applied"
    assert "all 5 answers are identical" in alert.evidence
    assert read_summary(run / "compare").max_logit_difference > 0


def test_the_first_identical_pairs_raise_the_alert_while_the_others_are_open(
    project, run, do, tiny_base, monkeypatch
):
    from tuiwb.compare.look import look

    shutil.rmtree(run / "adapter")
    make_adapter(tiny_base, run / "adapter", scale=1e-6)
    rows = [chat(f"question number {i}", "x") for i in range(12)]
    prompts = write_rows(project.root / "data" / "many.jsonl", rows)
    open_then = []

    def emit(context: Any, event: Any) -> None:
        if isinstance(event, Alert):
            answered = len(look(project, run).completions)
            open_then.append((event, answered, look(project, run).summary))
        events(context, event)

    events = JobContext.emit
    monkeypatch.setattr(JobContext, "emit", emit)
    spec = plan(project, "support-v1", prompts=prompts, max_new_tokens=4, batch_size=1)
    assert finish(do(spec)).state == "finished"
    ((alert, answered, seen),) = open_then
    assert alert.rule == "adapter_not_applied"
    assert "answers are identical; largest logit difference from the base" in alert.evidence
    assert 0 < answered < 12
    assert seen.max_logit_difference > 0


@pytest.mark.skipif(not VLLM, reason="TUIWB_VLLM_PYTHON names no Python that has vLLM")
def test_vllm_says_what_transformers_says(project, do):
    run = make_run(project, "chat", str(TINY_CHAT), project.root / "data" / "heldout.jsonl")
    make_adapter(TINY_CHAT, run / "adapter", scale=0.05)
    folder = do(plan(project, "chat", max_new_tokens=8, engine="transformers"))
    ours = [(c.base, c.adapter) for c in read_completions(folder)]
    shutil.rmtree(folder)
    state = finish(do(plan(project, "chat", max_new_tokens=8, engine="vllm")))
    assert state.state == "finished", state.message
    assert read_summary(folder).engine == "vllm"
    assert [(c.base, c.adapter) for c in read_completions(folder)] == ours


@pytest.mark.parametrize(("hidden", "layers"), [(32, 2), (64, 1)])
def test_an_adapter_of_another_base_is_refused_in_one_sentence(
    project, run, do, tmp_path, hidden, layers
):
    other = make_base(tmp_path / "other", hidden, layers)
    spec = plan(project, "support-v1") | {"base": str(other), "sides": []}
    state = finish(do(spec))
    assert state.state == "failed"
    assert "it was trained on another base" in state.message
    assert "\n" not in state.message


def test_an_adapter_of_a_smaller_base_is_refused_too(project, run, do, tmp_path):
    deep = make_base(tmp_path / "deep", 64, 3)
    spec = plan(project, "support-v1") | {"base": str(deep), "sides": []}
    state = finish(do(spec))
    assert state.state == "failed"
    assert "it was trained on another base" in state.message


def test_a_model_folder_without_a_tokenizer_is_said_so(project, run, do, tiny_base, tmp_path):
    bare = shutil.copytree(tiny_base, tmp_path / "bare")
    for path in (*bare.glob("tokenizer*"), *bare.glob("*.jinja"), bare / "adapter_x"):
        path.unlink(missing_ok=True)
    for path in (run / "adapter").glob("tokenizer*"):
        path.unlink()
    spec = plan(project, "support-v1") | {"base": str(bare), "sides": []}
    state = finish(do(spec))
    assert state.state == "failed"
    assert state.message.startswith("can't load a tokenizer")


def test_without_an_adapter_the_base_answers_alone(project, run, do):
    spec = plan(project, "support-v1", max_new_tokens=4, limit=2)
    spec |= {"adapter": None, "sides": []}
    folder = do(spec)
    assert finish(folder).state == "finished"
    assert [c.adapter for c in read_completions(folder)] == [None, None]
    assert read_summary(folder).adapter is None


def test_another_question_sets_the_old_comparison_aside(project, run, do):
    first = do(plan(project, "support-v1", max_new_tokens=3, limit=2))
    finish(first)
    old = (first / COMPLETIONS).read_bytes()
    finish(do(plan(project, "support-v1", max_new_tokens=3, limit=3)))
    assert (run / "compare-1" / COMPLETIONS).read_bytes() == old
    assert len(read_completions(run / "compare")) == 3


def test_a_prompt_that_fills_the_model_is_left_out_and_the_next_of_the_sample_takes_its_place(
    project, run, do
):
    rows = [chat("x" * 400, "long"), *[chat(f"question number {i}", "x") for i in range(5)]]
    prompts = write_rows(project.root / "data" / "long.jsonl", rows)
    folder = do(plan(project, "support-v1", prompts=prompts, limit=5, max_new_tokens=3))
    state = finish(folder)
    assert state.state == "finished", state.message
    summary = read_summary(folder)
    assert (summary.total, summary.done) == (5, 5)
    assert [c.line for c in read_completions(folder)] == [2, 3, 4, 5, 6]
    (left,) = summary.left_out
    assert (left.file, left.line, left.side) == (str(prompts), 1, "")
    said = "1 prompt left out: long.jsonl:1 fills all 256 positions of the model"
    assert said in (folder / "report.md").read_text()
    assert said in (folder / "events.jsonl").read_text()


def test_a_comparison_whose_every_prompt_fills_the_model_fails_and_names_a_line(project, run, do):
    prompts = write_rows(project.root / "data" / "long.jsonl", [chat("x" * 400, "long")])
    state = finish(do(plan(project, "support-v1", prompts=prompts, max_new_tokens=3)))
    assert state.state == "failed"
    assert f"{prompts}:1 fills all 256 positions of the model" in state.message


def test_a_further_side_with_fewer_positions_is_not_asked_and_the_others_answers_stand(
    project, run, do, tiny_base, tmp_path
):
    small = shutil.copytree(tiny_base, tmp_path / "small")
    config = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 64}))
    prompts = write_rows(
        project.root / "data" / "two.jsonl", [chat("short", "x"), chat("x" * 100, "long")]
    )
    sides = ("base", str(small))
    spec = plan(project, "support-v1", against=sides, prompts=prompts, max_new_tokens=3)
    folder = do(spec)
    state = finish(folder)
    assert state.state == "finished", state.message
    assert [list(c.others) for c in read_completions(folder)] == [["small"], []]
    summary = read_summary(folder)
    assert (summary.done, summary.total) == (2, 2)
    assert [(one.line, one.side) for one in summary.left_out] == [(2, "small")]


def test_the_worker_writes_no_secret_of_its_environment(detached):
    folder, _ = detached
    for path in folder.iterdir():
        assert SECRET.encode() not in path.read_bytes()
