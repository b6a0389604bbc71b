"""Votes and verdicts as preference data: whose word counts, where rows come from, training."""

import hashlib
import json
from pathlib import Path

import pytest

from tuiwb.compare.completions import Completion, read_completions
from tuiwb.compare.judge.protocol import PairVerdict
from tuiwb.compare.judge.review import Review, disagreements, read_rulings
from tuiwb.compare.preference_data import (
    Winner,
    export,
    new_manifest,
    winners,
    write_export,
)
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import read_ballots
from tuiwb.data.examples import example_of, fits
from tuiwb.data.read import open_dataset
from tuiwb.errors import BadInput

SIDES = ("base", "adapter")


@pytest.fixture
def completions(answered: Path) -> list[Completion]:
    return read_completions(answered)


def voted(
    answered: Path, completions: list[Completion], rater: str, said: dict[str, str]
) -> Ballot:
    """A revealed ballot: by id, the side that won, 'tie', 'both_bad' or 'skip'."""
    ballot = Ballot(answered, completions, rater=rater)
    for pair in ballot.pairs:
        choice = said.get(pair.id)
        if choice in SIDES:
            ballot.vote(pair, "left" if pair.left == choice else "right")
        elif choice is not None:
            ballot.vote(pair, choice)
    ballot.reveal()
    return ballot


def verdict(key: str, outcome: str, clear: bool = True) -> tuple[str, PairVerdict]:
    return key, PairVerdict(pair=key, outcome=outcome, clear=clear)


def rows_of(completions, found, kind="dpo", why=None):
    return export(completions, found, why or {}, kind, run="support-v1", sides=SIDES)


def test_the_winner_is_chosen_and_ties_skips_and_open_pairs_teach_nothing(answered, completions):
    said = {"id00": "adapter", "id01": "base", "id02": "tie", "id04": "both_bad", "id05": "skip"}
    ballot = voted(answered, completions, "mia", said)
    found, why = winners([ballot], {}, source="votes")
    made = rows_of(completions, found, why=why)
    assert [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in made.rows] == [
        ('{"n": 0}', "base words 0"),
        ("base words 1", '{"n": 1}'),
    ]
    assert made.left_out == {"identical answers": 2, "no vote and no verdict": 2, "tie": 2}
    origin = made.rows[0]["provenance"]
    assert (origin["run"], origin["prompt_id"], origin["who"]) == ("support-v1", "id00", ["mia"])
    assert origin["t"] == ballot.voted_at("id00") > 0
    digest = hashlib.sha256(b'{"n": 0}').hexdigest()
    assert origin["texts_sha256"]["adapter"] == digest


def test_kto_has_a_thumb_for_each_answer_and_two_down_where_both_are_bad(answered, completions):
    ballot = voted(answered, completions, "mia", {"id00": "adapter", "id04": "both_bad"})
    found, why = winners([ballot], {}, source="votes")
    made = rows_of(completions, found, "kto", why)
    assert [(r["completion"][0]["content"], r["label"]) for r in made.rows] == [
        ('{"n": 0}', True),
        ("base words 0", False),
        ("base words 4", False),
        ('{"n": 4}', False),
    ]


def test_votes_that_are_not_revealed_tell_nothing(answered, completions):
    ballot = Ballot(answered, completions, rater="mia")
    ballot.vote(ballot.pairs[0], "left")
    assert winners(read_ballots(answered, completions), {}, source="both") == ({}, {})


def test_a_vote_counts_more_than_a_verdict_and_a_weak_verdict_can_be_left_out(
    answered, completions
):
    ballot = voted(answered, completions, "mia", {"id00": "base"})
    verdicts = dict([verdict("id00", "adapter"), verdict("id01", "adapter", clear=False)])
    found, _ = winners([ballot], verdicts, source="both", judge="opus")
    assert (found["id00"].outcome, found["id00"].by) == ("base", "votes")
    assert (found["id01"].outcome, found["id01"].who) == ("adapter", ["opus"])
    found, why = winners([ballot], verdicts, source="both", min_strength="clear")
    assert "id01" not in found
    assert why == {"id01": "verdict too weak"}
    found, _ = winners([ballot], verdicts, source="verdicts")
    assert found["id00"].outcome == "adapter"
    found, _ = winners([ballot], verdicts, source="votes")
    assert "id01" not in found


def test_rulings_of_the_review_are_followed(answered, completions):
    ids = ("id00", "id01", "id02")
    ballot = voted(answered, completions, "mia", dict.fromkeys(ids, "base"))
    verdicts = dict(verdict(key, "adapter") for key in ids)
    review = Review(answered, "mia", "opus")
    items = {item.pair: item for item in disagreements(ballot.decided(), verdicts)}
    review.rule(items["id00"], "judge")
    review.rule(items["id01"], "unclear")
    review.rule(items["id02"], "human")
    found, why = winners([ballot], verdicts, read_rulings(answered), source="both", judge="opus")
    assert {key: found[key].by for key in ("id00", "id02")} == {"id00": "verdict", "id02": "votes"}
    assert why == {"id01": "ruled unclear"}
    assert "id01" not in found


def test_a_ruling_that_was_taken_back_counts_for_nothing(answered, completions):
    ballot = voted(answered, completions, "mia", {"id00": "base", "id01": "base"})
    verdicts = dict(verdict(key, "adapter") for key in ("id00", "id01"))
    review = Review(answered, "mia", "opus")
    items = {item.pair: item for item in disagreements(ballot.decided(), verdicts)}
    for key in ("id00", "id01"):
        review.rule(items[key], "judge")
    review.rule(items["id00"], None)
    found, _ = winners([ballot], verdicts, read_rulings(answered), source="both", judge="opus")
    assert {key: found[key].by for key in ("id00", "id01")} == {"id00": "votes", "id01": "verdict"}


def test_answers_that_differ_in_the_space_around_them_alone_teach_nothing(completions):
    completions[0].adapter = f" {completions[0].base}\n"
    found = {"id00": Winner(outcome="adapter", by="verdict", who=["opus"])}
    made = rows_of(completions[:1], found)
    assert (made.rows, made.left_out) == ([], {"identical answers": 1})


def test_an_empty_answer_is_never_taught(answered, completions):
    completions[0].adapter = "  "
    found = {"id00": Winner(outcome="adapter", by="votes", who=["mia"])}
    made = rows_of(completions, found)
    assert made.rows == []
    assert made.left_out["the better answer is empty"] == 1
    assert [r["label"] for r in rows_of(completions, found, "kto").rows] == [False]


def test_where_the_better_answer_was_cut_nobody_is_taught_to_stop_there(completions):
    completions[0].adapter_stop = completions[1].base_stop = "length"
    found = {key: Winner(outcome="adapter", by="votes", who=["mia"]) for key in ("id00", "id01")}
    made = rows_of(completions[:2], found)
    assert [row["provenance"]["prompt_id"] for row in made.rows] == ["id01"]
    assert made.left_out == {"the better answer is cut": 1}
    thumbs = rows_of(completions[:1], found, "kto")
    assert [row["label"] for row in thumbs.rows] == [False]


def all_won(completions: list[Completion]) -> dict[str, Winner]:
    return {
        c.id: Winner(outcome="adapter", by="votes", who=["mia"])
        for c in completions
        if not c.identical
    }


def written(path: Path, answered: Path, completions: list[Completion], kind: str) -> Path:
    made = rows_of(completions, all_won(completions), kind)
    manifest = new_manifest(
        answered / "completions.jsonl",
        kind,
        "votes",
        run="support-v1",
        sides=SIDES,
        min_strength="slight",
        raters=["mia"],
        judge="",
    )
    write_export(path, made, manifest)
    return path


def test_nothing_is_written_over_and_the_manifest_says_what_is_there(
    answered, completions, tmp_path
):
    with pytest.raises(BadInput, match=r"there is no folder .*out: make it first"):
        written(tmp_path / "out" / "pairs.jsonl", answered, completions, "dpo")
    (tmp_path / "out").mkdir()
    with pytest.raises(BadInput, match=r"pairs\.csv would hold lines of JSON: give"):
        written(tmp_path / "out" / "pairs.csv", answered, completions, "dpo")
    assert not list((tmp_path / "out").iterdir())
    path = written(tmp_path / "out" / "pairs.jsonl", answered, completions, "dpo")
    manifest = json.loads((tmp_path / "out" / "pairs.manifest.json").read_text())
    assert manifest["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (manifest["rows"], manifest["pairs"], manifest["raters"]) == (6, 6, ["mia"])
    before = path.read_bytes()
    with pytest.raises(BadInput, match="nothing is written over"):
        written(path, answered, completions, "kto")
    assert path.read_bytes() == before
    with pytest.raises(BadInput, match="nothing to export"):
        write_export(tmp_path / "none.jsonl", rows_of(completions, {}), manifest_of(answered))
    assert not (tmp_path / "none.jsonl").exists()


def manifest_of(answered: Path):
    return new_manifest(
        answered / "completions.jsonl",
        "dpo",
        "votes",
        run="r",
        sides=SIDES,
        min_strength="slight",
        raters=[],
        judge="",
    )


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_the_data_room_opens_what_was_exported_and_finds_it_fit(
    answered, completions, tmp_path, kind
):
    raw = completions[7]
    raw.raw = "Q: 7\nA:"
    path = written(tmp_path / "out.jsonl", answered, completions, kind)
    rows = list(open_dataset(path))
    assert [fits(row, kind) for row in rows] == [None] * len(rows)
    example = example_of(rows[0], kind)
    assert example["prompt"] == completions[0].prompt
    if kind == "dpo":
        assert example["chosen"] == [{"role": "assistant", "content": '{"n": 0}'}]
    else:
        assert example["label"] is True
    assert example_of(rows[-1], kind)["prompt"] == "Q: 7\nA:"
    assert rows[0].tags["provenance"]["run"] == "support-v1"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_what_was_exported_trains(answered, completions, tmp_path, tiny_base, kind):
    """TRL's own trainer takes a few steps on it, and the loss is a number."""
    import math

    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = written(tmp_path / "out.jsonl", answered, completions, kind)
    examples = [example_of(row, kind) for row in open_dataset(path)]
    if kind == "dpo":
        from trl import DPOConfig as Config
        from trl import DPOTrainer as Trainer
    else:
        from trl import KTOConfig as Config
        from trl import KTOTrainer as Trainer
    trainer = Trainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_base),
        args=Config(
            output_dir=str(tmp_path / "trained"),
            max_steps=2,
            per_device_train_batch_size=2,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(tiny_base),
    )
    assert math.isfinite(trainer.train().training_loss)
    assert trainer.state.global_step == 2
