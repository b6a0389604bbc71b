"""Two runs of one config on two bases."""

from typing import Any

from tuiwb.monitor.triage import Triage
from tuiwb.monitor.triage.bases import Outcome


def outcome(name: str, created: float, **more: Any) -> Outcome:
    given: dict[str, Any] = {
        "base": f"/models/{name}",
        "fingerprint": name,
        "data": ["sha256:1"],
        "config": {"method": "sft", "lora": {"r": 8}, "training": {"seed": 1, "max_steps": 9}},
        "words": 32000,
    }
    return Outcome(name=name, created=created, **(given | more))


def said(run: Outcome, *others: Outcome) -> list[str]:
    return [alert.evidence for alert in Triage({}).see_runs(run, others)]


def test_a_worse_held_out_loss_on_a_new_base_is_told_with_both_figures() -> None:
    old, new = outcome("old", 1.0, eval_loss=1.0), outcome("new", 2.0, eval_loss=1.3)
    (evidence,) = said(new, old)
    assert evidence.startswith("eval_loss ended at 1.3; it was 1 (run old")
    (alert,) = Triage({}).see_runs(new, [old])
    assert alert.change == {"model.base": "/models/old"}


def test_what_is_no_change_of_base_alone_is_not_compared() -> None:
    old, worse = outcome("old", 1.0, eval_loss=1.0), {"eval_loss": 1.5}
    assert said(outcome("new", 2.0, data=["sha256:2"], **worse), old) == []
    other = {"method": "sft", "lora": {"r": 16}, "training": {"seed": 1, "max_steps": 9}}
    assert said(outcome("new", 2.0, config=other, **worse), old) == []
    assert said(outcome("new", 2.0, fingerprint="old", **worse), old) == []
    assert said(outcome("new", 0.5, **worse), old) == [], "the other run came later"
    assert said(outcome("new", 2.0, words=50000, **worse), old) == [], "losses of two tokenizers"
    assert said(outcome("new", 2.0, eval_loss=1.02), old) == [], "within a seed's difference"


def test_a_seed_may_differ_and_scores_count_where_tokenizers_differ() -> None:
    seeded = {"method": "sft", "lora": {"r": 8}, "training": {"seed": 7, "max_steps": 9}}
    old = outcome("old", 1.0, metric="json_valid", score=0.95)
    new = outcome("new", 2.0, words=50000, config=seeded, metric="json_valid", score=0.6)
    assert said(new, old) == ["json_valid is 60%; it was 95% (run old, same config and data, "
                              "other base)"]  # fmt: skip
