"""Telling who is away: sequences for a terminal, a real server on the loopback, a real command."""

import fcntl
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tuiwb.errors import BadInput
from tuiwb.jobs.events import Alert, Metrics, State
from tuiwb.monitor.notify import (
    Notifier,
    alert_message,
    alert_notification,
    attach,
    deliver,
    end_message,
    notification,
    through_tmux,
)
from tuiwb.monitor.triage.rule import over
from tuiwb.project import AlertSettings, Project

HOURS = 99_999  # seconds
ALERT = Alert(
    rule="overfitting",
    severity="warning",
    evidence="eval_loss \x1b[31mrose\x07",
    fix="stop",
    change={"training.max_steps": 20},
    step=30,
)


class Receiver(HTTPServer):
    """A server that keeps what was posted and answers with the statuses given in turn."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses)
        self.got: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/hook-SECRET"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Content-Type"] == "application/json"
        self.server.got.append(json.loads(body))
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        if statuses[0] == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    servers: list[Receiver] = []

    def start(*statuses: int) -> Receiver:
        server = Receiver(*statuses)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def notifier(tmp_path: Path, log: Callable[[str], None], **settings: Any) -> Notifier:
    return Notifier(AlertSettings(**settings), tmp_path / "v1", "v1", tmp_path, log)


def test_a_notification_holds_no_control_but_its_own() -> None:
    shown = alert_notification("v1", ALERT)
    assert shown.startswith("\x1b]9;tuiwb v1: warning: overfitting: eval_loss ")
    assert shown.endswith("\x1b\\")
    assert shown.count("\x1b") == 2
    assert "\a" not in shown
    split = notification("a;b", "c;d\x9c", kind="osc777")
    assert split == "\x1b]777;notify;a,b;c,d\\x9c\x1b\\"
    assert notification("a", "b", kind="bell") == "\a"
    assert len(notification("t", "x" * 10_000)) < 600


def test_tmux_passes_a_sequence_through_with_its_escapes_doubled() -> None:
    assert through_tmux("\x1b]9;a\x1b\\") == "\x1bPtmux;\x1b\x1b]9;a\x1b\x1b\\\x1b\\"
    assert notification("a", "b", tmux=True).startswith("\x1bPtmux;\x1b\x1b]9;")
    assert notification("a", "b", tmux=True, kind="bell") == "\a"


def test_a_webhook_gets_alerts_from_the_asked_severity_on_and_the_end(
    receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    server, said = receiver(200), list[str]()
    telling = notifier(tmp_path, said.append, webhook=server.url)
    telling.hear(Alert(rule="no_heldout", severity="note", evidence="none"))
    telling.hear(Metrics(step=1, values={"loss": 1.0}))
    telling.hear(ALERT)
    telling.hear(over("overfitting", "over", 40))
    telling.hear(State(state="running", phase="saving"))
    telling.hear(State(state="finished", exit_code=0))
    assert telling.flush(120)
    alert, end = server.got
    assert (alert["kind"], alert["run"], alert["rule"], alert["step"]) == (
        "alert",
        "v1",
        "overfitting",
        30,
    )
    assert alert["change"] == {"training.max_steps": 20}
    assert alert["text"] == alert["content"]
    assert "\x1b" not in alert["text"]
    assert (end["kind"], end["state"], end["text"]) == ("end", "finished", "tuiwb v1: finished")
    assert said == []


def test_a_busy_server_is_tried_again_and_one_that_refuses_is_not(
    receiver: Callable[..., Receiver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiwb.monitor.notify.PAUSES", (0.01,))
    said: list[str] = []
    busy = receiver(503, 503, 200)
    message = alert_message("v1", tmp_path, ALERT)
    deliver(AlertSettings(webhook=busy.url), message, tmp_path, said.append)
    assert len(busy.got) == 3
    assert said == []
    gone = receiver(404)
    deliver(AlertSettings(webhook=gone.url), message, tmp_path, said.append)
    assert len(gone.got) == 1
    elsewhere = receiver(302)
    deliver(AlertSettings(webhook=elsewhere.url), message, tmp_path, said.append)
    assert len(elsewhere.got) == 1, "a redirect is not followed"
    assert said == [
        "an alert did not reach the webhook: HTTP 404",
        "an alert did not reach the webhook: HTTP 302",
    ]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/hook-SECRET", "file:///etc/SECRET", "http://[SECRET", "SECRET"]
)
def test_an_address_never_reaches_the_log(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuiwb.monitor.notify.PAUSES", (0.01,))
    said: list[str] = []
    deliver(
        AlertSettings(webhook=url), end_message("v1", tmp_path, "failed"), tmp_path, said.append
    )
    assert len(said) == 1
    assert "SECRET" not in said[0]


def test_the_address_may_stand_in_the_environment(
    receiver: Callable[..., Receiver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, said = receiver(200), list[str]()
    settings = AlertSettings(webhook_env="TUIWB_TEST_HOOK")
    message = end_message("v1", tmp_path, "failed", "out of memory")
    deliver(settings, message, tmp_path, said.append)
    assert said == ["no alert sent: the environment has no TUIWB_TEST_HOOK"]
    monkeypatch.setenv("TUIWB_TEST_HOOK", server.url)
    deliver(settings, message, tmp_path, said.append)
    assert [got["severity"] for got in server.got] == ["critical"]


def test_a_command_gets_the_alert_on_stdin_and_in_its_environment_without_a_shell(
    tmp_path: Path,
) -> None:
    program = (
        "import json, os, sys; from pathlib import Path; "
        "Path('out.json').write_text(json.dumps([json.load(sys.stdin), sys.argv[1:], "
        "{k: v for k, v in os.environ.items() if k.startswith('TUIWB_')}]))"
    )
    said: list[str] = []
    telling = notifier(tmp_path, said.append, command=[sys.executable, "-c", program, "$(id); a b"])
    telling.hear(Alert(rule="r", severity="critical", evidence="a\0b\ud800", step=3))
    assert telling.flush(120)
    message, words, environment = json.loads((tmp_path / "out.json").read_text())
    assert message["rule"] == "r"
    assert words == ["$(id); a b"]
    assert environment["TUIWB_RULE"] == "r"
    assert environment["TUIWB_STEP"] == "3"
    assert environment["TUIWB_EVIDENCE"] == "a␀b\\ud800"
    assert said == []


def test_a_command_that_fails_hangs_or_is_not_there_is_said_once_and_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Both wait for something: this one for a word of ours, that one for ever, with a lock.
    fails = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)\nraise SystemExit(3)"
    hangs = f"exec 9> held; flock 9; touch taken; exec sleep {HOURS}"
    taken = tmp_path / "taken"
    monkeypatch.setattr("tuiwb.monitor.notify.COMMAND_SECONDS", 600.0)

    def tell(command: list[str], words: str) -> None:
        said: list[str] = []
        telling = notifier(tmp_path, said.append, command=command)
        telling.hear(ALERT)
        telling.hear(ALERT)
        (tmp_path / "go").touch()  # not before both were heard: the run goes on at once
        assert telling.flush(120)
        assert len(said) == 1
        assert words in said[0]

    tell(["no-such-program"], "no-such-program: FileNotFoundError")
    tell([sys.executable, "-c", fails], "ended with 3")
    seconds = 0.3
    while not taken.exists():  # on a busy machine it is ended before it has come so far
        assert seconds < 200
        monkeypatch.setattr("tuiwb.monitor.notify.COMMAND_SECONDS", seconds)
        tell(["sh", "-c", hangs], "took over")
        seconds *= 4
    with (tmp_path / "held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody lives who holds it


def test_settings_are_read_from_tuiwb_yaml_and_a_wrong_one_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tuiwb.yaml").write_text(
        "alerts: {webhook_env: HOOK, command: [notify-send, tuiwb], from: critical}\n"
    )
    settings = Project(tmp_path).settings.alerts
    assert (settings.webhook_env, settings.command, settings.from_) == (
        "HOOK",
        ["notify-send", "tuiwb"],
        "critical",
    )
    (tmp_path / "tuiwb.yaml").write_text("alerts: {from: loud}\n")
    with pytest.raises(BadInput, match="loud"):
        Project(tmp_path)


def test_a_worker_tells_only_where_something_is_configured(
    receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    from tuiwb import jobs
    from tuiwb.jobs.run import JobContext

    folder = tmp_path / "runs" / "v1"
    jobs.create(folder, "train", {})
    context = JobContext(folder)
    assert attach(context) is None
    server = receiver(200)
    (tmp_path / "tuiwb.yaml").write_text(f"alerts: {{webhook: '{server.url}'}}\n")
    telling = attach(context)
    assert telling is not None
    context.emit(ALERT)
    context.state("failed", message="no")
    assert telling.flush(120)
    assert [got["kind"] for got in server.got] == ["alert", "end"]
    assert b"SECRET" not in (folder / "events.jsonl").read_bytes()


def test_a_run_that_was_killed_is_told_by_the_program_that_finds_it(
    receiver: Callable[..., Receiver], tmp_path: Path
) -> None:
    from tuiwb import jobs
    from tuiwb.jobs import process
    from tuiwb.jobs.run import JobContext

    server = receiver(200)
    (tmp_path / "tuiwb.yaml").write_text(f"alerts: {{webhook: '{server.url}'}}\n")
    tell = [sys.executable, "-m", "tuiwb.monitor.notify"]
    for name, last in (("killed", "running"), ("sound", "finished")):
        folder = tmp_path / "runs" / name
        jobs.create(folder, "train", {})
        worker = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        process.write(folder, process.identify(worker.pid))
        context = JobContext(folder)
        context.state(last, "training")
        context.events.close()
        worker.kill()
        worker.communicate()
        assert subprocess.run([*tell, str(folder)], check=True).returncode == 0
    (got,) = server.got
    assert (got["kind"], got["run"], got["state"], got["severity"]) == (
        "end",
        "killed",
        "died",
        "critical",
    )
    assert subprocess.run([*tell, str(tmp_path)], capture_output=True).returncode == 1
