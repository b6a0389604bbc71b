"""What the headless demo makes of its figures: slow is told, only what was learned can fall short.

`make demo` runs the flow itself.
"""

import msgspec

from tuiwb.cli.demo import MOST_SECONDS, Figures, exit_code, judged, report

GOOD = Figures(
    project="demo",
    run="support-lora-v1",
    findings={"duplicate": 3},
    train_seconds=MOST_SECONDS - 1.0,
    steps=455,
    final_loss=0.1,
    heldout_loss=0.2,
    prompts=50,
    base_valid_json=0,
    tuned_valid_json=50,
    tuned_all_fields=38,
    tuned_exact=30,
    compare_seconds=9.0,
    served={},
)


def test_a_demo_whose_figures_hold_says_so() -> None:
    found = judged(GOOD)
    assert (exit_code(found), found.slow, found.missed) == (0, "", [])
    assert "all figures hold" in report(found)[-1]


def test_a_slow_machine_is_told_and_is_no_failure() -> None:
    found = judged(msgspec.structs.replace(GOOD, train_seconds=388.0))
    assert exit_code(found) == 0
    words = "\n".join(report(found))
    assert "training took 6m28s, more than the 3m00s of two free cores" in words
    assert "all figures hold" in words
    assert "fell short" not in words


def test_what_was_learned_can_fall_short() -> None:
    found = judged(msgspec.structs.replace(GOOD, tuned_all_fields=20, base_valid_json=1))
    assert exit_code(found) == 1
    assert report(found)[-1] == (
        "  fell short: the base answered in valid JSON; all fields on fewer than 35"
    )
