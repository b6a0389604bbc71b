"""Which files a name means: a file, a folder of shards, a saved dataset, a hub id, or several."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuiwb.data.sources.hub import HUB_ID, hub_files
from tuiwb.errors import BadInput
from tuiwb.project import COMPRESSED, names_rows, rows_suffix

# What file names call their splits, and the split it is.
SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "heldout": "heldout",
}  # fmt: skip
_WORDS = re.compile(r"[^a-z0-9]+")


def files_of(given: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files of `given`, in the order of their rows; BadInput, MissingHere when there are none.

    A folder may be followed by ':' and a split, as a hub id may.
    """
    if isinstance(given, (str, Path)):
        return _files(given)
    files = [file for one in given for file in _files(one)]
    if not files:
        raise BadInput("no dataset file was given: name at least one")
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise BadInput(f"{twice} was given twice: its rows would count double")
    return files


def _files(given: str | Path) -> list[Path]:
    path = Path(given)
    if path.is_dir():
        return _folder(path, None)
    if path.exists():
        return [path]
    name, _, split = str(given).rpartition(":")
    if name and Path(name).is_dir():
        return _folder(Path(name), split)
    if HUB_ID.fullmatch(str(given)) and not names_rows(path) and not path.parent.exists():
        return hub_files(str(given))
    raise BadInput(f"there is no file {path}")


def _folder(folder: Path, split: str | None) -> list[Path]:
    """The files of a folder: of a saved dataset or of shards, of one split."""
    if (folder / "dataset_dict.json").is_file():
        splits = _json(folder / "dataset_dict.json").get("splits", [])
        if split is None and len(splits) == 1:
            split = splits[0]
        if split not in splits or not isinstance(split, str):
            raise _choose(folder, [str(s) for s in splits], split)
        return _saved(folder / split)
    if (folder / "state.json").is_file():
        return _saved(folder)
    files = sorted(p for p in folder.iterdir() if names_rows(p) and _plain(p))
    if not files:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and _plain(p))
        held = [
            p for p in inside if any(names_rows(q) or q.name == "state.json" for q in p.iterdir())
        ]
        hint = (
            f"give one of {', '.join(map(str, held[:4]))}" if held else "give the files themselves"
        )
        raise BadInput(f"{folder} is a folder without dataset files: {hint}")
    by_split: dict[str, list[Path]] = {}
    for file in files:
        by_split.setdefault(split_of(file.name) or "", []).append(file)
    if split is not None or len(by_split) > 1:
        named = sorted(name for name in by_split if name)
        if split not in by_split or not split:
            raise _choose(folder, named, split)
        files = by_split[split]
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) > 1:
        raise BadInput(f"{folder} holds {' and '.join(kinds)} files: give those of one kind")
    return files


def split_of(name: str) -> str | None:
    """The split a file's name or path says it belongs to; None when it says none."""
    words = _WORDS.split(name.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), None)


def _saved(folder: Path) -> list[Path]:
    """The Arrow files of a dataset that `datasets` saved, as its state.json lists them."""
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise BadInput(f"{folder} was saved with a selection by row numbers: save it once more")
    names = [str(file.get("filename", "")) for file in state.get("_data_files", [])]
    files = [folder / name for name in names if name and "/" not in name and name != ".."]
    if missing := [file for file in files if not file.is_file()]:
        raise BadInput(f"there is no file {missing[0]}, which {folder / 'state.json'} names")
    if not files:
        raise BadInput(f"{folder / 'state.json'} names no files: save the dataset again")
    return files


def _choose(folder: Path, splits: list[str], split: str | None) -> BadInput:
    asked = f", not {split}" if split else ""
    names = ", ".join(splits) or "files that name no split"
    first = splits[0] if splits else ""
    return BadInput(f"{folder} holds {names}{asked}: name one, as in {folder}:{first}")


def _json(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} can't be read: {error}") from None
    if not isinstance(plain, dict):
        raise BadInput(f"{path} is not what datasets' save_to_disk writes: save the dataset again")
    return plain


def _plain(path: Path) -> bool:
    return not path.name.startswith(".")


def _kind(path: Path) -> str:
    name = Path(path.name.lower())
    return rows_suffix(name) + (name.suffix if name.suffix in COMPRESSED else "")
