"""The review queue: where a person and the judge disagree, and who was right."""

from tuiwb.compare.judge.protocol import PairVerdict
from tuiwb.compare.judge.review import Review, disagreements


def verdicts():
    said = {"a": "adapter", "b": "base", "c": "tie", "d": "adapter", "e": "invalid"}
    return {key: PairVerdict(pair=key, outcome=who) for key, who in said.items()}


WINNERS = {"c": "base", "a": "base", "b": "base", "e": "adapter", "d": "tie", "x": "adapter"}


def test_the_queue_holds_what_differs_opposite_winners_first():
    found = disagreements(WINNERS, verdicts())
    assert [(d.pair, d.opposite) for d in found] == [("a", True), ("c", False), ("d", False)]


def test_rulings_are_kept_per_rater_and_judge_and_can_be_taken_back(tmp_path):
    items = disagreements(WINNERS, verdicts())
    review = Review(tmp_path, "mia", "opus")
    review.rule(items[0], "judge")
    review.rule(items[1], "human")
    review.rule(items[2], "unclear")
    review.rule(items[1], None)
    again = Review(tmp_path, "mia", "opus")
    assert again.count(items) == {"human": 0, "judge": 1, "unclear": 1, "open": 1}
    assert Review(tmp_path, "kim", "opus").ruling(items[0]) is None
    assert Review(tmp_path, "mia", "sonnet").ruling(items[0]) is None


def test_a_ruling_does_not_outlive_the_verdict_it_was_on(tmp_path):
    review = Review(tmp_path, "mia")
    review.rule(disagreements(WINNERS, verdicts())[0], "human")
    changed = verdicts() | {"a": PairVerdict(pair="a", outcome="tie")}
    item = next(d for d in disagreements(WINNERS, changed) if d.pair == "a")
    assert Review(tmp_path, "mia").ruling(item) is None
