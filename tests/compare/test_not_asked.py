"""A prompt that one side can't be asked: the comparison goes on without it and says so."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compare.builders import TEMPLATE, chat, make_run, write_rows
from tests.serve.loopback import running_engine
from tuiwb import jobs
from tuiwb.cli import run as tuiwb
from tuiwb.compare.completions import read_completions, read_summary
from tuiwb.compare.inference.refusals import of_one_prompt
from tuiwb.compare.left_out import LeftOut, left_out_sentence
from tuiwb.compare.plan import plan, prepare
from tuiwb.jobs.run import main
from tuiwb.llm.client import Refused
from tuiwb.project import Project

STRICT = (
    "{%- for m in messages if 'strict' in m.content -%}"
    "{{- raise_exception('roles must alternate \x1b[31m user/assistant') -}}{%- endfor -%}"
)
ROWS = [chat("long " * 45, "x"), chat("one", "x"), chat("be strict", "x"), chat("two", "x")]
NEW_TOKENS = 40


def strict(folder: Path, copy: Path) -> Path:
    """A copy of a model or an adapter whose chat template raises for some prompts."""
    shutil.copytree(folder, copy)
    (copy / "chat_template.jinja").write_text(STRICT + TEMPLATE)
    return copy


@pytest.fixture(scope="module")
def engine(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The built-in engine with a base whose chat template raises for some prompts."""
    base = strict(tiny_base, tmp_path_factory.mktemp("strict") / "base")
    with running_engine(base, "tiny") as (_, url):
        yield f"{url}#tiny"


@pytest.fixture
def run(project: Project, tiny_base: Path, tiny_adapter: Path) -> Path:
    prompts = write_rows(project.root / "data" / "heldout.jsonl", ROWS)
    folder = make_run(project, "support-v1", str(tiny_base), prompts)
    shutil.copytree(tiny_adapter, folder / "adapter")
    return folder


def compared(project: Project, *against: str) -> tuple[Path, jobs.JobState]:
    """Compare in this process, where torch is loaded once; the folder, and how it ended."""
    folder = prepare(plan(project, "support-v1", against=against, max_new_tokens=NEW_TOKENS))
    main(folder)
    return folder, jobs.status(folder)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            400,
            "This model's maximum context length is 64 tokens. However, your prompt contains",
        ),
        (400, "The decoder prompt (length 9001) is longer than the maximum model length of 4096."),
        (400, "the request exceeds the available context size, try increasing it"),
        (400, "prompt is too long: 205000 tokens > 200000 maximum"),
        (400, "The input token count (9000) exceeds the maximum number of tokens allowed (8192)."),
        (400, "Conversation roles must alternate user/assistant/user/assistant/..."),
        (500, "Jinja Exception: Only user and assistant roles are supported!"),
        (400, "After the optional system message, conversation roles must alternate user and"),
        (400, "No user query found in messages."),
        (400, "System role not supported"),
        (413, "anything"),
    ],
)
def test_a_refusal_of_one_prompt_is_told_by_the_servers_words(status: int, words: str) -> None:
    body = json.dumps({"object": "error", "error": {"message": words, "type": "BadRequest"}})
    assert of_one_prompt(Refused(status, body)) == "prompt"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (
            400,
            "This model's maximum context length is 2048 tokens. However, you requested 5000 "
            "output tokens and your prompt contains at least 30 input tokens",
        ),
        (
            400,
            "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum "
            "context length is 2048 tokens and your request has 30 input tokens",
        ),
        (
            400,
            "This model's maximum context length is 2048 tokens. However, you requested 5030 "
            "tokens (30 in the messages, 5000 in the completion).",
        ),
        (400, "input length and `max_tokens` exceed context limit: 197202 + 21333 > 200000"),
        (422, "`inputs` tokens + `max_new_tokens` must be <= 2048. Given: 3000 `inputs` tokens"),
        (400, "max_tokens 40 and a prompt of 48 tokens are more than the 64 this server takes"),
    ],
)
def test_a_prompt_without_room_for_so_long_an_answer_is_told_apart(status: int, words: str) -> None:
    assert of_one_prompt(Refused(status, json.dumps({"error": {"message": words}}))) == "room"


def test_a_refusal_that_repeats_the_prompt_is_not_taken_by_the_prompts_words() -> None:
    prompt = "the prompt is too long, what now?"
    detail = {"detail": [{"loc": ["body", "messages"], "msg": "Extra input", "input": prompt}]}
    assert of_one_prompt(Refused(422, json.dumps(detail))) == ""
    told = {"error": {"message": f"1 validation error: {{'input': '{prompt}'}}"}}
    assert of_one_prompt(Refused(400, json.dumps(told)), [prompt]) == ""
    own = {"error": {"message": f"prompt is too long: 9000 tokens > 4096 maximum: {prompt}"}}
    assert of_one_prompt(Refused(400, json.dumps(own)), [prompt]) == "prompt"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "Your credit balance is too low to access the API"),
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model"),
        (400, "temperature must be between 0 and 1"),
        (
            400,
            "Chat template is passed. Refused request with untrusted chat template.",
        ),
        (429, "maximum context length"),
        (500, "internal error"),
    ],
)
def test_any_other_refusal_is_not_of_one_prompt(status: int, words: str) -> None:
    assert not of_one_prompt(Refused(status, json.dumps({"error": {"message": words}})))


def test_what_only_some_side_did_not_answer_is_told_with_that_side() -> None:
    left = [
        LeftOut(file="/p/h.jsonl", line=7, why="is too long"),
        LeftOut(file="/p/h.jsonl", line=2, why="was refused", side="far"),
        LeftOut(file="/p/h.jsonl", line=3, why="was refused", side="far"),
    ]
    assert left_out_sentence(left) == (
        "1 prompt left out: h.jsonl:7 is too long; "
        "far did not answer 2 prompts: h.jsonl:2 was refused; h.jsonl:3 was refused"
    )
    assert left_out_sentence([]) == ""


@pytest.mark.slow
def test_a_further_server_that_refuses_prompts_is_compared_on_the_others(
    project: Project,
    run: Path,
    engine: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, state = compared(project, "base", engine)
    assert state.state == "finished", state.message
    summary = read_summary(folder)
    assert summary is not None
    (name,) = summary.others
    assert (summary.done, summary.total) == (4, 4)
    assert [(one.line, one.side) for one in summary.left_out] == [(1, name), (3, name)]
    assert [name in c.others for c in read_completions(folder)] == [False, True, False, True]
    monkeypatch.chdir(project.root)
    assert tuiwb(["score", "support-v1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for text in (said, (folder / "report.md").read_text(), (folder / "report.html").read_text()):
        assert f"{name} did not answer 2 prompts: heldout.jsonl:1 has no room beside it" in text
        assert "for 40 tokens of answer (--max-new-tokens): it was refused by" in text
        assert "ask for at most" in text
        assert "\x1b" not in text


@pytest.mark.slow
def test_what_a_server_in_a_role_refuses_is_asked_of_nobody(
    project: Project, run: Path, engine: str
) -> None:
    folder, state = compared(project, engine)
    assert state.state == "finished", state.message
    summary = read_summary(folder)
    assert summary is not None
    assert (summary.done, summary.total) == (2, 2)
    assert [(one.line, one.side) for one in summary.left_out] == [(1, ""), (3, "")]
    assert [c.line for c in read_completions(folder)] == [2, 4]
    assert compared(project, engine)[1].state == "finished", "the same again is as before"


@pytest.mark.slow
def test_a_server_without_room_for_the_answers_is_told_by_the_option_that_asks_for_them(
    project: Project, run: Path, engine: str
) -> None:
    write_rows(project.root / "data" / "heldout.jsonl", [ROWS[0]])
    _, state = compared(project, "base", engine)
    assert state.state == "failed"
    assert "can be asked none of the prompts (heldout.jsonl:1 has no room beside it" in (
        state.message
    )
    assert state.message.endswith("give a lower --max-new-tokens")


@pytest.mark.slow
@pytest.mark.parametrize("role", [True, False])
def test_a_server_that_refuses_every_prompt_fails_the_comparison_in_one_sentence(
    project: Project, run: Path, engine: str, role: bool
) -> None:
    write_rows(project.root / "data" / "heldout.jsonl", [ROWS[2], chat("strict too", "x")])
    _, state = compared(project, *([engine] if role else ["base", engine]))
    assert state.state == "failed"
    assert "can be asked none of the prompts (heldout.jsonl:1 was refused by" in state.message
    assert "roles must alternate" in state.message


@pytest.mark.slow
def test_a_prompt_that_a_template_in_a_role_refuses_is_left_out(
    project: Project, run: Path
) -> None:
    (run / "adapter" / "chat_template.jinja").write_text(STRICT + TEMPLATE)
    folder, state = compared(project, "base")
    assert state.state == "finished", state.message
    summary = read_summary(folder)
    assert summary is not None
    assert (summary.done, summary.total) == (3, 3)
    (left,) = summary.left_out
    assert (left.line, left.side) == (3, "")
    assert "can't be written by the chat template (roles must alternate" in left.why
    write_rows(project.root / "data" / "heldout.jsonl", [ROWS[2]])
    _, state = compared(project, "base")
    assert state.state == "failed"
    assert "no prompt of" in state.message
    assert "roles must alternate" in state.message


@pytest.mark.slow
def test_a_further_side_whose_template_refuses_a_prompt_is_not_asked_it(
    project: Project, run: Path, tiny_base: Path, tmp_path: Path
) -> None:
    other = strict(tiny_base, tmp_path / "other")
    folder, state = compared(project, "base", str(other))
    assert state.state == "finished", state.message
    summary = read_summary(folder)
    assert summary is not None
    assert (summary.done, summary.total) == (4, 4)
    assert [(one.line, one.side) for one in summary.left_out] == [(3, "other")]
    write_rows(project.root / "data" / "heldout.jsonl", [ROWS[2]])
    _, state = compared(project, "base", str(other))
    assert state.state == "failed"
    assert "other can be asked none of the prompts (heldout.jsonl:1 can't be written" in (
        state.message
    )
