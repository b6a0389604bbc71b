"""What a new config would train, likeliest first: the project's bases, datasets, held-out files."""

import re
from collections.abc import Iterable
from itertools import chain, pairwise
from pathlib import Path

from tuiwb.data.examples import fits
from tuiwb.data.read import open_dataset
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import check_name
from tuiwb.project import Project, expanded
from tuiwb.train.yaml_text import Document, parse

HELD_OUT = frozenset(
    {"heldout", "holdout", "test", "eval", "evaluation", "valid", "validation", "val", "dev"}
)
# Prompts that ask what a fine-tune lost: learnt by heart they would say nothing.
NEVER_TRAINED = frozenset({"canary", "canaries", "ood"})
YAML = (".yaml", ".yml")
MOST_TEXT = 1 << 20  # bytes of a config that is looked into for its base
_WORDS = re.compile(r"[^a-z0-9]+")


def bases(project: Project) -> list[str]:
    """Base models this project knows of, as a config would name them: its own setting, what its
    configs train (the newest first), the model folders under models/."""
    found = [project.settings.base_model] if project.settings.base_model else []
    found += [base for base in map(_base_of, _newest(project.configs())) if base]
    folders = sorted(p.parent for p in (project.root / "models").glob("*/config.json"))
    return list(dict.fromkeys([*found, *map(project.shorten, folders)]))


def configured_base(project: Project) -> str | None:
    """The base that the newest config trains which names one."""
    return next((base for base in map(_base_of, _newest(project.configs())) if base), None)


def datasets(project: Project, method: str = "sft") -> list[Path]:
    """The project's datasets, what one most likely trains on first.

    What is held out by its name, a canary set or odd prompts stands last, before it what can't
    train the method; before those versions (the newest first), what configs train on, then by
    size, but what is called raw after what is not.
    """
    trained = {path for config in project.configs() for path in _trained_by(project, config)}
    age = {path: n for n, path in enumerate(_newest(_versions(project)))}

    def rank(path: Path) -> tuple[bool, bool, int, bool, bool, int]:
        aside = is_held_out(path) or is_never_trained(project, path)
        can = not aside and _trains(project, path, method)
        raw = "raw" in _words(path)
        return (aside, not can, age.get(path, len(age)), path not in trained, raw, -_size(path))

    return sorted(project.datasets(), key=rank)


def heldout_for(project: Project, data: Path) -> Path | None:
    """The held-out file that goes with a training file: its split's, else one that is named like
    it, else any; never that of another version, which may hold rows of this one."""
    own = data.parent
    versions = project.root / "data" / "versions"
    apart = [
        path
        for path in project.datasets()
        if is_held_out(path) and path != data and not is_never_trained(project, path)
        if path.parent == own or not path.is_relative_to(versions)
    ]

    def nearness(path: Path) -> tuple[bool, bool]:
        return path.parent != own, not path.stem.startswith(data.stem.partition(".")[0])

    return min(apart, key=nearness, default=None)


def is_held_out(path: Path) -> bool:
    """Whether a dataset's name says that it is not trained on."""
    words = _words(path)
    return bool(HELD_OUT & set(words)) or ("held", "out") in pairwise(words)


def is_never_trained(project: Project, path: Path) -> bool:
    """Whether a dataset is a canary set or odd prompts, by its name or the gate's settings."""
    gate = project.settings.gate
    asked = {project.resolve(gate.canary), project.resolve(gate.ood)}
    return path in asked or bool(NEVER_TRAINED & set(_words(path)))


def place_of(project: Project, named: str) -> Path:
    """Where a new config goes: a path with a slash or a YAML file's ending as it is, a plain name
    into configs/. BadInput for a name that no file can have."""
    if "/" in named or named.endswith(YAML):
        return expanded(named)
    try:
        return project.root / "configs" / f"{check_name(named)}.yaml"
    except BadInput:
        raise BadInput(
            f"{named!r} can't be a config's name: use letters, digits, '.', '_' and '-', or give "
            "a path that ends in .yaml"
        ) from None


def usual_place(project: Project, data: Path) -> Path:
    """The file under configs/ that a config for a dataset is called: NAME-lora.yaml."""
    stem = data.parent.name if data.parent.parent.name == "versions" else data.stem
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem.partition(".")[0]).strip("-._") or "my"
    return project.root / "configs" / f"{stem[:48]}-lora.yaml"


def free_place(project: Project, data: Path) -> Path:
    """The same, or with -2, -3 and so on: a file that is not there yet."""
    usual = usual_place(project, data)
    others = (usual.with_stem(f"{usual.stem}-{n}") for n in range(2, 10**6))
    return next(path for path in chain((usual,), others) if not path.exists())


def _words(path: Path) -> list[str]:
    return [word for word in _WORDS.split(path.stem.lower()) if word]


def _versions(project: Project) -> list[Path]:
    versions = project.root / "data" / "versions"
    return [path for path in project.datasets() if path.is_relative_to(versions)]


def _newest(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=_written, reverse=True)


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        if path.is_dir():
            return sum(p.stat().st_size for p in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0


def _trains(project: Project, path: Path, method: str) -> bool:
    """Whether the first row of a dataset can train the method."""
    try:
        dataset = open_dataset(path, wait=False, cache=project.cache / "index")
        try:
            return fits(dataset.row(0), method) is None
        finally:
            dataset.close()
    except (TuiwbError, IndexError):
        return False


def _base_of(config: Path) -> str | None:
    model = _plain(config).get("model")
    base = model.get("base") if isinstance(model, dict) else None
    return base if isinstance(base, str) else None


def _trained_by(project: Project, config: Path) -> list[Path]:
    data = _plain(config).get("data")
    train = data.get("train") if isinstance(data, dict) else None
    files = train if isinstance(train, list) else [train]
    return [project.resolve(file) for file in files if isinstance(file, str)]


def _plain(config: Path) -> dict[str, object]:
    try:
        if config.stat().st_size > MOST_TEXT:
            return {}
        document = parse(config.read_text("utf-8-sig", errors="replace"))
    except OSError:
        return {}
    return document.plain if isinstance(document, Document) else {}
