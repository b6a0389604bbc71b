"""Telling a person who is away: terminal notifications, a webhook, a command of theirs.

In: alerts and the end of a run. Out: escape sequences as plain strings for the UI to write; from a
worker, one POST or one process each, in a thread of its own, tried a few times, never in the way of
the run. Addresses never reach a log: they often are the secret.
"""

import atexit
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Alert, AnyEvent, State
from tuiwb.jobs.run import JobContext
from tuiwb.jobs.state import ENDED, with_reason, word_of
from tuiwb.monitor.triage.rule import cleared
from tuiwb.project import AlertSettings, find_project
from tuiwb.text import inert

BELL = "\a"
LONGEST = 240  # characters of a notification
SEVERITIES = ("note", "warning", "critical")
TRIES, PAUSES = 3, (0.5, 2.0)  # seconds between tries
POST_SECONDS, COMMAND_SECONDS = 5.0, 30.0
AT_EXIT = 10.0  # seconds a worker that has ended waits for what is still on its way
MOST_WAITING = 100

Log = Callable[[str], None]


def notification(title: str, text: str, *, tmux: bool = False, kind: str = "osc9") -> str:
    """The sequence that makes a terminal show a desktop notification; no terminal input in it.

    `kind` is "osc9" (iTerm2, WezTerm, Windows Terminal, ghostty), "osc777" (urxvt, foot, VTE
    builds) or "bell". With `tmux` it is wrapped to pass through (allow-passthrough must be on).
    """
    title, text = _plain(title), _plain(text)
    if kind == "bell":
        return BELL  # tmux hands a bell on by itself
    if kind == "osc777":
        # Semicolons part the fields.
        sequence = f"\x1b]777;notify;{title.replace(';', ',')};{text.replace(';', ',')}\x1b\\"
    else:
        # "4;..." after OSC 9 would be progress: the title never is a number.
        sequence = f"\x1b]9;{title}: {text}\x1b\\"
    return through_tmux(sequence) if tmux else sequence


def through_tmux(sequence: str) -> str:
    """A sequence wrapped for tmux's passthrough: each ESC in it doubled."""
    doubled = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"


def alert_notification(run: str, alert: Alert, *, tmux: bool = False, kind: str = "osc9") -> str:
    """`notification` of an alert of a run."""
    return notification(
        f"tuiwb {run}", f"{alert.severity}: {alert.rule}: {alert.evidence}", tmux=tmux, kind=kind
    )


def _plain(text: str) -> str:
    words = " ".join(inert(text, one_line=True).split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def alert_message(run: str, folder: Path, alert: Alert) -> dict[str, Any]:
    """What a webhook and a command get of an alert; `text` and `content` are one line to show."""
    line = f"tuiwb {run}: {alert.severity}: {alert.rule}: {alert.evidence}"
    return _message(
        "alert",
        run,
        folder,
        line,
        rule=alert.rule,
        severity=alert.severity,
        step=alert.step,
        evidence=alert.evidence,
        cause=alert.cause,
        fix=alert.fix,
        change=alert.change,
        look=alert.look,
        rows=alert.rows,
    )


def end_message(run: str, folder: Path, state: str, why: str = "") -> dict[str, Any]:
    """What they get of a run's end: `state` as in the event log, `text` in words."""
    line = f"tuiwb {run}: {with_reason(word_of(state), why)}"
    severity = "critical" if state in ("failed", "died") else "note"
    return _message("end", run, folder, line, state=state, severity=severity, evidence=why)


def _message(kind: str, run: str, folder: Path, line: str, **more: Any) -> dict[str, Any]:
    text = _plain(line)
    # Slack and Mattermost show `text`, Discord `content`.
    return {
        "kind": kind,
        "run": run,
        "folder": str(folder),
        "host": socket.gethostname(),
        "text": text,
        "content": text,
        **more,
    }


def deliver(settings: AlertSettings, message: dict[str, Any], root: Path, log: Log) -> None:
    """Hand a message to the webhook and to the command of the settings, tried a few times.

    Takes its time: for a thread, or for a process with nothing else to do. Failures are logged
    without the address.
    """
    try:
        url = settings.webhook or (os.environ.get(settings.webhook_env or "") or None)
        if settings.webhook_env and not url:
            log(f"no alert sent: the environment has no {settings.webhook_env}")
        if url:
            _try("webhook", lambda: _post(url, message), log)
        if settings.command:
            _try("command", lambda: _run(settings.command, message, root), log, tries=1)
    except Exception as error:
        log(f"an alert was not sent: {type(error).__name__}")


class _Refused(Exception):
    """A delivery that failed, in words without the address; `again`: worth another try."""

    def __init__(self, words: str, again: bool) -> None:
        super().__init__(words)
        self.again = again


def _try(what: str, send: Callable[[], None], log: Log, tries: int = TRIES) -> None:
    for n in range(tries):
        try:
            send()
            return
        except _Refused as refused:
            if n + 1 == tries or not refused.again:
                log(f"an alert did not reach the {what}: {refused}")
                return
        time.sleep(PAUSES[min(n, len(PAUSES) - 1)])


class _StaysHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: an alert goes to the address that was given, nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(url: str, message: dict[str, Any]) -> None:
    if not url.startswith(("http://", "https://")):
        raise _Refused("its address is neither http:// nor https://", again=False)
    body = json.dumps(message, default=str).encode("utf-8", "replace")
    try:
        request = urllib.request.Request(
            url, body, {"Content-Type": "application/json", "User-Agent": "tuiwb"}, method="POST"
        )
        opener = urllib.request.build_opener(_StaysHere)
        with opener.open(request, timeout=POST_SECONDS) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as error:
        error.close()
        again = error.code >= 500 or error.code in (408, 429)
        raise _Refused(f"HTTP {error.code}", again) from None
    except urllib.error.URLError as error:
        raise _Refused(type(error.reason).__name__, again=True) from None
    except OSError as error:
        raise _Refused(type(error).__name__, again=True) from None
    except Exception as error:  # a malformed address; its text may hold the secret
        raise _Refused(f"{type(error).__name__}: look at its address", again=False) from None


def _run(command: list[str], message: dict[str, Any], root: Path) -> None:
    """The command with the message as JSON on its stdin and in TUIWB_* variables; no shell."""
    words = (
        "kind",
        "run",
        "folder",
        "rule",
        "severity",
        "state",
        "step",
        "evidence",
        "fix",
        "text",
    )
    told = {
        f"TUIWB_{key.upper()}": inert(str(message[key]))
        for key in words
        if message.get(key) is not None
    }
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **told},
            cwd=root,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _Refused(f"{command[0]}: {type(error).__name__}", again=False) from None
    try:
        process.communicate(json.dumps(message, default=str).encode(), timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise _Refused(f"{command[0]} took over {COMMAND_SECONDS:.0f} s", again=False) from None
    if process.returncode:
        raise _Refused(f"{command[0]} ended with {process.returncode}", again=False)


class Notifier:
    """A worker's listener: alerts from the asked severity on, and how the run ended, sent from a
    thread of its own. One that can't be sent is said once in the log."""

    def __init__(self, settings: AlertSettings, folder: Path, name: str, root: Path, log: Log):
        self.settings, self.folder, self.name, self.root = settings, folder, name, root
        self._log = log
        self.ended = False
        self._said: set[str] = set()
        self._waiting: queue.Queue[dict[str, Any]] = queue.Queue(MOST_WAITING)
        self._least = SEVERITIES.index(settings.from_)
        threading.Thread(target=self._deliver, name="notify", daemon=True).start()
        atexit.register(self.flush)

    def hear(self, event: AnyEvent) -> Iterable[AnyEvent]:
        """Take up what is worth sending; returns at once."""
        if isinstance(event, Alert):
            known = SEVERITIES.index(event.severity) if event.severity in SEVERITIES else 1
            if known >= self._least and not cleared(event):
                self._put(alert_message(self.name, self.folder, event))
        elif isinstance(event, State) and event.state in ENDED:
            self.ended = True
            self._put(end_message(self.name, self.folder, event.state, event.message))
        return ()

    def flush(self, seconds: float = AT_EXIT) -> bool:
        """Wait until all is sent, or so long; whether it is."""
        deadline = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self._waiting.unfinished_tasks

    def _put(self, message: dict[str, Any]) -> None:
        try:
            self._waiting.put_nowait(message)
        except queue.Full:
            self._once(f"more than {MOST_WAITING} alerts wait to be sent: one is left out")

    def _deliver(self) -> None:
        while True:
            message = self._waiting.get()
            deliver(self.settings, message, self.root, self._once)
            self._waiting.task_done()

    def _once(self, words: str) -> None:
        if words not in self._said:
            self._said.add(words)
            self._log(words)


def attach(context: JobContext) -> Notifier | None:
    """Make a worker tell its project's webhook or command; None where none is configured."""
    try:
        project = find_project(context.folder)
    except TuiwbError:
        return None
    settings = project.settings.alerts
    if not (settings.webhook or settings.webhook_env or settings.command):
        return None

    def log(words: str) -> None:
        if notifier.ended:
            sys.stderr.write(f"{words}\n")  # the event log is closed by now
        else:
            context.log(words, "warn")

    notifier = Notifier(settings, context.folder, context.job.name, project.root, log)
    context.listeners.append(notifier.hear)
    return notifier


def tell_death(folder: Path) -> bool:
    """Tell the project's webhook or command of a run that died and so could not itself; whether
    there was something to tell and somebody to tell it to.

    For whoever finds it: `python -m tuiwb.monitor.notify FOLDER`, once a worker is gone.
    """
    from tuiwb.jobs.state import status

    state = status(folder)
    settings = find_project(folder).settings.alerts
    if state.state != "died" or not (settings.webhook or settings.webhook_env or settings.command):
        return False
    message = end_message(state.name, folder, "died", state.message)
    deliver(settings, message, find_project(folder).root, lambda words: None)
    return True


if __name__ == "__main__":
    try:
        tell_death(Path(sys.argv[1]).resolve())
    except (IndexError, TuiwbError) as problem:
        sys.exit(str(problem))
