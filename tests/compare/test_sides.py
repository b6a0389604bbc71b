"""Who is compared and what is kept when that changes; no model is loaded."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.compare.builders import make_run
from tuiwb import jobs
from tuiwb.compare import plan as plan_module
from tuiwb.compare.api_cost import api_costs
from tuiwb.compare.completions import (
    Answer,
    Completion,
    SideAnswer,
    TokenProbabilities,
    labels,
    paired,
    read_completions,
    read_side_answers,
    read_token_probabilities,
    side_names,
)
from tuiwb.compare.go_on import anew, go_on
from tuiwb.compare.inference.sheet import Sheet
from tuiwb.compare.plan import ADAPTER_FILES, answered, as_before, plan, prepare
from tuiwb.compare.prompts import held_out
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.events import EventWriter, State
from tuiwb.jobs.lines import append_lines
from tuiwb.project import Project


def adapter(folder: Path, text: str = "{}") -> Path:
    folder.mkdir(parents=True)
    for name in ADAPTER_FILES:
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def runs(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Two runs on one base, the first with a checkpoint and with answers to every prompt."""
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    base = tmp_path / "base"
    base.mkdir()
    for name in ("model.safetensors", "config.json"):
        (base / name).write_text("{}")
    for name in ("one", "two"):
        run = make_run(project, name, str(base), project.root / "data" / "heldout.jsonl")
        adapter(run / "adapter", f'"{name}"')
    adapter(project.runs / "one" / "checkpoints" / "checkpoint-100", '"earlier"')
    return project


def answer_all(project: Project, spec: dict[str, Any]) -> Path:
    """A finished comparison in which every side has said its own name and a prompt's place."""
    folder = prepare(spec)
    names = side_names(jobs.load(folder).spec)
    prompts = held_out(Path(spec["prompts"]), limit=spec["limit"]).prompts
    sheet = Sheet(folder, prompts, names)
    for name in names:
        sheet.take(
            [SideAnswer(id=p.id, side=name, text=f"{name} {p.index}") for p in sheet.missing(name)]
        )
    sheet.write()
    writer = EventWriter(folder / "events.jsonl")
    writer.emit(State(state="finished"))
    writer.close()
    return folder


def test_the_first_side_against_a_run_is_the_base_and_the_run_is_the_adapter(runs):
    spec = plan(runs, "one", against=["base", "two", "one:checkpoint-100"])
    assert side_names(spec) == ["base", "adapter", "two", "one-checkpoint-100"]
    assert labels(spec) == ("base", "one")
    assert [side["adapter"] is None for side in spec["sides"]] == [True, False, False, False]
    assert labels(plan(runs, "one")) == ("base", "fine-tune")
    assert labels(plan(runs, "one", against=["two"])) == ("two", "one")


def test_a_checkpoint_has_one_name_on_either_side_and_its_folder_is_as_good(runs):
    folder = runs.runs / "one" / "checkpoints" / "checkpoint-100"
    for word in ("one:checkpoint-100", "runs/one/checkpoints/checkpoint-100"):
        spec = plan(runs, word)
        assert (spec["run"], spec["adapter"]) == (str(runs.runs / "one"), str(folder))
        assert labels(spec) == ("base", "one:checkpoint-100")
        against = plan(runs, "two", against=[word])["sides"][0]
        assert (against["label"], against["adapter"]) == ("one:checkpoint-100", str(folder))
    with pytest.raises(BadInput, match="no checkpoint 'checkpoint-7': there are checkpoint-100"):
        plan(runs, "one:checkpoint-7")
    # The screen goes on with what stands; what the gate lacks is the run's own comparison.
    answer_all(runs, plan(runs, "one"))
    answer_all(runs, plan(runs, "one:checkpoint-100"))
    assert as_before(runs, "one")["adapter"] == str(folder)
    told: list[str] = []
    assert go_on(runs, "one", told.append) == "taken back"
    assert as_before(runs, "one")["adapter"] == str(runs.runs / "one" / "adapter")
    assert go_on(runs, "one", told.append) == "answered"


def test_however_a_checkpoint_s_folder_is_written_the_run_is_the_project_s_own(runs, tmp_path):
    folder = runs.runs / "one" / "checkpoints" / "checkpoint-100"
    link = tmp_path / "link"
    link.symlink_to(folder)
    (tmp_path / "runs").symlink_to(runs.runs)
    words = [link, f"{folder.parent}/../checkpoints/checkpoint-100"]
    for word in (*words, tmp_path / "runs" / "one" / "checkpoints" / "checkpoint-100"):
        spec = plan(runs, str(word))
        assert (spec["run"], spec["adapter"]) == (str(runs.runs / "one"), str(folder))
        assert labels(spec)[1] == "one:checkpoint-100"
    # A run whose folder lies on another disk is called as it is here.
    away = tmp_path / "disk" / "x-7"
    shutil.copytree(runs.runs / "one", away)
    (runs.runs / "far").symlink_to(away)
    far = runs.runs / "far" / "checkpoints" / "checkpoint-100"
    assert labels(plan(runs, str(far)))[1] == "far:checkpoint-100"


def test_another_project_s_checkpoint_is_no_subject_and_is_named_by_its_place(runs, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(runs.root, other, ignore=shutil.ignore_patterns("models"))
    base = tmp_path / "other-base"
    shutil.copytree(tmp_path / "base", base)
    job = other / "runs" / "one" / "job.yaml"
    job.write_text(job.read_text().replace(str(tmp_path / "base"), str(base)))
    theirs = other / "runs" / "one" / "checkpoints" / "checkpoint-100"
    with pytest.raises(BadInput, match="no run named"):
        plan(runs, str(theirs))
    spec = plan(runs, "one:checkpoint-100", against=[str(theirs)])
    assert labels(spec) == (str(theirs), "one:checkpoint-100")
    assert spec["sides"][0]["model"] == str(base)


@pytest.mark.parametrize("word", ["~no-such-user", "~no-such-user/x", "x" * 300])
def test_a_name_no_disk_can_have_is_refused_in_one_sentence(runs, word):
    for named in (word, f"{word}:checkpoint-3"):
        with pytest.raises(BadInput, match=r"no (run named|home folder for ~no-such-user)"):
            plan(runs, named)
        with pytest.raises(BadInput, match=r"no (run named|home folder for ~no-such-user)"):
            plan(runs, "one", against=[named])


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("tow", "did you mean 'two'"),
        ("bsae", "did you mean 'base'"),
        ("one:checkpoint-7", "no checkpoint 'checkpoint-7': there are checkpoint-100"),
        ("models/none", "there is no folder"),
        ("data", "it is not a model's folder"),
        ("http://127.0.0.1:8000", "names no model"),
        ("http://me:secret@127.0.0.1:8000#m", "carries a secret"),
        ("ftp://x#m", "there is no folder"),
        ("anthropic:", "names no model"),
        ("one", "are the same model"),
    ],
)
def test_a_side_that_can_t_be_is_refused_in_one_sentence(runs, word, says):
    with pytest.raises(BadInput, match=says) as refused:
        plan(runs, "one", against=[word])
    assert "\n" not in str(refused.value)
    assert "me:secret" not in str(refused.value)


def test_an_api_side_needs_a_key_and_a_remote_one_a_safe_way_for_it(runs, monkeypatch):
    with pytest.raises(MissingHere, match="set ANTHROPIC_API_KEY"):
        plan(runs, "one", against=["anthropic:some-model"])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    with pytest.raises(BadInput, match="unencrypted"):
        plan(runs, "one", against=["http://10.1.2.3:8000#m"])
    side = plan(runs, "one", against=["http://127.0.0.1:8000/v1#org/m"])["sides"][0]
    assert (side["url"], side["model"]) == ("http://127.0.0.1:8000", "org/m")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"temperature": -1.0}, "temperature is -1"),
        ({"engine": "llama"}, "no engine 'llama'"),
        ({"max_usd": 0.0}, "max-usd is 0"),
        ({"batch_size": 0}, "batch-size is 0"),
        ({"against": []}, "nothing to compare against"),
    ],
)
def test_arguments_out_of_range_are_refused(runs, given, says):
    with pytest.raises(BadInput, match=says):
        plan(runs, "one", **given)


@pytest.mark.parametrize(
    "config", ['{"use_dora": true}', '{"bias": "all"}', '{"init_lora_weights": "pissa"}']
)
def test_an_adapter_that_vllm_does_not_take_is_left_to_transformers(runs, monkeypatch, config):
    monkeypatch.setattr(plan_module, "find_vllm", lambda *_, **__: "/some/python")
    monkeypatch.setattr(plan_module, "_gpu", lambda: True)
    assert plan(runs, "one", limit=400)["vllm_python"] == "/some/python"
    (runs.runs / "one" / "adapter" / "adapter_config.json").write_text(config)
    spec = plan(runs, "one", limit=400)
    assert (spec["vllm_python"], spec["engine"]) == (None, "transformers")
    assert "vLLM does not take the adapter of fine-tune" in spec["without_vllm"]
    with pytest.raises(BadInput, match="leave out --engine vllm"):
        plan(runs, "one", engine="vllm")


def test_vllm_that_is_not_here_is_said_in_one_sentence(runs, monkeypatch, tmp_path):
    monkeypatch.setenv("TUIWB_VLLM_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(MissingHere, match="TUIWB_VLLM_PYTHON"):
        plan(runs, "one", engine="vllm")
    assert plan(runs, "one", engine="transformers")["vllm_python"] is None


def test_a_side_that_joins_leaves_every_answer_there_and_is_the_only_one_missing(runs):
    folder = answer_all(runs, plan(runs, "one"))
    before = (folder / "completions.jsonl").read_bytes()
    wider = plan(runs, "one", against=["base", "two"])
    assert not answered(wider)
    assert prepare(wider) == folder
    assert (folder / "completions.jsonl").read_bytes() == before
    prompts = held_out(Path(wider["prompts"]), limit=50).prompts
    sheet = Sheet(folder, prompts, side_names(jobs.load(folder).spec))
    assert [len(sheet.missing(name)) for name in sheet.names] == [0, 0, 5]
    answer_all(runs, wider)
    assert answered(wider)
    assert answered(plan(runs, "one"))
    assert side_names(jobs.load(folder).spec) == ["base", "adapter", "two"]
    assert [c.others["two"].text for c in read_completions(folder)] == [
        f"two {i}" for i in range(5)
    ]


def test_another_pair_takes_along_what_its_sides_have_answered(runs):
    folder = answer_all(runs, plan(runs, "one", against=["base", "two"]))
    append_lines(
        folder / "token_probabilities.jsonl",
        [TokenProbabilities(id="x", tokens=["a"], base=[-1.0], others={"two": [-2.0]})],
    )
    other = plan(runs, "one", against=["two"])
    assert prepare(other) == folder
    assert (folder.with_name("compare-1") / "completions.jsonl").is_file()
    prompts = held_out(Path(other["prompts"]), limit=50).prompts
    sheet = Sheet(folder, prompts, side_names(other))
    assert [len(sheet.missing(name)) for name in sheet.names] == [0, 0]
    sheet.settle()
    first = sheet.completions[0]
    assert (first.base, first.adapter) == ("two 0", "adapter 0")
    assert read_token_probabilities(folder)["x"].base == [-2.0]


@pytest.fixture
def listening() -> Iterator[str]:
    """An address where a connection is taken; nobody asks more of it here."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_what_a_new_comparison_would_do_is_told_before_it_is_started(runs, listening, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", listening)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-0123456789")
    prepare(plan(runs, "one", max_new_tokens=9))
    joins = anew(runs, "one", ["base", "anthropic:claude-sonnet-5-5"])
    assert joins.spec["max_new_tokens"] == 9
    assert joins.replaces == ""
    (cost,) = joins.costs
    assert cost.startswith("5 calls to claude-sonnet-5-5")
    assert joins.sentence == cost
    other = anew(runs, "one", ["two"])
    assert other.costs == []
    assert "are kept in the run's folder" in other.sentence
    assert anew(runs, "one", ["base"]).sentence == ""


def test_only_an_api_side_s_own_answers_lower_what_is_confirmed(runs, listening, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_BASE_URL", listening)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-0123456789")
    answer_all(runs, plan(runs, "one"))
    # The API model takes the role that the base had: none of the base's answers is its own.
    in_focus = plan(runs, "one", against=["anthropic:claude-sonnet-5-5"])
    assert [cost.calls for cost in api_costs(runs, in_focus)] == [5]
    joins = plan(runs, "one", against=["base", "anthropic:claude-sonnet-5-5"])
    assert [cost.calls for cost in api_costs(runs, joins)] == [5]
    assert api_costs(runs, plan(runs, "one")) == []
    prepare(joins)
    # It has joined, so who goes on with what stands asks it; one named no more is not asked.
    assert [cost.calls for cost in api_costs(runs, as_before(runs, "one"))] == [5]
    assert api_costs(runs, plan(runs, "one")) == []
    answer_all(runs, joins)
    assert api_costs(runs, joins) == []
    assert api_costs(runs, in_focus) == []
    longer = plan(runs, "one", against=["anthropic:claude-sonnet-5-5"], max_new_tokens=9)
    assert [cost.calls for cost in api_costs(runs, longer)] == [5]


def test_a_key_in_another_variable_makes_no_other_side_of_a_server(runs, listening, monkeypatch):
    monkeypatch.delenv("TUIWB_API_KEY", raising=False)
    address = f"{listening}#m"
    folder = answer_all(runs, plan(runs, "one", against=[address]))
    monkeypatch.setenv("TUIWB_API_KEY", "sk-0123456789")
    later = plan(runs, "one", against=[address])
    assert later["sides"][0]["key_variable"] == "TUIWB_API_KEY"
    assert answered(later)
    assert prepare(later) == folder
    assert not folder.with_name("compare-1").exists()
    assert jobs.load(folder).spec["sides"][0]["key_variable"] == "TUIWB_API_KEY"


def test_a_changed_adapter_or_another_question_keeps_nothing(runs):
    folder = answer_all(runs, plan(runs, "one"))
    (runs.runs / "one" / "adapter" / ADAPTER_FILES[1]).write_text("other weights")
    spec = plan(runs, "one")
    assert not answered(spec)
    prepare(spec)
    assert {a.side for a in read_side_answers(folder)} == {"base"}
    prepare(plan(runs, "one", temperature=0.5))
    assert read_side_answers(folder) == []


def test_answers_of_one_side_are_kept_until_their_pair_is_there(runs):
    spec = plan(runs, "one")
    folder = prepare(spec)
    prompts = held_out(Path(spec["prompts"]), limit=50).prompts
    sheet = Sheet(folder, prompts, side_names(spec))
    told = {"text": "hi", "tokens": 2, "seconds": 0.5, "stop": "length"}
    sheet.take([SideAnswer(id=prompts[0].id, side="base", **told)])
    sheet.write()
    assert read_completions(folder) == []
    again = Sheet(folder, prompts, side_names(spec))
    assert len(again.missing("base")) == 4
    (pair,) = again.take([SideAnswer(id=prompts[0].id, side="adapter", text="ho")])
    again.write()
    assert (pair.base, pair.base_tokens, pair.base_stop, pair.adapter) == ("hi", 2, "length", "ho")
    assert read_completions(folder) == [pair]


def test_any_two_sides_can_take_the_roles():
    base = {"base": "b", "base_tokens": 3, "base_reference_nll": 2.0, "reference_tokens": 4}
    one = Completion(
        id="a", index=0, line=1, prompt=[], **base, adapter="t", adapter_reference_nll=1.0,
        others={"x": Answer(text="x", reference_nll=5.0, reference_tokens=4),
                "y": Answer(text="y", reference_nll=7.0, reference_tokens=9)},
    )  # fmt: skip
    bare = Completion(id="b", index=1, line=2, prompt=[], base="b", adapter="t")
    assert paired([one, bare], "base", "adapter") == [one, bare]
    (swapped,) = paired([one, bare], "x", "base")
    assert (swapped.base, swapped.adapter) == ("x", "b")
    assert (swapped.base_reference_nll, swapped.adapter_reference_nll) == (5.0, 2.0)
    assert set(swapped.others) == {"adapter", "y"}
    assert paired([swapped], "adapter", "x") == []
    # Over other tokens the likelihoods can't be compared.
    (foreign,) = paired([one], "adapter", "y")
    assert (foreign.base_reference_nll, foreign.adapter_reference_nll) == (1.0, None)


def test_token_probabilities_of_one_prompt_are_joined_where_the_tokens_agree(tmp_path):
    append_lines(
        tmp_path / "token_probabilities.jsonl",
        [
            TokenProbabilities(id="a", tokens=["x", "y"], base=[-1.0, -2.0]),
            TokenProbabilities(id="a", tokens=["x", "y"], adapter=[-0.5, -0.25]),
            TokenProbabilities(id="a", tokens=["xy"], others={"far": [-9.0]}),
        ],
    )
    found = read_token_probabilities(tmp_path)["a"]
    assert msgspec.to_builtins(found) == {
        "id": "a", "on": "reference", "tokens": ["x", "y"],
        "base": [-1.0, -2.0], "adapter": [-0.5, -0.25], "others": {},
    }  # fmt: skip
