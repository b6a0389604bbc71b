"""The rendered view: what the sidecar shows is what TRL's collators hold."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tuiwb.data.formats import to_row
from tuiwb.data.render import Sidecar, conversation_text
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput, JobFailed

pytestmark = pytest.mark.slow
MakeTokenizer = Callable[[Path, str | None], Path]

CHAT = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "héllo 👋 [red]wörld[/]"},
        {"role": "assistant", "content": "the fox"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": "jumps ✓"},
    ]
}
TOOLS = {
    "conversations": [
        {"from": "human", "value": "hello"},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"for": "fox"}}'},
        {"from": "observation", "value": "a fox"},
        {"from": "gpt", "value": "found it"},
    ]
}


def row_of(record: Any) -> Row:
    return to_row(record, "x.jsonl", 0, 1)


def wait_until(holds: Callable[[], bool], seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "the condition never held"
        threading.Event().wait(0.02)


def trained_text(rendered: Any) -> str:
    return "".join(t.text for t in rendered.tokens if t.trained)


def test_a_chat_is_rendered_with_exactly_the_assistant_turns_trained(
    sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    rendered = sidecar.render(tiny_tokenizer, row_of(CHAT))
    assert rendered.text == (
        "<|im_start|>system\nbe brief<|im_end|>\n"
        "<|im_start|>user\nhéllo 👋 [red]wörld[/]<|im_end|>\n"
        "<|im_start|>assistant\nthe fox<|im_end|>\n"
        "<|im_start|>user\nand?<|im_end|>\n"
        "<|im_start|>assistant\njumps ✓<|im_end|>\n"
    )
    assert trained_text(rendered) == "the fox<|im_end|>jumps ✓<|im_end|>"
    assert {t.text for t in rendered.tokens if t.special} == {"<|im_start|>", "<|im_end|>"}
    assert rendered.total == len(rendered.tokens) > rendered.trained > 0
    assert rendered.stop_token_trained is True
    assert rendered.truncated_at is None
    assert rendered.notes == []


def test_the_pieces_of_one_character_show_it_once(sidecar: Sidecar, tiny_tokenizer: Path) -> None:
    rendered = sidecar.render(tiny_tokenizer, row_of({"text": "a👋b"}))
    wave = next(i for i, t in enumerate(rendered.tokens) if t.text == "👋")
    assert [t.text for t in rendered.tokens[wave + 1 : wave + 4]] == ["", "", ""]
    assert rendered.text == "a👋b<|im_end|>"


def test_truncation_is_shown_where_it_cuts(sidecar: Sidecar, tiny_tokenizer: Path) -> None:
    whole = sidecar.render(tiny_tokenizer, row_of(CHAT))
    cut = sidecar.render(tiny_tokenizer, row_of(CHAT), max_length=whole.total - 3)
    assert cut.total == whole.total
    assert cut.truncated_at == whole.total - 3
    assert cut.trained < whole.trained
    assert cut.stop_token_trained is False
    assert "truncated: 3 of" in cut.notes[-1]
    nothing = sidecar.render(tiny_tokenizer, row_of(CHAT), max_length=5)
    assert nothing.trained == 0
    assert "TRL drops this row" in nothing.notes[-1]


def test_a_template_without_generation_marks_says_what_trl_would_do(
    sidecar: Sidecar, tmp_path: Path, tokenizer_with: MakeTokenizer, unmarked_template: str
) -> None:
    unknown = tokenizer_with(tmp_path / "unknown", unmarked_template)
    rendered = sidecar.render(unknown, row_of(CHAT))
    assert rendered.trained == rendered.total
    assert "TRL stops with an error" in rendered.notes[0]


def test_a_known_family_is_rendered_with_trls_own_training_template(
    sidecar: Sidecar, tmp_path: Path, tokenizer_with: MakeTokenizer
) -> None:
    import trl

    templates = Path(trl.__file__).parent / "chat_templates"
    family = tokenizer_with(tmp_path / "q", (templates / "qwen2_5.jinja").read_text("utf-8"))
    rendered = sidecar.render(family, row_of(CHAT))
    assert trained_text(rendered).split() == ["the", "fox<|im_end|>", "jumps", "✓<|im_end|>"]
    assert "TRL knows this family" in rendered.notes[0]


def test_prompt_and_answer_rows_train_on_the_answer_alone(
    sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    plain = sidecar.render(tiny_tokenizer, row_of({"prompt": "the fox", "completion": " jumps"}))
    assert trained_text(plain) == " jumps<|im_end|>"
    pair = sidecar.render(
        tiny_tokenizer, row_of({"prompt": "hello", "chosen": " world", "rejected": " dog"})
    )
    assert (pair.part, trained_text(pair)) == ("chosen", " world<|im_end|>")
    assert pair.other is not None
    assert (pair.other.part, trained_text(pair.other)) == ("rejected", " dog<|im_end|>")
    merged = sidecar.render(tiny_tokenizer, row_of({"prompt": "hello", "completion": "world"}))
    assert trained_text(merged) != "world<|im_end|>"
    assert "come out differently" in merged.notes[0]
    thumb = sidecar.render(tiny_tokenizer, row_of({"messages": CHAT["messages"], "label": True}))
    assert trained_text(thumb) == "jumps ✓<|im_end|>\n"


def test_a_pair_is_not_told_to_lack_its_other_answer(
    sidecar: Sidecar, tiny_tokenizer: Path
) -> None:
    ask = [{"role": "user", "content": "hello"}]
    pair = sidecar.render(
        tiny_tokenizer,
        row_of(
            {
                "prompt": ask,
                "chosen": [{"role": "assistant", "content": "the fox"}],
                "rejected": [{"role": "assistant", "content": "a dog"}],
            }
        ),
    )
    assert pair.other is not None
    assert (pair.notes, pair.other.notes) == ([], [])


def test_measuring_counts_as_rendering_does(sidecar: Sidecar, tiny_tokenizer: Path) -> None:
    rows = [row_of(CHAT), row_of(TOOLS), row_of({"text": "hello"})]
    for row, measured in zip(rows, sidecar.measure(tiny_tokenizer, rows, 40), strict=True):
        rendered = sidecar.render(tiny_tokenizer, row, 40)
        assert (measured.total, measured.trained_within(40)) == (rendered.total, rendered.trained)


def test_what_cannot_be_rendered_is_one_sentence(
    sidecar: Sidecar, tiny_tokenizer: Path, tmp_path: Path, tokenizer_with: MakeTokenizer
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    with pytest.raises(BadInput, match="has no tokenizer"):
        sidecar.render(tmp_path, row_of(CHAT))
    with pytest.raises(BadInput, match="there is no model folder"):
        sidecar.render(tmp_path / "gone", row_of(CHAT))
    (tmp_path / "my-base").mkdir()
    with pytest.raises(BadInput, match=f"did you mean {tmp_path}/my-base"):
        sidecar.render(tmp_path / "base", row_of(CHAT))
    with pytest.raises(BadInput, match="the cache here holds no tokenizer") as error:
        sidecar.render("nobody/no-such-model", row_of(CHAT))
    assert "http" not in str(error.value)
    (tmp_path / "tokenizer.model").write_text("a SentencePiece model")
    with pytest.raises(BadInput, match="pip install sentencepiece tiktoken"):
        sidecar.render(tmp_path, row_of(CHAT))
    (tmp_path / "tokenizer.json").write_text("half {")
    with pytest.raises(BadInput, match="no tokenizer can be loaded"):
        sidecar.render(tmp_path, row_of(CHAT))
    with pytest.raises(BadInput, match="lone surrogate"):
        sidecar.render(tiny_tokenizer, row_of({"text": "a\ud800"}))
    with pytest.raises(BadInput, match="no chat template"):
        sidecar.render(tokenizer_with(tmp_path / "bare", None), row_of(CHAT))
    with pytest.raises(BadInput, match="can't be rendered"):
        sidecar.render(tiny_tokenizer, row_of({"question": "?"}))


def test_a_killed_sidecar_is_started_again_by_the_next_request(tiny_tokenizer: Path) -> None:
    sidecar = Sidecar()
    try:
        before = sidecar.render(tiny_tokenizer, row_of(CHAT))
        first = sidecar.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: sidecar.pid is None)
        assert sidecar.render(tiny_tokenizer, row_of(CHAT)) == before
        assert sidecar.pid not in (None, first)
    finally:
        sidecar.close()
    assert sidecar.pid is None


def test_a_sidecar_killed_amid_a_batch_does_it_again(tiny_tokenizer: Path) -> None:
    sidecar = Sidecar()
    rows = [row_of(CHAT)] * 300
    counts: list[Any] = []
    try:
        asking = threading.Thread(
            target=lambda: counts.extend(sidecar.measure(tiny_tokenizer, rows, 100))
        )
        asking.start()
        wait_until(lambda: sidecar.pid is not None)
        pid = sidecar.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        asking.join(300)
        assert len(counts) == 300
        assert counts[0].total == sidecar.render(tiny_tokenizer, rows[0]).total
    finally:
        sidecar.close()


def test_a_module_in_the_current_folder_is_not_run_by_the_sidecar(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('the folder was imported from')\n")
    monkeypatch.chdir(tmp_path)
    sidecar = Sidecar()
    try:
        sidecar.load(tiny_tokenizer)
        assert sidecar.has(tiny_tokenizer)
    finally:
        sidecar.close()


def test_closing_amid_a_request_ends_both_at_once(tiny_tokenizer: Path, tmp_path: Path) -> None:
    # A sidecar that never comes to answer: it halts before its first line.
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nkill -STOP $$\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    sidecar = Sidecar(str(python))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            sidecar.load(tiny_tokenizer)
        except JobFailed as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: sidecar.pid is not None)
    sidecar.close()
    asking.join(300)
    # Not because it had waited long enough.
    assert [str(error) for error in failed] == ["the tokenizer process was ended"]
    assert sidecar.pid is None


def test_threads_get_their_own_answers(sidecar: Sidecar, tiny_tokenizer: Path) -> None:
    texts = [f"hello {n} " * (n + 1) for n in range(12)]
    got: dict[str, str] = {}

    def ask(text: str) -> None:
        got[text] = sidecar.render(tiny_tokenizer, row_of({"text": text})).text

    threads = [threading.Thread(target=ask, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {text: text + "<|im_end|>" for text in texts}


def gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_sidecar_ends_when_its_owner_is_killed(tiny_tokenizer: Path) -> None:
    script = (
        "import sys; from tuiwb.data.render import Sidecar; s = Sidecar();"
        "s.load(sys.argv[1]); print(s.pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tiny_tokenizer)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    child = psutil.Process(pid)
    owner.kill()
    owner.wait()
    wait_until(lambda: gone(child))


def test_the_sidecar_loads_no_torch() -> None:
    script = (
        "import sys; from tuiwb.data import sidecar; sidecar.hide_what_is_not_needed();"
        "import tuiwb.data.rendering;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'accelerate')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['torch']", done.stderr


def test_the_trained_tokens_are_the_labels_of_trls_own_collator(
    sidecar: Sidecar, tiny_tokenizer: Path, tmp_path: Path
) -> None:
    from datasets import Dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import SFTConfig, SFTTrainer

    from tuiwb.data.examples import example_of

    tokenizer = AutoTokenizer.from_pretrained(tiny_tokenizer)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=2, **shape))
    records = (CHAT, TOOLS, {"prompt": "the fox", "completion": " jumps"}, {"text": "hello 👋"})
    for record in records:
        row = row_of(record)
        for max_length in (1024, 60, 5):
            trainer = SFTTrainer(
                model=model,
                args=SFTConfig(
                    output_dir=str(tmp_path),
                    max_length=max_length,
                    assistant_only_loss=row.shape == "chat",
                    use_cpu=True,
                    bf16=False,
                    report_to=[],
                ),
                train_dataset=Dataset.from_list([example_of(row, "sft")]),
                processing_class=tokenizer,
            )
            rendered = sidecar.render(tiny_tokenizer, row, max_length)
            if rendered.trained == 0:
                assert len(trainer.train_dataset) == 0
                continue
            batch = next(iter(trainer.get_train_dataloader()))
            labels = batch["labels"][0].tolist()
            ids = batch["input_ids"][0].tolist()
            kept = rendered.tokens[:max_length]
            assert [t.id for t in kept] == ids
            assert [t.id if t.trained else -100 for t in kept] == labels


def test_the_conversation_view_needs_no_model() -> None:
    text = conversation_text(row_of(TOOLS))
    assert text == (
        '[user]\nhello\n\n[assistant]\n-> look({"for": "fox"})\n\n[tool]\na fox\n\n'
        "[assistant]\nfound it"
    )
    assert json.dumps(text)
