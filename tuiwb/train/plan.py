"""Everything that can be known to go wrong, checked before a run is launched; no torch."""

import math
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.examples import fits
from tuiwb.data.read import open_dataset, training_examples
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.folder import check_name
from tuiwb.project import Project
from tuiwb.text import short_bytes
from tuiwb.train import base_model
from tuiwb.train.config import RunConfig, load_config

WHOLE_SCAN = 64 << 20  # datasets up to this many bytes are read through before launch
FIRST_ROWS = 2000
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks found out: training and held-out rows, whether rows are chats."""

    rows: int
    heldout_rows: int
    chats: bool


def plan(
    project: Project, config_path: Path, name: str | None = None
) -> tuple[Path, dict[str, Any]]:
    """The folder and the spec of the run a config asks for, every path absolute.

    BadInput or MissingHere with one sentence for the first thing that would stop the run.
    """
    config_path = config_path.absolute()
    config = read(config_path)
    require_libraries(project)
    folder = project.runs / run_name(project, config, config_path, name)
    base = project.resolve(config.model.base)
    model = base_model.locate(config.model.base, base, config.model.revision)
    checked = check_data(project, config)
    if checked.chats and model is not None:
        check_template(config, model)
    check_disk(project, config, model)
    spec: dict[str, Any] = config.model_dump(exclude={"name"})
    spec["model"]["base"] = str(base) if base.exists() else config.model.base
    spec["data"]["train"] = [str(path) for path in train_files(project, config)]
    spec["data"]["heldout"] = str(heldout) if (heldout := heldout_file(project, config)) else None
    spec["data"]["canary"] = str(canary) if (canary := canary_file(project, config)) else None
    spec["config_file"] = str(config_path)
    spec["rows"] = {"train": checked.rows, "heldout": checked.heldout_rows}
    return folder, spec


def read(config_path: Path) -> RunConfig:
    """The config of a file; BadInput with its first error and how many more there are."""
    config, problems = load_config(config_path)
    errors = [p for p in problems if p.severity == "error"]
    if errors or config is None:
        more = f" ({len(errors) - 1} more: tuiwb config check {config_path})" * (len(errors) > 1)
        raise BadInput(errors[0].at(config_path) + more)
    return config


def train_files(project: Project, config: RunConfig) -> list[Path]:
    """The training files, resolved."""
    train = config.data.train
    return [project.resolve(path) for path in ([train] if isinstance(train, str) else train)]


def heldout_file(project: Project, config: RunConfig) -> Path | None:
    """The held-out file, resolved."""
    return project.resolve(config.data.heldout) if config.data.heldout else None


def canary_file(project: Project, config: RunConfig) -> Path | None:
    """The file of general rows, resolved."""
    return project.resolve(config.data.canary) if config.data.canary else None


def run_name(project: Project, config: RunConfig, path: Path, name: str | None) -> str:
    """The name asked for if it is free, else the config's stem with the next -vN."""
    wanted = name or config.name
    if wanted is not None:
        return free_name(project, wanted)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:56] or "run"
    stem = re.sub(r"\.{2,}", ".", stem)
    taken = {p.name for p in project.runs.glob(f"{stem}-v*")}
    return next(n for i in range(1, 10**6) if (n := f"{stem}-v{i}") not in taken)


def free_name(project: Project, name: str) -> str:
    """Return `name` if a run can be made under it, else raise BadInput."""
    check_name(name)
    if (project.runs / name).exists():
        raise BadInput(
            f"a run named {name!r} exists already ({project.runs / name}): give this one another "
            "name"
        )
    return name


def require_libraries(project: Project) -> None:
    """MissingHere unless the Python that will train has what training needs."""
    other = project.settings.python.train
    if project.train_python is not None:
        if shutil.which(project.train_python) is None:
            raise MissingHere(f"python.train in tuiwb.yaml names {other}, which can't be run")
        return
    missing = [library for library in LIBRARIES if find_spec(library) is None]
    if missing:
        raise MissingHere(
            f"training needs {', '.join(missing)}: pip install 'tuiwb[train]', or name a Python "
            "that has them as python.train in tuiwb.yaml"
        )


def check_data(project: Project, config: RunConfig) -> Checked:
    """Open every dataset file and see that its rows can train the method."""
    rows, shapes = _check_rows(train_files(project, config), config)
    heldout = heldout_file(project, config)
    heldout_rows, heldout_shapes = _check_rows([heldout], config) if heldout else (0, set())
    canary = canary_file(project, config)
    if canary is not None:
        _check_rows([canary], config)
    chats = "chat" in shapes | heldout_shapes
    return Checked(rows=rows, heldout_rows=heldout_rows, chats=chats)


def _check_rows(files: list[Path], config: RunConfig) -> tuple[int, set[str]]:
    if all(_size(path) <= WHOLE_SCAN for path in files):
        examples, _ = training_examples(files, config.method, config.data.malformed)
        return len(examples), {"chat" if _is_chat(e) else "other" for e in examples}
    shapes, count = set(), 0
    for path in files:
        dataset = open_dataset(path)
        count += len(dataset)
        for n in range(min(FIRST_ROWS, len(dataset))):
            row = dataset.row(n)
            problem = fits(row, config.method)
            if problem is None:
                chat = row.shape == "chat" or isinstance(row.prompt, list)
                shapes.add("chat" if chat else "other")
            elif config.data.malformed == "error":
                raise BadInput(
                    f"{row.where} {problem}: mend the file, or set data.malformed to skip"
                )
    if not shapes:
        raise BadInput(f"{files[0]} has no row in its first {FIRST_ROWS} that can be trained on")
    return count, shapes


def _is_chat(example: dict[str, Any]) -> bool:
    return "messages" in example or isinstance(example.get("prompt"), list)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def check_template(config: RunConfig, model: Path) -> None:
    """BadInput when chats can't be rendered, or the assistant's tokens can't be told apart."""
    template = base_model.chat_template(model)
    if template is None:
        raise BadInput(
            f"{model} has no chat template and the data are chats: add chat_template.jinja to it, "
            "or train on an instruct model"
        )
    if not config.training.assistant_only_loss or base_model.marks_generation(template):
        return
    if base_model.trl_knows(template) is False:
        raise BadInput(
            f"the chat template of {model} doesn't mark the assistant's tokens and TRL has no "
            "training template for it: put {% generation %}...{% endgeneration %} around them, or "
            "set training.assistant_only_loss: false"
        )


def check_disk(project: Project, config: RunConfig, model: Path | None) -> None:
    """BadInput when the run's checkpoints can't fit on the disk."""
    where = next(p for p in (project.runs, *project.runs.parents) if p.is_dir())
    needed = disk_needed(config, model)
    free = shutil.disk_usage(where).free
    if free < needed:
        raise BadInput(
            f"{where} has {short_bytes(free)} free and the run needs about {short_bytes(needed)} "
            "for its checkpoints: free some room or lower training.save_total_limit"
        )


def disk_needed(config: RunConfig, model: Path | None) -> int:
    """Bytes the adapter and the checkpoints kept at once will take, roughly.

    A checkpoint holds the adapter in float32 (4 bytes a parameter), Adam's two moments (8), and
    the tokenizer's files.
    """
    parameters = lora_parameters(config, model) if model is not None else None
    if parameters is None or model is None:
        return 256 << 20
    tokenizer = sum(_size(model / name) for name in base_model.TOKENIZER_FILES)
    kept = 0 if config.training.save_strategy == "no" else (config.training.save_total_limit or 3)
    return (kept + 1) * (12 * parameters + tokenizer) + 4 * parameters + tokenizer + (4 << 20)


def lora_parameters(config: RunConfig, model: Path) -> int | None:
    """Trainable parameters of LoRA on every linear layer, r x (in + out) each; None if unknown.

    From config.json of the Llama-shaped families (q, k, v, o, gate, up, down): an upper bound when
    target_modules names fewer.
    """
    shape = base_model.read_json(model / "config.json", "the model's config.json")
    shape = shape.get("text_config", shape)
    try:
        hidden, layers = int(shape["hidden_size"]), int(shape["num_hidden_layers"])
        inner, heads = int(shape["intermediate_size"]), int(shape["num_attention_heads"])
    except (KeyError, TypeError, ValueError):
        return None
    head = int(shape.get("head_dim") or hidden // max(heads, 1))
    keys = int(shape.get("num_key_value_heads") or heads) * head
    attention = 2 * (hidden + heads * head) + 2 * (hidden + keys)
    experts = int(shape.get("num_local_experts") or shape.get("num_experts") or 1)
    return math.ceil(config.lora.r * layers * (attention + 3 * experts * (hidden + inner)))
