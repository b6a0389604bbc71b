"""A user's project folder: where things are and what is in it.

tuiwb.yaml is optional; without it everything has its usual place.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from tuiwb.errors import BadInput
from tuiwb.prepared import prepared
from tuiwb.settings_problem import settings_problem
from tuiwb.yaml_words import complaint_of, in_words, unmarked

SETTINGS = "tuiwb.yaml"
RUNS_NAMED = 8  # at most, where a name is none's
# What files of rows are called, in any case; lines and tables may be packed.
LINES = (".jsonl", ".ndjson", ".json")
TABLES = (".csv", ".tsv")
COLUMNS = (".parquet", ".arrow")
COMPRESSED = (".gz", ".zst")
# What a version of a dataset holds beside its rows.
NOT_ROWS = frozenset({"manifest.json", "dropped.jsonl", "rejected.jsonl", "requests.jsonl"})
# What an export (votes and verdicts made data) has beside its rows, whose stem comes before.
MANIFEST_SUFFIX = ".manifest.json"
_SHARD = re.compile(r".*-\d+-of-\d+\.(?:parquet|arrow|jsonl)(?:\.gz|\.zst)?", re.IGNORECASE)


class JudgeSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who judges: a model of the Messages API, or one elsewhere as anthropic:URL#MODEL or
    openai:URL#MODEL; `judge: MODEL` alone says the same. The key comes from the environment."""

    model: str = "claude-sonnet-5-5"
    base_url: str | None = None
    max_usd: float = 5.0


class PythonSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which Python runs what; None takes ours, and for vllm looks for one that has it."""

    train: str | None = None
    vllm: str | None = None


class AlertSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Whom a run tells of its alerts and its end: a webhook (its address here, or in an environment
    variable), a command (argv, no shell), from which severity on."""

    webhook: str | None = None
    webhook_env: str | None = None
    command: list[str] = []
    from_: Literal["note", "warning", "critical"] = msgspec.field(name="from", default="warning")


# A share is a fraction: 5 for 5% would make a line that can't fail.
Share = Annotated[float, msgspec.Meta(ge=0, le=1, description="a share, 0 to 1")]


class GateSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a fine-tune must hold to be shipped; shares are fractions, docs/gate.md says why.

    `metric`: the task metric that must be better (None: the plainest that applies). `canary`,
    `ood`: the project's own prompts. `canary_regression`, `general_drop`, `ood_drop`: the most of
    the items, (b - c)/N, that may be lost. `canary_base`: the least of the canary set that the base
    itself must have right. `format_valid`: the least of JSON answers that are valid. `cut`: the
    most answers that may not end. `identical`: as many answers the base's own means no adapter.
    `agreement`: the least kappa of judge and human, from 30 shared votes on. `ood_invented`: the
    most odd prompts whose answer may invent facts (None: only told). `optional`: lines that are
    told and decide nothing.
    """

    metric: str | None = None
    canary: str = "data/canary.jsonl"
    ood: str = "data/ood.jsonl"
    canary_regression: Share = 0.05
    canary_base: Share = 0.5
    general_drop: Share = 0.05
    ood_drop: Share = 0.05
    ood_invented: Share | None = None
    format_valid: Share = 0.95
    cut: Share = 0.05
    identical: Share = 0.9
    agreement: Share = 0.4
    optional: list[str] = []


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """tuiwb.yaml, every key optional."""

    name: str = ""
    base_model: str | None = None
    gpu_price_per_hour: float | None = None
    rater: str | None = None
    judge: JudgeSettings = msgspec.field(default_factory=JudgeSettings)
    alerts: AlertSettings = msgspec.field(default_factory=AlertSettings)
    gate: GateSettings = msgspec.field(default_factory=GateSettings)
    python: PythonSettings = msgspec.field(default_factory=PythonSettings)


class Project:
    """A folder with data/, configs/ and runs/ in it; any of them may be missing."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not self.root.is_dir():
            raise BadInput(f"{root} is not a folder: give the folder of a project")
        self.settings = _read_settings(self.root / SETTINGS)

    @property
    def name(self) -> str:
        """The project's name: its setting, else the folder's."""
        return self.settings.name or self.root.name

    @property
    def runs(self) -> Path:
        """Where job folders live."""
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """Caches and UI state; safe to delete."""
        return self.root / ".tuiwb"

    @property
    def train_python(self) -> str | None:
        """The Python that trains, None for ours: a bare word from PATH, else from the root."""
        named = self.settings.python.train
        if not named:
            return None
        # Links are kept: a virtual environment's python is one, and means it by its place.
        return ("/" not in named and shutil.which(named)) or str(self.resolve(named))

    def datasets(self) -> list[Path]:
        """Dataset files and folders under data/, else files beside tuiwb.yaml, sorted.

        Folders that are one dataset: shards (`*-00000-of-00002.parquet`) and what `datasets`
        saved to disk.
        """
        folder = self.root / "data"
        if folder.is_dir():
            return sorted(_datasets(folder))
        return sorted(p for p in self.root.glob("*") if is_dataset(p))

    def configs(self) -> list[Path]:
        """Run configs under configs/, else beside tuiwb.yaml, sorted."""
        found = _files(self.root, "configs", frozenset({".yaml", ".yml"}))
        return [path for path in found if path.name != SETTINGS]

    def job_folders(self, kind: str | None = None) -> list[Path]:
        """Every job folder of the project (of one kind, if given), oldest first."""
        files = (*self.runs.glob("*/job.yaml"), *self.runs.glob("*/*/job.yaml"))
        # A name with a dot in front is hidden (runs/.trash) and no run's.
        found = [p.parent for p in files if not p.relative_to(self.runs).parts[0].startswith(".")]
        if kind is not None:
            found = [p for p in found if _kind(p) == kind]
        return sorted(found, key=lambda p: (p / "job.yaml").stat().st_mtime)

    def has_run(self, name: str) -> bool:
        """Whether a run is called so; the disk is asked only of what may be a name."""
        plain = len(name) <= 64 and "/" not in name and ".." not in name and "\0" not in name
        return plain and (self.runs / name / "job.yaml").is_file()

    def run(self, name: str) -> Path:
        """The folder of the run called `name`; BadInput with the nearest name if none is."""
        if self.has_run(name):
            return self.runs / name
        names = [p.name for p in self.job_folders() if p.parent == self.runs]
        from difflib import get_close_matches

        near = get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else self._newest_runs()
        raise BadInput(f"no run named {name[:80]!r} in {self.runs}: {hint}")

    def _newest_runs(self) -> str:
        """The newest few training runs, in words; servers and checks are no runs to name."""
        found = [p.name for p in self.job_folders("train") if p.parent == self.runs]
        if not found:
            return "there are none"
        older = len(found) - RUNS_NAMED
        more = f" and {older} older (tuiwb runs lists all)" if older > 0 else ""
        return f"there are {', '.join(reversed(found[-RUNS_NAMED:]))}{more}"

    def resolve(self, path: str | Path) -> Path:
        """A path as the user wrote it, relative to the project's root; BadInput as `expanded`'s."""
        path = expanded(path)
        return path if path.is_absolute() else self.root / path

    def shorten(self, path: Path) -> str:
        """A path as the user would write it: relative to the root where it is inside."""
        path = path if path.is_absolute() else self.root / path
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def expanded(path: str | Path) -> Path:
    """A path with ~ and ~NAME as the folder they stand for; BadInput where nobody is called so."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        who = Path(path).parts[0][:80]
        raise BadInput(f"there is no home folder for {who}: write the path in full") from None


def find_project(start: Path | None = None) -> Project:
    """The project of a folder: the nearest parent with tuiwb.yaml, else the folder itself."""
    start = (start or Path.cwd()).resolve()
    holder = next((p for p in (start, *start.parents) if (p / SETTINGS).is_file()), start)
    return Project(holder)


def no_project(project: Project) -> str:
    """That nothing of a project is in its folder, and what to do, in a sentence; "" where some is.

    A project just below, such as the sample's .demo, is named.
    """
    usual = (SETTINGS, "data", "configs", "runs")
    if any((project.root / name).exists() for name in usual):
        return ""
    if project.datasets() or project.configs():
        return ""
    own = bundled("sample_data").resolve()  # what is copied is not to be worked in
    try:
        below = sorted(p.parent for p in project.root.glob(f"*/{SETTINGS}") if p.parent != own)
    except OSError:
        below = []
    advice = [f"`tuiwb {folder.name}` opens the project below it" for folder in below[:1]]
    advice += ["`tuiwb init` makes it one"]
    advice += [] if below else ["`tuiwb demo` opens a sample"]
    return (
        f"{project.root} is no project, it has no {', '.join(usual[:-1])} or {usual[-1]}: "
        f"{', '.join(advice)}"
    )


def bundled(name: str) -> Path:
    """A folder shipped with tuiwb (sample_data, themes): in the wheel, else in the checkout."""
    package = Path(__file__).parent
    for folder in (package / "bundled" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise BadInput(f"this installation of tuiwb lacks its folder {name}: install it again")


def copy_sample(target: Path) -> Project:
    """Copy the embedded project to `target`; BadInput when something is there already."""
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        raise BadInput(f"{target} is not empty: give a new folder")
    leave = shutil.ignore_patterns("*.py", "__pycache__", "generate", "README.md", ".tuiwb")
    try:
        shutil.copytree(bundled("sample_data"), target, ignore=leave, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)[:200]
        raise BadInput(f"can't copy the sample project to {target}: {why}") from None
    return Project(target)


def _read_settings(path: Path) -> Settings:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"can't read {path}: {error}") from None
    try:
        plain: Any = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        if isinstance(plain, dict) and isinstance(plain.get("judge"), str):
            plain["judge"] = {"model": plain["judge"]}
        return msgspec.convert(plain or {}, prepared(Settings))
    except yaml.YAMLError as error:
        raise BadInput(f"{path}{_not_yaml(text, error)}") from None
    except msgspec.ValidationError as error:
        raise BadInput(f"{path}{settings_problem(text, Settings, error)}") from None


def _not_yaml(text: str, error: yaml.YAMLError) -> str:
    """`:LINE is not YAML: what to mend`; the pure parser says more of where it began."""
    try:
        yaml.load(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as marked:
        line, words = in_words(complaint_of(marked), text)
        return f":{line} is not YAML: {words}"
    except yaml.YAMLError as other:
        error = other
    return f" is not YAML: {unmarked(error)}"


def is_dataset(path: Path) -> bool:
    """Whether it is a file whose name says that it holds rows."""
    return names_rows(path) and path.is_file()


def names_rows(path: Path) -> bool:
    """Whether a name is that of a file of rows; the file need not be there."""
    packed = path.suffix.lower() in COMPRESSED
    known = (*LINES, *TABLES) if packed else (*LINES, *TABLES, *COLUMNS)
    manifest = path.name in NOT_ROWS or path.name.endswith(MANIFEST_SUFFIX)
    return rows_suffix(path) in known and not manifest


def rows_suffix(path: Path) -> str:
    """The suffix that says how a file holds its rows, in lower case, without .gz or .zst."""
    packed = path.suffix.lower() in COMPRESSED
    return (Path(path.stem) if packed else path).suffix.lower()


def _datasets(folder: Path, depth: int = 6) -> Iterator[Path]:
    try:
        inside = [p for p in folder.iterdir() if not p.name.startswith(".")]
    except OSError:
        return
    files = [p for p in inside if is_dataset(p)]
    shards = [p for p in files if _SHARD.fullmatch(p.name)]
    if (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file():
        yield folder
        return
    if (folder / "dataset_dict.json").is_file():
        files = []
    if len(shards) > 1:
        yield folder
        files = [p for p in files if p not in shards]
    yield from files
    for path in inside:
        if depth and path.is_dir():  # bounded: a link may lead back up
            yield from _datasets(path, depth - 1)


def _files(root: Path, folder: str, suffixes: frozenset[str]) -> list[Path]:
    where = root / folder
    paths: Iterator[Path] = where.rglob("*") if where.is_dir() else root.glob("*")
    return sorted(p for p in paths if p.suffix in suffixes and p.is_file())


def _kind(folder: Path) -> str:
    with (folder / "job.yaml").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("kind:"):
                return line.split(":", 1)[1].strip()
    return ""
