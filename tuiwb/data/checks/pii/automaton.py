"""Hyperscan's automaton for many patterns, built once for a machine and kept in the user's cache.

In: patterns. Out: a database and its scratch, or None where Hyperscan is missing or this processor
can't run it. A kept file is named by everything that it depends on; one that can't be read, or a
folder that can't be written, costs the time of building again and nothing else.
"""

import contextlib
import hashlib
import os
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

_FOLDER = "tuiwb"


@cache
def compiled(patterns: tuple[str, ...], *, once: bool) -> Any:
    """(database, scratch), or None; with `once` each pattern is reported once a scan."""
    try:
        import hyperscan
    except ImportError:
        return None
    flags = hyperscan.HS_FLAG_DOTALL | (hyperscan.HS_FLAG_SINGLEMATCH if once else 0)
    kept = _folder() / f"patterns-{_key(patterns, flags)}.hs"
    try:
        database = hyperscan.loadb(kept.read_bytes(), hyperscan.HS_MODE_BLOCK)
        return database, hyperscan.Scratch(database)
    except (OSError, ValueError, TypeError, hyperscan.error):
        pass
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    try:
        database.compile(
            expressions=[pattern.encode() for pattern in patterns],
            ids=list(range(len(patterns))),
            elements=len(patterns),
            flags=[flags] * len(patterns),
        )
        scratch = hyperscan.Scratch(database)
    except hyperscan.error:  # a processor without what the library was built for
        return None
    _keep(kept, hyperscan.dumpb(database))
    return database, scratch


def _folder() -> Path:
    """The user's cache (XDG Base Directory Specification)."""
    return Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / _FOLDER


def _key(patterns: tuple[str, ...], flags: int) -> str:
    """Names patterns, flags, library and processor."""
    said = (version("hyperscan"), platform.machine(), _processor(), str(flags), *patterns)
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def _processor() -> str:
    """What this processor can do: an automaton is built for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("flags")), "")


def _keep(path: Path, data: bytes) -> None:
    """Write to a file beside it, then rename; where that fails nothing is kept."""
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
