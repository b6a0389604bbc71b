"""`tuiwb init [DIR]`: make a project folder; --sample copies the embedded project."""

from pathlib import Path
from typing import Annotated

import typer

from tuiwb.cli.common import JsonOption, say, say_json, single
from tuiwb.errors import BadInput
from tuiwb.project import SETTINGS, copy_sample

app = single()

SETTINGS_TEXT = """\
# A tuiwb project. Every key is optional.
name: {name}
# base_model: /path/to/a/model/folder       # what a new config starts from
# gpu_price_per_hour: 2.50                  # to show what a run costs
# rater: mia                                # who votes here; else it is asked once
# judge: {{model: claude-sonnet-5-5, max_usd: 5.0}}
# python: {{vllm: /path/to/the/python/that/has/vllm}}
"""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder.")] = Path(),
    sample: Annotated[bool, typer.Option("--sample", help="Copy the embedded project.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a project folder with tuiwb.yaml, data/ and configs/; files there are left alone."""
    if sample:
        project = copy_sample(folder)
        root, made = project.root, ["the sample project"]
    else:
        root, made = folder.resolve(), _make(folder.resolve())
    if as_json:
        say_json({"root": str(root), "made": made})
    else:
        say(f"{root}: {', '.join(made)}; `tuiwb {folder}` opens it")


def _make(root: Path) -> list[str]:
    settings = root / SETTINGS
    if settings.exists():
        raise BadInput(f"{settings} exists: this is a project already")
    try:
        for name in ("data", "configs"):
            (root / name).mkdir(parents=True, exist_ok=True)
        settings.write_text(SETTINGS_TEXT.format(name=_yaml_word(root.name)), "utf-8")
    except OSError as error:
        raise BadInput(f"can't write {settings}: {error.strerror or error}") from None
    return [SETTINGS, "data/", "configs/"]


def _yaml_word(word: str) -> str:
    import json

    return json.dumps(word)
