"""Datasets by their hub id, owner/name[:split]: from the hub's cache on disk, else fetched."""

import fnmatch
import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tuiwb.errors import BadInput, MissingHere
from tuiwb.project import names_rows

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")


def hub_files(given: str) -> list[Path]:
    """The files of one split of a hub dataset; train where none is named.

    What the hub's cache provably holds in full (every numbered shard) is taken without asking the
    hub; without a network, what the cache holds is taken. MissingHere when there is neither.
    """
    name, _, split = given.partition(":")
    here = _cached(name, split or None)
    if here and all(_SHARD.search(file.name) for file in here):
        return here
    try:
        return _fetch(name, split or None)
    except MissingHere:
        if here:
            return here
        raise


def _cached(name: str, split: str | None) -> list[Path]:
    """The files of a split in the hub's cache; none where a numbered shard is missing."""
    folder = _snapshot(name)
    if folder is None:
        return []
    there = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    try:
        chosen = _of_split(name, there, split, _readme(folder))
    except BadInput:
        return []
    return [folder / file for file in chosen] if _whole(chosen) else []


def _snapshot(name: str) -> Path | None:
    """The newest snapshot of a dataset in the hub's cache."""
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()
    folder = cache / f"datasets--{name.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text("ascii").strip()
        found = folder / "snapshots" / commit
        return found if commit and "/" not in commit and found.is_dir() else None
    except (OSError, UnicodeDecodeError):
        return None


def _fetch(name: str, split: str | None) -> list[Path]:
    away = f"{name} is neither a file nor whole in the hub's cache, and "
    mend = "fetch it where there is a network, or give a file"
    if (problem := _unreachable()) is not None:
        raise MissingHere(f"{away}{problem}: {mend}")
    try:
        import huggingface_hub
        from huggingface_hub import utils
        from huggingface_hub.errors import RepositoryNotFoundError
    except ImportError:
        raise MissingHere(
            f"{away}fetching it needs the package huggingface_hub: pip install huggingface_hub"
        ) from None
    utils.disable_progress_bars()
    utils.logging.set_verbosity_error()
    try:
        there = sorted(huggingface_hub.list_repo_files(name, repo_type="dataset"))
        readme = Path(_download(name, "README.md")) if "README.md" in there else None
        text = readme.read_text("utf-8", "replace") if readme is not None else ""
        chosen = _of_split(name, there, split, text)
        if not chosen:
            raise BadInput(f"{name} on the hub holds no files that tuiwb reads: give a file")
        return [Path(_download(name, file)) for file in chosen]
    except RepositoryNotFoundError:
        raise BadInput(
            f"{name} is neither a file nor a dataset of the hub that you may read: check its name"
        ) from None
    except BadInput:
        raise
    except Exception as error:  # The client's network errors share no base.
        raise MissingHere(f"{away}fetching it failed ({type(error).__name__}): {mend}") from None


def _download(name: str, file: str) -> str:
    import huggingface_hub

    path: str = huggingface_hub.hf_hub_download(name, file, repo_type="dataset")
    return path


def _unreachable() -> str | None:
    """Why the hub can't be asked, found out in seconds: its client tries for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE is set"
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return None
    place = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    host, port = place.hostname or "", place.port or (80 if place.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        return f"{host} can't be reached from here ({error.strerror or error})"
    return None


def _readme(folder: Path) -> str:
    try:
        return (folder / "README.md").read_text("utf-8", "replace")
    except OSError:
        return ""


def _of_split(name: str, files: list[str], split: str | None, readme: str) -> list[str]:
    """The data files of one split, by the card's own patterns, else by what their names say."""
    from tuiwb.data.sources.places import split_of

    data = [
        f for f in files if names_rows(Path(f)) and not f.endswith((".arrow", "dataset_infos.json"))
    ]
    by_split: dict[str, list[str]] = {}
    for named, patterns in _patterns(readme).items():
        matched = [f for f in data if any(fnmatch.fnmatch(f, pattern) for pattern in patterns)]
        if matched:
            by_split[named] = matched
    if not by_split:
        for file in data:
            by_split.setdefault(split_of(file) or "train", []).append(file)
    if not by_split:
        return []
    wanted = split or (
        "train" if "train" in by_split or len(by_split) > 1 else next(iter(by_split))
    )
    if wanted not in by_split:
        names = ", ".join(sorted(by_split))
        first = sorted(by_split)[0]
        raise BadInput(f"{name} has the splits {names}, not {wanted}: say {name}:{first}")
    chosen = by_split[wanted]
    kinds = {Path(file).suffix for file in chosen}
    return [f for f in chosen if f.endswith(".parquet")] if ".parquet" in kinds else chosen


def _patterns(readme: str) -> dict[str, list[str]]:
    """Split to file patterns, of the card's default configuration."""
    import yaml

    head = re.match(r"---\s*\n(.*?)\n---", readme, re.DOTALL)
    try:
        card: Any = yaml.load(head[1], Loader=yaml.CSafeLoader) if head else None
    except yaml.YAMLError:
        return {}
    configs = card.get("configs") if isinstance(card, dict) else None
    configs = [c for c in configs if isinstance(c, dict)] if isinstance(configs, list) else []
    first = next(
        (c for c in configs if c.get("config_name") == "default" or c.get("default")), None
    )
    chosen = first or (configs[0] if configs else {})
    files = chosen.get("data_files")
    if isinstance(files, str):
        return {"train": [files]}
    found: dict[str, list[str]] = {}
    for item in files if isinstance(files, list) else []:
        if isinstance(item, dict):
            path = item.get("path")
            patterns = path if isinstance(path, list) else [path]
            found[str(item.get("split"))] = [p for p in patterns if isinstance(p, str)]
        elif isinstance(item, str):
            found.setdefault("train", []).append(item)
    return found


def _whole(files: list[str]) -> bool:
    """Whether no shard of those that name their number is missing."""
    counts: dict[str, tuple[int, int]] = {}
    for file in files:
        if shard := _SHARD.search(file):
            stem = file[: shard.start()]
            counts[stem] = (counts.get(stem, (0, 0))[0] + 1, int(shard[2]))
    return all(here == of for here, of in counts.values())
