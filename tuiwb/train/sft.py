"""SFT with LoRA through TRL: the spec made into a model, data and a trainer.

Worker side only (imports torch, transformers, trl, peft, datasets).
"""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Features, Json, List, Value, concatenate_datasets
from datasets.utils import disable_progress_bars
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer
from trl.data_utils import pack_dataset

from tuiwb.data.read import open_dataset
from tuiwb.errors import BadInput, MissingHere
from tuiwb.stops import stop_tokens
from tuiwb.train.batches import ROW, Batches, RowCollator
from tuiwb.train.checkpoints import CHECKPOINTS

CHUNK = 1000
LAST = 4  # tokens at a row's end where the one that ends the answer is looked for
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}

Tell = Callable[[int, int], None]


def use_gpu(spec: dict[str, Any]) -> bool:
    """Whether the run trains on a GPU."""
    return torch.cuda.is_available() and not spec["training"]["use_cpu"]


def has_bf16(gpu: bool) -> bool:
    """Whether bfloat16 is fast here: Ampere and newer."""
    return gpu and torch.cuda.is_bf16_supported(including_emulation=False)


def load_tokenizer(spec: dict[str, Any]) -> Any:
    """The base model's tokenizer; BadInput when it can't be read."""
    model = spec["model"]
    try:
        return AutoTokenizer.from_pretrained(
            model["base"], revision=model["revision"], trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise BadInput(f"can't load the tokenizer of {model['base']}: {_line(error)}") from None


def load_model(spec: dict[str, Any], gpu: bool) -> Any:
    """The base model in the asked precision on its device; safetensors only."""
    model = spec["model"]
    name = model["dtype"]
    if name == "auto":
        name = "bfloat16" if has_bf16(gpu) else "float32"
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model["base"],
            revision=model["revision"],
            dtype=DTYPES[name],
            attn_implementation=model["attn_implementation"],
            trust_remote_code=False,
            use_safetensors=True,
        )
    except ImportError as error:
        raise MissingHere(f"{model['base']} can't be loaded here: {_line(error)}") from None
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BadInput(f"can't load the base model {model['base']}: {_line(error)}") from None
    loaded.config.use_cache = False
    return loaded.to("cuda") if gpu else loaded


def lora_config(spec: dict[str, Any]) -> LoraConfig:
    """PEFT's LoraConfig of the spec's lora section."""
    settings = {k: v for k, v in spec["lora"].items() if v is not None}
    return LoraConfig(task_type="CAUSAL_LM", **settings)


def sft_config(spec: dict[str, Any], folder: Path, gpu: bool, chats: bool) -> SFTConfig:
    """TRL's SFTConfig of the spec's training section, null filled in for this machine."""
    t = dict(spec["training"])
    heldout = bool(spec["data"]["heldout"])
    bf16 = t["bf16"] if t["bf16"] is not None else (has_bf16(gpu) and not t["fp16"])
    if (bf16 or t["fp16"]) and not gpu and t["fp16"]:
        raise BadInput("training.fp16 needs a GPU and there is none: set it to false")
    if bf16 and gpu and not has_bf16(gpu):
        raise BadInput("training.bf16 needs an Ampere or newer GPU: set bf16: false, fp16: true")
    checkpointing = t["gradient_checkpointing"]
    t.update(
        bf16=bf16,
        gradient_checkpointing=gpu if checkpointing is None else checkpointing,
        eval_strategy=t["eval_strategy"] or ("epoch" if heldout else "no"),
        assistant_only_loss=t["assistant_only_loss"] and chats,
        use_cpu=not gpu,
        eval_packing=False if t["eval_packing"] is None and t["packing"] else t["eval_packing"],
        # Whole numbers, as the trainer counts steps; below 1 they stay shares of the run.
        **{
            key: int(value) if value >= 1 else value
            for key in ("logging_steps", "eval_steps", "save_steps", "warmup_steps")
            if (value := t[key]) is not None
        },
    )
    if t["tf32"] is None or not gpu:
        del t["tf32"]
    return SFTConfig(
        output_dir=str(folder / CHECKPOINTS),
        report_to="none",
        disable_tqdm=True,
        logging_nan_inf_filter=False,
        dataloader_pin_memory=gpu,
        push_to_hub=False,
        **t,
    )


def to_dataset(examples: list[dict[str, Any]]) -> Dataset:
    """TRL's examples as a Dataset that gives each back exactly as it was.

    Messages and tools are kept as JSON: Arrow's structs would add every other row's keys as None,
    and the chat template would see them.
    """
    chats = [
        key
        for key in ("messages", "prompt", "completion")
        if isinstance(examples[0].get(key), list)
    ]
    texts = [
        key for key in ("prompt", "completion", "text") if isinstance(examples[0].get(key), str)
    ]
    features: dict[str, Any] = {key: List(Json()) for key in chats}
    features |= {key: Value("string") for key in texts}
    columns: dict[str, list[Any]] = {key: [e.get(key) for e in examples] for key in chats + texts}
    if any(e.get("tools") for e in examples):
        features["tools"] = Value("string")
        columns["tools"] = [json.dumps(e["tools"]) if e.get("tools") else None for e in examples]
    features[ROW] = Value("int64")
    columns[ROW] = list(range(len(examples)))
    return Dataset.from_dict(columns, features=Features(features))


class Trainer(SFTTrainer):  # type: ignore[misc]
    """SFTTrainer whose preparation says how far it is and which rows it had to leave out.

    By "train" and "eval": rows `fully_masked` (positions), how many were `cut`, rows `unstopped`
    that are whole and train no token that ends an answer, the `longest` row in tokens, and how
    many `packs` there are. `batches` holds the rows of the last steps.
    """

    data_collator: Any
    _signature_columns: Any

    def __init__(self, *args: Any, tell: Tell, **kwargs: Any) -> None:
        self._tell_prepared = tell
        self.fully_masked: dict[str, list[int]] = {}
        self.cut: dict[str, int] = {}
        self.cut_rows: dict[str, list[int]] = {}
        self.unstopped: dict[str, list[int]] = {}
        self.longest: dict[str, int] = {}
        self.packs: dict[str, int] = {}
        self.batches = Batches()
        super().__init__(*args, **kwargs)
        self.data_collator = RowCollator(self.data_collator)

    def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """One batch, its rows remembered."""
        rows = inputs.pop(ROW, [])
        loss = super().training_step(model, inputs, *args, **kwargs)
        self.batches.put(self.state.global_step + 1, rows, loss.detach())
        return loss

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """One batch of an evaluation."""
        inputs.pop(ROW, None)
        return super().prediction_step(model, inputs, *args, **kwargs)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if ROW not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, ROW]

    def _prepare_dataset(
        self,
        dataset: Any,
        processing_class: Any,
        args: Any,
        packing: bool,
        formatting_func: Any,
        dataset_name: str,
    ) -> Any:
        """Tokenise in chunks, leave out rows without a trained token, then cut and pack."""
        if "input_ids" in dataset.column_names:
            return super()._prepare_dataset(
                dataset, processing_class, args, packing, formatting_func, dataset_name
            )
        uncut = copy.copy(args)
        uncut.max_length = None
        parts, total = [], len(dataset)
        for start in range(0, total, CHUNK):
            self._tell_prepared(start, total)
            part = dataset.select(range(start, min(start + CHUNK, total)))
            parts.append(
                super()._prepare_dataset(part, processing_class, uncut, False, None, dataset_name)
            )
        tokens = concatenate_datasets(parts) if len(parts) > 1 else parts[0]
        limit = None if packing and args.packing_strategy != "bfd" else args.max_length
        kept: list[int] = []
        lost: list[int] = []
        cut: list[int] = []
        unstopped: list[int] = []
        longest = 0
        stops = stop_tokens(None, processing_class)
        for position, labels in enumerate(tokens["labels"]):
            longest = max(longest, len(labels))
            last = [label for label in labels[:limit][-LAST:] if label != -100]
            trained = bool(last) or any(label != -100 for label in labels[:limit])
            (kept if trained else lost).append(position)
            if limit is not None and len(labels) > limit:
                cut.append(position)
            elif trained and not _stops(labels, last, stops):
                unstopped.append(position)
        self.fully_masked[dataset_name], self.cut[dataset_name] = lost, len(cut)
        self.cut_rows[dataset_name], self.unstopped[dataset_name] = cut, unstopped
        self.longest[dataset_name] = longest
        self._tell_prepared(total, total)
        if not kept:
            raise BadInput(
                f"no {'training' if dataset_name == 'train' else 'held-out'} row has a trained "
                f"token within max_length {args.max_length}: raise training.max_length or look at "
                "the chat template"
            )
        if lost:
            tokens = tokens.select(kept)
        prepared = super()._prepare_dataset(
            tokens, processing_class, args, packing, formatting_func, dataset_name
        )
        if packing:
            prepared = _with_rows(prepared, tokens, args)
            self.packs[dataset_name] = len(prepared)
        return prepared


def _stops(labels: list[int], last: list[int], stops: frozenset[int]) -> bool:
    """Whether the last trained tokens hold one that ends an answer."""
    if not last:
        last = [label for label in labels if label != -100][-LAST:]
    return any(label in stops for label in last)


def _with_rows(packed: Dataset, tokens: Dataset, args: Any) -> Dataset:
    """The packs with the rows in each: packing goes by lengths alone, so it can be done again."""
    lengths = [len(ids) for ids in tokens["input_ids"]]
    rows = Dataset.from_dict(
        {ROW: [[row] * n for row, n in zip(tokens[ROW], lengths, strict=True)]},
        features=Features({ROW: List(Value("int64"))}),
    )
    again = pack_dataset(
        rows, args.max_length, args.packing_strategy, {"num_proc": args.dataset_num_proc}
    )
    if len(again) != len(packed):
        return packed
    return packed.add_column(ROW, [list(dict.fromkeys(ids)) for ids in again[ROW]])


def where(paths: list[str], left_out: list[Any], positions: list[int], most: int = 5) -> list[str]:
    """file:line of the first `most` training examples at `positions`, counted as TRL got them."""
    gone = {(row.file, row.index) for row in left_out}
    wanted, found, position = set(positions[:most]), [], 0
    for path in paths:
        for row in open_dataset(path):
            if (row.file, row.index) in gone:
                continue
            if position in wanted:
                found.append(row.where)
                if len(found) == len(wanted):
                    return found
            position += 1
    return found


def quiet_libraries() -> None:
    """No progress bars in worker.log; as many torch threads as this process may use."""
    disable_progress_bars()
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0))))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
