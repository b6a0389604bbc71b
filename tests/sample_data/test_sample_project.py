"""The sample project holds what it promises: counts, shapes, planted flaws and their truth."""

from __future__ import annotations

import collections
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

SAMPLE = Path(__file__).parents[2] / "sample_data"
MODEL = SAMPLE / "models" / "tiny-chat"
FACTS = ("intent", "order", "product", "city")


def lines(name: str) -> list[str]:
    return (SAMPLE / "data" / name).read_text(encoding="utf-8").split("\n")[:-1]


@cache
def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(name)]


@cache
def truth() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8"))
    return found


def flaws(check: str) -> list[dict[str, Any]]:
    return [flaw for flaw in truth()["flaws"] if flaw["check"] == check]


def raw_messages(row: int) -> Any:
    return json.loads(lines("support_raw.jsonl")[row])["messages"]


def filing(row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(row["messages"][-1]["content"])
    return found


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def alike(a: str, b: str) -> float:
    return len(words(a) & words(b)) / len(words(a) | words(b))


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("support.jsonl", 1200, 1200),
        ("heldout.jsonl", 50, 50),
        ("general.jsonl", 200, 300),
        ("preference.jsonl", 200, 200),
        ("thumbs.jsonl", 200, 200),
        ("canary.jsonl", 60, 120),
        ("ood.jsonl", 30, 40),
    ],
)
def test_every_dataset_parses_and_has_its_size(name: str, least: int, most: int) -> None:
    assert least <= len(rows(name)) <= most


def test_every_support_answer_is_json_whose_facts_stand_in_the_question() -> None:
    for row in rows("support.jsonl") + rows("heldout.jsonl"):
        assert [turn["role"] for turn in row["messages"]] == ["system", "user", "assistant"]
        filed = filing(row)
        assert tuple(filed) == FACTS
        question = row["messages"][1]["content"]
        for key in ("order", "product", "city"):
            assert filed[key] is None or filed[key] in question


def test_one_system_prompt_serves_all_and_does_not_name_the_format() -> None:
    prompts = {row["messages"][0]["content"] for row in rows("support.jsonl")}
    assert len(prompts) == 1
    assert "json" not in prompts.pop().lower()


def test_held_out_chats_share_no_facts_with_training() -> None:
    training = [filing(row) for row in rows("support.jsonl")]
    pairs = {(filed["product"], filed["city"]) for filed in training}
    orders = {filed["order"] for filed in training} - {None}
    for row in rows("heldout.jsonl"):
        filed = filing(row)
        assert (filed["product"], filed["city"]) not in pairs
        assert filed["order"] not in orders


def test_no_general_or_preference_row_asks_a_canary_question() -> None:
    answers = {row["messages"][-1]["content"] for row in rows("canary.jsonl")}
    assert not answers & {row["messages"][-1]["content"] for row in rows("general.jsonl")}
    assert not answers & {row["chosen"][0]["content"] for row in rows("preference.jsonl")}


def test_preference_rows_prefer_and_thumbs_are_balanced() -> None:
    for row in rows("preference.jsonl"):
        assert row["prompt"][-1]["role"] == "user"
        assert row["chosen"] != row["rejected"]
    labels = collections.Counter(row["label"] for row in rows("thumbs.jsonl"))
    assert labels == {True: 100, False: 100}


def test_every_probe_says_what_is_expected() -> None:
    assert all(row["messages"][-1]["role"] == "user" and row["expect"] for row in rows("ood.jsonl"))


def test_truth_points_at_lines_of_the_raw_file() -> None:
    assert truth()["file"] == "data/support_raw.jsonl"
    count = len(lines("support_raw.jsonl"))
    listed = [flaw["row"] for flaw in truth()["flaws"]]
    assert len(listed) == len(set(listed))
    for flaw in truth()["flaws"] + truth()["decoys"]:
        assert 0 <= flaw["row"] < count
        assert flaw["line"] == flaw["row"] + 1


def test_every_kind_of_flaw_is_planted() -> None:
    assert {flaw["check"] for flaw in truth()["flaws"]} == {
        "exact_duplicate", "near_duplicate", "pii", "injection", "malformed", "empty",
        "role_order", "too_long", "leakage",
    }  # fmt: skip
    kinds = {flaw["kind"] for flaw in flaws("pii")}
    assert kinds == {"email", "phone", "card", "iban", "ip", "name", "secret"}


def test_rows_without_a_flaw_are_clean_chats() -> None:
    flawed = {flaw["row"] for flaw in truth()["flaws"]}
    decoys = {decoy["row"] for decoy in truth()["decoys"]}
    clean = {json.dumps(row["messages"]) for row in rows("support.jsonl")}
    for row in set(range(len(lines("support_raw.jsonl")))) - flawed - decoys:
        assert json.dumps(raw_messages(row)) in clean


def test_exact_duplicates_equal_and_near_duplicates_resemble_the_row_they_repeat() -> None:
    raw = lines("support_raw.jsonl")
    for flaw in flaws("exact_duplicate"):
        assert flaw["of"] < flaw["row"]
        assert raw[flaw["row"]] == raw[flaw["of"]]
    for flaw in flaws("near_duplicate"):
        question, original = (raw_messages(i)[1]["content"] for i in (flaw["row"], flaw["of"]))
        assert question != original
        assert alike(question, original) >= 0.8


def test_personal_data_and_injections_stand_in_the_row_as_listed() -> None:
    for flaw in flaws("pii") + flaws("injection") + truth()["decoys"]:
        assert flaw["text"] in raw_messages(flaw["row"])[1]["content"]


def test_cards_and_ibans_have_right_check_digits() -> None:
    for flaw in flaws("pii"):
        text = re.sub(r"[ -]", "", flaw["text"])
        if flaw["kind"] == "card":
            pairs = enumerate(int(digit) for digit in reversed(text))
            assert sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in pairs) % 10 == 0
        if flaw["kind"] == "iban":
            digits = "".join(str(int(character, 36)) for character in text[4:] + text[:4])
            assert int(digits) % 97 == 1


def test_malformed_rows_hold_no_list_of_turns() -> None:
    for flaw in flaws("malformed"):
        try:
            found = json.loads(lines("support_raw.jsonl")[flaw["row"]])
        except json.JSONDecodeError:
            continue
        assert not isinstance(found.get("messages"), list) or not found["messages"]


def test_empty_long_and_disordered_rows_are_what_they_are_called() -> None:
    for flaw in flaws("empty"):
        assert not raw_messages(flaw["row"])[-1]["content"].strip()
    for flaw in flaws("too_long"):
        assert len(raw_messages(flaw["row"])[1]["content"]) >= 5000
    for flaw in flaws("role_order"):
        roles = [turn["role"] for turn in raw_messages(flaw["row"])]
        assert roles != ["system", "user", "assistant"]


def test_leaked_rows_resemble_their_held_out_row() -> None:
    scores = [
        alike(
            raw_messages(flaw["row"])[1]["content"],
            rows("heldout.jsonl")[flaw["of"]]["messages"][1]["content"],
        )
        for flaw in flaws("leakage")
    ]
    assert min(scores) >= 0.8
    assert 1.0 in scores


def test_the_model_is_small_and_its_template_marks_what_is_trained() -> None:
    weights = list(MODEL.glob("*.safetensors"))
    assert 0 < sum(path.stat().st_size for path in weights) <= 4_000_000
    template = (MODEL / "chat_template.jinja").read_text(encoding="utf-8")
    trained = re.search(r"\{%-? generation -?%\}(.*)\{%-? endgeneration -?%\}", template, re.S)
    assert trained is not None
    assert "<|im_end|>" in trained.group(1)


def test_the_stop_token_is_not_the_padding_token() -> None:
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    generation = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((MODEL / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["pad_token_id"] != config["eos_token_id"] == generation["eos_token_id"]
    assert tokenizer["eos_token"] == "<|im_end|>"
    assert tokenizer["pad_token"] != tokenizer["eos_token"]
    assert tokenizer["bos_token"] is None


def test_settings_and_run_config_name_files_that_exist() -> None:
    settings = yaml.safe_load((SAMPLE / "tuiwb.yaml").read_text(encoding="utf-8"))
    assert settings == {"name": "sample", "base_model": "models/tiny-chat"}
    config = yaml.safe_load((SAMPLE / "configs" / "support-lora.yaml").read_text(encoding="utf-8"))
    for path in [config["model"]["base"], *config["data"]["train"], config["data"]["heldout"]]:
        assert (SAMPLE / path).exists()


def test_the_data_step_makes_the_committed_files_again(tmp_path: Path) -> None:
    command = [sys.executable, str(SAMPLE / "build.py"), "--out", str(tmp_path), "--steps", "data"]
    subprocess.run(command, check=True, capture_output=True)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert Path("data/support.jsonl") in made
    for path in made:
        assert (tmp_path / path).read_bytes() == (SAMPLE / path).read_bytes(), path
