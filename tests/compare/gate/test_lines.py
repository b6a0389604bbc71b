"""The gate's lines as a pure fold: each with its number, its threshold, what would change it."""

import msgspec
import pytest
import scipy.stats

from tests.compare.builders import make_run
from tuiwb.compare.completions import Side, Summary
from tuiwb.compare.evaluation.results import Results, Seen, Suite, paired
from tuiwb.compare.gate.evidence import Evidence, Judged, Votes
from tuiwb.compare.gate.line import GateLine
from tuiwb.compare.gate.lines import lines_of
from tuiwb.compare.gate.picture import picture
from tuiwb.compare.gate.report import html, markdown
from tuiwb.compare.gate.verdict import Gate, gate, read_gate, verdict_of, write_gate
from tuiwb.compare.judge.summary import JudgeSummary
from tuiwb.compare.left_out import LeftOut
from tuiwb.compare.metrics.task import MetricSummary
from tuiwb.compare.stats.counts import Interval, Kappa, PairedCounts, preference
from tuiwb.errors import BadInput
from tuiwb.monitor.triage.facts import AdapterFacts, DataFacts
from tuiwb.project import GateSettings, Project

TEMPLATE = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
PLAIN = "{% for m in messages %}{{ m.content }}{% endfor %}"


def metric(name: str = "all_fields", base: int = 0, adapter: int = 40, n: int = 50, p=1e-9):
    return MetricSummary(
        name=name,
        label=name.replace("_", " "),
        n=n,
        graded=False,
        base=base / n,
        base_right=base,
        adapter=adapter / n,
        adapter_right=adapter,
        difference=(adapter - base) / n,
        difference_interval=Interval((adapter - base) / n - 0.1, (adapter - base) / n + 0.1),
        better=max(0, adapter - base),
        worse=max(0, base - adapter),
        p=p,
    )


def suite(name: str, n: int, base: int, lost: int, won: int = 0, **more) -> Suite:
    outcomes = [(i < base, (i < base) != (i < lost)) for i in range(n)]
    outcomes = [
        (one, True if not one and n - i <= won else other)
        for i, (one, other) in enumerate(outcomes)
    ]
    found = paired(name, outcomes)
    return msgspec.structs.replace(found, **more)


def evidence(**more) -> Evidence:
    """A sound fine-tune; a test changes what it is about."""
    sound = Evidence(
        run="support-v1",
        spec={"training": {"learning_rate": 2e-3}},
        compare=Summary(
            total=50,
            done=50,
            identical=0,
            metrics=[metric(), metric("json_valid", 0, 50)],
            base=Side(),
            adapter=Side(),
            max_logit_difference=9.0,
        ),
        results=Results(
            suites=[
                suite("canary", 80, 80, 2, flips=0, flip_n=80, false_alarm=0.0,
                      false_alarm_high=0.01),
                suite("ood", 31, 31, 0),
                suite("general", 200, 120, 6, chance=0.25),
            ],
            seen=Seen(n=50, seen=0, rows=1450, sources=["heldout.jsonl"]),
        ),
        compare_spec={"prompts": "heldout.jsonl"},
        adapter=AdapterFacts(matrices=10, zero=0, scale=2.0, update=0.2),
        data=DataFacts(),
        trained_template=TEMPLATE,
        served_template=PLAIN,
    )  # fmt: skip
    return msgspec.structs.replace(sound, **more)


def lines(found: Evidence, **settings) -> dict[str, GateLine]:
    return {line.name: line for line in lines_of(found, GateSettings(**settings))}


def verdict(found: Evidence, **settings) -> str:
    return verdict_of(list(lines(found, **settings).values()))


def with_summary(**more) -> Evidence:
    sound = evidence()
    assert sound.compare is not None
    return evidence(compare=msgspec.structs.replace(sound.compare, **more))


def with_suites(*suites: Suite) -> Evidence:
    sound = evidence()
    assert sound.results is not None
    kept = [s for s in sound.results.suites if s.name not in {new.name for new in suites}]
    return evidence(results=msgspec.structs.replace(sound.results, suites=[*kept, *suites]))


def test_a_sound_run_ships_with_every_line_known():
    found = lines(evidence())
    assert {name: line.ok for name, line in found.items()} == dict.fromkeys(found, True)
    assert verdict(evidence()) == "SHIP"
    assert not any(line.change or line.command for line in found.values())


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        (with_summary(max_logit_difference=1e-5), "adapter", "1e-05"),
        (with_summary(identical=45), "adapter", "45 of 50 answers are the base's own"),
        (evidence(adapter=AdapterFacts(matrices=1, zero=0, scale=1, update=1e-8)), "adapter", "%"),
        (evidence(base_changed=True), "base", "changed since the training"),
        (evidence(trained_template="{{ messages }}"), "template", "another chat template"),
        (
            evidence(data=DataFacts(unknown_marks=["[INST]"], unused_marks=["<|im_start|>"])),
            "template",
            "[INST]",
        ),
        (with_summary(metrics=[metric(adapter=3, p=0.25)]), "held_out", "3/50, base 0/50"),
        (with_summary(metrics=[metric(base=40, adapter=20)]), "held_out", "-40.0 points"),
        (with_summary(metrics=[metric(), metric("json_valid", 0, 47)]), "format", "47/50"),
        (with_summary(metrics=[metric(), metric("json_valid", 50, 49)]), "format", "base 50/50"),
        (with_summary(adapter=Side(cut=3)), "endings", "3 of 50 cut"),
        (with_summary(adapter=Side(empty=3)), "endings", "3 empty"),
        (evidence(compare_spec={"seen_in_training": True}), "unseen", "trained on"),
        (with_suites(suite("canary", 80, 80, 5)), "canary", "regression 6.2% (5 lost, 0 won"),
        (with_suites(suite("general", 200, 120, 15)), "general", "confirmed, one-sided p <.001"),
        (with_suites(suite("ood", 31, 31, 2, faults={"did not end": 2})), "ood", "2 did not end"),
        (with_suites(suite("mmlu", 100, 60, 12)), "mmlu", "regression 12.0%"),
    ],
)
def test_one_fault_alone_is_no_ship_and_its_line_says_the_number_and_what_to_do(
    changed, name, words
):
    found = lines(changed)
    assert [line.name for line in found.values() if line.ok is not True] == [name]
    assert found[name].ok is False
    assert words in found[name].figure
    assert found[name].change
    assert verdict(changed) == "NO-SHIP"


def test_the_canary_line_says_what_a_set_of_its_size_can_see():
    # P(X >= 5), X ~ Binomial(80, 0.1) and P(X >= 3), X ~ Binomial(50, 0.1), from scipy.
    assert scipy.stats.binom.sf(4, 80, 0.1) == pytest.approx(0.912, abs=5e-4)
    assert "a true loss of 10% is caught 91% of the time" in lines(evidence())["canary"].figure
    fewer = lines(with_suites(suite("canary", 50, 50, 0)))["canary"].figure
    assert f"is caught {scipy.stats.binom.sf(2, 50, 0.1):.0%} of the time" in fewer


def test_a_regression_of_exactly_the_threshold_is_let_pass():
    assert lines(with_suites(suite("canary", 80, 80, 4)))["canary"].ok is True
    assert lines(with_suites(suite("canary", 80, 80, 6, 2)))["canary"].ok is False
    assert lines(with_suites(suite("canary", 80, 70, 6, 2)))["canary"].ok is True


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        (
            evidence(compare=None, compare_problem="not compared"),
            "held_out",
            "tuiwb compare support-v1",
        ),
        (evidence(results=None, eval_problem="not evaluated"), "canary", "--tasks canary"),
        (evidence(results=None, eval_problem="not evaluated"), "ood", "--tasks ood"),
        (with_suites(suite("canary", 80, 20, 0)), "canary", "chat template"),
        (with_suites(suite("canary", 8, 8, 0)), "canary", "write 50 or more"),
        (with_suites(suite("general", 200, 52, 0, chance=0.25)), "general", "at chance"),
        (
            with_suites(Suite(name="canary", state="not run", reason="no canary set: write one")),
            "canary",
            "no canary set: write one",
        ),
        (with_summary(metrics=[]), "held_out", "tuiwb judge"),
        (evidence(compare_spec={"prompts": "other.jsonl"}), "unseen", "--tasks seen"),
    ],
)
def test_what_is_not_known_is_no_ship_and_says_what_would_make_it_known(changed, name, words):
    found = lines(changed)
    assert found[name].ok is None
    assert words in found[name].change
    assert verdict(changed) == "NO-SHIP"


def test_a_benchmark_that_could_not_run_decides_nothing():
    found = with_suites(Suite(name="mmlu", state="not run", reason="its data is not cached"))
    assert lines(found)["mmlu"].ok is None
    assert not lines(found)["mmlu"].required
    assert "its data is not cached" in lines(found)["mmlu"].figure
    assert verdict(found) == "SHIP"


def test_a_benchmark_loss_that_may_be_chance_is_told_and_let_pass():
    found = lines(with_suites(suite("arc_challenge", 20, 10, 2)))["arc_challenge"]
    assert found.ok is True
    assert "regression 10.0%" in found.figure


def test_odd_prompts_are_asked_only_of_a_project_that_has_some():
    none = with_suites(Suite(name="ood", state="not run", reason="no such file"))
    assert lines(none)["ood"].ok is None
    assert verdict(none) == "SHIP"


def test_invented_facts_decide_only_where_the_project_says_how_many_are_too_many():
    found = with_suites(suite("ood", 31, 31, 0, notes={"invents city": 10}))
    assert lines(found)["ood"].ok is True
    assert "10 of 31 file facts" in lines(found)["ood"].figure
    assert lines(found, ood_invented=0.1)["ood"].ok is False
    assert lines(found, ood_invented=0.5)["ood"].ok is True


def summary_of(wins: int, losses: int, **more) -> JudgeSummary:
    given = {
        "model": "judge-1", "rubric": "helpfulness", "pairs": 50, "judged": 50, "identical": 0,
        "invalid": 0, "open": 0, "flips": 0, "weak": 0, "first_slot_share": 0.5,
        "longer_win_share": 0.5, "mean_length_difference": 0.0, "manipulation": {},
        "trusted": True, "doubts": [],
        "preference": preference(PairedCounts(wins=wins, losses=losses, ties=50 - wins - losses)),
        **more,
    }  # fmt: skip
    return JudgeSummary(**given)


@pytest.mark.parametrize(
    ("judge", "human", "ok", "words"),
    [
        (summary_of(30, 10), None, True, "won 30, lost 10"),
        (summary_of(10, 30), None, False, "won 10, lost 30"),
        (summary_of(30, 10, trusted=False, doubts=["a control lost"]), None, False, "a control"),
        (
            summary_of(30, 10, manipulation={"adapter": 50, "base": 2}),
            None,
            False,
            "NOT TRUSTED: manipulation reported by fine-tune in 50 of 50 and by base in 2 of 50 "
            "pairs, more than 10%",
        ),
        (
            summary_of(30, 10, manipulation={"adapter": 0, "base": 2}),
            None,
            True,
            "manipulation reported by base in 2 of 50 pairs",
        ),
        (summary_of(30, 10, invalid=5), None, False, "10% of its pairs are invalid"),
        (summary_of(30, 10), (40, 0.1), False, "does not agree with the people"),
        (summary_of(30, 10), (20, 0.1), True, "kappa with people 0.10 on 20"),
    ],
)
def test_a_judge_must_be_trusted_and_agree_with_people_to_count(judge, human, ok, words):
    kappa = None
    if human is not None:
        n, value = human
        kappa = Kappa(n=n, agreement=0.5, kappa=value, interval=None, reliable=n >= 30)
    found = lines(evidence(judges=[Judged(summary=judge, human=kappa)]))["judge"]
    assert found.ok is ok
    assert words in found.figure


def test_votes_against_the_fine_tune_are_no_ship_and_hidden_ones_are_not_known():
    lost = Votes(counts=PairedCounts(wins=8, losses=30, ties=2), raters=2)
    line = lines(evidence(votes=lost))["votes"]
    assert (line.ok, line.figure[:38]) == (False, "the base is preferred, 2 raters: won 8")
    even = Votes(counts=PairedCounts(wins=8, losses=12, ties=2), raters=1)
    line = lines(evidence(votes=even))["votes"]
    assert (line.ok, line.figure[:41]) == (True, "neither side is preferred, 1 rater: won 8")
    better = Votes(counts=PairedCounts(wins=30, losses=8, ties=2), raters=1)
    line = lines(evidence(votes=better))["votes"]
    assert (line.ok, line.figure[:38]) == (True, "the fine-tune is preferred, 1 rater: w")
    hidden = Votes(counts=PairedCounts(), raters=0, hidden=1)
    assert verdict(evidence(votes=hidden)) == "NO-SHIP"
    assert verdict(evidence(votes=hidden), optional=["votes"]) == "SHIP"


def test_what_to_run_is_what_runs_and_what_to_mend_goes_by_what_is_mixed_in_already():
    named = evidence(
        compare=None,
        compare_problem="not compared",
        compare_spec={"prompts": "/data/other prompts.jsonl"},
    )
    once = "tuiwb compare support-v1 --prompts '/data/other prompts.jsonl'"
    assert lines(named)["held_out"].change == f"run: {once}"
    nobody = msgspec.structs.replace(named, compare_spec={})
    for name in ("held_out", "endings"):
        assert lines(nobody)[name].command == "tuiwb compare support-v1 --prompts FILE"
    own = msgspec.structs.replace(named, spec={"data": {"heldout": "/data/heldout.jsonl"}})
    assert lines(own)["endings"].command == "tuiwb compare support-v1"
    forgot = with_suites(suite("canary", 80, 80, 20))
    assert lines(forgot)["canary"].change.startswith("mix 5 to 20% general rows into data.train,")
    mixed = msgspec.structs.replace(forgot, mixed_in="17% of both-v1 is general already")
    change = lines(mixed)["canary"].change
    assert change.startswith("mix more general rows into data.train (17% of both-v1 is general")
    beside = "52% of the rows are from raw.jsonl"
    change = lines(msgspec.structs.replace(forgot, further_files=beside))["canary"].change
    assert change.startswith(f"mix 5 to 20% general rows into data.train (now {beside}), lower")


@pytest.mark.parametrize(("count", "words"), [(1, "; 1 prompt left out"), (2, "; 2 prompts left")])
def test_prompts_that_nobody_was_asked_are_counted_in_the_line(count, words):
    left = [LeftOut(file="h.jsonl", line=n, why="is too long") for n in range(count)]
    assert words in lines(with_summary(left_out=left))["held_out"].figure


def test_a_few_odd_prompts_are_said_to_show_large_losses_only():
    few = lines(with_suites(suite("ood", 6, 6, 0)))["ood"]
    assert few.ok is True
    assert "6 prompts can't show 5%" in few.figure
    assert "can't show" not in lines(evidence())["ood"].figure


def test_without_references_people_or_else_a_trusted_judge_say_whether_it_is_better():
    won = Votes(counts=PairedCounts(wins=30, losses=8, ties=2), raters=1)
    without = with_summary(metrics=[])
    assert lines(msgspec.structs.replace(without, votes=won))["held_out"].ok is True
    judged = msgspec.structs.replace(without, judges=[Judged(summary=summary_of(30, 10))])
    assert lines(judged)["held_out"].ok is True
    distrusted = summary_of(30, 10, trusted=False, doubts=["a control lost"])
    judged = msgspec.structs.replace(without, judges=[Judged(summary=distrusted)])
    assert lines(judged)["held_out"].ok is None


def test_the_metric_that_decides_is_the_reports_main_one():
    lucky = with_summary(
        metrics=[metric("normalised_match", 0, 1, p=1.0), metric("token_f1", 10, 30)]
    )
    # One lucky answer of fifty is not what most are about.
    assert "token f1" in lines(lucky)["held_out"].figure
    several = with_summary(
        metrics=[metric("exact_match", 0, 0, p=1.0), metric("normalised_match", 0, 0, p=1.0),
                 metric("token_f1", 10, 30)]
    )  # fmt: skip
    assert "token f1" in lines(several)["held_out"].figure
    assert "exact match" in lines(several, metric="exact_match")["held_out"].figure
    with pytest.raises(
        BadInput, match=r"gate.metric in tuiwb.yaml is 'rouge', .*one of exact_match"
    ):
        lines(several, metric="rouge")


def test_of_json_answers_only_their_fields_count():
    braces = with_summary(
        metrics=[metric("all_fields", 0, 0, p=1.0), metric("token_f1", 0, 40),
                 metric("field_accuracy", 0, 0, p=1.0)]
    )  # fmt: skip
    assert lines(braces)["held_out"].ok is False
    partly = with_summary(
        metrics=[metric("all_fields", 0, 0, p=1.0), metric("field_accuracy", 0, 40)]
    )
    assert lines(partly)["held_out"].ok is True


def test_a_line_listed_as_optional_decides_nothing_and_a_wrong_name_is_refused():
    forgets = with_suites(suite("canary", 80, 80, 20))
    assert verdict(forgets, optional=["canary"]) == "SHIP"
    with pytest.raises(BadInput, match="names 'canaries', which is no line of the gate"):
        lines(forgets, optional=["canaries"])


def test_an_unknown_threshold_in_the_project_settings_is_refused(tmp_path):
    (tmp_path / "tuiwb.yaml").write_text("gate:\n  canary_regresion: 0.1\n")
    with pytest.raises(BadInput, match="canary_regresion"):
        Project(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("canary_regression", "5"),
        ("canary_regression", "-1"),
        ("format_valid", "95"),
        ("agreement", "40"),
        ("ood_invented", "1.5"),
        ("cut", ".nan"),
    ],
)
def test_a_threshold_that_is_no_share_is_refused_with_its_line(tmp_path, key, value):
    settings = tmp_path / "tuiwb.yaml"
    settings.write_text(f"name: x\ngate:\n  {key}: {value}\n")
    said = rf"{settings}:3: gate\.{key} must be a share, 0 to 1, not {value.strip('.')}"
    with pytest.raises(BadInput, match=said):
        Project(tmp_path)


def test_a_folder_that_is_no_run_with_an_adapter_is_refused(project):
    run = make_run(project, "untrained", "some/base", None)
    with pytest.raises(BadInput, match="has no adapter"):
        gate(project, run)


def made(found: Evidence, **settings) -> Gate:
    listed = lines_of(found, GateSettings(**settings))
    return Gate(verdict=verdict_of(listed), run="support-v1", lines=listed, made=1.8e9)


def test_the_sentence_rests_on_what_was_found_and_claims_no_more():
    assert made(evidence()).sentence == (
        "SHIP: better than the base on held-out prompts, no regression above 5% detected"
    )
    forgets = with_suites(suite("canary", 80, 80, 20))
    assert made(forgets, optional=["canary"]).sentence == (
        "SHIP: better than the base on held-out prompts, left aside: canary set (does not hold)"
    )
    nobody = with_summary(metrics=[])
    assert made(nobody, optional=["held_out"]).sentence == (
        "SHIP: no regression above 5% detected, left aside: held-out better (not known)"
    )
    wrong = made(forgets)
    assert wrong.sentence == "NO-SHIP: does not hold: canary set"
    unknown = made(evidence(results=None, eval_problem="not evaluated"))
    assert unknown.sentence.startswith("NO-SHIP: not known: prompts unseen, canary set, general")


def test_a_gate_is_read_back_as_it_was_written_and_a_broken_file_is_none(tmp_path):
    kept = made(evidence())
    write_gate(tmp_path, kept)
    assert read_gate(tmp_path) == kept
    (tmp_path / "gate.json").write_text('{"verdict": "SHIP", "run"')
    assert read_gate(tmp_path) is None


def test_the_picture_draws_each_change_its_interval_and_what_is_let_pass():
    drawn = picture(made(with_suites(suite("canary", 80, 80, 20))).lines)
    assert drawn.count("<circle") == 5
    assert drawn.count('class="limit"') == 5
    assert "✗ canary set" in drawn
    assert "-25.0" in drawn
    assert picture([]) == ""


HOSTILE = '<script>alert(1)</script> | **x** \x1b[31m \u202e & "quoted"'


def test_hostile_text_is_inert_in_both_reports(tmp_path):
    from tuiwb.compare.evaluation.results import Item

    found = made(with_suites(suite("canary", 80, 80, 20)))
    found.lines[0].figure = HOSTILE
    lost = Item(
        suite="canary", id="1", prompt=HOSTILE, reference=HOSTILE, base=HOSTILE, adapter=HOSTILE,
        base_ok=True, adapter_ok=False, notes=[HOSTILE],
    )  # fmt: skip
    page = html(tmp_path, found, None, [lost])
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    text = markdown(found, None, [lost])
    assert "\\<script\\>" in text
    assert "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("| adapter applied")]
    # Five cells: no pipe of the text begins another.
    assert rows[0].replace("\\|", "").count("|") == 6
