"""Blind votes: sides, autosave, undo, resume, reveal."""

import json
import resource
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.compare.completions import Completion, read_completions
from tuiwb.compare.vote import ballot as ballot_module
from tuiwb.compare.vote.ballot import Ballot, Pair, make_session, outcome, side_of, votes_name
from tuiwb.compare.vote.raters import read_ballots
from tuiwb.errors import BadInput


@pytest.fixture
def completions(answered):
    return read_completions(answered)


def vote_adapter(ballot, pair):
    ballot.vote(pair, "left" if pair.left == "adapter" else "right")


def test_sides_are_seeded_balanced_and_stored(answered, completions):
    ballot = Ballot(answered, completions, seed=7)
    stored = json.loads((answered / "votes.jsonl").read_text().splitlines()[0])
    assert [p["left"] for p in stored["pairs"]] == [p.left for p in ballot.pairs]
    assert all(p.left == side_of(7, p.id) for p in ballot.pairs if not p.repeat)
    lefts = [side_of(0, str(i)) for i in range(2000)]
    assert 900 < lefts.count("adapter") < 1100
    assert [side_of(1, str(i)) for i in range(50)] != [side_of(2, str(i)) for i in range(50)]


def test_another_seed_at_reopening_changes_no_side(answered, completions):
    first = Ballot(answered, completions, seed=1).pairs
    assert Ballot(answered, completions, seed=2).pairs == first


def test_identical_answers_are_ties_that_nobody_is_asked_about(answered, completions):
    ballot = Ballot(answered, completions)
    assert {p.id for p in ballot.pairs}.isdisjoint({"id03", "id06"})
    assert ballot.reveal().identical == 2
    assert ballot.tally().counts.ties == 2


def test_repeats_come_last_with_sides_swapped_and_measure_consistency(answered, completions):
    ballot = Ballot(answered, completions)
    again = [p for p in ballot.pairs if p.repeat]
    assert len(again) == 3
    assert ballot.pairs[-3:] == again
    firsts = {p.id: p for p in ballot.pairs if not p.repeat}
    assert all(p.left != firsts[p.id].left for p in again)
    for pair in ballot.pairs[:-1]:
        vote_adapter(ballot, pair)
    # Blindly pressing the same side again is inconsistent.
    ballot.vote(again[-1], ballot.choice(firsts[again[-1].id]))
    tally = ballot.reveal()
    assert (tally.repeated, tally.consistent) == (3, 2)
    assert (tally.counts.wins, tally.counts.losses) == (6, 0)


def test_fifty_differing_pairs_get_five_repeats():
    many = [
        Completion(id=f"{i}", index=i, line=i, prompt=[], base="a", adapter="b") for i in range(50)
    ]
    assert len(make_session(many).pairs) == 55


def test_votes_survive_and_the_next_ballot_goes_on_at_the_first_open_pair(answered, completions):
    ballot = Ballot(answered, completions)
    for pair in ballot.pairs[:3]:
        ballot.vote(pair, "tie")
    with (answered / "votes.jsonl").open("ab") as file:
        file.write(b'{"type":"vote","pair":"id0')
    again = Ballot(answered, completions)
    assert again.voted == 3
    assert again.next_open() == 3
    again.vote(again.pairs[3], "left")
    assert Ballot(answered, completions).voted == 4


def test_undo_takes_votes_back_in_reverse_even_after_reopening(answered, completions):
    ballot = Ballot(answered, completions)
    one, two = ballot.pairs[:2]
    ballot.vote(one, "left")
    ballot.vote(two, "right")
    ballot.vote(one, "tie")
    again = Ballot(answered, completions)
    assert again.undo() == one
    assert again.choice(one) is None
    assert again.undo() == two
    assert again.undo() is None
    assert Ballot(answered, completions).voted == 0


def test_nothing_is_told_before_the_reveal_and_nothing_changes_after_it(answered, completions):
    ballot = Ballot(answered, completions)
    ballot.vote(ballot.pairs[0], "left")
    assert ballot.tally() is None
    assert ballot.winners() == {}
    ballot.reveal()
    for reopened in (ballot, Ballot(answered, completions)):
        assert reopened.tally() is not None
        with pytest.raises(BadInput, match="locks the votes"):
            reopened.vote(reopened.pairs[1], "left")
        with pytest.raises(BadInput, match="locks the votes"):
            reopened.undo()


def test_skips_are_left_out_and_both_bad_is_a_tie(answered, completions):
    ballot = Ballot(answered, completions)
    ballot.vote(ballot.pairs[0], "skip")
    ballot.vote(ballot.pairs[1], "both_bad")
    tally = ballot.reveal()
    assert (tally.skipped, tally.both_bad, tally.open) == (1, 1, 4)
    assert tally.counts.ties == 2 + 1


def test_a_vote_that_finds_no_room_is_refused_and_leaves_no_half_line(answered, completions):
    ballot = Ballot(answered, completions)
    path = answered / "votes.jsonl"
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # The file may grow by ten bytes: a part of the line is written, the rest is not.
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        with pytest.raises(BadInput, match="could not be saved"):
            ballot.vote(ballot.pairs[0], "left")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.read_bytes() == before
    assert ballot.choice(ballot.pairs[0]) is None
    ballot.vote(ballot.pairs[0], "left")
    assert Ballot(answered, completions).voted == 1


def test_next_open_goes_round(answered, completions):
    ballot = Ballot(answered, completions)
    for place in range(1, len(ballot.pairs)):
        ballot.vote(ballot.pairs[place], "tie")
    assert ballot.next_open(after=4) == 0
    ballot.vote(ballot.pairs[0], "tie")
    assert ballot.next_open() is None


def test_votes_on_other_texts_are_refused_not_mixed(answered, completions):
    Ballot(answered, completions)
    completions[0].adapter = "changed"
    with pytest.raises(BadInput, match="other answers"):
        Ballot(answered, completions)


def test_a_comparison_without_an_adapter_has_nothing_to_vote_on(answered, completions):
    completions[0].adapter = None
    with pytest.raises(BadInput, match="no pairs to vote on"):
        Ballot(answered, completions)


@given(st.sampled_from(["base", "adapter"]), st.sampled_from(["left", "right"]))
def test_swapping_sides_swaps_the_outcome(left, choice):
    other = "base" if left == "adapter" else "adapter"
    one = outcome(Pair(id="x", left=left), choice)
    assert {one, outcome(Pair(id="x", left=other), choice)} == {"base", "adapter"}


def test_answers_that_differ_in_the_space_around_them_alone_are_a_tie(answered, completions):
    completions[0].adapter = completions[0].base + " \n"
    session = make_session(completions)
    assert completions[0].id in session.identical
    assert completions[0].id not in {pair.id for pair in session.pairs}


def test_two_terminals_of_one_rater_see_each_others_votes(answered, completions):
    here = Ballot(answered, completions, rater="mia")
    there = Ballot(answered, completions, rater="mia")
    here.vote(here.pairs[0], "left")
    there.catch_up()
    assert there.choice(there.pairs[0]) == "left"
    there.reveal()
    with pytest.raises(BadInput, match="locks the votes"):
        here.vote(here.pairs[1], "right")


def test_two_terminals_that_begin_at_once_have_the_same_sides(answered, completions, monkeypatch):
    begun = []

    def another_is_quicker(*args, **more):
        if not begun:
            begun.append(None)
            begun[0] = Ballot(answered, completions, seed=2)
            vote_adapter(begun[0], begun[0].pairs[0])
        return make_session(*args, **more)

    monkeypatch.setattr(ballot_module, "make_session", another_is_quicker)
    ballot = Ballot(answered, completions, seed=1)
    (other,) = begun
    assert ballot.pairs == other.pairs
    assert ballot.voted == 1
    for pair in ballot.pairs[1:]:
        vote_adapter(ballot, pair)
    # Whoever reads the file takes every vote for what its rater saw.
    counts = Ballot(answered, completions).reveal().counts
    assert (counts.wins, counts.losses) == (6, 0)


def test_a_comparison_that_goes_on_keeps_the_votes_there_are(answered, completions):
    early = Ballot(answered, completions[:5])
    vote_adapter(early, early.pairs[0])
    later = Ballot(answered, completions)
    assert later.pairs == early.pairs
    assert (later.voted, later.not_asked) == (1, 3)
    assert [b.voted for b in read_ballots(answered, completions)] == [1]
    # One who begins now is asked about all.
    assert Ballot(answered, completions, rater="kim").not_asked == 0
    # An answer that is gone or another is no longer what was voted on.
    with pytest.raises(BadInput, match="other answers"):
        Ballot(answered, completions[1:])


def test_votes_that_cannot_be_read_are_a_sentence(answered, completions):
    ballot = Ballot(answered, completions)
    ballot.path.unlink()
    ballot.path.mkdir()
    with pytest.raises(BadInput, match="can't be read"):
        ballot.vote(ballot.pairs[0], "left")


def test_a_vote_never_lands_in_a_comparison_made_anew_meanwhile(answered, completions):
    ballot = Ballot(answered, completions)
    answered.rename(answered.with_name("compare-1"))
    with pytest.raises(BadInput, match="set aside"):
        ballot.vote(ballot.pairs[0], "left")
    answered.mkdir()
    Ballot(answered, completions)
    with pytest.raises(BadInput, match="set aside"):
        ballot.vote(ballot.pairs[0], "left")
    assert Ballot(answered, completions).voted == 0


def test_votes_on_pairs_read_with_names_are_counted_as_not_blind(answered, completions):
    ballot = Ballot(answered, completions)
    one, two, three = (pair for pair in ballot.pairs[:3])
    ballot.vote(one, "left")
    ballot.saw([one.id, two.id])
    ballot.vote(two, "right", seconds=4.0)
    ballot.vote(three, "right", seconds=2.0)
    again = Ballot(answered, completions)
    tally = again.reveal()
    assert (tally.not_blind, tally.seconds) == (1, 3.0)


def test_a_note_stands_until_an_empty_one_and_survives(answered, completions):
    ballot = Ballot(answered, completions, rater="mia")
    ballot.write_note("id00", "  both forget the date \ud800 ")
    assert Ballot(answered, completions, rater="mia").note("id00") == "both forget the date ?"
    assert Ballot(answered, completions, rater="kim").note("id00") == ""
    ballot.write_note("id00", "")
    assert ballot.note("id00") == ""


def test_further_sides_have_a_file_of_their_own_whatever_they_are_called():
    assert votes_name() == votes_name("base", "adapter") == "votes.jsonl"
    assert votes_name("base", "other") == "votes-base-other.jsonl"
    names = {
        votes_name(*pair)
        for pair in (("a-b", "c"), ("a", "b-c"), ("a", "../../b"), ("a", "..%b"), ("a", "x" * 300))
    }
    assert len(names) == 5
    assert all("/" not in name and len(name) < 120 for name in names)
