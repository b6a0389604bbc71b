"""The audit before a run: what is trained, what truncation takes, what a template leaves out."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.data import families
from tuiwb.data.audit import Bin, Cut, TokenTally, histogram
from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.template import ControlTokens
from tuiwb.data.checks.template import families as known_families
from tuiwb.data.checks.too_long import TooLong
from tuiwb.data.formats import to_row
from tuiwb.data.render import Measured, ModelFacts, Rendered, Sidecar, Token
from tuiwb.data.rows import Row
from tuiwb.data.template_diff import compare_rendered, comparison_lines, dropped, summary_rows

MakeTokenizer = Callable[[Path, str | None], Path]
FACTS = ModelFacts(
    chat_template=True,
    masks=True,
    family=False,
    stop_token_trained=True,
    bos_token=None,
    eos_token="<|im_end|>",
    pad_token="<|endoftext|>",
    adds_bos=False,
    at_most_bytes=True,
    control_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    notes=[],
)


def chat(*contents: str, n: int = 0, system: str | None = None) -> Row:
    turns = [{"role": "system", "content": system}] if system is not None else []
    turns += [
        {"role": "assistant" if i % 2 else "user", "content": content}
        for i, content in enumerate(contents)
    ]
    return to_row({"messages": turns}, "x.jsonl", n, n + 1)


def tally(rows: Sequence[Measured], max_length: int, every: int = 1) -> Any:
    counted = TokenTally(max_length, every)
    for index, counts in enumerate(rows):
        counted.add(index, counts)
    return counted.told("m", FACTS)


def cut_at(audit: Any, max_length: int) -> Cut:
    return next(cut for cut in audit.cuts if cut.max_length == max_length)


def test_the_counts_of_a_cut_are_those_of_cutting_each_row() -> None:
    rng = random.Random(7)
    rows = []
    for _ in range(300):
        marks = sorted(rng.sample(range(1500), 2 * rng.randrange(4)))
        total = max([rng.randrange(1, 1500), *marks])
        rows.append(Measured(total, trained=marks, stops=True if marks else None))
    audit = tally(rows, 700)
    for limit in (512, 700, 1024, 2048):
        cut = cut_at(audit, limit)
        trained = [row for row in rows if row.trained]
        assert cut.of == 300
        assert cut.basis == "all"
        assert cut.rows_cut == sum(row.total > limit for row in rows)
        assert cut.rows_lost == sum(not row.trained_within(limit) for row in trained)
        assert cut.stops_cut == sum(row.trained[-1] > limit for row in trained)
        assert cut.tokens_cut == sum(max(0, row.total - limit) for row in rows)
        whole = sum(row.trained_within(None) for row in rows)
        kept = sum(row.trained_within(limit) for row in rows)
        assert cut.trained_cut == whole - kept
        assert cut.trained_share == round((whole - kept) / whole, 4)
    assert audit.untrained.count == sum(not row.trained for row in rows)
    assert audit.lost.count == cut_at(audit, 700).rows_lost
    kept = sum(row.trained_within(700) for row in rows)
    assert audit.trained_share == round(kept / sum(min(row.total, 700) for row in rows), 4)
    assert [cut.max_length for cut in audit.cuts if cut.chosen] == [700]
    assert sum(each.rows for each in audit.histogram) == 300


def test_below_max_length_a_sample_is_counted_and_nothing_is_scaled() -> None:
    rows = [
        Measured(600, trained=[500, 600]) if n % 10 == 0 else Measured(900, counted=False)
        for n in range(100)
    ]
    audit = tally(rows, 1000, every=10)
    assert (audit.rows, audit.counted, audit.sample, audit.proved_short) == (100, 10, 10, 90)
    below, above = cut_at(audit, 512), cut_at(audit, 1000)
    assert (below.basis, below.of, below.rows_cut) == ("sample", 10, 10)
    assert (above.basis, above.of, above.rows_cut) == ("all", 100, 0)


def test_quantiles_and_bins_follow_the_lengths() -> None:
    audit = tally([Measured(n, trained=[0, n]) for n in range(1, 101)], 64)
    assert (audit.median, audit.p95, audit.p99, audit.longest) == (50, 95, 99, 100)
    assert 128 in [cut.max_length for cut in audit.cuts]
    assert audit.histogram == [
        Bin(0, 16, 15), Bin(16, 24, 8), Bin(24, 32, 8), Bin(32, 48, 16), Bin(48, 65, 17),
        Bin(65, 96, 31), Bin(96, None, 5),
    ]  # fmt: skip
    empty = tally([], 64)
    assert (empty.counted, empty.median, empty.trained_share) == (0, 0, 0.0)
    assert histogram(Counter(), 8)


def test_padding_with_the_stop_token_is_told() -> None:
    assert tally([], 8).pad_is_eos is False
    counted = TokenTally(8, 1)
    same = msgspec.structs.replace(FACTS, pad_token=FACTS.eos_token)
    assert counted.told("m", same).pad_is_eos is True
    assert "padding uses the EOS token <|im_end|>" in counted.told("m", same).notes[0]
    # TRL pads with the EOS where no pad is named.
    assert counted.told("m", msgspec.structs.replace(FACTS, pad_token=None)).pad_is_eos is True


def test_control_tokens_in_turns_are_found_without_a_model() -> None:
    rows = [
        chat("hi", "yes <|eot_id|><|start_header_id|>user"),
        chat("what is a < b [1]?", "an <html> [INS] tag"),
        chat("use [INST]", "ok", n=2),
        to_row({"text": "<|im_start|>user\nhi<|im_end|>"}, "x.jsonl", 3, 4),
    ]
    check = ControlTokens()
    found = list(check.add(rows))
    assert [(f.row, f.field, f.text, f.kind, f.check) for f in found] == [
        (0, "messages[1].content", "<|eot_id|>", "control_token", "template"),
        (2, "messages[0].content", "[INST]", "control_token", "template"),
    ]
    assert "yes <|eot_id|>"[found[0].start : found[0].end] == "<|eot_id|>"
    assert "and 1 more" in found[0].sentence
    assert "Llama 3" in found[0].sentence
    assert check.audit() == {"families": {"Llama 3": 1, "Llama 2 and Mistral": 1}}


def test_a_models_own_marks_are_told_from_those_of_another_family() -> None:
    rows = [
        to_row({"text": "<|im_start|>user\nhi<|im_end|>"}, "x.jsonl", 0, 1),
        to_row({"text": "<start_of_turn>user\nhi<|im_end|>"}, "x.jsonl", 1, 2),
        chat("a", "b<|im_end|>", n=2),
    ]
    found = list(ControlTokens(FACTS).add(rows))
    assert [(f.row, f.text) for f in found] == [(1, "<start_of_turn>"), (2, "<|im_end|>")]
    assert "this model knows no such token" in found[0].sentence
    assert "it is this model's own" in found[1].sentence


def test_every_mark_of_the_families_is_found_by_itself() -> None:
    for mark, family in known_families().items():
        found = list(ControlTokens().add([chat("x", f"a {mark} b")]))
        assert [f.text for f in found] == [mark]
        assert family in found[0].sentence


def rendered(*tokens: tuple[str, bool, bool], **more: Any) -> Rendered:
    made = [Token(text, n, special, trained) for n, (text, special, trained) in enumerate(tokens)]
    trained = sum(token.trained for token in made)
    return Rendered(tokens=made, total=len(made), trained=trained, **more)


def test_two_templates_are_compared_by_text_and_by_mask() -> None:
    row = chat("hi there", "the fox", system="be brief")
    a = rendered(
        ("<|im_start|>", True, False), ("system\nbe brief", False, False),
        ("<|im_end|>", True, False), ("\n", False, False), ("hi", False, False),
        (" there", False, False), ("the", False, True), (" fox", False, True),
        ("<|im_end|>", True, True), stop_token_trained=True,
    )  # fmt: skip
    b = rendered(
        ("<bos>", True, False), ("hi th", False, False), ("ere", False, False),
        ("the fox", False, True), ("<eot>", True, False), stop_token_trained=False,
    )  # fmt: skip
    told = compare_rendered(row, a, b)
    assert not told.alike
    assert (told.a.system_prompt_kept, told.b.system_prompt_kept) == (True, False)
    assert (told.a.tools_kept, told.b.tools_kept) == (None, None)
    for side, view in (("a", a), ("b", b)):
        joined = [getattr(stretch, side) for stretch in told.stretches]
        assert joined[0][0] == 0
        assert joined[-1][1] == view.total
        assert all(one[1] == two[0] for one, two in pairwise(joined))
    rows = {label: (left, right) for label, left, right in summary_rows(told)}
    assert rows["tokens"] == ("9", "5")
    assert rows["stop token trained"] == ("yes", "no")
    assert rows["tools kept"] == ("-", "-")
    lines = list(comparison_lines(row, a, b, ("one", "two")))
    assert "≠ system prompt kept" in "\n".join(lines)
    assert any("⟦<|im_start|>⟧system⏎be brief⟦<|im_end|>⟧" in line for line in lines)


def test_the_same_text_in_other_tokens_is_alike_and_another_mask_is_not() -> None:
    row = chat("a", "the fox")
    a = rendered(("the", False, True), (" fox", False, True), ("</s>", True, True))
    b = rendered(
        ("the ", False, True), ("fo", False, True), ("x", False, True), ("</s>", True, True)
    )
    told = compare_rendered(row, a, b)
    assert told.alike
    assert [stretch.kind for stretch in told.stretches] == ["same"]
    c = rendered(("the", False, True), (" fox", False, True), ("</s>", True, False))
    told = compare_rendered(row, a, c)
    assert [(s.kind, s.a, s.b) for s in told.stretches] == [
        ("same", (0, 2), (0, 2)),
        ("masked", (2, 3), (2, 3)),
    ]
    assert any("the loss differs after 'the fox'" in line for line in comparison_lines(row, a, c))
    nothing = rendered()
    assert list(comparison_lines(row, a, nothing))
    assert compare_rendered(row, nothing, nothing).alike


def test_what_a_template_leaves_out_is_told_by_role() -> None:
    row = chat("hello", 'say "x"\nand more', system="be brief")
    assert dropped(row, 'hello {"text": "say \\"x\\""}') == ["the text of 1 system turn"]
    assert dropped(row, "be brief hello and more") == []


@pytest.mark.slow
class TestWithTokenizer:
    """The check over real rows, in the real tokenizer process."""

    def check(
        self, sidecar: Sidecar, model: Path, rows: list[Row], max_length: int, said: int = 0
    ) -> tuple[list[Finding], dict[str, Any]]:
        check = TooLong(sidecar, str(model), max_length, said or len(rows))
        found = list(check.add(rows[:3]))
        found += check.add(rows[3:])
        found += check.end()
        return sorted(found, key=lambda f: f.row), check.audit()

    def test_each_flaw_is_found_in_its_row(self, sidecar: Sidecar, tiny_tokenizer: Path) -> None:
        rows = [
            chat("hi", "the fox", n=0),
            chat("hi", "zq " * 60, n=1),
            chat("x" * 200, "the fox", n=2),
            chat("hi", " begins with a blank", n=3),
            chat("hi", "a", "b", " c", n=4),
            to_row({"text": "a\ud800"}, "x.jsonl", 5, 6),
            to_row({"question": "?"}, "x.jsonl", 6, 7),
            to_row({"text": "y" * 8_000_001}, "x.jsonl", 7, 8),
        ]
        found, audit = self.check(sidecar, tiny_tokenizer, rows, 100)
        assert [(f.row, f.check, f.kind) for f in found] == [
            (1, "too_long", ""),
            (2, "too_long", ""),
            (3, "untrained", ""),
            (4, "untrained", "blank_start"),
            (5, "template", "refused"),
            (7, "too_long", "unread"),
        ]
        assert "every trained token" in found[1].sentence
        view = sidecar.render(tiny_tokenizer, rows[1], 100)
        assert found[0].score == view.total
        lost = sidecar.render(tiny_tokenizer, rows[1]).trained - view.trained
        assert f"{lost} of its" in found[0].sentence
        assert (audit["rows"], audit["counted"], audit["unread"]) == (7, 5, 1)
        assert audit["untrained"] == {"count": 1, "first": [3]}
        assert audit["lost"] == {"count": 1, "first": [2]}
        assert audit["refused"] == {"count": 1, "first": [5]}

    def test_of_many_rows_a_sample_is_counted_and_no_flaw_is_missed(
        self, sidecar: Sidecar, tiny_tokenizer: Path
    ) -> None:
        rows = [chat("hi", "the fox", n=n) for n in range(400)]
        rows[101] = chat("hi", "", n=101)
        rows[102] = chat("hi", " a blank", n=102)
        rows[203] = chat("hi", "fox " * 200, n=203)
        found, audit = self.check(sidecar, tiny_tokenizer, rows, 150, said=400_000)
        assert [(f.row, f.check) for f in found] == [(102, "untrained"), (203, "too_long")]
        assert (audit["every"], audit["sample"], audit["counted"]) == (200, 2, 4)
        assert audit["proved_short"] == 396

    def test_the_templates_own_faults_are_told_once(
        self,
        sidecar: Sidecar,
        tmp_path: Path,
        tokenizer_with: MakeTokenizer,
        unmarked_template: str,
    ) -> None:
        rows = [chat("hi", "the fox", n=n) for n in range(5)]
        unknown = tokenizer_with(tmp_path / "unknown", unmarked_template)
        found, _ = self.check(sidecar, unknown, rows, 100)
        assert [(f.row, f.check, f.kind) for f in found] == [(0, "template", "no_generation")]
        assert "TRL stops with an error" in found[0].sentence
        endless = (
            "{%- for m in messages -%}{{- '<|im_start|>' -}}{%- if m.role == 'assistant' -%}"
            "{%- generation -%}{{- m.content -}}{%- endgeneration -%}{%- else -%}{{- m.content -}}"
            "{%- endif -%}{{- '<|im_end|>' -}}{%- endfor -%}"
        )
        found, audit = self.check(sidecar, tokenizer_with(tmp_path / "e", endless), rows, 100)
        assert [(f.row, f.check, f.kind) for f in found] == [(0, "stop_token", "template")]
        assert audit["unstopped"]["count"] == 5
        assert audit["stop_token_trained"] is False

    def test_two_bos_tokens_are_told_once_when_every_row_has_them(
        self, sidecar: Sidecar, tmp_path: Path
    ) -> None:
        names = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
        tokenizer = families.sentencepiece(["<s>", "<|im_end|>"])
        folder = families.write(tmp_path, tokenizer, None, **names)
        texts = [
            to_row({"text": f"{'<s>' if n != 2 else ''}the fox"}, "x.jsonl", n, n + 1)
            for n in range(4)
        ]
        found, audit = self.check(sidecar, folder, texts, 100)
        assert [(f.row, f.check) for f in found] == [(n, "double_bos") for n in (0, 1, 3)]
        assert audit["double_bos"] == {"count": 3, "first": [0, 1, 3]}
        found, _ = self.check(sidecar, folder, [texts[n] for n in (0, 1, 3)], 100)
        assert [(f.row, f.sentence) for f in found] == [
            (
                0,
                "begins with two BOS tokens: the text holds one and the tokenizer adds one. "
                "So do all 3 rows",
            )
        ]

    def test_the_proof_by_bytes_holds_for_hostile_characters(
        self, sidecar: Sidecar, tmp_path: Path
    ) -> None:
        # Characters that NFC makes longer (Unicode's composition exclusions), and the rest.
        letters = "ab \n\t\u0958\ufb2c\U0001d160\u0344\u0390e\u0301\U0001f469\u200d日\x00<|im_end|>"
        rng = random.Random(3)
        rows = [
            to_row({"text": "".join(rng.choices(letters, k=rng.randrange(60)))}, "x", n, n + 1)
            for n in range(1, 400)
        ]
        for name in ("byte_level", "trimming", "composing"):
            tokenizer = getattr(families, name)(["<|im_end|>"])
            folder = families.write(tmp_path / name, tokenizer, None, eos_token="<|im_end|>")
            proved = sidecar.measure(folder, rows, 10_000, every=10**9)
            counted = sidecar.measure(folder, rows, 10_000)
            assert sum(not each.counted for each in proved) > 300
            for bound, exact in zip(proved, counted, strict=True):
                assert exact.counted
                assert exact.total <= bound.total
                assert exact.trained
                assert bound.counted or exact.stops

    def test_words_added_up_are_the_text_encoded(self, sidecar: Sidecar, tmp_path: Path) -> None:
        words = "the quick brown fox's lazy dog_s 42 1,000 <b> don't $5 日本語 e\u0301 \u0958 ✓ 👋"
        parts = (
            *words.split(),
            *(" ", "  ", "\n", "\n\n ", "\t", "\u00a0", "\u2028", "\x1c", "\x00"),
            *("<|im_end|>", "...", "'s"),
        )
        rng = random.Random(5)
        rows = [
            to_row(
                {"text": "x " + " ".join(rng.choices(parts, k=rng.randrange(20, 60)))},
                "x",
                n,
                n + 1,
            )
            for n in range(1, 300)
        ]
        for name in ("byte_level", "trimming", "composing", "qwen_like"):
            tokenizer = getattr(families, name)(["<|im_end|>"])
            folder = families.write(tmp_path / name, tokenizer, None, eos_token="<|im_end|>")
            counted = sidecar.measure(folder, rows, 130)
            added_up = sidecar.measure(folder, rows, 130, every=10**9)
            fitting = [each.total <= 130 for each in counted]
            assert 20 < sum(fitting) < 280
            same = 0
            for exact, found in zip(counted, added_up, strict=True):
                assert found.counted == (exact.total > 130)
                # The few that fit by their bytes have their bytes as bound.
                assert exact.total <= found.total
                same += exact.total == found.total
            assert same > 200

    def test_a_row_that_the_tokenizer_refuses_does_not_cost_its_neighbours(
        self, sidecar: Sidecar, tmp_path: Path
    ) -> None:
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel({"fox": 0, "</s>": 1}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        folder = families.write(tmp_path, tokenizer, None, eos_token="</s>")
        rows = [
            to_row({"text": text}, "x.jsonl", n, n + 1)
            for n, text in enumerate(("fox </s>", "dog", "fox fox </s>"))
        ]
        counts = sidecar.measure(folder, rows)
        assert [each.problem is None for each in counts] == [True, False, True]
        assert "the tokenizer refuses this row" in str(counts[1].problem)
