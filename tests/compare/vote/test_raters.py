"""Several raters: a session each, sides of their own, agreement once they have revealed."""

import pytest

from tuiwb.compare.completions import Answer, Completion, paired, read_completions
from tuiwb.compare.vote.ballot import Ballot, side_of
from tuiwb.compare.vote.raters import (
    agreement_of,
    agreements,
    check_rater,
    majority,
    rater_of,
    raters_in,
    read_ballots,
    remember_rater,
    side_pairs,
)
from tuiwb.errors import BadInput
from tuiwb.project import Project


@pytest.fixture
def completions(answered):
    return read_completions(answered)


def vote_for(ballot: Ballot, side: str, pairs=None) -> None:
    for pair in ballot.pairs if pairs is None else pairs:
        ballot.vote(pair, "left" if pair.left == side else "right")


def test_each_rater_has_sides_votes_and_a_reveal_of_their_own(answered, completions):
    mia = Ballot(answered, completions, rater="mia", seed=3)
    kim = Ballot(answered, completions, rater="kim", seed=3)
    ids = [str(i) for i in range(60)]
    assert [side_of(3, i, "mia") for i in ids] != [side_of(3, i, "kim") for i in ids]
    vote_for(mia, "adapter")
    assert (kim.voted, kim.next_open()) == (0, 0)
    mia.reveal()
    assert Ballot(answered, completions, rater="kim").tally() is None
    kim.vote(kim.pairs[0], "tie")
    assert raters_in(answered) == ["mia", "kim"]


def test_raters_agree_only_on_what_both_decided_and_only_once_revealed(answered, completions):
    mia = Ballot(answered, completions, rater="mia")
    kim = Ballot(answered, completions, rater="kim")
    vote_for(mia, "adapter")
    firsts = [pair for pair in kim.pairs if not pair.repeat]
    vote_for(kim, "adapter", firsts[:3])
    kim.vote(firsts[3], "tie")
    kim.vote(firsts[4], "skip")
    mia.reveal()
    assert agreements(read_ballots(answered, completions)) == []
    kim.reveal()
    (found,) = agreements(read_ballots(answered, completions))
    assert (found.one, found.other, found.kappa.n) == ("mia", "kim", 4)
    assert found.kappa.agreement == pytest.approx(0.75)


def test_kappa_of_winners_is_the_textbook_one():
    # 20 agreed wins, 15 agreed losses, 5 and 10 crossed: Cohen's kappa 0.4 (Wikipedia's example).
    one = {str(i): "adapter" if i < 25 else "base" for i in range(50)}
    other = {str(i): "adapter" if i < 20 or 25 <= i < 35 else "base" for i in range(50)}
    found = agreement_of(one, other)
    assert found.n == 50
    assert found.kappa == pytest.approx(0.4)


def test_the_majority_decides_and_a_draw_is_a_tie(answered, completions):
    sides = {"mia": "adapter", "kim": "adapter", "joe": "base"}
    for rater, side in sides.items():
        ballot = Ballot(answered, completions, rater=rater)
        vote_for(ballot, side)
        ballot.reveal()
    won = majority(read_ballots(answered, completions))
    assert {who for key, who in won.items() if key not in ("id03", "id06")} == {"adapter"}
    two = [b for b in read_ballots(answered, completions) if b.rater != "mia"]
    assert set(majority(two).values()) == {"tie"}


def test_reading_ballots_writes_nothing_and_passes_over_votes_on_other_texts(answered, completions):
    Ballot(answered, completions, rater="mia")
    before = (answered / "votes.jsonl").read_bytes()
    assert [b.rater for b in read_ballots(answered, completions)] == ["mia"]
    completions[0].adapter = "another answer"
    assert read_ballots(answered, completions) == []
    assert (answered / "votes.jsonl").read_bytes() == before


def test_the_raters_name_comes_from_the_nearest_place_and_is_asked_once(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("TUIWB_RATER", raising=False)
    assert rater_of(Project(tmp_path)) is None
    remember_rater(Project(tmp_path), " Mia  Sue ")
    assert rater_of(Project(tmp_path)) == "Mia Sue"
    (tmp_path / "tuiwb.yaml").write_text("rater: kim\n")
    assert rater_of(Project(tmp_path)) == "kim"
    monkeypatch.setenv("TUIWB_RATER", "joe")
    assert rater_of(Project(tmp_path)) == "joe"
    assert rater_of(Project(tmp_path), "eve") == "eve"


@pytest.mark.parametrize("name", ["", "  ", "x" * 41, "a\x1b[31m", "a\u202eb"])
def test_a_name_that_could_harm_is_refused(name):
    with pytest.raises(BadInput, match="printable"):
        check_rater(name)


def test_any_two_sides_can_be_voted_on_apart(answered):
    spec = {"sides": [{"name": "base"}, {"name": "adapter"}, {"name": "run:checkpoint-10"}]}
    assert side_pairs(spec)[0] == ("base", "adapter")
    assert ("adapter", "run:checkpoint-10") in side_pairs(spec)
    completions = [
        Completion(
            id=f"i{n}",
            index=n,
            line=n,
            prompt=[],
            base=f"b{n}",
            adapter=f"a{n}",
            others={"run:checkpoint-10": Answer(text=f"c{n}")},
        )
        for n in range(4)
    ]
    sides = ("adapter", "run:checkpoint-10")
    ballot = Ballot(answered, paired(completions, *sides), rater="mia", sides=sides)
    vote_for(ballot, "base")
    assert ballot.reveal().counts.losses == 4
    assert not (answered / "votes.jsonl").exists()
    assert Ballot(answered, completions, rater="mia").voted == 0
