"""`tuiwb gpu`: the GPUs and the host now, or again and again, without the screen."""

import os
import shutil
import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tuiwb.cli.common import ProjectOption, project_at, say, say_json, single
from tuiwb.errors import EXIT_FINE, BadInput
from tuiwb.jobs.events import Device
from tuiwb.monitor.device_text import ASCII, BLOCKS, Layout, device_lines, legend
from tuiwb.monitor.device_words import Line

app = single()
SHORTEST = 0.2
KEPT = 900  # samples of the history
# The roles of monitor.device_text as SGR codes of the terminal's own 16 colours (ECMA-48, 8.3.117).
COLOURS = {
    "job": "36",
    "past": "36",
    "others": "35",
    "estimate": "1;33",
    "bold": "1",
    "muted": "2",
    "warning": "33",
    "error": "1;31",
}


@app.command()
def gpu(
    json: Annotated[
        bool,
        typer.Option("--json", help="One JSON document; with --interval one line of it a look."),
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Look once, also on a terminal.")] = False,
    interval: Annotated[
        float | None,
        typer.Option("--interval", "-i", help="Seconds between two looks (2 on a terminal)."),
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Memory, use, heat, power and processes of each GPU, and the host.

    On a terminal it goes on until ctrl+c; into a pipe or a file it looks once, unless --interval
    asks for more. Exits 0 where there is no GPU, and says so.
    """
    if interval is not None and not SHORTEST <= interval <= 86400:
        raise BadInput(f"--interval is between {SHORTEST} seconds and a day: got {interval:g}")
    repeated = not once and (interval is not None or (sys.stdout.isatty() and not json))
    disk = project_at(project).root
    try:
        if repeated:
            _again(disk, interval or 2.0, json)
        else:
            _once(disk, json)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_FINE) from None


def _look(disk: Path) -> Device:
    from tuiwb.monitor.device import sample

    # No run is looked at: this command's own processes are nobody's job.
    device = sample(os.getpid(), disk, {})
    device.t = time.time()
    if device.host is not None:
        device.host.job_cpu = device.host.job_memory = None
    for one in device.gpus:
        one.visible, one.job_from = None, ""
    return device


def _once(disk: Path, json: bool) -> None:
    device = _look(disk)
    if json:
        say_json(_plain(device))
    else:
        _print([device])


def _plain(device: Device) -> dict[str, Any]:
    """The event as it stands in a log; `gpus` is there even where none is."""
    plain: dict[str, Any] = msgspec.to_builtins(device)
    return {"gpus": [], **plain}


def _again(disk: Path, interval: float, json: bool) -> None:
    history: deque[Device] = deque(maxlen=KEPT)
    while True:
        began = time.monotonic()
        history.append(_look(disk))
        if json:
            sys.stdout.buffer.write(msgspec.json.encode(_plain(history[-1])) + b"\n")
            sys.stdout.buffer.flush()
        elif sys.stdout.isatty():
            _repaint(list(history))
        else:
            _print(list(history))
            say()
        time.sleep(max(0.0, interval - (time.monotonic() - began)))


def _repaint(history: list[Device]) -> None:
    """Over the last picture, line by line: nothing flickers, and what was longer is wiped."""
    width, height = shutil.get_terminal_size()
    lines = [_coloured(line) for line in _lines(history, width, height - 2)]
    lines.append(_coloured([("ctrl+c ends", "muted")]))
    picture = "".join(f"{line}\x1b[K\r\n" for line in lines[: height - 1])
    sys.stdout.write(f"\x1b[H{picture}\x1b[J" if len(history) > 1 else f"\x1b[2J\x1b[H{picture}")
    sys.stdout.flush()


def _print(history: list[Device]) -> None:
    width = shutil.get_terminal_size((100, 24)).columns
    for line in _lines(history, width, 10_000):
        if sys.stdout.isatty():
            sys.stdout.write(_coloured(line) + "\n")
        else:
            say("".join(text for text, _ in line).rstrip())


def _lines(history: list[Device], width: int, height: int) -> list[Line]:
    """Blocks with processes where they fit, then without, then a line a GPU."""
    glyphs = BLOCKS if _utf8() else ASCII
    lines: list[Line] = []
    plans: list[tuple[Layout, bool]] = [("block", True), ("line", True), ("block", False)]
    for layout, processes in [*plans, ("line", False)]:
        lines = device_lines(
            history[-1],
            history if len(history) > 1 else (),
            width=width,
            layout=layout,
            processes=processes,
            glyphs=glyphs,
        )
        if history[-1].gpus:
            lines.append(legend(glyphs, run=False))
        if len(lines) <= height:
            break
    return lines


def _utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _coloured(line: Line) -> str:
    if "NO_COLOR" in os.environ:
        return "".join(text for text, _ in line)
    return "".join(
        f"\x1b[{COLOURS[role]}m{text}\x1b[0m" if role in COLOURS else text for text, role in line
    )
