"""The starter config: what most LoRA runs set, each line with why."""

import json
import re
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import check_name
from tuiwb.project import Project

HELD_OUT = re.compile(r"held.?out|test|eval|valid|\bdev\b", re.IGNORECASE)
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/._-]*")
STARTER = """\
# A supervised fine-tune with LoRA. Keys are TRL's and PEFT's own; docs/config.md lists them all.
method: sft

model:
  base: {base}  # folder from the project's root, or a hub id

data:
  train: {train}
  heldout: {heldout}  # never trained on; its loss shows overfitting

lora:
  r: 16  # capacity of the adapter
  lora_alpha: 32  # its scale: lora_alpha / r
  lora_dropout: 0.0
  target_modules: all-linear

training:
  num_train_epochs: 3
  per_device_train_batch_size: 8
  gradient_accumulation_steps: 1  # effective batch = this x the line above
  learning_rate: 2.0e-4  # about ten times full fine-tuning
  lr_scheduler_type: cosine
  warmup_steps: 0.03  # below 1: a share of the run
  max_length: 1024  # tokens kept of a row
  assistant_only_loss: true  # learn the answers, not the questions
  logging_steps: 5
  save_strategy: epoch  # a run that dies resumes from the last checkpoint
  seed: 42
"""


def template(base: str, dataset: str, heldout: str | None = None) -> str:
    """A commented starter config for a base model and a dataset, as the user wrote their paths."""
    return STARTER.format(
        base=_scalar(base), train=_scalar(dataset), heldout=_scalar(heldout) if heldout else "null"
    )


def new_config(
    project: Project,
    path: Path | str | None = None,
    *,
    base: str | None = None,
    data: str | None = None,
    heldout: str | None = None,
) -> Path:
    """Write a starter config for the project; returns its path. Never overwrites: BadInput.

    `path` is a file, or as a plain string a name: configs/NAME.yaml.
    What is not given is taken from the project: its base_model, its first dataset, and a dataset
    whose name says held-out, test, eval or validation.
    """
    datasets = [project.shorten(p) for p in project.datasets()]
    apart = [d for d in datasets if HELD_OUT.search(Path(d).stem)]
    data = data or next((d for d in datasets if d not in apart), None)
    base = base or project.settings.base_model
    if data is None:
        raise BadInput(f"there is no dataset in {project.root}: put one into data/ or give --data")
    if base is None:
        raise BadInput("give --base FOLDER-OR-HUB-ID, or set base_model in tuiwb.yaml")
    if path is None or isinstance(path, str):
        stem = check_name(path) if path else f"{Path(data).stem}-lora"
        path = project.root / "configs" / f"{stem.removesuffix('.yaml')}.yaml"
    text = template(base, data, heldout or next(iter(apart), None))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BadInput(f"{path} exists already: give another file name") from None
    except OSError as error:
        raise BadInput(f"can't write {path}: {error.strerror or error}") from None
    return path


def _scalar(text: str) -> str:
    """A YAML scalar that reads back as `text`: quoted wherever a plain one could mislead."""
    misleading = text.lower() in ("null", "true", "false", "yes", "no", "on", "off")
    return text if PLAIN.fullmatch(text) and not misleading else json.dumps(text)


def markdown() -> str:
    """docs/config.md: every field, made from the schema itself."""
    from tuiwb.train.config import describe, fields

    out, section = [HEAD], None
    for path in fields():
        above, _, name = path.rpartition(".")
        if above != section:
            section = above
            title = f"`{above}`: {describe(above).description}" if above else "Top level"
            out.append(f"\n## {title}\n\n| key | takes | default | meaning |\n|---|---|---|---|\n")
        doc = describe(path)
        default = "required" if doc.required else f"`{_yaml(doc.default)}`"
        cells = (f"`{name}`", doc.type, default, doc.description)
        out.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n")
    return "".join(out)


def _yaml(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


HEAD = """\
# The run config

A run is a YAML file, usually in `configs/`. Keys are the libraries' own: `lora` holds PEFT's
`LoraConfig`, `training` holds TRL's `SFTConfig`. Paths count from the project's root. Defaults are
the libraries' too, except where the meaning says "tuiwb's default".

    tuiwb config new                    write a starter
    tuiwb config check configs/x.yaml   every problem with file:line; exit 0, or 2 with an error
    tuiwb train configs/x.yaml          check, then start

Unknown keys, wrong types and impossible values are errors, all reported at once. Names that older
versions and other tools use (`max_seq_length`, `warmup_ratio`, `torch_dtype`, ...) are accepted,
taken as the new ones, and said in a note.

This page is made from the schema: `python -m tuiwb.train.template > docs/config.md`.
"""

if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
