"""With what a job ran: the Python and the libraries of its worker, in environment.json.

Kept beside job.yaml, which never changes: only the worker knows its own Python, and a run that is
resumed may go on with another.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared

ENVIRONMENT = "environment.json"
LIBRARIES = (
    "tuiwb", "torch", "transformers", "trl", "peft", "datasets", "accelerate", "tokenizers",
    "safetensors", "bitsandbytes", "flash-attn", "vllm", "lm-eval", "anthropic", "numpy",
)  # fmt: skip


class Environment(msgspec.Struct, kw_only=True):
    """`libraries` holds the installed ones of LIBRARIES with their versions."""

    python: str = ""
    libraries: dict[str, str] = {}


def write_environment(folder: Path) -> None:
    """Leave the versions of this very process in the job folder; OSError when it can't."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    here = Environment(python=sys.version.split()[0], libraries=found)
    write_atomically(folder / ENVIRONMENT, msgspec.json.encode(here) + b"\n")


def read_environment(folder: Path) -> Environment | None:
    """The versions a job ran with; None when it never began, or they can't be read."""
    try:
        return msgspec.json.decode((folder / ENVIRONMENT).read_bytes(), type=prepared(Environment))
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
