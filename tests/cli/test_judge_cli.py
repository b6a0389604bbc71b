"""`tuiwb judge` as a user calls it: choices, several judges, rubrics, exit codes, one document."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compare.builders import make_run
from tests.compare.judge_server import Asked, JudgeServer, honest, message
from tests.llm.batch_server import Batches, succeeded
from tests.llm.endpoint_server import completion, error
from tuiwb import jobs
from tuiwb.cli import run
from tuiwb.compare.completions import COMPLETIONS, Completion
from tuiwb.compare.judge.plan import plan_judges, prepare_judge
from tuiwb.jobs import create
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import main
from tuiwb.project import Project

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    (root / "tuiwb.yaml").write_text("name: test\n")
    monkeypatch.chdir(root)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return Project(root)


@pytest.fixture
def answered(project: Project) -> Callable[[int], Path]:
    """A function that makes a finished comparison of so many pairs that differ."""

    def make(pairs: int) -> Path:
        folder = make_run(project, "support-v1", "some/base", None) / "compare"
        create(folder, "compare", {}, name="support-v1-compare")
        append_lines(
            folder / COMPLETIONS,
            [
                Completion(
                    id=f"id{i}",
                    index=i,
                    line=i + 1,
                    prompt=[{"role": "user", "content": f"question {i}"}],
                    base=f"words {i}",
                    adapter="{}",
                )
                for i in range(pairs)
            ],
        )
        writer = EventWriter(folder / "events.jsonl")
        writer.emit(State(state="finished", exit_code=0))
        writer.close()
        return folder

    return make


@pytest.fixture
def server() -> Iterator[JudgeServer]:
    serving = JudgeServer()
    yield serving
    serving.close()


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["judge", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The job's own main runs here: a process of its own for each job is for one test to show."""

    def launch(folder: Path, *_: object) -> None:
        printed = capsys.readouterr()
        main(folder)
        capsys.readouterr()
        sys.stdout.write(printed.out)
        sys.stderr.write(printed.err)

    monkeypatch.setattr(jobs, "launch", launch)


def test_the_rubrics_are_listed_with_what_they_prefer(project: Project, said: Said) -> None:
    (project.root / "rubrics").mkdir()
    (project.root / "rubrics" / "ours.yaml").write_text("name: ours\nrole: r\n")
    code, out, _ = said("--rubrics")
    assert code == 0
    for word in ("helpfulness (default)", "accuracy", "format", "tone", "ours"):
        assert word in out
    assert "ours.yaml:3 lacks criteria and tie" in out or "ours.yaml:2 lacks" in out
    code, out, _ = said("--rubrics", "--json")
    assert [rubric["choice"] for rubric in json.loads(out)][:2] == ["helpfulness", "accuracy"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name the run to judge"),
        (["support-v1", "--rubric", "tonne"], "did you mean 'tone'"),
        (["support-v1", "--judge", "openai:nowhere"], "openai:URL#MODEL"),
        (["support-v1", "--judge", "a", "--judge", "a", "--base-url", "http://127.0.0.1:9"],
         "named twice"),
        (["support-v1", "--judge", "openai:http://127.0.0.1:9#m", "--batch"], "takes no batches"),
        (["support-v1", "--repeats", "9", "--base-url", "http://127.0.0.1:9"], "give 0 to 2"),
        (["support-v1", "--concurrency", "17", "--base-url", "http://127.0.0.1:9"], "give 1 to 16"),
        (["support-v1", "--sides", "base"], "give two names of sides"),
        (["support-v1", "--sides", "base,x", "--base-url", "http://127.0.0.1:9"], "no side 'x'"),
        (["support-v1", "--agreement"], "was judged by nobody"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_starts_nothing(
    answered: Callable[[int], Path], said: Said, arguments: list[str], words: str
) -> None:
    folder = answered(2)
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1
    assert not (folder.parent / "judge").exists()


def test_of_several_judges_none_is_started_while_one_of_them_is_at_work(
    answered: Callable[[int], Path], server: JudgeServer, said: Said, project: Project
) -> None:
    folder = answered(2)
    names = ["first", "second"]
    _, busy = plan_judges(project, "support-v1", judges=names, base_url=server.url)
    prepare_judge(busy)
    arguments = ("--judge", "second", "--judge", "third", "--base-url", server.url, "--yes")
    code, _, err = said("support-v1", *arguments)
    assert code == 2
    assert "support-v1/judge-second is queued already" in err
    assert [path.name for path in folder.parent.glob("judge*")] == ["judge-second"]
    assert server.asked == []


@pytest.mark.slow
def test_two_judges_end_in_one_document_with_their_agreement(
    answered: Callable[[int], Path], server: JudgeServer, said: Said
) -> None:
    folder = answered(3)
    server.answer = lambda asked: (
        honest(asked)
        if "system" in asked.body
        else completion(json.loads((honest(asked) or (0, {}, {}))[2]["content"][0]["text"]))
    )
    local = f"openai:{server.url}#local"
    arguments = ["support-v1", "--judge", "claude-haiku-5-5", "--judge", local]
    arguments += ["--base-url", server.url, "--yes"]
    code, out, err = said(*arguments, "--json")
    assert code == 0
    document = json.loads(out)
    assert [judge["label"] for judge in document["judges"]] == ["claude-haiku-5-5", "local"]
    assert all(judge["trusted"] for judge in document["judges"])
    (agreed,) = document["agreement"]
    assert (agreed["kappa"]["n"], agreed["kappa"]["agreement"]) == (3, 1.0)
    assert "10 calls to claude-haiku-5-5" in err
    assert "10 calls to local" in err
    assert "cost unknown: no price for local" in err
    assert err.count("at most $") == 1  # of the one that has a price
    code, out, _ = said("support-v1", "--agreement")
    assert code == 0
    assert "claude-haiku-5-5 and local agree on 100.0% of 3 pairs" in out
    assert "unreliable below 30 pairs" in out
    assert (folder.parent / "judge-local" / "verdicts.jsonl").is_file()


def test_a_judge_that_errs_is_a_sentence_and_an_exit_code(
    answered: Callable[[int], Path],
    server: JudgeServer,
    said: Said,
    in_this_process: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered(2)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-wrong-key-000")
    server.answer = lambda asked: error(401, said="sk-ant-wrong-key-000 is wrong")
    code, out, err = said("support-v1", "--base-url", server.url, "--yes")
    assert (code, out) == (3, "")
    last = err.splitlines()[-1]
    assert last == f"error: {server.url} refused the key (401): check ANTHROPIC_API_KEY"
    assert len(server.asked) == 1
    dear = message({"winner": "1"}, tokens=(1_000_000, 0))

    def answer(asked: Asked):  # type: ignore[no-untyped-def]
        said_so = honest(asked)
        assert said_so is not None
        assert dear is not None
        said_so[2]["usage"] = dear[2]["usage"]
        return said_so

    server.answer = answer
    code, out, _ = said("support-v1", "--base-url", server.url, "--yes", "--max-usd", "5")
    assert code == 1
    assert "the budget ended the run before all pairs were judged" in out
    assert "cost $4.0000" in out


def test_above_200_calls_a_batch_is_offered_and_does_as_it_says(
    answered: Callable[[int], Path], server: JudgeServer, said: Said, in_this_process: None
) -> None:
    answered(101)
    batches = Batches(server, lambda asked: succeeded(honest(asked)), looks=0)
    code, _, err = said("support-v1", "--base-url", server.url)
    assert code == 2
    assert "as a batch (--batch) these 206 calls cost about $" in err
    assert "nobody is here to confirm the cost" in err
    arguments = ("support-v1", "--base-url", server.url, "--batch", "--yes")
    code, out, err = said(*arguments)
    assert code == 0, err
    assert "206 calls to claude-sonnet-5-5 in batches at half price" in err
    assert "fine-tune won 101, lost 0, tied 0" in out
    assert "205 verdicts from batches" in out
    assert (len(batches.sent), len(server.asked)) == (1, 1)
