"""The model in memory: a base and any number of LoRA adapters on it. Imports torch.

Every call here happens on the engine's one thread, but for `render`, which only tokenises.
"""

import threading
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from tuiwb.errors import BadInput, MissingHere
from tuiwb.serve.builtin.protocol import Request, RequestError
from tuiwb.stops import stop_tokens

BASE = "__base__"  # PEFT's name for "no adapter" in a mixed batch


class LoadedModel:
    """A base model whose adapters come and go; `adapters` maps served names to PEFT's."""

    def __init__(
        self,
        base: str,
        base_name: str,
        *,
        dtype: str = "auto",
        template: str | None = None,
        most_tokens: int | None = None,
    ) -> None:
        torch.set_num_threads(1)
        self.base_name = base_name
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
            model = AutoModelForCausalLM.from_pretrained(
                base,
                dtype=_dtype(dtype, self.device),
                use_safetensors=True,
                trust_remote_code=False,
            )
            self.model: Any = model.to(self.device).eval()
        except torch.cuda.OutOfMemoryError:
            raise MissingHere(
                f"the GPU has too little free memory for {base}: free it, or serve elsewhere"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            first = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise BadInput(f"can't load the base model {base}: {first}") from None
        if template is not None:
            self.tokenizer.chat_template = Path(template).read_text("utf-8")
        self.adapters: dict[str, str] = {}
        self.config = model.config
        self.defaults: GenerationConfig = model.generation_config
        self.room = self._room(most_tokens)
        self.stops = stop_tokens(self.defaults.eos_token_id, self.tokenizer)
        self._count = 0
        self._tokenizing = threading.Lock()

    def load_adapter(self, name: str, path: str) -> None:
        """Put a checked adapter onto the base; the first one wraps the model for PEFT."""
        inner = f"a{self._count}"
        self._count += 1
        if isinstance(self.model, PeftModel):
            self.model.load_adapter(path, adapter_name=inner, torch_device=self.device)
        else:
            self.model = PeftModel.from_pretrained(
                self.model, path, adapter_name=inner, torch_device=self.device
            )
        self.model.eval()
        self.adapters[name] = inner

    def unload_adapter(self, name: str) -> None:
        """Let go of an adapter's weights."""
        inner = self.adapters.pop(name)
        if self.adapters:
            self.model.delete_adapter(inner)
        else:
            self.model = self.model.unload()

    def inner_name(self, name: str) -> str:
        """PEFT's name for a served model; KeyError when it was unloaded meanwhile."""
        return BASE if name == self.base_name else self.adapters[name]

    def forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
        adapters: list[str],
    ) -> torch.Tensor:
        """Logits (rows, vocabulary), float32, of the last position; `cache` grows in place."""
        extra = {"adapter_names": adapters} if isinstance(self.model, PeftModel) else {}
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **extra,
        )
        return out.logits[:, -1, :].float()

    def render(self, request: Request) -> list[int]:
        """The prompt's token ids; RequestError when it has none, or they leave no room."""
        with self._tokenizing:  # a fast tokenizer refuses two threads at once
            ids = self._render(request)
        if not ids:
            raise RequestError(400, "the prompt has no tokens", param="messages")
        top = self.config.get_text_config().vocab_size
        if max(ids) >= top:
            raise RequestError(400, f"token ids must be below {top}", param="prompt")
        if len(ids) >= self.room:
            raise RequestError(
                400,
                f"the prompt has {len(ids)} tokens and this server takes {self.room} with the "
                "answer: shorten it",
                param="messages" if request.chat else "prompt",
            )
        return ids

    def _render(self, request: Request) -> list[int]:
        if request.ids is not None:
            return request.ids
        if request.messages is None:
            return list(self.tokenizer(request.text)["input_ids"])
        if not self.tokenizer.chat_template:
            raise RequestError(
                400, "this base has no chat template: use /v1/completions", param="messages"
            )
        try:
            return list(
                self.tokenizer.apply_chat_template(
                    request.messages, add_generation_prompt=True, return_dict=True
                )["input_ids"]
            )
        except Exception as error:  # a template is a program of the model's author
            words = " ".join(str(error).split())[:300]
            raise RequestError(
                400, f"the chat template refused these messages: {words}", param="messages"
            ) from None

    def decode(self, ids: list[int]) -> str:
        """Text of token ids, special tokens left out."""
        text: str = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _room(self, most: int | None) -> int:
        limit = getattr(self.config.get_text_config(), "max_position_embeddings", None) or 4096
        return min(int(limit), most or int(limit))


def _dtype(name: str, device: str) -> Any:
    if name != "auto":
        return getattr(torch, name)
    return "auto" if device == "cuda" else torch.float32
