"""The starter config: what most LoRA runs set, each line with why."""

import json
import re
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.project import Project
from tuiwb.train.choices import (
    bases,
    datasets,
    heldout_for,
    is_held_out,
    is_never_trained,
    place_of,
    usual_place,
)
from tuiwb.train.rows import missing_file

NO_BASE = (
    "no base model is named: name one (its folder, or a hub id), or set base_model in tuiwb.yaml"
)
PLAIN = re.compile(r"/?[A-Za-z][A-Za-z0-9/._-]*")
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

    `path` is a file, or as text what `choices.place_of` makes of it. What is not given is taken
    from the project: `choices` says which. An empty `heldout` means none. BadInput for a dataset
    that is not there, too.
    """
    data = data or next((project.shorten(p) for p in datasets(project) if _for(project, p)), None)
    if data is None:
        there = len(project.datasets())
        raise BadInput(
            f"none of the {there} datasets of {project.root} is one to train on (they are held "
            "out, canaries or odd prompts): name one"
            if there
            else f"there is no dataset in {project.root}: put one into data/, or name one"
        )
    trained = project.resolve(data)
    if heldout is None and (found := heldout_for(project, trained)) is not None:
        heldout = project.shorten(found)
    for named in filter(None, (data, heldout)):
        if (words := missing_file(project, project.resolve(named))) is not None:
            raise BadInput(words)
    known = bases(project)
    base = base or next(iter(known), None)
    if base is None:
        raise BadInput(NO_BASE)
    if isinstance(path, str):
        path = place_of(project, path)
    elif path is None:
        path = usual_place(project, trained)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template(base, data, heldout))
    except FileExistsError:
        raise BadInput(f"{path} exists already: give another file name") from None
    except OSError as error:
        raise BadInput(f"can't write {path}: {error.strerror or error}") from None
    return path


def _for(project: Project, path: Path) -> bool:
    return not is_held_out(path) and not is_never_trained(project, path)


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
    tuiwb config new mine               write configs/mine.yaml (a path is taken as it is)
    tuiwb config check configs/x.yaml   every problem with file:line, before anything runs
    tuiwb train configs/x.yaml          the same check, then start

A new config takes the newest version or the largest dataset that can be trained on, never a
held-out, canary or odd-prompt file, and the base of `base_model` in tuiwb.yaml, of the newest
config, or under models/.

The check tells unknown keys, wrong types, impossible values, a name no run can have, files that
are not there, rows that can't be trained on, layers the base has not, and what this machine lacks
for it, all at once. Exit codes: 0 `tuiwb train` starts it here; 2 the config is wrong; 3 the config
is right and only this machine lacks something ("missing here": a GPU, a package, room on the disk,
a model that can't be fetched), so that another may run it. Warnings and notes change no exit code.
What takes the tokenizer or the GPU itself to know is told by the run: rows that `max_length` cuts
before their first trained token, bfloat16 or flash attention on a GPU too old for it, memory.

Names that older versions and other tools use (`max_seq_length`, `warmup_ratio`, `torch_dtype`, ...)
are accepted, taken as the new ones, and said in a note.

On the Config screen letters are keys until `e` or enter lets them into the text, and again after
escape; a pause in typing checks the text, the first rows of its files and this machine, `ctrl+t`
all of it. What is not saved is kept (●), also a text that has no file yet: `ctrl+s` asks for its
name. `ctrl+r` goes back to the saved file, `ctrl+n` makes a new one.

This page is made from the schema: `python -m tuiwb.train.template > docs/config.md`.
"""

if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
