"""Batched decoding with real models: its texts are those of `generate`, a prompt at a time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.compare.builders import chat, make_adapter, write_rows
from tuiwb.compare.prompts import HeldOutPrompt, held_out

pytestmark = pytest.mark.slow

SYSTEM = {"role": "system", "content": "you answer where orders are and nothing else"}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> list[HeldOutPrompt]:
    """Eight chats of very different lengths that share a system turn."""
    rows = [
        chat("where is my order " * (1 + i % 5) + f"{i}?", f"it is late {i}") for i in range(12)
    ]
    for row in rows:
        row["messages"].insert(0, SYSTEM)
    return held_out(write_rows(tmp_path_factory.mktemp("rows") / "p.jsonl", rows), limit=50).prompts


@pytest.fixture(scope="module")
def loaded(tiny_base: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The tiny base with two adapters on it."""
    from tuiwb.compare.inference.loading import load_sides

    other = make_adapter(tiny_base, tmp_path_factory.mktemp("other") / "adapter", scale=0.3)
    sides = {"base": None, "adapter": str(tiny_adapter), "other": str(other)}
    return load_sides(str(tiny_base), sides, "float32")


@pytest.fixture(scope="module")
def alone(loaded: Any, prompts: list[HeldOutPrompt]) -> dict[tuple[str, str], str]:
    """What transformers' own `generate` says to each prompt on its own."""
    import torch

    from tuiwb.compare.inference.generation import encode

    found = {}
    for name, side in loaded.sides.items():
        for prompt in prompts:
            ids = torch.tensor([encode(loaded, prompt).ids])
            with loaded.only(side.adapter):
                out = loaded.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=14,
                    eos_token_id=side.stops,
                )
            text = side.tokenizer.decode(out[0, ids.shape[1] :])
            found[name, prompt.id] = text.removesuffix("<|im_end|>")
    return found


def said(
    loaded: Any, prompts: Sequence[HeldOutPrompt], names: Sequence[str], **asking: Any
) -> dict[tuple[str, str], str]:
    from tuiwb.compare.inference.generation import Asking, answers, encode

    encoded = [encode(loaded, prompt) for prompt in prompts]
    options = Asking(**{"max_new_tokens": 14, **asking})
    found: dict[tuple[str, str], str] = {}
    for ended in answers(loaded, dict.fromkeys(names, encoded), options, lambda *_: None):
        assert not found.keys() & {(a.side, a.id) for a in ended}
        found |= {(a.side, a.id): a.text for a in ended}
    return found


@pytest.mark.parametrize("batch_size", [None, 3])
def test_rows_that_join_and_leave_a_batch_say_what_generate_says(
    loaded, prompts, alone, batch_size
):
    assert said(loaded, prompts, ["base", "adapter", "other"], batch_size=batch_size) == alone


def test_sides_mixed_in_one_batch_say_the_same(loaded, prompts, alone, monkeypatch):
    from tuiwb.compare.inference.loading import can_mix

    assert can_mix(loaded)
    monkeypatch.setattr(loaded, "mixes", True)
    names = ["base", "adapter", "other"]
    assert said(loaded, prompts, names) == alone
    assert said(loaded, prompts, names, batch_size=2) == alone


def test_models_left_to_generate_say_the_same(loaded, prompts, alone, monkeypatch):
    monkeypatch.setattr(loaded, "steps", False)
    assert said(loaded, prompts, ["base", "adapter"], batch_size=5) == {
        key: text for key, text in alone.items() if key[0] != "other"
    }


def test_the_weights_are_bit_by_bit_the_same_after_an_adapter_has_answered(loaded, prompts):
    import torch

    weights = {name: w.clone() for name, w in loaded.model.named_parameters()}
    said(loaded, prompts[:2], ["adapter", "other"], max_new_tokens=3)
    assert all(torch.equal(w, weights[name]) for name, w in loaded.model.named_parameters())


def test_a_batch_too_large_for_the_memory_is_halved_and_loses_nothing(
    loaded, prompts, alone, monkeypatch
):
    import torch

    from tuiwb.compare.inference import decoding

    forward = decoding._Batch._forward
    refused = []

    def scarce(batch: Any, rows: list[Any], *rest: Any) -> Any:
        if len(rows) > 4:
            refused.append(len(rows))
            raise torch.cuda.OutOfMemoryError
        return forward(batch, rows, *rest)

    monkeypatch.setattr(decoding._Batch, "_forward", scarce)
    found = said(loaded, prompts, ["base"])
    assert refused
    assert found == {key: text for key, text in alone.items() if key[0] == "base"}


@pytest.mark.parametrize("how", [{"init_lora_weights": "pissa"}, {"bias": "lora_only"}])
def test_a_base_beside_an_adapter_that_changes_its_weights_is_the_base(
    tiny_base, tiny_adapter, prompts, tmp_path, how
):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    from tuiwb.compare.inference.generation import encode
    from tuiwb.compare.inference.loading import load_sides

    plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    for module in plain.modules():
        if isinstance(module, torch.nn.Linear):
            module.bias = torch.nn.Parameter(torch.zeros(module.out_features))
    # The same model with biases, as a family that has them saves it.
    config = plain.config
    config.attention_bias, config.mlp_bias = True, True
    plain.lm_head.bias = None
    plain.save_pretrained(tmp_path / "base")
    other = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **how}
    tuned = get_peft_model(plain, LoraConfig(**other))
    torch.manual_seed(4)
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data += 0.3 * torch.randn_like(weight)
    tuned.save_pretrained(tmp_path / "adapter")
    for path in tiny_adapter.glob("tokenizer*"):
        (tmp_path / "adapter" / path.name).write_bytes(path.read_bytes())
    for path in tiny_adapter.glob("*.jinja"):
        (tmp_path / "adapter" / path.name).write_bytes(path.read_bytes())

    def of(model: Any) -> Any:
        with torch.inference_mode():
            return model(input_ids=ids).logits[0, -1]

    both = {"base": None, "adapter": str(tmp_path / "adapter")}
    loaded = load_sides(str(tmp_path / "base"), both, "float32")
    ids = torch.tensor([encode(loaded, prompts[0]).ids])
    fresh = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    wanted = {"base": of(fresh)}
    wanted["adapter"] = of(PeftModel.from_pretrained(fresh, tmp_path / "adapter"))
    assert not torch.allclose(wanted["base"], wanted["adapter"], atol=1e-3)
    for name in ("base", "adapter", "base"):
        adapter = loaded.sides[name].adapter
        with torch.inference_mode():
            assert torch.allclose(
                loaded.forward([adapter], input_ids=ids).logits[0, -1], wanted[name], atol=1e-4
            )
            with loaded.hold(adapter):
                held = loaded.forward([adapter], input_ids=ids).logits[0, -1]
            assert torch.allclose(held, wanted[name], atol=1e-4)


def test_a_soft_prompt_is_refused_in_one_sentence(tiny_base, tmp_path):
    from tuiwb.compare.inference.loading import load_sides
    from tuiwb.errors import BadInput

    (tmp_path / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(BadInput, match="is a soft prompt"):
        load_sides(str(tiny_base), {"base": None, "adapter": str(tmp_path)}, "float32")


def test_rows_that_ended_before_the_memory_ran_short_are_not_lost_and_draw_what_they_drew(
    loaded, prompts, monkeypatch
):
    import torch

    from tuiwb.compare.inference import decoding

    hot = {"temperature": 1.0, "max_new_tokens": 3}
    monkeypatch.setattr(loaded, "mixes", True)
    ends = {**hot, "max_new_tokens": 1}
    longer = said(loaded, prompts, ["base", "adapter"], **hot)
    at_once = said(loaded, prompts, ["base", "adapter"], **ends)
    forward = decoding._Batch._forward
    calls = []

    def scarce(batch: Any, rows: list[Any], *rest: Any) -> Any:
        calls.append(len(rows))
        # The prefixes and the first side are read; the second side finds no room.
        if calls.count(len(prompts)) == 2 and len(rows) == len(prompts):
            raise torch.cuda.OutOfMemoryError
        return forward(batch, rows, *rest)

    monkeypatch.setattr(decoding._Batch, "_forward", scarce)
    assert said(loaded, prompts, ["base", "adapter"], **ends) == at_once
    calls.clear()
    assert said(loaded, prompts, ["base", "adapter"], **hot) == longer
    assert calls.count(len(prompts)) >= 2


def test_models_left_to_generate_draw_by_the_prompt_whatever_the_batch(
    loaded, prompts, monkeypatch
):
    hot = {"temperature": 1.0, "max_new_tokens": 6, "seed": 3}
    stepped = said(loaded, prompts[:5], ["base"], **hot)
    monkeypatch.setattr(loaded, "steps", False)
    assert said(loaded, prompts[:5], ["base"], **hot) == stepped
    assert said(loaded, prompts[:5], ["base"], batch_size=2, **hot) == stepped


def test_a_prompt_near_the_model_s_end_cuts_no_other_short(loaded, prompts, alone, monkeypatch):
    from tuiwb.compare.inference.generation import Asking, Encoded, answers, encode

    monkeypatch.setattr(loaded, "steps", False)
    full = Encoded(prompt=prompts[0], ids=[5] * (loaded.room - 2))
    asked = {"base": [full, *(encode(loaded, prompt) for prompt in prompts[1:4])]}
    asking = Asking(max_new_tokens=14)
    found = {a.id: a for ended in answers(loaded, asked, asking, lambda *_: None) for a in ended}
    assert found[prompts[0].id].tokens <= 2
    assert [found[p.id].text for p in prompts[1:4]] == [alone["base", p.id] for p in prompts[1:4]]


def test_logits_that_are_no_numbers_are_no_equal_logits(loaded, prompts, monkeypatch):
    import torch

    from tuiwb.compare.inference.generation import encode, max_logit_difference
    from tuiwb.errors import JobFailed

    weight = loaded.model.get_base_model().model.norm.weight
    monkeypatch.setattr(weight, "data", torch.full_like(weight, torch.nan))
    with pytest.raises(JobFailed, match="are not numbers in float32"):
        max_logit_difference(loaded, [encode(loaded, prompts[0])])


def test_drawn_answers_follow_the_seed_whatever_the_batch(loaded, prompts):
    hot = {"temperature": 1.0, "max_new_tokens": 12}
    first = said(loaded, prompts, ["base"], seed=3, **hot)
    assert said(loaded, prompts, ["base"], seed=3, batch_size=2, **hot) == first
    assert said(loaded, prompts, ["base"], seed=4, **hot) != first
    assert len(set(first.values())) > 1


def test_the_reference_is_scored_as_one_forward_pass_of_the_whole_chat_scores_it(loaded, prompts):
    import torch

    from tuiwb.compare.inference.generation import encode
    from tuiwb.compare.inference.scoring import joined, score

    encoded = [encode(loaded, prompt) for prompt in prompts]
    scored = [
        one
        for batch in score(loaded, {"base": encoded, "adapter": encoded}, lambda _: None)
        for one in batch
    ]
    lines = {line.id: line for line in joined(scored)}
    tokenizer = loaded.tokenizer
    for prompt in prompts:
        turns = [*prompt.messages, {"role": "assistant", "content": prompt.reference}]
        text = tokenizer.apply_chat_template(turns, tokenize=False).rstrip("\n")
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        line = lines[prompt.id]
        n = len(line.tokens)
        assert "".join(line.tokens) == prompt.reference + "<|im_end|>"
        for side, given in (("base", line.base), ("adapter", line.adapter)):
            with torch.inference_mode(), loaded.only(loaded.sides[side].adapter):
                logits = loaded.model(input_ids=ids).logits[0, :-1].float()
            wanted = torch.log_softmax(logits, -1).gather(-1, ids[0, 1:, None])[-n:, 0]
            assert given == pytest.approx(wanted.tolist(), abs=1e-4)


def test_a_prompt_that_fills_the_model_is_named_by_its_line(loaded, prompts):
    from tuiwb.compare.inference.generation import Asking, Encoded, answers
    from tuiwb.errors import BadInput

    full = Encoded(prompt=prompts[3], ids=[5] * loaded.room)
    with pytest.raises(BadInput, match=f"line {prompts[3].line} fills all {loaded.room}"):
        list(answers(loaded, {"base": [full]}, Asking(max_new_tokens=4), lambda *_: None))


def test_a_model_whose_layers_have_windows_says_what_generate_says(tiny_base, prompts, tmp_path):
    import torch
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    from tuiwb.compare.inference.generation import encode
    from tuiwb.compare.inference.kv_cache import make_cache
    from tuiwb.compare.inference.loading import load_sides

    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    torch.manual_seed(2)
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        sliding_window=16, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_sides(str(tmp_path), {"base": None}, "float32")
    assert make_cache(model.config)[1] is False
    found = said(model, prompts[:6], ["base"], max_new_tokens=12)
    for prompt in prompts[:6]:
        ids = torch.tensor([encode(model, prompt).ids])
        out = model.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12,
            eos_token_id=model.stops,
        )  # fmt: skip
        text = tokenizer.decode(out[0, ids.shape[1] :]).removesuffix("<|im_end|>")
        assert found["base", prompt.id] == text
