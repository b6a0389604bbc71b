"""Why a job's process is gone, from what it and the machine left behind; and the way on.

In: exit.json (written by the supervisor), worker.log, process.json, this boot's id. Out: a `Death`.
"""

import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tuiwb.jobs import process
from tuiwb.jobs.folder import LOG
from tuiwb.jobs.lines import tail
from tuiwb.jobs.supervise import EXIT, kernel_lines
from tuiwb.prepared import prepared
from tuiwb.text import short_bytes

if TYPE_CHECKING:
    from tuiwb.jobs.state import JobState

SHOWN_LINES = 8
SHORT = 160  # characters of a log line within the sentence

# What the CUDA runtime, the driver and torch say when a GPU is the reason.
_GPU_MEMORY = re.compile(
    r"CUDA (?:error: )?out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC", re.I
)
_GPU_FAULT = re.compile(
    r"device-side assert|CUDA error|Xid \(|fallen off the bus|unspecified launch failure|"
    r"illegal memory access|uncorrectable ECC|NCCL error|cuDNN error",
    re.I,
)
_XID_PID = re.compile(r"Xid \(.*\bpid=(\d+)")
_RAISED = re.compile(r"^(?:[\w.]*(?:Error|Exception|Interrupt|Exit|Iteration|Warning))\b")


class ExitRecord(msgspec.Struct, kw_only=True):
    """exit.json: how a worker ended, as its parent saw it. Times in unix seconds, bytes.

    `log_from`: where its part of worker.log begins; what is before is an earlier worker's.
    """

    pid: int
    t: float
    start: float | None = None
    host: str = ""
    boot: str = ""
    began: float = 0.0
    code: int | None = None
    signal: int | None = None
    peak_memory: int | None = None
    cpu_seconds: float | None = None
    oom_kills: tuple[int, int] | None = None
    kernel_log: bool = False
    kernel: list[str] = []
    log_from: int = 0


class Death(msgspec.Struct, kw_only=True):
    """How a job ended that said nothing itself.

    `sentence` fits a line: what, why, and the way on. `cause` is one of "out_of_memory", "gpu",
    "killed", "crashed", "exited", "restarted", "waiter", "never_started", "elsewhere", "unknown".
    `t` is when (unix seconds), `evidence` holds lines to show in a panel, `way_on` what to do now,
    `resume` the checkpoint's path below the job folder from which the run can be resumed.
    """

    cause: str
    sentence: str
    t: float | None = None
    why: str = ""
    evidence: list[str] = []
    way_on: str = ""
    resume: str | None = None


def why(folder: Path, state: "JobState") -> Death:
    """What ended the job in `folder`, whose process is gone; reads files only.

    For a job on another host that can't be known: it says since when nothing was heard.
    """
    identity, record = process.read(folder), exit_record(folder)
    begin = record.log_from if record else 0
    words = [line.strip() for line in tail(folder / LOG, 40, start=begin) if line.strip()]
    if identity is None:
        return Death(
            cause="never_started",
            sentence="it was never started: start it again",
            t=state.seen or state.created,
            way_on="start it again",
        )
    if process.alive(identity) is None:
        heard = time.strftime("%Y-%m-%d %H:%M", time.localtime(state.seen or state.created))
        return Death(
            cause="elsewhere",
            sentence=f"not heard of since {heard}: it runs on {identity.host}, whose processes "
            "can't be seen from here; if that machine is gone, stop it now, then resume it",
            t=state.seen,
            why=f"another host ({identity.host})",
            way_on=f"look at it on {identity.host}; if that machine is gone, stop it now, then "
            "resume it",
            evidence=words[-SHOWN_LINES:],
        )
    checkpoint = state.last_checkpoint
    resume = checkpoint.path if checkpoint else None
    cause, reason, evidence, mend = _reason(identity, record, words, state)
    when = record.t if record else state.seen
    way_on = f"it can resume from {resume}" if resume else "start it again to retry"
    if cause == "waiter":
        way_on = "queue it again"
    last = _last_word(words, cause)
    said = f"; its log ends: {_short(last)}" if last and _short(last) not in reason else ""
    at = f" at step {state.step}" if cause != "waiter" else ""
    sentence = f"{reason}{at}{said}" + (f"; {mend}" if mend else "") + f"; {way_on}"
    return Death(
        cause=cause,
        sentence=sentence,
        t=when,
        why=reason,
        evidence=[*evidence, *(f"log: {line[:400]}" for line in words[-SHOWN_LINES:])],
        way_on="; ".join(filter(None, (mend, way_on))),
        resume=resume,
    )


def ended_badly(folder: Path, state: "JobState") -> str:
    """How a job ended that is about to go on: 'died at step 380: killed by SIGKILL'.

    "" for one that ended as it was told. Ask before process.json and exit.json are taken away.
    """
    if state.state not in ("died", "failed"):
        return ""
    reason = state.message
    if state.state == "died":
        found = why(folder, state)
        reason = found.why or found.sentence
    at = f" at step {state.step}" if state.step else ""
    return f"{state.word}{at}: {reason}"


_METRICS = "{'"  # how the trainer prints its metrics: no reason to end
# Causes that a line of the log may say more of: a signal is the reason itself, and only what looks
# like an error adds to a crash.
_LOG_TELLS = frozenset({"exited", "unknown"})
_ERRORS_TELL = frozenset({"crashed"}) | _LOG_TELLS
_ERROR_LIKE = re.compile(
    r"error|exception|fatal|fault\b|abort|assert|terminate|panic|killed|failed|can(?:not|'t)\b"
    r"|no space left",
    re.I,
)


def _last_word(words: list[str], cause: str) -> str:
    """The line of the log that tells of the end: an error since the last metrics, else the last
    line after them. What stands before them, such as a warning at the start, did not end it."""
    at = max((n for n, line in enumerate(words) if line.startswith(_METRICS)), default=-1)
    since = words[at + 1 :]
    errors = [line for line in since if _ERROR_LIKE.search(line)]
    if errors and cause in _ERRORS_TELL:
        return errors[-1]
    return since[-1] if since and cause in _LOG_TELLS else ""


def exit_record(folder: Path) -> ExitRecord | None:
    """exit.json, if it is about the process that process.json names."""
    try:
        found = msgspec.json.decode((folder / EXIT).read_bytes(), type=prepared(ExitRecord))
    except (OSError, msgspec.MsgspecError):
        return None
    identity = process.read(folder)
    if identity is None or (found.pid, found.boot) != (identity.pid, identity.boot):
        return None
    return found if found.start in (None, identity.start) else None


def _reason(
    identity: process.ProcessIdentity,
    record: ExitRecord | None,
    words: list[str],
    state: "JobState",
) -> tuple[str, str, list[str], str]:
    """(cause, reason in words, evidence, what to change) from the strongest sign to the weakest."""
    if identity.waits:
        return "waiter", "the process that waited for its turn is gone", _facts(record), ""
    facts = _facts(record)
    if record is None and identity.boot != process.boot_id():
        return "restarted", "the machine was restarted while it ran", facts, ""
    # Without a supervisor's word the kernel's own may still be there.
    kernel = record.kernel if record else _kernel(identity)
    if record is None and any("Killed process" in line for line in kernel):
        facts += [f"kernel: {line}" for line in kernel]
        return "out_of_memory", _out_of_memory("said so"), facts, _LESS_MEMORY
    xids = [line for line in kernel if _not_of_another(line, identity.pid)]
    gpu = next((w for w in [*reversed(words), *xids] if _GPU_FAULT.search(w)), None)
    full = next((w for w in reversed(words) if _GPU_MEMORY.search(w)), None)
    if record is not None and record.signal == signal.SIGKILL:
        if any("Killed process" in line or "oom-kill" in line for line in kernel):
            return "out_of_memory", _out_of_memory("said so"), facts, _LESS_MEMORY
        if record.oom_kills and record.oom_kills[1] > record.oom_kills[0]:
            return "out_of_memory", _out_of_memory("counted it"), facts, _LESS_MEMORY
    if full:
        mend = "lower per_device_train_batch_size or max_length"
        return "gpu", f"the GPU's memory was full ({_short(full)})", facts, mend
    if gpu:
        return "gpu", f"the GPU failed: {_short(gpu)}", facts, ""
    if record is not None and record.signal is not None:
        name = _name(record.signal)
        if record.signal == signal.SIGKILL:
            reason = f"its process was killed ({name}{_not_memory(record)})"
            return "killed", reason, facts, ""
        if record.signal in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            return "killed", f"its process was ended by {name}", facts, ""
        return "crashed", f"its process crashed ({name})", facts, ""
    raised = next((w for w in reversed(words[-3:]) if _RAISED.match(w)), None)
    if record is not None:
        if raised:
            return "exited", f"its process ended with {_short(raised)}", facts, ""
        return "exited", f"its process ended with exit code {record.code}", facts, ""
    return "unknown", "the process is gone without a word", facts, ""


def _not_of_another(line: str, pid: int) -> bool:
    """Whether a line of the kernel's may be about process `pid`: an Xid often names its process."""
    named = _XID_PID.search(line)
    return named is None or int(named[1]) == pid


_LESS_MEMORY = "lower per_device_train_batch_size or dataloader workers, or free host memory"


def _out_of_memory(how: str) -> str:
    return f"the kernel's OOM killer ended it: the host's memory was full (the kernel {how})"


def _not_memory(record: ExitRecord) -> str:
    """What the absence of an OOM kill is worth: only what could be read says anything."""
    if record.oom_kills is not None and record.oom_kills[0] == record.oom_kills[1]:
        return ", not by the OOM killer"
    return "" if record.kernel_log else ", by whom can't be read here"


def _kernel(identity: process.ProcessIdentity) -> list[str]:
    # A start time is in clock ticks since boot, the kernel's log in seconds since boot.
    since = identity.start / os.sysconf("SC_CLK_TCK")
    return kernel_lines(identity.pid, since, ask_journal=False)[1]


def _facts(record: ExitRecord | None) -> list[str]:
    if record is None:
        return ["exit.json is not there: the supervisor went with the worker or before it"]
    ended = f"signal {_name(record.signal)}" if record.signal else f"exit code {record.code}"
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.t))
    facts = [f"{ended} at {at}, process {record.pid}"]
    if record.peak_memory:
        facts.append(f"peak memory {short_bytes(record.peak_memory)}")
    if record.oom_kills is not None:
        killed = record.oom_kills[1] - record.oom_kills[0]
        facts.append(f"OOM kills in its cgroup while it ran: {killed}")
    else:
        facts.append("its cgroup's count of OOM kills can't be read here")
    if not record.kernel_log:
        facts.append("the kernel's log can't be read here")
    return [*facts, *(f"kernel: {line}" for line in record.kernel)]


def _name(number: int | None) -> str:
    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def _short(text: str) -> str:
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"
