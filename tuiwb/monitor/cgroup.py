"""A process's cgroup limits, versions 1 and 2 (kernel docs, admin-guide/cgroup-v1 and cgroup-v2).

Used memory leaves out the inactive page cache, which the kernel gives back before it kills: the
same "working set" that Kubernetes goes by.
"""

from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 1 << 60  # version 1 writes a number near 2**63 for "no limit"


@dataclass(frozen=True)
class Limits:
    """Bytes that may be used and are, and CPUs; None: no limit, or not known."""

    memory: int | None = None
    used: int | None = None
    cores: float | None = None


def limits_of(pid: int, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> Limits:
    """The tightest limits from the process's cgroup up to the root."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except OSError:
        return Limits()
    paths = {}
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        for name in names.split(",") if number != "0" else [""]:
            paths[name] = path
    version_1 = "memory" in paths
    memory = _memory(root, paths.get("memory" if version_1 else "", "/"), version_1)
    cores = _cores(root, paths.get("cpu" if version_1 else "", "/"), version_1)
    return Limits(memory=memory[0], used=memory[1], cores=cores)


def _memory(root: Path, path: str, version_1: bool) -> tuple[int | None, int | None]:
    best: tuple[int | None, int | None] = (None, None)
    names = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version_1
        else ("memory.max", "memory.current", "inactive_file")
    )
    for folder in _upwards(root / "memory" if version_1 else root, path):
        limit, used = _integer(folder / names[0]), _integer(folder / names[1])
        if limit is None or limit >= UNLIMITED or used is None:
            continue
        if best[0] is None or limit < best[0]:
            best = (limit, max(0, used - _statistic(folder / "memory.stat", names[2])))
    return best


def _cores(root: Path, path: str, version_1: bool) -> float | None:
    found = []
    for folder in _upwards(root / "cpu" if version_1 else root, path):
        if version_1:
            quota = _integer(folder / "cpu.cfs_quota_us")
            period = _integer(folder / "cpu.cfs_period_us")
        else:
            words = _read(folder / "cpu.max").split()
            quota = int(words[0]) if len(words) == 2 and words[0].isdigit() else None
            period = int(words[1]) if len(words) == 2 and words[1].isdigit() else None
        if quota and period and quota > 0:
            found.append(quota / period)
    return min(found, default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """The cgroup's folder and those above it; the root alone where it isn't visible here."""
    parts = [part for part in path.split("/") if part not in ("", "..", ".")]
    folders = [root.joinpath(*parts[:n]) for n in range(len(parts), -1, -1)]
    return [folder for folder in folders if folder.is_dir()]


def _statistic(path: Path, name: str) -> int:
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return 0


def _integer(path: Path) -> int | None:
    words = _read(path).strip()
    return int(words) if words.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
