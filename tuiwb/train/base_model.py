"""A base model's folder, looked at without torch: is it complete, what does its template say."""

import json
import os
import re
from difflib import get_close_matches
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tuiwb.errors import BadInput, MissingHere
from tuiwb.train.checkpoints import safetensors_whole

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_folder(folder: Path) -> None:
    """BadInput with one sentence unless `folder` holds a config, whole weights and a tokenizer."""
    if not folder.is_dir():
        raise BadInput(f"the base model {folder} is a file: give the folder it lies in")
    read_json(folder / "config.json", "the model's config.json")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = next((p.name for ext in ("*.bin", "*.gguf", "*.pt") for p in folder.glob(ext)), "")
        hint = f" ({other} is another format)" if other else ""
        raise BadInput(
            f"{folder} has no safetensors weights{hint}: put model.safetensors there or convert it"
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(read_json(index, "the weights' index").get("weight_map", {}).values())
        if missing := sorted(names - {p.name for p in weights}):
            raise BadInput(f"{folder} lacks {missing[0]}, which its index names: download it again")
    for path in weights:
        try:
            whole = safetensors_whole(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            whole = False
        if not whole:
            raise BadInput(f"{path} is cut short or not safetensors: download it again")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise BadInput(
            f"{folder} has no tokenizer (tokenizer.json): copy the tokenizer's files there"
        )


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file; BadInput naming `what` when it can't be read."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{path.parent} has no {path.name}: it is not a model's folder") from None
    except (OSError, ValueError) as error:
        raise BadInput(f"can't read {what} {path}: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{path} is not a JSON object: download it again")
    return value


def chat_template(folder: Path) -> str | None:
    """The tokenizer's chat template as text, from where transformers looks for it."""
    for name in ("chat_template.jinja", "chat_template.json", "tokenizer_config.json"):
        path = folder / name
        if not path.is_file():
            continue
        if name.endswith(".jinja"):
            return path.read_text("utf-8", errors="replace")
        found = read_json(path, "the tokenizer's settings").get("chat_template")
        if isinstance(found, list):
            named = {str(t.get("name")): t.get("template") for t in found if isinstance(t, dict)}
            found = named.get("default")
        if isinstance(found, str):
            return found
    return None


def marks_generation(template: str) -> bool:
    """Whether a chat template says which tokens the assistant wrote ({% generation %})."""
    return GENERATION.search(template) is not None


def trl_knows(template: str) -> bool | None:
    """Whether TRL has a training template for exactly this one; None where TRL isn't here."""
    spec = find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "chat_templates"
    return any(
        (folder / f"{path.stem}_training.jinja").is_file() and path.read_text("utf-8") == template
        for path in folder.glob("*.jinja")
    )


def is_hub_id(name: str) -> bool:
    """Whether `name` could be a Hugging Face hub id (org/name, or an old one-word name)."""
    return len(name) <= 96 and _HUB_ID.fullmatch(name) is not None and ".." not in name


def hub_snapshot(name: str, revision: str | None = None) -> Path | None:
    """The cached snapshot folder of a hub model, or None; looks at files only."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    repository = cache / f"models--{name.replace('/', '--')}"
    wanted = revision or "main"
    try:
        commit = (repository / "refs" / wanted).read_text().strip()
    except OSError:
        commit = wanted
    folder = repository / "snapshots" / commit
    return folder if (folder / "config.json").is_file() else None


def hub_status(name: str, seconds: float = 5.0) -> int | None:
    """The hub's HTTP status for a model (200: it is there); None when the hub can't be reached.

    Nothing is asked when HF_HUB_OFFLINE is set. HF_TOKEN goes along where it is set.
    """
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return None
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if not endpoint.startswith(("https://", "http://")):
        return None
    request = Request(f"{endpoint.rstrip('/')}/api/models/{name}", method="HEAD")
    if token := os.environ.get("HF_TOKEN"):
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urlopen(request, timeout=seconds) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code
    except (OSError, ValueError, HTTPException):
        return None


def may_be_on_the_hub(base: str, folder: Path) -> bool:
    """Whether `base`, which is no `folder` here, can be meant as a hub id."""
    return is_hub_id(base) and not ("/" in base and folder.parent.is_dir())


def locate(base: str, folder: Path, revision: str | None) -> Path | None:
    """The folder to check for `base` (written so in the config, `folder` once resolved).

    None for a hub id that is not cached but can be fetched. BadInput or MissingHere else.
    """
    if folder.exists():
        check_folder(folder)
        return folder
    if not may_be_on_the_hub(base, folder):
        names = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        near = get_close_matches(folder.name, names, 1)
        hint = f"did you mean {near[0]}?" if near else "give its folder or a hub id"
        raise BadInput(f"there is no base model {folder}: {hint}")
    snapshot = hub_snapshot(base, revision)
    if snapshot is not None:
        check_folder(snapshot)
        return snapshot
    status = hub_status(base)
    if status is None:
        raise MissingHere(
            f"there is no folder {folder}, no hub model {base} in the cache here, and the hub "
            "can't be reached: give a folder, or fetch the model where there is a network"
        )
    if status in (401, 403, 404):
        raise BadInput(
            f"there is no folder {folder}, and no hub model {base} that can be read (status "
            f"{status}): look at its spelling, or set HF_TOKEN if it is private or gated"
        )
    return None
