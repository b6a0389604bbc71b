"""The parent of a worker: starts it, waits, and writes exit.json when it has ended.

Run as a program, `python -I -S supervise.py FOLDER PROGRAM [ARGUMENT...]`, with the standard
library alone, so that it costs few megabytes while a run lasts for days. On stdout it says `here`,
then the worker's pid, or `! why` when that could not be started. The worker has a session of its
own and goes on if this process is killed. When the job ended without a last word of its own, the
worker's Python is started once more to tell whoever is to be told (NOTIFY).
"""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

EXIT = "exit.json"
LOG = "worker.log"
EVENTS = "events.jsonl"
CONTROL = "control.jsonl"
NOTIFY = "tuiwb.monitor.notify"  # by name: jobs know no domain
LAST_WORDS = ("finished", "failed", "cancelled")
END = 1 << 16  # bytes of a file's end that are looked at
BOOT_ID = "/proc/sys/kernel/random/boot_id"
CGROUPS = "/sys/fs/cgroup"
MOST_LINES = 8
RETRY_EVERY = 1.0
RETRY_FOR = 600.0  # seconds in which exit.json is tried again where the disk is full


def main(folder: str, command: list[str]) -> int:
    """Start `command` for the job in `folder`, wait for it, leave exit.json."""
    _say("here")
    # A shutdown or a hangup is the worker's to obey: this process stays to tell how it ended.
    # Handlers, not SIG_IGN, which the worker would inherit.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: None)
    # Who started us may ignore its children: then none could be waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    began, clock, kills = time.time(), time.monotonic(), oom_kills()
    try:
        with open(os.path.join(folder, LOG), "ab") as log:
            log_from = log.seek(0, os.SEEK_END)
            worker = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
                cwd=folder,
            )
    except OSError as error:
        _say(f"! {error}")
        return 1
    start = _start_of(worker.pid)
    _say(str(worker.pid))
    with open(os.devnull, "r+b") as nothing:
        os.dup2(nothing.fileno(), 1)
    # It stays a zombie until exit.json is there: nobody sees it gone without a reason.
    ended = os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    by_signal = ended is not None and ended.si_code != os.CLD_EXITED
    after = oom_kills()
    readable, lines = kernel_lines(worker.pid, clock)
    record: dict[str, object] = {
        "v": 1,
        "pid": worker.pid,
        "start": start,
        "host": socket.gethostname(),
        "boot": _text(BOOT_ID).strip(),
        "began": began,
        "t": time.time(),
        "code": None if ended is None or by_signal else ended.si_status,
        "signal": ended.si_status if ended is not None and by_signal else None,
        "oom_kills": None if kills is None or after is None else [kills, after],
        "kernel_log": readable,
        "kernel": lines,
        "log_from": log_from,
    }
    _write(folder, record)
    _, _, usage = os.wait4(worker.pid, 0)
    record["peak_memory"] = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    record["cpu_seconds"] = usage.ru_utime + usage.ru_stime
    wanted = _somebody_is_to_be_told(folder) and not _told_to_end_now(folder)
    if wanted and not _said_its_last_word(folder):
        _notify(folder, command[0])
    deadline = time.monotonic() + RETRY_FOR
    while not _write(folder, record) and time.monotonic() < deadline:
        time.sleep(RETRY_EVERY)
    return 0


def _said_its_last_word(folder: str) -> bool:
    """Whether the job's log ends with how it ended."""
    for line in reversed(_last_lines(os.path.join(folder, EVENTS))[-8:]):
        if line.get("type") == "state":
            return line.get("state") in LAST_WORDS
    return False


def _somebody_is_to_be_told(folder: str) -> bool:
    """Whether the project's settings speak of alerts at all; who reads them closely costs more."""
    while True:
        settings = os.path.join(folder, "tuiwb.yaml")
        above = os.path.dirname(folder)
        if os.path.isfile(settings) or above == folder:
            return "alerts" in _text(settings)
        folder = above


def _told_to_end_now(folder: str) -> bool:
    """Whether a person ended it at once: who did that need not be told."""
    for line in reversed(_last_lines(os.path.join(folder, CONTROL))):
        if line.get("command") == "stop":
            arguments = line.get("args")
            return isinstance(arguments, dict) and bool(arguments.get("now"))
    return False


def _last_lines(path: str) -> list[dict[str, object]]:
    """The lines of JSON at a file's end; others are passed over."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - END))
            lines = file.read().split(b"\n")
    except OSError:
        return []
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _notify(folder: str, python: str) -> None:
    try:
        subprocess.Popen(
            [python, "-m", NOTIFY, folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        pass


def oom_kills(pid: int | str = "self") -> int | None:
    """How many processes of a process's cgroup the kernel ended for want of memory, so far.

    cgroup v2: memory.events, oom_kill; v1: memory.oom_control, oom_kill (kernel documentation,
    admin-guide/cgroup-v2 and cgroup-v1/memory). None where it can't be read.
    """
    for root, path, name in _cgroups(pid):
        # Inside a container the path is often the host's: then its root is our own group.
        for folder in (root + path, root):
            for line in _text(os.path.join(folder, name)).splitlines():
                key, _, count = line.partition(" ")
                if key == "oom_kill" and count.strip().isdigit():
                    return int(count)
    return None


def kernel_lines(pid: int, since: float, ask_journal: bool = True) -> tuple[bool, list[str]]:
    """Whether the kernel's log can be read, and its lines since `since` (monotonic seconds) about
    the end of process `pid` by the OOM killer, or about a GPU in trouble (NVIDIA's Xid)."""
    records = _kmsg(since)
    if records is None and ask_journal:
        records = _journal(since)
    if records is None:
        return False, []
    groups = {path for _, path, _ in _cgroups("self") if len(path) > 1}
    found: list[str] = []
    for text in records:
        mine = f"Killed process {pid} " in text or f"pid={pid}," in text + ","
        ours = "oom-kill:" in text and any(f"task_memcg={path}," in text for path in groups)
        killed = "oom" in text.lower() or "Killed process" in text
        if (killed and mine) or ours or "Xid (" in text:
            found.append(text[:400])
    return True, found[-MOST_LINES:]


def _cgroups(pid: int | str) -> list[tuple[str, str, str]]:
    """(mount point, path below it, file with the count) of a process's memory cgroups."""
    found = []
    for line in _text(f"/proc/{pid}/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            found += [(f"{CGROUPS}{below}", path, "memory.events") for below in ("", "/unified")]
        elif "memory" in names.split(","):
            found.append((f"{CGROUPS}/memory", path, "memory.oom_control"))
    return found


def _kmsg(since: float) -> list[str] | None:
    """The kernel's ring buffer (/dev/kmsg: 'priority,number,microseconds,flags;text')."""
    try:
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    found: list[str] = []
    try:
        while True:
            try:
                head, _, text = os.read(fd, 16384).partition(b";")
            except BrokenPipeError:
                continue  # overwritten while we read: the next one is older than none
            except OSError as error:
                return found if error.errno == errno.EAGAIN else found or None
            fields = head.split(b",")
            if len(fields) > 2 and fields[2].isdigit() and int(fields[2]) / 1e6 >= since - 1:
                found.append(text.split(b"\n", 1)[0].decode("utf-8", "replace"))
    finally:
        os.close(fd)


def _journal(since: float) -> list[str] | None:
    ago = time.time() - (time.monotonic() - since) - 1
    command = ["journalctl", "-k", "-q", "-b", "-o", "cat", "--no-pager", f"--since=@{ago:.0f}"]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode or not done.stdout:
        return None
    return done.stdout.decode("utf-8", "replace").splitlines()


def _start_of(pid: int) -> float | None:
    try:
        return float(_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])
    except (IndexError, ValueError):
        return None


def _write(folder: str, record: dict[str, object]) -> bool:
    """exit.json, whole or not at all; True when there is nothing left to do."""
    if not os.path.isdir(folder) or _another(folder, record):
        return True
    path = os.path.join(folder, EXIT)
    beside = os.path.join(folder, f".{EXIT}.{os.getpid()}.tmp")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        return True
    except OSError:
        try:
            os.unlink(beside)
        except OSError:
            pass
        return False


def _another(folder: str, record: dict[str, object]) -> bool:
    """Whether the job has been started again since, with another worker."""
    try:
        named = json.loads(_text(os.path.join(folder, "process.json")))
        return bool(named["pid"] != record["pid"])
    except (ValueError, KeyError, TypeError):
        return False


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _say(words: str) -> None:
    try:
        os.write(1, words.encode("utf-8", "replace") + b"\n")
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
