"""Each reason not to load an adapter, told from its headers alone."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuiwb.errors import BadInput
from tuiwb.serve.preflight import preflight, require

PREFIX = "base_model.model."
Q = "model.layers.0.self_attn.q_proj"


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A whole safetensors file of float32 zeros."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for n in shape:
            size *= n
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    head = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(at))


def pair(module: str, rank: int, into: int, out: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{PREFIX}{module}.lora_A.weight": (rank, into),
        f"{PREFIX}{module}.lora_B.weight": (out, rank),
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_safetensors(
        folder / "model-00001-of-00002.safetensors", {"model.embed_tokens.weight": (32, 8)}
    )
    write_safetensors(folder / "model-00002-of-00002.safetensors", {f"{Q}.weight": (16, 8)})
    return folder


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    def make_adapter(shapes: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir()
        plain = {"peft_type": "LORA", "r": 4, "bias": "none", **config}
        (folder / "adapter_config.json").write_text(json.dumps(plain))
        chosen = pair(Q, 4, 8, 16) if shapes is None else shapes
        write_safetensors(folder / "adapter_model.safetensors", chosen)
        return folder

    return make_adapter


def rules(adapter: Path, base: Path, **limits: Any) -> list[str]:
    return [problem.rule for problem in preflight(adapter, base, **limits)]


def test_a_fitting_adapter_on_a_sharded_base_passes(make: Any, base: Path) -> None:
    assert preflight(make(), base, max_rank=4) == []


def test_an_lm_head_adapter_passes_on_a_base_with_tied_embeddings(make: Any, base: Path) -> None:
    assert preflight(make(pair("lm_head", 4, 8, 32)), base) == []


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ({"peft_type": "IA3"}, "peft_type"),
        ({"r": 64}, "rank"),
        ({"rank_pattern": {"q_proj": 32}}, "rank"),
        ({"use_dora": True}, "dora"),
        ({"bias": "all"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"trainable_token_indices": [1]}, "not_linear"),
        ({"target_parameters": ["experts.w1"]}, "not_linear"),
    ],
)
def test_a_config_that_no_engine_serves_is_refused(
    make: Any, base: Path, config: dict[str, Any], rule: str
) -> None:
    assert rules(make(**config), base, max_rank=16) == [rule]


@pytest.mark.parametrize(
    ("shapes", "rule"),
    [
        (pair(Q, 4, 9, 16), "size"),
        (pair(Q, 4, 8, 15), "size"),
        (pair("model.layers.1.self_attn.q_proj", 4, 8, 16), "module"),
        (pair("language_model.layers.0.self_attn.q_proj", 4, 8, 16), "module"),
        ({**pair(Q, 4, 8, 16), "base_model.model.lm_head.weight": (32, 8)}, "keys"),
        ({f"{PREFIX}{Q}.lora_A.weight": (4, 8)}, "pair"),
        (
            {f"{PREFIX}{Q}.lora_A.weight": (4, 8), f"{PREFIX}{Q}.lora_B.weight": (16, 2)},
            "pair",
        ),
        ({}, "empty"),
    ],
)
def test_weights_that_do_not_fit_the_base_are_refused(
    make: Any, base: Path, shapes: dict[str, tuple[int, ...]], rule: str
) -> None:
    assert rules(make(shapes), base) == [rule]


def test_truncated_weights_are_refused_with_both_sizes(make: Any, base: Path) -> None:
    adapter = make()
    weights = adapter / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    (problem,) = preflight(adapter, base)
    assert problem.rule == "weights"
    assert str(len(whole)) in problem.message
    assert str(len(whole) - 10) in problem.message


@pytest.mark.parametrize("data", [b"", b"\x00" * 4, b"\xff" * 64, struct.pack("<Q", 4) + b"[1]]"])
def test_a_file_that_is_no_safetensors_is_refused(make: Any, base: Path, data: bytes) -> None:
    adapter = make()
    (adapter / "adapter_model.safetensors").write_bytes(data)
    assert rules(adapter, base) == ["weights"]


def test_pickled_weights_are_never_loaded(make: Any, base: Path) -> None:
    adapter = make()
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    (problem,) = preflight(adapter, base)
    assert "pickle" in problem.message


def test_a_missing_or_broken_config_is_refused(make: Any, base: Path, tmp_path: Path) -> None:
    adapter = make()
    (adapter / "adapter_config.json").write_bytes(b"\xff{")
    assert rules(adapter, base) == ["config"]
    assert rules(tmp_path / "nowhere", base) == ["config"]


def test_a_base_without_safetensors_is_said_to_be_so(make: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert rules(make(), empty) == ["base"]


def test_packed_weights_of_a_quantised_base_are_not_compared_by_size(make: Any, base: Path) -> None:
    (base / "config.json").write_text('{"quantization_config": {}}')
    assert preflight(make(pair(Q, 4, 9, 15)), base) == []


def test_require_raises_the_first_problem_as_a_sentence(make: Any, base: Path) -> None:
    with pytest.raises(BadInput, match="trained on another base"):
        require(make(pair(Q, 4, 9, 16)), base)
