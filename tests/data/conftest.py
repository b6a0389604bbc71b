"""Parts the data tests share: a tiny tokenizer with a chat template, made without torch."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tuiwb.data.render import Sidecar

CHATML = (
    "{%- for message in messages -%}{{- '<|im_start|>' + message.role + '\n' -}}"
    "{%- if message.role == 'assistant' -%}{%- generation -%}{{- message.content -}}"
    "{%- for call in message.tool_calls or [] -%}{{- call.function | tojson -}}{%- endfor -%}"
    "{{- '<|im_end|>' -}}{%- endgeneration -%}{{- '\n' -}}"
    "{%- else -%}{{- message.content + '<|im_end|>\n' -}}{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}"
)
LINES = ["the quick brown fox jumps over the lazy dog", "user assistant system tool hello world"]


def make_tokenizer(folder: Path, chat_template: str | None = CHATML) -> Path:
    """Write a byte-level BPE tokenizer into `folder`; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 4096,
    }
    if chat_template is not None:
        config["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer whose ChatML template marks the assistant's turns."""
    return make_tokenizer(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def unmarked_template() -> str:
    """The ChatML template without generation marks, of no family TRL knows."""
    return CHATML.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")


@pytest.fixture(scope="session")
def tokenizer_with() -> Callable[[Path, str | None], Path]:
    """Write the tiny tokenizer with another chat template, or with none."""
    return make_tokenizer


@pytest.fixture(scope="session")
def sidecar() -> Iterator[Sidecar]:
    """One tokenizer process for the whole session."""
    sidecar = Sidecar()
    yield sidecar
    sidecar.close()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Public demo datasets, where this machine has them."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("TUIWB_REAL_DATA", beside))
    if not (folder / "alpaca_en_demo.json").is_file():
        pytest.skip("no real datasets here: set TUIWB_REAL_DATA to a folder that holds them")
    return folder


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The embedded project."""
    return Path(__file__).parents[2] / "sample_data"
