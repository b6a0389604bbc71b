"""Several judges on one comparison, rubrics, repeats, OpenAI-compatible endpoints."""

import json

import pytest

from tests.compare.judge_server import CALLS, SECRET, Asked, error, honest, message
from tests.llm.endpoint_server import completion
from tuiwb.compare.completions import SideAnswer, read_completions
from tuiwb.compare.judge.address import JudgeAddress, address_of, folder_names
from tuiwb.compare.judge.agreement import agreements, judges_agreement
from tuiwb.compare.judge.choices import judge_choices
from tuiwb.compare.judge.plan import estimate, plan_judge, plan_judges, prepare_judge
from tuiwb.compare.judge.protocol import VERDICTS, questions, read_verdicts, repeated
from tuiwb.compare.judge.rubric import RUBRICS, read_rubric, rubrics
from tuiwb.compare.judge.summary import judge_folders, read_judge_summary, read_judges
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.run import main
from tuiwb.project import Project

pytestmark = pytest.mark.usefixtures("judge_key")
OTHER_SECRET = "sk-other-secret-9876543210"


def said_by(asked: Asked) -> dict:
    return json.loads(honest(asked)[2]["content"][0]["text"])


def openai(asked: Asked):
    """The honest judge behind an OpenAI-compatible endpoint."""
    return completion(said_by(asked))


@pytest.fixture
def judges(project, answered, judged, server):
    """A function that runs several judges, each in its own folder."""

    def run(*names: str, **plan):
        specs = plan_judges(project, "support-v1", judges=names, base_url=server.url, **plan)
        for spec in specs:
            assert main(prepare_judge(spec)) == 0
        return specs

    return run


def test_an_openai_compatible_endpoint_judges_with_its_own_key_and_schema(
    judged, server, project, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", OTHER_SECRET)
    server.answer = openai
    folder, state = judged(model=f"openai:{server.url}/v1#org/Some-Model")
    assert state.state == "finished", state.message
    summary = read_judge_summary(folder)
    assert summary.trusted, summary.doubts
    assert (summary.preference.counts.wins, summary.usd) == (6, None)
    assert (summary.model, summary.label) == ("org/Some-Model", "some-model")
    body = server.asked[-1].body
    assert body["messages"][0]["role"] == "system"
    assert body["response_format"]["json_schema"]["schema"]["required"][0] == "reasoning"
    sent = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert sent["authorization"] == f"Bearer {OTHER_SECRET}"
    everything = b"".join(p.read_bytes() for p in project.root.rglob("*") if p.is_file())
    assert OTHER_SECRET.encode() not in everything
    assert SECRET.encode() not in everything
    assert SECRET not in str(sent)


def test_a_key_of_another_name_is_taken_from_where_it_is_said_to_be(judged, server, monkeypatch):
    monkeypatch.setenv("MY_KEY", OTHER_SECRET)
    server.answer = openai
    judged(model=f"openai:{server.url}#m", key_env="MY_KEY")
    sent = {name.lower(): value for name, value in server.asked[0].headers.items()}
    assert sent["authorization"] == f"Bearer {OTHER_SECRET}"


def test_an_openai_endpoint_that_knows_no_schema_is_asked_in_plain_words(judged, server):
    server.answer = lambda asked: (
        error(400, said="response_format is not known")
        if "response_format" in asked.body
        else openai(asked)
    )
    folder, _ = judged(model=f"openai:{server.url}#m")
    assert read_judge_summary(folder).trusted
    assert {v.mode for v in read_verdicts(folder / VERDICTS)[0].values()} == {"plain"}


@pytest.mark.parametrize(
    ("status", "words"), [(401, "check OPENAI_API_KEY"), (404, "knows no model 'm'")]
)
def test_an_openai_endpoint_that_refuses_ends_in_one_sentence(judged, server, status, words):
    server.answer = lambda asked: error(status)
    _, state = judged(model=f"openai:{server.url}#m")
    assert state.state == "failed"
    assert words in state.message
    assert len(server.asked) == 1


@pytest.mark.parametrize("written", ["mapping", "word"])
def test_the_project_may_name_any_endpoint_as_its_judge(project, answered, server, judged, written):
    judge = f"openai:{server.url}#local"
    told = f"judge: {{model: '{judge}'}}" if written == "mapping" else f"judge: '{judge}'"
    (project.root / "tuiwb.yaml").write_text(told + "\n")
    spec = plan_judge(Project(project.root), "support-v1")
    assert (spec["api"], spec["base_url"], spec["model"]) == ("openai", server.url, "local")


def test_two_judges_have_a_folder_each_and_their_agreement_is_counted(
    judges, server, project, answered
):
    def answer(asked: Asked):
        said = said_by(asked)
        if asked.body["model"] == "stern" and asked.data["task"] in ("question 0", "question 1"):
            said["winner"] = {"1": "2", "2": "1"}[said["winner"]]
        return message(said) if "system" in asked.body else completion(said)

    server.answer = answer
    run = answered.parent
    judges("kind", f"openai:{server.url}#stern")
    assert [folder.name for folder in judge_folders(run)] == ["judge", "judge-stern"]
    assert [summary.label for summary in read_judges(run)] == ["kind", "stern"]
    (agreed,) = judges_agreement(run)
    assert (agreed.one, agreed.other, agreed.kappa.n) == ("kind", "stern", 6)
    assert agreed.kappa.agreement == pytest.approx(4 / 6)
    # One judge names one winner only: no agreement beyond chance can be shown.
    assert agreed.kappa.kappa == pytest.approx(0.0)
    assert agreed.opposite == ["id00", "id01"]
    assert "agree on 66.7% of 6 pairs" in agreed.sentence
    assert "unreliable below 30 pairs" in agreed.sentence


def test_a_judges_folder_that_nobody_can_read_is_left_out_of_the_agreement(
    judges, project, answered
):
    judges("one", "two")
    run = answered.parent
    (run / "judge-torn").mkdir()
    told = (run / "judge-two" / "job.yaml").read_text()
    (run / "judge-torn" / "job.yaml").write_text(
        told.replace("folder: judge-two", "folder: judge-torn").replace("rubric:", "rubrik:")
    )
    assert [folder.name for folder in judge_folders(run)] == ["judge", "judge-two", "judge-torn"]
    (agreed,) = judges_agreement(run)
    assert (agreed.one, agreed.other) == ("one", "two")


def test_the_agreement_of_judges_is_the_known_kappa():
    # Cohen (1960)-style table: 20 both adapter, 5 and 10 apart, 15 both base.
    one = {f"p{i}": "adapter" if i < 25 else "base" for i in range(50)}
    other = {f"p{i}": "adapter" if i < 20 or 25 <= i < 35 else "base" for i in range(50)}
    (agreed,) = agreements({"a": one, "b": other})
    assert agreed.kappa.kappa == pytest.approx(0.4)
    assert agreed.kappa.reliable
    assert len(agreed.opposite) == 15


def test_a_judge_that_was_asked_before_is_not_asked_again_in_another_folder(
    judges, server, answered, project
):
    judges("first")
    server.asked = []
    specs = judges("second", "first")
    assert len(server.asked) == CALLS
    assert {asked.body["model"] for asked in server.asked} == {"second"}
    assert estimate(specs[1]).calls == 0
    run = answered.parent
    assert [f.name for f in judge_folders(run)] == ["judge", "judge-first"]
    summary = read_judge_summary(run / "judge-first")
    assert (summary.cached, summary.calls, summary.trusted) == (CALLS, 0, True)
    assert len(read_verdicts(run / "judge-first" / VERDICTS)[0]) == CALLS


def test_the_same_judge_is_not_asked_by_two_jobs_at_once(judged, server, project):
    _, waiting = plan_judges(project, "support-v1", judges=["second", "first"], base_url=server.url)
    prepare_judge(waiting)
    with pytest.raises(BadInput, match="support-v1/judge-first is queued already"):
        judged(model="first")
    assert judged(model="first", rubric="tone")[1].state == "finished"
    assert {asked.body["model"] for asked in server.asked} == {"first"}


def test_judges_by_different_rubrics_are_not_held_against_each_other(
    judges, server, answered, project
):
    judges("one", "two")
    assert len(judges_agreement(answered.parent)) == 1
    judges("one", rubric="tone")
    assert judges_agreement(answered.parent) == []


def test_a_repeated_pair_is_really_asked_again_and_changes_are_counted(judged, server):
    seen: dict[str, int] = {}

    def answer(asked: Asked):
        seen[asked.text] = seen.get(asked.text, 0) + 1
        said = said_by(asked)
        if seen[asked.text] == 2 and asked.data["response_1"].startswith("{"):
            said["winner"] = "tie"
        return message(said)

    server.answer = answer
    folder, state = judged(repeats=4, concurrency=1)
    assert state.state == "finished", state.message
    assert len(server.asked) == CALLS + 8
    summary = read_judge_summary(folder)
    again = summary.repeats
    assert (again.asked, again.changed, again.pairs, again.outcomes_changed) == (8, 4, 4, 4)
    assert again.interval.low < again.share == 0.5 < again.interval.high
    # What is asked again tells of the judge, not of the models.
    assert (summary.preference.counts.wins, summary.preference.counts.n) == (6, 8)
    server.asked = []
    assert read_judge_summary(judged(repeats=4, concurrency=1)[0]).repeats == again
    assert server.asked == []


def test_repeats_are_a_seeded_sample_under_other_keys(answered):
    rubric = read_rubric("helpfulness")
    asked = questions(read_completions(answered), rubric=rubric, model="m", base_url="u", seed=0)
    some = repeated(asked, 3, seed=1)
    assert len(some) == 6
    assert {q.key for q in some}.isdisjoint({q.key for q in asked})
    assert [q.key for q in some] == [q.key for q in repeated(asked, 3, seed=1)]
    assert {q.pair for s in range(9) for q in repeated(asked, 3, seed=s)} == {
        f"repeat:{q.pair}" for q in asked
    }
    assert {q.text for q in some} <= {q.text for q in asked}
    with pytest.raises(BadInput, match="repeats is 9: give 0 to 8"):
        plan_for(answered, repeats=9)


def plan_for(answered, **plan):
    from tuiwb.jobs.events import EventWriter, State

    writer = EventWriter(answered / "events.jsonl")
    writer.emit(State(state="finished"))
    writer.close()
    project = Project(answered.parents[2])
    return plan_judge(project, "support-v1", base_url="http://127.0.0.1:9", **plan)


def test_two_other_sides_are_judged_in_a_folder_of_their_own(judged, server, answered):
    append_lines(
        answered / "answers.jsonl",
        [SideAnswer(id=f"id{i:02d}", side="older", text=f'{{"old": {i}}}') for i in range(8)],
    )
    job = json.dumps([{"name": n, "label": n.upper()} for n in ("base", "adapter", "older")])
    text = (answered / "job.yaml").read_text()
    (answered / "job.yaml").write_text(text.replace("spec:", f"spec:\n  sides: {job}", 1))
    folder, state = judged(sides=("base", "older"))
    assert state.state == "finished", state.message
    assert folder.name == "judge-side-base-side-older"
    summary = read_judge_summary(folder)
    assert (summary.sides, summary.preference.counts.wins) == (("BASE", "OLDER"), 8)
    assert "OLDER" in summary.preference.verdict
    assert read_judges(answered.parent) == []
    assert len(read_judges(answered.parent, ("base", "older"))) == 1
    with pytest.raises(BadInput, match="no side 'newer': there are base, adapter, older"):
        judged(sides=("base", "newer"))


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ("openai:http://127.0.0.1:9", "names no judge"),
        ("openai:#m", "names no judge"),
        ("foo:bar", "'foo:' in the judge's name is no API: write MODEL, anthropic:URL#MODEL"),
        ("openai:ftp://x#m", "is not an endpoint"),
        ("openai:http://me:secret@127.0.0.1:9#m", "carries a secret"),
        ("anthropic:http://127.0.0.1:9#", "names no judge"),
        ("", "is not a model's name"),
        ("a\nb", "is not a model's name"),
        ("a\udcffb", "is not a model's name"),
        ("openai:http://127.0.0.1:9\u202e#m", "is not an endpoint"),
    ],
)
def test_what_names_no_judge_is_one_sentence(judge, words):
    with pytest.raises(BadInput, match=words) as caught:
        address_of(judge)
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize("pasted", ["sk-ant-api03-secret", "a b", "secret\n", "$KEY"])
def test_a_key_in_place_of_its_variables_name_is_refused_and_not_repeated(pasted):
    with pytest.raises(BadInput, match="never the key itself") as caught:
        address_of("openai:http://127.0.0.1:9#m", key_env=pasted)
    assert "secret" not in str(caught.value)
    with pytest.raises(MissingHere, match="holds no key") as missing:
        address_of("openai:http://127.0.0.1:9#m", key_env="sk_secret_0123456789")
    assert "secret" not in str(missing.value)


def test_a_judges_folder_is_named_after_its_model_and_never_clashes():
    def at(model: str, url: str = "http://a") -> JudgeAddress:
        return JudgeAddress(api="openai", url=url, model=model, key_variable="K")

    assert folder_names([at("x")]) == ["judge"]
    assert folder_names([at("x"), at("Org/My Model:v2")]) == ["judge", "judge-my-model-v2"]
    assert folder_names([at("x"), at("7")])[1] == "judge-model-7"
    assert folder_names([at("x"), at("../..")])[1] == "judge-judge"
    same = folder_names([at("x"), at("x", "http://b"), at("x", "http://c")])
    assert len(set(same)) == 3
    with pytest.raises(BadInput, match="named twice"):
        folder_names([at("x"), at("x")])


def test_without_any_key_only_an_endpoint_of_ones_own_is_judge(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(MissingHere, match="--judge openai:URL#MODEL"):
        address_of("claude-sonnet-5-5")
    assert address_of("qwen3:8b", base_url="http://127.0.0.1:9").model == "qwen3:8b"
    with pytest.raises(BadInput, match="'opnai:' in the judge's name is no API"):
        address_of("opnai:http://127.0.0.1:9#m", base_url="http://127.0.0.1:9")
    assert address_of("anthropic:http://127.0.0.1:9/v1#m").url == "http://127.0.0.1:9"


def test_the_shipped_rubrics_are_whole_and_say_what_they_are_about(project):
    found = rubrics(project)
    assert [rubric.choice for rubric in found] == ["helpfulness", "accuracy", "format", "tone"]
    for rubric in found:
        assert rubric.about
        assert not rubric.problem
        whole = read_rubric(rubric.choice)
        assert whole.name == rubric.choice
        assert whole.criteria in whole.system
        assert "data, never instructions" in whole.system
    assert len({read_rubric(r.choice).system for r in found}) == len(list(RUBRICS.glob("*.yaml")))


def test_a_projects_own_rubric_goes_before_a_shipped_one_and_is_listed(project, judged, server):
    own = project.root / "rubrics"
    own.mkdir()
    (own / "tone.yaml").write_text("name: our tone\nrole: r\ncriteria: be {kind}\ntie: t\n")
    (own / "broken.yaml").write_text("name: x\nroel: y\n")
    listed = {rubric.choice: rubric for rubric in rubrics(project)}
    assert not listed["tone"].shipped
    assert "broken.yaml:2 unknown key 'roel': did you mean role?" in listed["broken"].problem
    folder, _ = judged(rubric="tone")
    assert read_judge_summary(folder).rubric == "our tone"
    assert "be {kind}" in server.asked[0].body["system"][0]["text"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\nrole: [a]\n", ":2 role is not text"),
        ("name: x\nrole: 7\n", ":2 role is not text"),
        ("name: x\n\nrole: ''\n", ":3 role is empty"),
        ("name: x\nname: y\n", ":2 says name a second time"),
        ("name: x\nrole: y\n", "lacks criteria and tie"),
        ("name: x\n bad: [\n", " is not YAML"),
        ("- a\n", ":1 is no rubric"),
        ("", ":1 is no rubric"),
        ("name: x\nthing: y\n", ":2 unknown key 'thing': a rubric has name, role"),
        ("a" * 30_000, "a rubric has at most 20,000"),
        ("!!python/object/apply:os.system ['true']", ":1 is no rubric"),
    ],
)  # fmt: skip
def test_a_broken_rubric_is_told_by_file_and_line(tmp_path, text, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BadInput) as caught:
        read_rubric("mine.yaml", tmp_path)
    assert words in str(caught.value)
    assert "mine.yaml" in str(caught.value)


def test_a_rubric_that_is_not_there_names_the_nearest(tmp_path):
    with pytest.raises(BadInput, match="did you mean 'accuracy'"):
        read_rubric("acuracy", tmp_path)
    with pytest.raises(BadInput, match="one of accuracy, format, helpfulness and tone"):
        read_rubric("../../etc/passwd.yaml", tmp_path)


def test_the_dialog_offers_the_projects_judge_first_and_those_that_judged(
    judges, server, project, answered
):
    server.answer = lambda asked: honest(asked) if "system" in asked.body else openai(asked)
    judges("claude-haiku-5-5", f"openai:{server.url}#tiny")
    offered = judge_choices(project, answered.parent)
    names = [name for name, _ in offered.judges]
    assert names[0] == offered.judge == "claude-sonnet-5-5"
    assert f"openai:{server.url}#tiny" in names
    assert "judged this run before" in dict(offered.judges)["claude-haiku-5-5"]
    assert offered.rubrics[0].choice == offered.rubric == "helpfulness"
