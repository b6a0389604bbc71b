"""Start a process that outlives the terminal and the login session it was started from.

A session of its own survives a hangup. Where logind ends all of a user's processes at logout
(KillUserProcesses=yes, logind.conf(5)), only those in a scope of the user's own service manager
stay, and that manager only with lingering: `systemd-run --user --scope` (systemd-run(1)).
"""

import os
import select
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

SCOPED = "TUIWB_SCOPE"  # set to "no": never through systemd-run
RUNTIME, RUNTIMES = "XDG_RUNTIME_DIR", "/run/user"
GREETS_WITHIN = 20.0  # seconds for a user manager to make the scope


class Survival(msgspec.Struct, kw_only=True):
    """Whether what we start outlives a logout here; `todo` is empty when it does."""

    survives: bool
    found: str
    todo: str = ""


def start(
    command: list[str], *, cwd: Path, environment: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    """Run `command` detached; its stdout is a pipe, its stderr the log. OSError when it can't be.

    Through a scope of the user's service manager where one answers, else plainly.
    """
    for prefix in (scope_prefix(), []):
        with log.open("ab") as errors:
            child = subprocess.Popen(
                [*prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                close_fds=True,
                cwd=cwd,
                env={**environment, **({RUNTIME: _runtime()} if prefix else {})},
            )
        # The program greets before it does anything: no greeting, nothing was begun.
        if line_of(child, GREETS_WITHIN if prefix else None) == "here" or not prefix:
            break
        child.kill()
        child.wait()
        close(child)
    threading.Thread(target=child.wait, name=f"reap-{child.pid}", daemon=True).start()
    return child


def line_of(child: "subprocess.Popen[bytes]", seconds: float | None = None) -> str:
    """The next line that a started program says; empty at its end or after `seconds`."""
    assert child.stdout is not None
    fd, said = child.stdout.fileno(), b""
    while not said.endswith(b"\n"):
        if seconds is not None and not select.select([fd], [], [], seconds)[0]:
            return ""
        byte = os.read(fd, 1)
        if not byte:
            break
        said += byte
    return said.decode("utf-8", "replace").strip()


def close(child: "subprocess.Popen[bytes]") -> None:
    """Listen no more; the program goes on."""
    assert child.stdout is not None
    child.stdout.close()


def scope_prefix() -> list[str]:
    """`systemd-run --user --scope ...`, or nothing where no user manager runs."""
    program = shutil.which("systemd-run")
    if program is None or os.environ.get(SCOPED, "").lower() in ("no", "0", "false"):
        return []
    if not any(os.path.exists(f"{_runtime()}/{name}") for name in ("systemd/private", "bus")):
        return []
    return [program, "--user", "--scope", "--collect", "--quiet", "--"]


def _runtime() -> str:
    """Where the user's service manager listens; cron, sudo and containers often don't say."""
    return os.environ.get(RUNTIME) or f"{RUNTIMES}/{os.getuid()}"


def survival() -> Survival:
    """What a logout would do to the jobs of this user, asked of logind."""
    manager = (
        "org.freedesktop.login1",
        "/org/freedesktop/login1",
        "org.freedesktop.login1.Manager",
    )
    kills = _ask("busctl", "get-property", *manager, "KillUserProcesses").strip()
    if kills != "b true":
        said = "KillUserProcesses=no" if kills else "no logind ends them"
        return Survival(survives=True, found=f"jobs outlive a logout ({said})")
    spared = _ask("busctl", "get-property", *manager, "KillExcludeUsers")
    if f'"{_user()}"' in spared:
        return Survival(survives=True, found=f"jobs of {_user()} outlive a logout")
    lingers = "Linger=yes" in _ask("loginctl", "show-user", str(os.getuid()), "--property=Linger")
    if lingers and scope_prefix():
        return Survival(survives=True, found="jobs outlive a logout (own scope, linger is on)")
    if lingers:
        return Survival(
            survives=False,
            found="systemd ends your processes at logout: no user manager answers here",
            todo="log in through logind (XDG_RUNTIME_DIR set), then start jobs",
        )
    return Survival(
        survives=False,
        found="systemd ends your processes when you log out (KillUserProcesses=yes, no linger)",
        todo="loginctl enable-linger, or ask who runs this machine",
    )


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
