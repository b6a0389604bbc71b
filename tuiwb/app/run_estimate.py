"""The memory a run was expected to take, for the device's bar."""

from pathlib import Path

from tuiwb.errors import TuiwbError
from tuiwb.jobs import load
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.estimate import MemoryEstimate, estimate_memory


def estimate_of(run: Path) -> MemoryEstimate | None:
    """The estimate from the run's job.yaml and its base model; None where either can't be read."""
    try:
        job = load(run)
        if job.kind != "train":
            return None
        base, revision = str(job.spec["model"]["base"]), job.spec["model"].get("revision")
        model = Path(base) if Path(base).is_absolute() else hub_snapshot(base, revision)
        return estimate_memory(job.spec, model) if model is not None else None
    except (TuiwbError, OSError, KeyError, TypeError, AttributeError, ValueError):
        return None
