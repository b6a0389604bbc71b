"""The mask view is what TRL's own trainers and collators hold, for every family TRL knows."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.data import families
from tuiwb.data.examples import example_of
from tuiwb.data.formats import to_row
from tuiwb.data.render import Rendered, Sidecar
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput

pytestmark = pytest.mark.slow

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look <up> it",
        "parameters": {
            "type": "object",
            "properties": {"for": {"type": "string", "description": "what"}},
            "required": ["for"],
        },
    },
}


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALL = {"type": "function", "function": {"name": "look", "arguments": {"for": "föx"}}}
THOUGHT = "<think>\nhm, ünïcode\n</think>\n\nbecause"
WOMAN = "日本語 e\u0301 \U0001f469\u200d\U0001f4bb"
CHATS: tuple[dict[str, Any], ...] = (
    {
        "messages": [
            turn("system", "be brief"),
            turn("user", "héllo 👋 [red]wörld[/]"),
            turn("assistant", "the fox"),
            turn("user", "and?"),
            turn("assistant", "jumps ✓"),
        ]
    },
    {"messages": [turn("user", "  spaced \n"), turn("assistant", " the dog \n")]},
    {
        "messages": [
            turn("user", "why?"),
            turn("assistant", THOUGHT),
            turn("user", "ok"),
            turn("assistant", f"<think>\n</think>\nyes\n\n{WOMAN}"),
        ]
    },
    {
        "tools": [TOOL],
        "messages": [
            turn("user", "find it"),
            turn("assistant", "", tool_calls=[CALL]),
            turn("tool", "a fox 🦊", name="look"),
            turn("assistant", "found it"),
        ],
    },
    {"messages": [turn("user", "x"), turn("assistant", "y"), turn("assistant", "z")]},
    {"messages": [turn("user", "no answer"), turn("assistant", "")]},
    {"messages": [turn("assistant", "I begin"), turn("user", "and I end")]},
)
WHOLE, SHORT = 100_000, 40


def template_files() -> list[Path]:
    """Every chat template that TRL bundles, without the seconds that importing it takes."""
    spec = importlib.util.find_spec("trl")
    assert spec is not None
    assert spec.submodule_search_locations
    return sorted((Path(spec.submodule_search_locations[0]) / "chat_templates").glob("*.jinja"))


def rows_of(records: tuple[dict[str, Any], ...]) -> list[Row]:
    return [to_row(record, "x.jsonl", n, n + 1) for n, record in enumerate(records)]


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """TRL, a tiny random model, and a trainer of rows as tuiwb's worker sets it up."""
    import trl
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from tuiwb.train.sft import quiet_libraries, to_dataset

    quiet_libraries()
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=1000, num_attention_heads=2, **shape)
    model, reference = LlamaForCausalLM(config), LlamaForCausalLM(config)
    common = {
        "output_dir": str(tmp_path_factory.mktemp("out")),
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
    }

    def sft(
        folder: Path, examples: list[dict[str, Any]], max_length: int, assistant: bool = True
    ) -> Any:
        return trl.SFTTrainer(
            model=model,
            args=trl.SFTConfig(max_length=max_length, assistant_only_loss=assistant, **common),
            train_dataset=to_dataset(examples),
            processing_class=AutoTokenizer.from_pretrained(folder),
        )

    both = {"model": model, "ref_model": reference}
    return SimpleNamespace(trl=trl, both=both, common=common, sft=sft, tokenizer=AutoTokenizer)


def shown(view: Rendered, max_length: int) -> tuple[list[int], list[int]]:
    """Ids and labels as the view has them."""
    kept = view.tokens[:max_length]
    return [t.id for t in kept], [t.id if t.trained else -100 for t in kept]


def held(trainer: Any) -> list[tuple[list[int], list[int]]]:
    """Ids and labels as the trainer's collator makes them of its processed rows."""
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    return [(b["input_ids"][0].tolist(), b["labels"][0].tolist()) for b in batches]


def assert_measured(
    sidecar: Sidecar, folder: Path, rows: list[Row], views: list[Rendered], **options: Any
) -> None:
    """Counting says of each row what rendering says."""
    for row, view, counts in zip(
        rows, views, sidecar.measure(folder, rows, SHORT, **options), strict=True
    ):
        pairs = zip(counts.trained[::2], counts.trained[1::2], strict=True)
        trained = {i for start, end in pairs for i in range(start, end)}
        assert counts.problem is None, row.index
        assert counts.total == view.total, row.index
        assert trained == {i for i, token in enumerate(view.tokens) if token.trained}, row.index


def test_trls_bundled_files_are_all_the_templates_it_knows(real: SimpleNamespace) -> None:
    from trl import chat_template_utils

    known = {
        text
        for name, text in vars(chat_template_utils).items()
        if name.endswith("_chat_template") and isinstance(text, str)
    }
    assert {path.read_text("utf-8") for path in template_files()} == known
    assert len(known) > 60


@pytest.mark.parametrize("file", template_files(), ids=lambda path: path.stem)
def test_the_view_holds_the_ids_and_labels_of_trls_own_trainer(
    file: Path, real: SimpleNamespace, sidecar: Sidecar, tmp_path: Path
) -> None:
    folder = families.family_folder(tmp_path / file.stem, file.read_text("utf-8"))
    masks = sidecar.describe(folder).masks
    rows, whole = [], []
    for row in rows_of(CHATS):
        try:
            view = sidecar.render(folder, row)
        except BadInput:
            # What the view can't show the trainer can't train on either.
            with pytest.raises(Exception):  # noqa: B017, PT011
                real.sft(folder, [example_of(row, "sft")], WHOLE, masks)
            continue
        if not view.trained:
            assert any("no token of this row is trained" in note for note in view.notes)
            with pytest.raises(RuntimeError, match="no assistant tokens"):
                real.sft(folder, [example_of(row, "sft")], WHOLE)
            continue
        rows.append(row)
        whole.append(view)
    examples = [example_of(row, "sft") for row in rows]
    if not masks and examples:
        assert "TRL stops with an error when assistant_only_loss is on" in whole[0].notes[0]
        with pytest.raises(ValueError, match="not training-compatible"):
            real.sft(folder, examples, WHOLE)
    for max_length in (WHOLE, SHORT) if examples else ():
        views = [sidecar.render(folder, row, max_length) for row in rows]
        expected = [shown(view, max_length) for view in views if view.trained]
        assert held(real.sft(folder, examples, max_length, masks)) == expected
    assert_measured(sidecar, folder, rows, whole)
    stop = sidecar.describe(folder).stop_token_trained
    assert stop == any(view.stop_token_trained for view in whole) or not masks


@pytest.mark.parametrize("name", ["idefics3", "smolvlm", "llava_next"])
def test_a_vision_template_that_takes_no_text_rows_says_what_it_does_to_them(
    name: str, sidecar: Sidecar, tmp_path: Path
) -> None:
    file = next(path for path in template_files() if path.stem == name)
    folder = families.family_folder(tmp_path / name, file.read_text("utf-8"))
    row = rows_of(CHATS)[0]
    if name == "llava_next":
        with pytest.raises(BadInput, match="refuses this row"):
            sidecar.render(folder, row)
        return
    view = sidecar.render(folder, row)
    assert "fox" not in view.text
    assert "the chat template drops the text of 2 assistant turns" in view.notes


def test_where_padding_uses_the_stop_token_trl_trains_it_all_the_same(
    real: SimpleNamespace, sidecar: Sidecar, tmp_path: Path
) -> None:
    template = next(p for p in template_files() if p.stem == "qwen2_5").read_text("utf-8")
    names = {"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}
    tokenizer = families.byte_level(["<|im_start|>", "<|im_end|>"])
    folder = families.write(tmp_path, tokenizer, template, **names)
    rows = rows_of(CHATS[:2])
    trainer = real.sft(folder, [example_of(row, "sft") for row in rows], WHOLE)
    batch = trainer.data_collator(list(trainer.train_dataset))
    width = batch["labels"].shape[1]
    for row, labels in zip(rows, batch["labels"].tolist(), strict=True):
        view = sidecar.render(folder, row)
        expected = shown(view, WHOLE)[1]
        assert labels == expected + [-100] * (width - view.total)
        assert view.stop_token_trained


def test_with_assistant_only_loss_off_every_token_is_trained(
    real: SimpleNamespace, sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    rows = rows_of(CHATS[:3])
    views = [sidecar.render(tiny_tokenizer, row, assistant_only_loss=False) for row in rows]
    trainer = real.sft(tiny_tokenizer, [example_of(row, "sft") for row in rows], WHOLE, False)
    assert held(trainer) == [shown(view, WHOLE) for view in views]
    assert all(view.trained == view.total for view in views)
    assert "assistant_only_loss is off" in views[0].notes[0]
    assert_measured(sidecar, tiny_tokenizer, rows, views, assistant_only_loss=False)


def test_an_answer_that_begins_with_a_blank_is_missed_where_offsets_are_trimmed(
    real: SimpleNamespace, sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    first, later = [turn("user", "a"), turn("assistant", " b")], [turn("user", "c")]
    chats = (
        {"messages": first},
        {"messages": [*first[:1], turn("assistant", "d"), *later, first[1]]},
    )
    none, half = rows_of(chats)
    view = sidecar.render(tiny_tokenizer, none)
    assert view.trained == 0
    assert "the loss misses 1 of the answers" in view.notes[0]
    with pytest.raises(RuntimeError, match="no assistant tokens"):
        real.sft(tiny_tokenizer, [example_of(none, "sft")], WHOLE)
    view = sidecar.render(tiny_tokenizer, half)
    assert "".join(token.text for token in view.tokens if token.trained) == "d<|im_end|>"
    assert "the loss misses 1 of the answers" in view.notes[0]
    trainer = real.sft(tiny_tokenizer, [example_of(half, "sft")], WHOLE)
    assert held(trainer) == [shown(view, WHOLE)]
    assert [c.unmasked for c in sidecar.measure(tiny_tokenizer, [none, half])] == [1, 1]
    assert_measured(sidecar, tiny_tokenizer, [half], [view])


def test_plain_text_without_an_eos_token_is_told_to_stop_the_trainer(
    real: SimpleNamespace, sidecar: Sidecar, tmp_path: Path
) -> None:
    folder = families.write(tmp_path, families.byte_level(["<pad>"]), None, pad_token="<pad>")
    row = to_row({"text": "the fox"}, "x.jsonl", 0, 1)
    assert "TRL stops with an error" in sidecar.render(folder, row).notes[0]
    with pytest.raises(TypeError):
        real.sft(folder, [example_of(row, "sft")], WHOLE, False)


PLAIN: tuple[dict[str, Any], ...] = (
    {"prompt": "the fox ", "completion": "jumps"},
    {"prompt": "hello", "completion": "world 👋 over the lazy dog " * 5},
    {"prompt": "x" * 60, "completion": "beyond"},
)
TEXTS: tuple[dict[str, Any], ...] = ({"text": "hello 👋"}, {"text": "the quick brown fox " * 20})
TURNS: tuple[dict[str, Any], ...] = (
    {"prompt": [turn("user", "hi")], "completion": [turn("assistant", "the fox")]},
    {
        "prompt": [turn("user", "a"), turn("assistant", "b"), turn("user", "c")],
        "completion": [turn("assistant", "d")],
    },
)


@pytest.mark.parametrize(
    ("records", "as_chat"),
    [(PLAIN, False), (TEXTS, False), (TURNS, False), ((*PLAIN, CHATS[0], CHATS[2]), True)],
    ids=["prompt and completion", "text", "turns", "mixed"],
)
@pytest.mark.parametrize("max_length", [WHOLE, SHORT])
def test_a_file_is_shown_as_tuiwbs_own_worker_prepares_it(
    records: tuple[dict[str, Any], ...],
    as_chat: bool,
    max_length: int,
    real: SimpleNamespace,
    sidecar: Sidecar,
    tiny_tokenizer: Path,
    tmp_path: Path,
) -> None:
    from tuiwb.data.read import open_dataset, training_examples
    from tuiwb.train.sft import Trainer, to_dataset

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    examples, _ = training_examples([path], "sft")
    chats = any("messages" in example for example in examples)
    trainer = Trainer(
        model=real.both["model"],
        args=real.trl.SFTConfig(max_length=max_length, assistant_only_loss=chats, **real.common),
        train_dataset=to_dataset(examples),
        processing_class=real.tokenizer.from_pretrained(tiny_tokenizer),
        tell=lambda _done, _total: None,
    )
    rows = list(open_dataset(path))
    views = [sidecar.render(tiny_tokenizer, row, max_length, as_chat=as_chat) for row in rows]
    assert held(trainer) == [shown(view, max_length) for view in views if view.trained]
    assert trainer.fully_masked["train"] == [n for n, v in enumerate(views) if not v.trained]
    whole = [sidecar.render(tiny_tokenizer, row, as_chat=as_chat) for row in rows]
    assert_measured(sidecar, tiny_tokenizer, rows, whole, as_chat=as_chat)


PAIRS: tuple[dict[str, Any], ...] = (
    {"prompt": "hello", "chosen": " world", "rejected": " dog 👋"},
    {"prompt": "x" * 60, "chosen": "a", "rejected": "b"},
)
CHAT_PAIRS: tuple[dict[str, Any], ...] = (
    {
        "prompt": [turn("system", "be brief"), turn("user", "héllo")],
        "chosen": [turn("assistant", "the fox jumps")],
        "rejected": [turn("assistant", "the dog")],
    },
    {
        "prompt": [turn("user", "x" * 60)],
        "chosen": [turn("assistant", "a")],
        "rejected": [turn("assistant", "b")],
    },
)


@pytest.mark.parametrize("records", [PAIRS, CHAT_PAIRS], ids=["plain", "chat"])
@pytest.mark.parametrize("max_length", [WHOLE, SHORT])
def test_a_pair_is_shown_as_the_dpo_collator_holds_it(
    records: tuple[dict[str, Any], ...],
    max_length: int,
    real: SimpleNamespace,
    sidecar: Sidecar,
    tiny_tokenizer: Path,
) -> None:
    from datasets import Dataset

    rows = rows_of(records)
    trainer = real.trl.DPOTrainer(
        **real.both,
        args=real.trl.DPOConfig(max_length=max_length, **real.common),
        train_dataset=Dataset.from_list([example_of(row, "dpo") for row in rows]),
        processing_class=real.tokenizer.from_pretrained(tiny_tokenizer),
    )
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    views = [sidecar.render(tiny_tokenizer, row, max_length) for row in rows]
    pairs = [(v, v.other) for v in views if v.trained and v.other is not None]
    assert [masked(b, 0) for b in batches] == [marks(chosen, max_length) for chosen, _ in pairs]
    assert [masked(b, 1) for b in batches] == [marks(other, max_length) for _, other in pairs]
    for row, counts in zip(rows, sidecar.measure(tiny_tokenizer, rows, SHORT), strict=True):
        view = sidecar.render(tiny_tokenizer, row)
        longer = max((view, view.other or view), key=lambda each: each.total)
        assert (counts.total, counts.trained_within(None)) == (longer.total, longer.trained)


@pytest.mark.parametrize("max_length", [WHOLE, SHORT])
@pytest.mark.parametrize("chat", [False, True])
def test_an_answer_with_a_thumb_is_shown_as_the_kto_collator_holds_it(
    chat: bool, max_length: int, real: SimpleNamespace, sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    from datasets import Dataset

    records: tuple[dict[str, Any], ...] = tuple(
        {
            "prompt": [turn("user", ask)] if chat else ask,
            "completion": [turn("assistant", answer)] if chat else answer,
            "label": label,
        }
        for ask, answer, label in (("hello", " wörld 👋", True), ("x" * 60, "b", False))
    )
    rows = rows_of(records)
    trainer = real.trl.KTOTrainer(
        **real.both,
        args=real.trl.KTOConfig(
            max_length=max_length, per_device_train_batch_size=2, **real.common
        ),
        train_dataset=Dataset.from_list([example_of(row, "kto") for row in rows]),
        processing_class=real.tokenizer.from_pretrained(tiny_tokenizer),
    )
    batches = [trainer.data_collator([row]) for row in trainer.train_dataset]
    views = [sidecar.render(tiny_tokenizer, row, max_length) for row in rows]
    assert [masked(b, 0) for b in batches] == [marks(v, max_length) for v in views if v.trained]
    whole = [sidecar.render(tiny_tokenizer, row) for row in rows]
    assert_measured(sidecar, tiny_tokenizer, rows, whole)


def masked(batch: Any, place: int) -> list[tuple[int, int]]:
    """(id, whether it is of the answer) of one sequence of a preference batch, without padding."""
    length = int(batch["attention_mask"][place].sum())
    ids = batch["input_ids"][place][:length].tolist()
    return list(zip(ids, batch["completion_mask"][place][:length].tolist(), strict=True))


def marks(view: Rendered, max_length: int) -> list[tuple[int, int]]:
    return [(token.id, int(token.trained)) for token in view.tokens[:max_length]]


@pytest.mark.parametrize(
    ("make", "at_most_bytes"),
    [
        (families.byte_level, True),
        (families.trimming, True),
        (families.composing, True),
        (families.qwen_like, True),
        (families.sentencepiece, False),
        (families.unigram, False),
    ],
)
def test_other_kinds_of_tokenizers_are_shown_as_trained_and_counted_as_shown(
    make: Callable[..., Any],
    at_most_bytes: bool,
    real: SimpleNamespace,
    sidecar: Sidecar,
    tmp_path: Path,
) -> None:
    template = next(p for p in template_files() if p.stem == "qwen2_5").read_text("utf-8")
    names = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
    folder = families.write(
        tmp_path, make(["<s>", "<|im_start|>", "<|im_end|>"]), template, **names
    )
    facts = sidecar.describe(folder)
    assert facts.at_most_bytes is at_most_bytes
    rows = rows_of((*CHATS[:6], *TEXTS, {"text": "<s>twice"}, *PLAIN))
    views = [sidecar.render(folder, row) for row in rows]
    chats = [row for row in rows if row.shape == "chat"]
    for some in (chats, rows[6:9], rows[9:]):
        examples = [example_of(row, "sft") for row in some]
        trainer = real.sft(folder, examples, WHOLE, some is chats)
        assert held(trainer) == [shown(views[row.index], WHOLE) for row in some]
    assert_measured(sidecar, folder, rows, views)
    # The last row's text begins with the BOS that this tokenizer may add as well.
    twice = sidecar.measure(folder, [rows[8]], 1000, every=10**9)[0]
    assert twice.double_bos is facts.adds_bos
    for row, counts in zip(rows, sidecar.measure(folder, rows, 700, every=10**9), strict=True):
        view = views[row.index]
        if row.index and not counts.counted:
            assert at_most_bytes
            assert view.total <= counts.total
            assert view.trained
            assert view.stop_token_trained
