"""lm-evaluation-harness tasks on the model that is loaded already, base and adapter (worker side).

Offline: a task whose data is not in the caches is 'not run' with its reason, never 0.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tuiwb.compare.evaluation.results import Suite, graded
from tuiwb.compare.inference.loading import BASE, Loaded

# The figure each kind of task is known by, the best first.
METRICS = ("acc_norm", "exact_match", "acc", "f1", "mc2", "mc1")
SOURCE = "lm-evaluation-harness"


def run_task(
    loaded: Loaded,
    task: str,
    *,
    limit: int | None,
    batch_size: int,
    folder: Path | None,
    watch: Callable[[str], None],
) -> Suite:
    """One task's paired figures; `folder` holds task files of the user's own."""
    if importlib.util.find_spec("lm_eval") is None:
        why = f"{SOURCE} is not installed here: pip install 'tuiwb[eval]'"
        return Suite(name=task, state="not run", reason=why, source=SOURCE)
    try:
        base, adapter = _both(loaded, task, limit, batch_size, folder, watch)
    except (KeyboardInterrupt, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        # A benchmark is somebody else's program and data: whatever it lacks, the rest goes on.
        return Suite(name=task, state="not run", reason=_why(error, task), source=SOURCE)
    shared = [key for key in base if key in adapter]
    metric = next((m for m in METRICS if any(m in base[key] for key in shared)), "")
    scores = [
        (base[key][metric], adapter[key][metric])
        for key in shared
        if metric in base[key] and metric in adapter[key]
    ]
    suite = graded(task, scores, metric)
    suite.source = SOURCE
    return suite


def _why(error: Exception, task: str) -> str:
    words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    if "not a registered task" in words:
        return f"lm-evaluation-harness knows no task {task!r}"
    if "Offline" in type(error).__name__ or "OfflineMode" in words:
        return f"its data is not cached on this machine, and nothing is downloaded ({words})"
    return words


def _both(
    loaded: Loaded,
    task: str,
    limit: int | None,
    batch_size: int,
    folder: Path | None,
    watch: Callable[[str], None],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder) if folder is not None else None)
    side = loaded.tokenizer.padding_side
    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=batch_size)
    try:
        with loaded.only(BASE):
            watch("base")
            base = _samples(model, task, manager, limit)
        watch("adapter")
        with loaded.only(loaded.sides["adapter"].adapter):
            return base, _samples(model, task, manager, limit)
    finally:
        loaded.tokenizer.padding_side = side


def _samples(model: Any, task: str, manager: Any, limit: int | None) -> dict[str, dict[str, float]]:
    """Each item's figures, by subtask and document."""
    import lm_eval

    told = lm_eval.simple_evaluate(
        model=model,
        tasks=[task],
        task_manager=manager,
        limit=limit,
        log_samples=True,
        bootstrap_iters=0,
        apply_chat_template=bool(model.tokenizer.chat_template),
        confirm_run_unsafe_code=False,
    )
    found: dict[str, dict[str, float]] = {}
    for name, samples in (told or {}).get("samples", {}).items():
        for sample in samples:
            figures = {
                metric: float(value)
                for metric, value in sample.items()
                if metric in METRICS and isinstance(value, bool | int | float)
            }
            # A task with several filters gives each document once a filter: the best is taken.
            kept = found.setdefault(f"{name}:{sample['doc_id']}", {})
            for metric, value in figures.items():
                kept[metric] = max(value, kept.get(metric, value))
    return found
