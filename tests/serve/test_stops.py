"""An answer ends where the chat template ends a turn, in serving as in comparing."""

import json
import shutil
from pathlib import Path

import pytest

from tuiwb.serve.builtin.model import LoadedModel


@pytest.fixture
def ends_documents_only(base: Path, tmp_path: Path) -> Path:
    """The tiny model with an end token of its own, as base models have beside a chat template."""
    folder = shutil.copytree(base, tmp_path / "model")
    for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            told = json.loads(path.read_text())
            told["eos_token" if name.startswith("tokenizer") else "eos_token_id"] = None
            path.write_text(json.dumps(told))
    return folder


@pytest.mark.slow
def test_the_templates_turn_end_stops_both_the_server_and_the_comparison(ends_documents_only):
    from tuiwb.compare.inference.loading import load_model

    served = LoadedModel(str(ends_documents_only), "tiny", dtype="float32")
    end = served.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert end in served.stops
    assert sorted(served.stops) == load_model(str(ends_documents_only), None, "float32").stops
