"""Commands to a running worker: appended to control.jsonl, acknowledged by `control` events."""

import errno
import os
import time
import uuid
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import CONTROL
from tuiwb.prepared import prepared

COMMANDS = ("stop", "checkpoint", "evaluate", "pause", "resume", "set")

# In a worker's environment: up to where the process that waited for its turn has answered.
ANSWERED = "TUIWB_ANSWERED"


class Command(msgspec.Struct, kw_only=True):
    """One command with an id its acknowledgement repeats."""

    command: str
    id: str
    v: int = 1
    t: float = 0.0
    args: dict[str, Any] = {}


def send(folder: Path, command: str, **args: Any) -> Command:
    """Append a command for the worker of `folder`; the worker acts at its next step.

    `stop` takes `now=True`: end without saving. `set` takes learning_rate and logging_steps.
    """
    if command not in COMMANDS:
        raise BadInput(f"unknown command {command!r}: one of {', '.join(COMMANDS)}")
    message = Command(command=command, id=uuid.uuid4().hex[:12], t=time.time(), args=args)
    path = folder / CONTROL
    line = msgspec.json.encode(message) + b"\n"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(fd).st_size
            if os.write(fd, line) != len(line):
                # Half a line would swallow the next command.
                os.ftruncate(fd, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(fd)
    except OSError as error:
        raise BadInput(
            f"can't write {command} into {path}: {error.strerror}; free some space, or end process "
            "with SIGTERM"
        ) from None
    return message


class ControlReader:
    """The worker's end: each `read()` returns the commands added since the last one.

    `offset` is where it stands in the file, in bytes.
    """

    def __init__(self, folder: Path, offset: int = 0) -> None:
        self._path = folder / CONTROL
        self.offset = offset

    def read(self) -> list[Command]:
        """New whole commands in order; broken lines are passed over."""
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                chunk = file.read()
        except FileNotFoundError:
            return []
        whole = chunk.rfind(b"\n") + 1
        self.offset += whole
        commands = []
        for line in chunk[:whole].splitlines():
            try:
                commands.append(msgspec.json.decode(line, type=prepared(Command)))
            except msgspec.MsgspecError:
                continue
        return commands
