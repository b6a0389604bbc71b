"""The rules on sequences made by hand: what they wait for, what they forgive, when they clear."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuiwb.jobs.events import Alert, AnyEvent, Metrics, State
from tuiwb.monitor.triage import Triage, cleared, open_alerts
from tuiwb.monitor.triage.facts import AdapterFacts, DataFacts
from tuiwb.monitor.triage.rule import Batch

SPEC: dict[str, Any] = {
    "method": "sft",
    "data": {"train": ["/d/train.jsonl"], "heldout": "/d/heldout.jsonl"},
    "model": {"base": "/m"},
    "lora": {"r": 16, "lora_alpha": 32},
    "training": {
        "learning_rate": 2e-4,
        "max_grad_norm": 1.0,
        "warmup_steps": 0,
        "max_steps": -1,
        "num_train_epochs": 3.0,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
        "max_length": 1024,
        "optim": "adamw_torch_fused",
        "lr_scheduler_type": "cosine",
        "eval_strategy": "epoch",
    },
}


def spec(**training: Any) -> dict[str, Any]:
    return {**SPEC, "training": SPEC["training"] | training}


def logged(step: int, loss: float, total: int = 1000, **values: float) -> Metrics:
    return Metrics(
        step=step,
        total_steps=total,
        epoch=step / 100,
        t=1000.0 + step,
        values={"loss": loss, "grad_norm": 1.0} | values,
    )


def evaluated(step: int, loss: float) -> Metrics:
    return Metrics(step=step, total_steps=1000, epoch=step / 100, values={"eval_loss": loss})


def falling(steps: Sequence[int], seed: int = 0, noise: float = 0.08) -> list[AnyEvent]:
    """A loss that falls from 2 to about 1 with noise, as a sound run's does."""
    draw = random.Random(seed)
    return [logged(s, (1 + math.exp(-s / 50)) * (1 + draw.gauss(0, noise))) for s in steps]


def rules(alerts: Sequence[Alert]) -> list[str]:
    return [alert.rule for alert in alerts if not cleared(alert)]


@pytest.mark.parametrize("every", [1, 5, 20])
@pytest.mark.parametrize("seed", range(20))
def test_a_noisy_loss_that_falls_raises_nothing(every: int, seed: int) -> None:
    events = falling(range(1, 400, every), seed, noise=0.15)
    assert rules(Triage(SPEC).add(events)) == []


def test_a_spike_fires_once_names_the_worst_batch_and_clears() -> None:
    asked = []

    def worst(first: int, last: int) -> Batch:
        asked.append((first, last))
        return Batch(98, 9.5, ["/d/train.jsonl:7", "/d/train.jsonl:9"])

    triage = Triage(SPEC, worst_batch=worst)
    events = falling(range(10, 100, 10))
    said = triage.add([*events, logged(100, 6.0), logged(110, 6.2)])
    assert rules(said) == ["loss_spike"]
    assert asked == [(91, 100)], "the steps since the log entry before"
    assert said[0].rows == ["/d/train.jsonl:7", "/d/train.jsonl:9"]
    assert "step 98 with loss 9.5" in said[0].evidence
    later = triage.add([logged(120, 1.1), logged(130, 1.1), logged(140, 1.1)])
    assert any(cleared(alert) and alert.rule == "loss_spike" for alert in later)
    assert triage.open == {}


def test_two_spikes_far_apart_are_two_episodes() -> None:
    events = falling(range(1, 300))
    events[100] = logged(101, 8.0)
    events[200] = logged(201, 8.0)
    assert rules(Triage(SPEC).add(events)) == ["loss_spike", "loss_spike"]


def test_a_loss_that_leaves_and_stays_away_is_a_learning_rate_too_high() -> None:
    events = [*falling(range(1, 60)), *(logged(s, 5.0) for s in range(60, 90))]
    said = Triage(spec(learning_rate=5e-3, max_grad_norm=0.0)).add(events)
    alert = next(a for a in said if a.rule == "learning_rate_high")
    assert alert.change["training.learning_rate"] == 1e-3
    assert alert.change["training.max_grad_norm"] == 1.0
    assert alert.change["training.warmup_steps"] == 0.05
    assert rules(said).count("learning_rate_high") == 1


def test_a_flat_loss_at_a_tiny_rate_is_a_rate_too_low_and_at_a_usual_one_a_plateau() -> None:
    draw = random.Random(1)
    flat = [logged(s, 2.0 + draw.gauss(0, 0.02), total=100) for s in range(1, 101)]
    low = [a for a in Triage(spec(learning_rate=1e-6)).add(flat) if a.rule != "no_heldout"]
    assert rules(low) == ["learning_rate_low"]
    assert low[0].change == {"training.learning_rate": 2e-4}
    assert rules(Triage(SPEC).add(flat)) == ["plateau"]
    sgd = Triage(spec(optim="sgd")).add(flat)
    assert sgd[0].change["training.optim"] == "adamw_torch_fused"


def test_a_flat_loss_within_the_warm_up_raises_nothing_yet() -> None:
    flat = [logged(s, 2.0, total=1000) for s in range(1, 101)]
    assert rules(Triage(spec(warmup_steps=0.1)).add(flat)) == []


def test_a_plateau_clears_when_the_loss_falls_after_all() -> None:
    events: list[AnyEvent] = [logged(s, 2.0, total=200) for s in range(1, 110)]
    triage = Triage(SPEC)
    first = triage.add(events)
    assert rules(first) == ["plateau"]
    said = triage.add([logged(s, 1.2, total=200) for s in range(110, 200)])
    assert [a.rule for a in said if cleared(a)] == ["plateau"]
    assert open_alerts([*first, *said]) == []


def test_overfitting_names_the_step_where_the_held_out_loss_bottomed_out() -> None:
    events: list[AnyEvent] = []
    for epoch, held in enumerate([1.4, 1.1, 1.0, 1.12, 1.25, 1.4], 1):
        events += [logged(100 * epoch - 50 + i, 1.2 / epoch) for i in range(0, 50, 10)]
        events.append(evaluated(100 * epoch, held))
    said = Triage(spec(num_train_epochs=6.0)).add(events)
    alert = next(a for a in said if a.rule == "overfitting")
    assert alert.numbers["best_step"] == 300
    assert "bottomed out at 1 in step 300 (epoch 3.00)" in alert.evidence
    assert alert.change == {"training.num_train_epochs": 3.0}
    assert rules(said).count("overfitting") == 1
    by_steps = Triage(spec(max_steps=600)).add(events)
    fixed = next(a for a in by_steps if a.rule == "overfitting")
    assert fixed.change == {"training.max_steps": 300}
    kept = Triage(spec(load_best_model_at_end=True)).add(events)
    assert next(a for a in kept if a.rule == "overfitting").severity == "note"


def test_a_held_out_loss_that_wobbles_is_no_overfitting() -> None:
    draw = random.Random(2)
    events: list[AnyEvent] = falling(range(1, 400, 5))
    events += [evaluated(s, 1.0 + draw.gauss(0, 0.015)) for s in range(400, 900, 20)]
    assert "overfitting" not in rules(Triage(SPEC).add(events))


def test_nan_is_told_once_for_each_metric_and_gradients_of_zero_after_two() -> None:
    triage = Triage(spec(fp16=True))
    said = triage.add([logged(s, math.nan, grad_norm=math.inf) for s in range(1, 5)])
    assert [a.evidence for a in said if a.rule == "not_finite"] == [
        "loss is nan at step 1",
        "grad_norm is inf at step 1",
    ]
    assert said[0].change["training.bf16"] is True
    zero = Triage(SPEC)
    assert rules(zero.add([logged(1, 2.0, grad_norm=0.0)])) == []
    assert rules(zero.add([logged(2, 2.0, grad_norm=0.0)])) == ["zero_gradient"]
    assert rules(zero.add([logged(3, 2.0, grad_norm=0.0)])) == []


def test_in_fp16_a_gradient_that_overflows_now_and_then_is_the_loss_scale_at_work() -> None:
    def overflows(at: set[int]) -> list[AnyEvent]:
        return [
            logged(s, 2.0 - s / 50, grad_norm=math.inf if s in at else 1.0) for s in range(1, 40)
        ]

    half = spec(fp16=True)
    assert rules(Triage(half).add(overflows({1, 2, 20}))) == []
    assert rules(Triage(half).add(overflows({20, 21, 22}))) == ["not_finite"]
    assert rules(Triage(SPEC).add(overflows({20}))) == ["not_finite"]


def test_no_fix_raises_the_learning_rate_beyond_what_lora_takes() -> None:
    draw = random.Random(1)
    flat = [logged(s, 2.0 + draw.gauss(0, 0.02), total=100) for s in range(1, 101)]
    (beyond,) = Triage(spec(learning_rate=0.05)).add(flat)
    assert (beyond.rule, beyond.severity) == ("plateau", "warning")
    assert beyond.change == {"training.learning_rate": 2e-4}
    assert "above what LoRA takes" in beyond.cause
    (high,) = Triage(spec(learning_rate=1e-3)).add(flat)
    assert high.change == {"training.learning_rate": 2e-3}
    (top,) = Triage(spec(learning_rate=2e-3)).add(flat)
    assert (top.change, top.fix) == ({}, "look at the data")
    weak = AdapterFacts(matrices=4, zero=0, scale=2.0, update=1e-4)
    for rate, change in ((2e-4, 1e-3), (1e-3, 2e-3), (5e-3, None)):
        (alert,) = Triage(spec(learning_rate=rate)).see_adapter(weak)
        assert alert.change.get("training.learning_rate") == change


def test_the_loss_of_dynamic_fine_tuning_may_stay_flat() -> None:
    flat = [logged(s, 0.3, total=100) for s in range(1, 101)]
    assert rules(Triage(spec(loss_type="dft")).add(flat)) == []
    assert rules(Triage(SPEC).add(flat)) == ["plateau"]


def test_a_held_out_loss_that_never_fell_asks_for_a_lower_rate_not_for_no_steps() -> None:
    events: list[AnyEvent] = [evaluated(0, 1.0)]
    for step, held in ((100, 1.2), (200, 1.4)):
        events += [logged(step - 50 + i, 1.0 - step / 1000) for i in range(0, 50, 10)]
        events.append(evaluated(step, held))
    said = Triage(spec(max_steps=600)).add(events)
    alert = next(a for a in said if a.rule == "overfitting")
    assert alert.numbers["best_step"] == 0
    assert alert.change == {"training.learning_rate": 4e-5}
    assert "end the run" not in alert.fix


def test_a_loss_below_zero_that_stays_is_not_above_its_lowest() -> None:
    events: list[AnyEvent] = []
    for step in range(100, 700, 100):
        events += [logged(step - 50 + i, -2.0 - step / 1000) for i in range(0, 50, 10)]
        events.append(evaluated(step, -2.0))
    assert "overfitting" not in rules(Triage(SPEC).add(events))


def test_a_first_loss_worse_than_guessing_is_told_for_sft_only() -> None:
    facts = DataFacts(rows=10, vocabulary=32000)
    for method, expected in (("sft", ["first_loss"]), ("dpo", [])):
        triage = Triage({**SPEC, "method": method})
        triage.learn(facts)
        assert rules(triage.add([logged(1, 11.2)])) == expected
    unknown = Triage(SPEC)
    assert rules(unknown.add([logged(1, 11.2)])) == [], "without a vocabulary nothing is known"


def test_a_preference_run_with_its_own_metrics_raises_nothing() -> None:
    events = [
        logged(
            s,
            0.693 * math.exp(-s / 300),
            **{"rewards/accuracies": 0.7, "rewards/margins": s / 100, "logps/chosen": -50.0},
        )
        for s in range(1, 200, 5)
    ]
    assert rules(Triage({**SPEC, "method": "dpo"}).add(events)) == []


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped() -> None:
    events = falling(range(1, 300))
    events[200] = logged(201, 8.0)
    whole = Triage(SPEC).add(events)
    resumed = Triage(SPEC)
    resumed.add(events[:150])
    again = [State(state="starting"), *events[140:]]
    assert [(a.rule, a.step) for a in resumed.add(again)] == [(a.rule, a.step) for a in whole]


def test_data_alerts_grow_with_the_share_of_rows() -> None:
    def severity(**facts: Any) -> dict[str, str]:
        said = Triage(SPEC).learn(DataFacts(rows=1000, uncut=1000, **facts))
        return {alert.rule: alert.severity for alert in said}

    assert severity() == {}
    assert severity(cut=20, longest=3000) == {"rows_cut": "note"}
    assert severity(cut=200, longest=3000) == {"rows_cut": "warning"}
    assert severity(masked=400) == {"rows_masked": "critical"}
    assert severity(unstopped=1000) == {"stop_token": "critical"}
    assert severity(pad_is_eos=True) == {"pad_is_eos": "note"}
    assert severity(unknown_marks=["[INST]"]) == {"chat_template": "note"}
    wrong = severity(unknown_marks=["[INST]"], unused_marks=["<|im_start|>"])
    assert wrong == {"chat_template": "critical"}
    (alert,) = Triage(SPEC).learn(DataFacts(rows=10, cut=5, longest=1500))
    assert alert.change == {"training.max_length": 1536}


@pytest.mark.parametrize(
    ("training", "change"),
    [
        (
            {},
            {"training.per_device_train_batch_size": 4, "training.gradient_accumulation_steps": 2},
        ),
        (
            {"per_device_train_batch_size": 1, "gradient_checkpointing": False},
            {"training.gradient_checkpointing": True},
        ),
        ({"per_device_train_batch_size": 1}, {"training.max_length": 512}),
    ],
)
def test_out_of_memory_offers_the_next_thing_to_make_smaller(
    training: dict[str, Any], change: dict[str, Any]
) -> None:
    failed = State(state="failed", message="the GPU's memory is full: lower the batch")
    (alert,) = Triage(spec(**training)).add([failed])
    assert (alert.rule, alert.severity, alert.change) == ("out_of_memory", "critical", change)
    assert Triage(SPEC).add([State(state="failed", message="the disk is full")]) == []
    (killed,) = Triage(SPEC).see_death("killed by the kernel's OOM killer", "out_of_memory")
    assert killed.change == {}, "a smaller batch does not free the machine's memory"


def test_no_held_out_file_is_a_note_once() -> None:
    without = {**SPEC, "data": {"train": ["/d/a.jsonl"], "heldout": None}}
    said = Triage(without).add([logged(1, 1.0), logged(2, 1.0)])
    assert [(a.rule, a.severity) for a in said] == [("no_heldout", "note")]


numbers = st.floats(allow_nan=True, allow_infinity=True)
metrics = st.builds(
    lambda step, total, values: Metrics(step=step, total_steps=total, values=values),
    st.integers(0, 500),
    st.one_of(st.none(), st.integers(-1, 1000)),
    st.dictionaries(
        st.sampled_from(["loss", "grad_norm", "eval_loss", "tokens_per_second", "canary_loss"]),
        numbers,
    ),
)


@given(st.lists(metrics, max_size=60), st.sampled_from([{}, SPEC, {"training": None}]))
def test_no_sequence_of_numbers_breaks_a_rule(events: list[AnyEvent], some: dict[str, Any]) -> None:
    for alert in Triage(some).add(events):
        assert alert.rule
        assert alert.severity in ("note", "warning", "critical")


def test_a_change_to_what_is_set_already_is_not_offered() -> None:
    zero = [logged(s, 2.0, grad_norm=0.0) for s in (1, 2)]
    as_is = Triage({**SPEC, "lora": {"init_lora_weights": True}}).add(zero)
    assert [a.change for a in as_is if a.rule == "zero_gradient"] == [{}]
    other = Triage({**SPEC, "lora": {"init_lora_weights": "gaussian"}}).add(zero)
    assert other[-1].change == {"lora.init_lora_weights": True}
