"""The train job: load, tokenise, train, evaluate, save; every step of it an event.

A stop (command or SIGTERM) saves a checkpoint and the adapter, and ends the job `cancelled`: the
adapter can be used and the run can be resumed. In a folder that has a checkpoint already the
worker goes on from it.
"""

import errno
import json
import os
import shutil
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tuiwb
from tuiwb.data.read import training_examples
from tuiwb.errors import BadInput, JobFailed
from tuiwb.jobs.folder import fingerprint, write_atomically
from tuiwb.jobs.run import JobContext, Stopped
from tuiwb.text import short_bytes
from tuiwb.train.base_model import hub_snapshot
from tuiwb.train.checkpoints import (
    ADAPTER,
    WEIGHTS,
    last_checkpoint,
    remove_cut,
    step_of,
    tokens_of,
)
from tuiwb.train.device_watch import watch_device
from tuiwb.train.finite import not_finite
from tuiwb.train.start import model_fingerprint, model_folder
from tuiwb.train.triage_watch import TriageWatch

# Commands that wait until the training begins.
LATER = ("checkpoint", "evaluate", "pause", "resume", "set")
LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "tokenizers")


def run(context: JobContext) -> None:
    """Do the train job of `context`'s folder."""
    _environment(context)
    over = watch_device(context)
    try:
        # Imported here: the environment must stand first, and it takes seconds.
        from tuiwb.train import sft
        from tuiwb.train.reporting import Reporter

        sft.quiet_libraries()
        _train(context, sft, Reporter)
    except (Stopped, BadInput):
        raise
    except Exception as error:
        if _disk_full(error, context.folder):
            raise JobFailed(_full_disk(context)) from error
        if type(error).__name__ == "OutOfMemoryError":
            raise JobFailed(
                "the GPU's memory is full: lower training.per_device_train_batch_size (and raise "
                "gradient_accumulation_steps as much) or training.max_length"
            ) from error
        raise
    finally:
        over.set()


def _train(context: JobContext, sft: Any, reporter_class: Any) -> None:
    spec, folder = context.spec, context.folder
    triage = TriageWatch(context)
    gpu = sft.use_gpu(spec)
    checkpoint = last_checkpoint(folder)
    context.state("running", "loading data")
    data = _Data(context)
    context.stop_if_asked(LATER)
    context.state("running", "loading model")
    tokenizer = sft.load_tokenizer(spec)
    model = sft.load_model(spec, gpu)
    context.stop_if_asked(LATER)
    context.state("running", "tokenising")

    def tell(done: int, total: int) -> None:
        context.progress("tokenising", done, total, "rows")
        context.stop_if_asked(LATER)

    config = sft.sft_config(spec, folder, gpu, data.chats)
    heldout = bool(data.heldout)
    reporter = reporter_class(
        context, evaluates=heldout and config.eval_strategy != "no", heldout=heldout
    )
    try:
        trainer = sft.Trainer(
            model=model,
            args=config,
            train_dataset=sft.to_dataset(data.train),
            eval_dataset=sft.to_dataset(data.heldout) if heldout else None,
            processing_class=tokenizer,
            peft_config=sft.lora_config(spec),
            callbacks=[reporter],
            tell=tell,
        )
    except (ValueError, RuntimeError) as error:
        # TRL and PEFT say here what in the config or the chat template can't be done.
        raise BadInput(" ".join(str(error).split())[:400]) from error
    reporter.attend(trainer)
    data.report(sft, trainer)
    triage.prepared(trainer, data, tokenizer, sft.where)
    _describe(context, model, gpu)
    reporter.sample_prompt = _sample_prompt(data.heldout, tokenizer)
    if checkpoint is not None:
        context.log(f"going on from {checkpoint.relative_to(folder)}")
        _warn_of_changes(context)
        trainer._total_train_tokens = tokens_of(checkpoint)
        reporter.count_tokens_from(trainer._total_train_tokens)
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Stopped:
        reporter.refuse_waiting("the run was ended at once")
        raise
    trainer.save_state()
    _save(context, trainer, tokenizer, "stopping" if reporter.stopping else "running")
    reporter.refuse_waiting("the run has ended")
    if reporter.stopping:
        step = trainer.state.global_step
        raise Stopped(
            f"stopped at step {step} of {trainer.state.max_steps}; the adapter is saved, "
            f"and checkpoint-{step} can be resumed"
        )


class _Data:
    """The run's examples, and what had to be left out of them."""

    def __init__(self, context: JobContext) -> None:
        data, method = context.spec["data"], context.spec["method"]
        self.context = context
        self.files: list[str] = data["train"]
        self.train, self.left_out = training_examples(self.files, method, data["malformed"])
        self.heldout: list[dict[str, Any]] = []
        held_out_left: list[Any] = []
        if data["heldout"]:
            self.heldout, held_out_left = training_examples(
                [data["heldout"]], method, data["malformed"]
            )
        self.heldout_files = [data["heldout"]] if data["heldout"] else []
        self.heldout_left = held_out_left
        shapes = {"messages" in e or isinstance(e.get("prompt"), list) for e in self.train}
        self.chats = True in shapes
        for rows, what in ((self.left_out, "training"), (held_out_left, "held-out")):
            if rows:
                some = "; ".join(f"{row.where} {row.problem}" for row in rows[:5])
                context.log(f"{len(rows)} {what} rows left out as malformed: {some}", "warn")

    def report(self, sft: Any, trainer: Any) -> None:
        """Say which rows hold no trained token and how many were cut."""
        for name, files, left_out in (
            ("train", self.files, self.left_out),
            ("eval", self.heldout_files, self.heldout_left),
        ):
            lost = trainer.fully_masked.get(name, [])
            if lost:
                places = ", ".join(sft.where(files, left_out, lost))
                self.context.log(
                    f"{len(lost)} {name} rows left out, no trained token in them within "
                    f"max_length: {places}" + (", ..." if len(lost) > 5 else ""),
                    "warn",
                )
            if cut := trainer.cut.get(name, 0):
                self.context.log(
                    f"{cut} {name} rows are longer than max_length {trainer.args.max_length} and "
                    "lose their end",
                    "warn",
                )


def _environment(context: JobContext) -> None:
    # All of it before torch and the hub's library are imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    model = context.spec["model"]
    if Path(model["base"]).is_absolute() or hub_snapshot(model["base"], model["revision"]):
        os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_DATASETS_OFFLINE"] = "1"
    # Set but empty means that the user hides every GPU.
    if "WORLD_SIZE" not in os.environ and "CUDA_VISIBLE_DEVICES" not in os.environ:
        chosen = _freest_gpu()
        if chosen is not None:
            os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
            os.environ["CUDA_VISIBLE_DEVICES"] = str(chosen)
            context.log(
                f"several GPUs: training on GPU {chosen}, the one with most free memory "
                "(CUDA_VISIBLE_DEVICES chooses another)"
            )


def _freest_gpu() -> int | None:
    from tuiwb.monitor.device import sample

    gpus = sample(os.getpid(), Path.cwd()).gpus
    if len(gpus) < 2:
        return None
    return max(gpus, key=lambda g: (g.memory_total or 0) - (g.memory_used or 0)).index


def _describe(context: JobContext, model: Any, gpu: bool) -> None:
    import torch

    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    name = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    context.log(
        f"training {trained:,} of {total:,} parameters ({100 * trained / total:.2f}%) on {name}, "
        f"base in {str(model.dtype).removeprefix('torch.')}"
    )


def _sample_prompt(heldout: list[dict[str, Any]], tokenizer: Any) -> tuple[str, Any] | None:
    """The first held-out prompt as (text to show, token ids), if it is a chat."""
    if not heldout or "messages" not in heldout[0] or not tokenizer.chat_template:
        return None
    example = heldout[0]
    turns = example["messages"]
    last = max((i for i, m in enumerate(turns) if m["role"] == "assistant"), default=0)
    if last == 0:
        return None
    tokens = tokenizer.apply_chat_template(
        turns[:last],
        tools=example.get("tools"),
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    return str(turns[last - 1]["content"]), tokens


def _warn_of_changes(context: JobContext) -> None:
    base = str(context.spec["model"]["base"])
    model, known = model_folder(context.spec), context.job.fingerprints.get(base)
    if model is not None and known not in (None, model_fingerprint(model)):
        context.log(
            f"the base model {base} is not what the run began with: the adapter goes on over other "
            "weights than it was trained on",
            "warn",
        )
    for path, before in context.job.fingerprints.items():
        file = Path(path)
        if file.is_file() and fingerprint(file) != before:
            context.log(
                f"{path} is not what the run began with: its steps from here on see other rows",
                "warn",
            )


def _save(context: JobContext, trainer: Any, tokenizer: Any, state: str) -> None:
    """adapter/ as PEFT and vLLM load it, with tokenizer and lineage.json; whole or not there."""
    context.state(state, "saving")
    beside, target = context.folder / f".{ADAPTER}.tmp", context.folder / ADAPTER
    shutil.rmtree(beside, ignore_errors=True)
    # A checkpoint's adapter is the trained one; embeddings are saved only if they were trained.
    trainer.model.save_pretrained(beside, safe_serialization=True, save_embedding_layers=False)
    (beside / "README.md").unlink(missing_ok=True)
    tokenizer.save_pretrained(beside)
    write_atomically(
        beside / "lineage.json", json.dumps(_lineage(context, trainer), indent=2).encode()
    )
    if target.exists():
        old = context.folder / f".{ADAPTER}.old"
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        beside.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        beside.rename(target)
    broken, step = not_finite(target), _saved_step(trainer)
    context.artifact(
        "adapter", ADAPTER, fingerprint(target / WEIGHTS), step=step, finite=broken is None
    )
    if broken is not None:
        context.log(broken.sentence, "warn")


def _lineage(context: JobContext, trainer: Any) -> dict[str, Any]:
    spec, job = context.spec, context.job
    step, latest = _saved_step(trainer), dict[str, Any]()
    for entry in trainer.state.log_history:
        if entry["step"] <= step:
            latest |= {k: v for k, v in entry.items() if k not in ("step", "epoch")}
    data = [*spec["data"]["train"], *filter(None, [spec["data"]["heldout"]])]
    return {
        "run": job.name,
        "created": job.created,
        "saved": time.time(),
        "base": {"path": spec["model"]["base"], "fingerprint": _print(job, spec["model"]["base"])},
        "data": [{"path": path, "fingerprint": _print(job, path)} for path in data],
        "config": {k: spec[k] for k in ("method", "model", "data", "lora", "training")},
        "config_file": spec["config_file"],
        "git": job.git,
        "tuiwb": tuiwb.__version__,
        "python": sys.version.split()[0],
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "step": step,
        "trained_to": trainer.state.global_step,
        "total_steps": trainer.state.max_steps,
        "epoch": trainer.state.epoch,
        # JSON has no NaN: spelled as in the event log.
        "metrics": {k: v if _finite(v) else str(v) for k, v in latest.items()},
    }


def _saved_step(trainer: Any) -> int:
    """The step whose weights the model has now: the best checkpoint's where that was loaded."""
    best = trainer.state.best_model_checkpoint
    if trainer.args.load_best_model_at_end and best is not None:
        return step_of(Path(best))
    return int(trainer.state.global_step)


def _print(job: Any, path: str) -> str | None:
    found = job.fingerprints.get(path)
    return str(found) if found else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or (value == value and abs(value) != float("inf"))


def _disk_full(error: BaseException, folder: Path) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    said = str(error)
    if "No space left" in said or "os error 28" in said:
        return True
    # torch's zip writer and safetensors don't always say why a write failed.
    writes = ("PytorchStreamWriter", "iostream", "I/O error", "unexpected pos")
    return any(w in said for w in writes) and shutil.disk_usage(folder).free < 16 << 20


def _full_disk(context: JobContext) -> str:
    remove_cut(context.folder)
    shutil.rmtree(context.folder / f".{ADAPTER}.tmp", ignore_errors=True)
    whole = last_checkpoint(context.folder)
    way_on = (
        f"{whole.relative_to(context.folder)} is whole: free some room and run "
        f"`tuiwb train --resume {context.job.name}`"
        if whole
        else "no checkpoint was written: free some room and start it again"
    )
    free = short_bytes(shutil.disk_usage(context.folder).free)
    return f"the disk of {context.folder} is full ({free} free); {way_on}"
