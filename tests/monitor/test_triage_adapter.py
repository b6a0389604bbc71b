"""An adapter on disk, looked at without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.monitor.test_triage_rules import SPEC
from tuiwb.monitor.triage import Triage
from tuiwb.monitor.triage.adapter import read_adapter
from tuiwb.monitor.triage.facts import AdapterFacts, Answers, Scores

MODULES = [f"model.layers.{n}.self_attn.q_proj" for n in range(4)]


def write(root: Path, *, b_scale: float, alpha: int = 32, **config: Any) -> tuple[Path, Path]:
    draw = np.random.default_rng(0)
    adapter, base = root / "adapter", root / "base"
    adapter.mkdir()
    base.mkdir()
    weights, tensors = {}, {}
    for module in MODULES:
        weights[f"{module}.weight"] = draw.standard_normal((24, 16)).astype(np.float32)
        stem = f"base_model.model.{module}"
        tensors[f"{stem}.lora_A.weight"] = draw.standard_normal((8, 16)).astype(np.float32)
        b = b_scale * draw.standard_normal((24, 8)).astype(np.float32)
        tensors[f"{stem}.lora_B.weight"] = b.astype(np.float32)
    save_file(weights, base / "model.safetensors")
    save_file(tensors, adapter / "adapter_model.safetensors")
    settings = {"r": 8, "lora_alpha": alpha, **config}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    return adapter, base


def test_the_update_is_measured_against_the_base(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    adapter, base = write(tmp_path, b_scale=0.01)
    facts = read_adapter(adapter, base)
    assert facts is not None
    tensors, weights = (
        load_file(adapter / "adapter_model.safetensors"),
        load_file(base / "model.safetensors"),
    )
    whole = []
    for module in MODULES:
        a = tensors[f"base_model.model.{module}.lora_A.weight"]
        b = tensors[f"base_model.model.{module}.lora_B.weight"]
        whole.append(4.0 * np.linalg.norm(b @ a) / np.linalg.norm(weights[f"{module}.weight"]))
    assert (facts.matrices, facts.zero, facts.scale) == (4, 0, 4.0)
    assert facts.update == pytest.approx(max(whole), rel=1e-5)


def test_an_adapter_that_was_never_trained_is_all_zero(tmp_path: Path) -> None:
    adapter, base = write(tmp_path, b_scale=0.0)
    facts = read_adapter(adapter, base)
    assert facts == AdapterFacts(matrices=4, zero=4, scale=4.0, update=0.0)
    (alert,) = Triage(SPEC).see_adapter(facts, 10)
    assert (alert.rule, alert.severity) == ("adapter_not_applied", "critical")


def test_rslora_and_bfloat16_are_read(tmp_path: Path) -> None:
    adapter, base = write(tmp_path, b_scale=0.01, alpha=8, use_rslora=True)
    exact = read_adapter(adapter, base)
    assert exact is not None
    assert exact.scale == pytest.approx(8 / 8**0.5)
    path = adapter / "adapter_model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header, body = json.loads(raw[8 : 8 + length]), raw[8 + length :]
    header.pop("__metadata__", None)
    halves, at = b"", 0
    for tensor in header.values():
        start, end = tensor["data_offsets"]
        upper = (np.frombuffer(body[start:end], "<u4") >> 16).astype("<u2").tobytes()
        halves += upper
        tensor |= {"dtype": "BF16", "data_offsets": [at, at + len(upper)]}
        at += len(upper)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + halves)
    rounded = read_adapter(adapter, base)
    assert rounded is not None
    assert rounded.update == pytest.approx(exact.update, rel=0.02)


def test_without_a_base_the_scale_still_tells_and_a_broken_file_tells_nothing(
    tmp_path: Path,
) -> None:
    adapter, _ = write(tmp_path, b_scale=0.01, alpha=0)
    facts = read_adapter(adapter)
    assert facts is not None
    assert facts.update is None
    low = {**SPEC, "lora": {"r": 16, "lora_alpha": 0}}
    (alert,) = Triage(low).see_adapter(facts)
    assert (alert.rule, alert.change) == ("adapter_weak", {"lora.lora_alpha": 32})
    path = adapter / "adapter_model.safetensors"
    for broken in (b"", b"\xff" * 100, path.read_bytes()[:-100]):
        path.write_bytes(broken)
        assert read_adapter(adapter) is None


def answered(**more: Any) -> Answers:
    return Answers(**({"prompts": "/d/h.jsonl", "heldout": True, "n": 20, "identical": 0} | more))


def said(answers: Answers) -> dict[str, str]:
    return {alert.rule: alert.severity for alert in Triage(SPEC).see_answers(answers)}


def test_answers_that_are_the_bases_own_are_an_adapter_too_weak_on_held_out_rows_only() -> None:
    assert said(answered(identical=19)) == {"adapter_weak": "warning"}
    assert said(answered(identical=19, heldout=False)) == {}, "general questions should not change"
    assert said(answered(logit_difference=0.0)) == {"adapter_not_applied": "critical"}
    assert said(answered(identical=10)) == {}


def test_broken_formats_and_lost_knowledge_are_told_when_they_are_sure() -> None:
    def json_valid(share: float) -> Answers:
        scores = Scores(name="json_valid", n=20, base=0.0, adapter=share, better=20)
        return answered(metrics=[scores], not_json=["/d/h.jsonl:3"])

    assert said(json_valid(1.0)) == {}
    assert said(json_valid(0.8)) == {"format_violations": "warning"}
    assert said(json_valid(0.1)) == {"format_violations": "critical"}
    lost = Scores(name="normalised_match", n=80, base=1.0, adapter=0.7, worse=24, p=1e-7)
    assert said(answered(heldout=False, metrics=[lost])) == {"forgetting": "critical"}
    assert said(answered(metrics=[lost])) == {"worse_than_base": "critical"}
    unsure = Scores(name="normalised_match", n=80, base=1.0, adapter=0.975, worse=2, p=0.5)
    assert said(answered(heldout=False, metrics=[unsure])) == {}


@pytest.mark.parametrize("config", ["[" * 100_000, '{"r": 0, "lora_alpha": 8}', "[]", '{"r": "x"}'])
def test_a_configuration_that_makes_no_sense_tells_nothing(tmp_path: Path, config: str) -> None:
    adapter, base = write(tmp_path, b_scale=0.01)
    (adapter / "adapter_config.json").write_text(config)
    assert read_adapter(adapter, base) is None
