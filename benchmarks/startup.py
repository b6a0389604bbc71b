"""Start-up: `tuiwb --help` against `python -c pass`, the first paint against a bare Textual app.

Each pair runs in turn, so that the machine's mood falls on both; medians of the pairwise ratios.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import finish, first_paint, median

from tuiwb.project import copy_sample

RUNS = 15
BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("painted-here")
Bare().run()
"""


def seconds(command: list[str]) -> float:
    """Wall seconds of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print the table, say whether the targets hold."""
    program = str(Path(sys.executable).with_name("tuiwb"))
    passing, helping, bare, ours = [], [], [], []
    for _ in range(RUNS + 1):
        passing.append(seconds([sys.executable, "-c", "pass"]))
        helping.append(seconds([program, "--help"]))
    with tempfile.TemporaryDirectory() as folder:
        project = copy_sample(Path(folder) / "sample").root
        for _ in range(RUNS + 1):
            bare.append(first_paint([sys.executable, "-c", BARE], b"painted-here"))
            ours.append(first_paint([program, str(project)], b"Look at the data"))
    help_ratio = median([h / p for h, p in zip(helping[1:], passing[1:], strict=True)])
    paint_ratio = median([o / b for o, b in zip(ours[1:], bare[1:], strict=True)])
    rows = [
        ("python -c pass", median(passing[1:]), ""),
        ("tuiwb --help", median(helping[1:]), f"{help_ratio:.2f}x"),
        ("bare Textual app, first paint", median(bare[1:]), ""),
        ("tuiwb on the sample, first paint", median(ours[1:]), f"{paint_ratio:.2f}x"),
    ]
    for name, value, ratio in rows:
        print(f"{name:<34} {value * 1000:8.1f} ms  {ratio}")
    return finish(
        "startup",
        {name: value for name, value, _ in rows},
        {"help / pass": (help_ratio, 5.0), "first paint / bare": (paint_ratio, 1.5)},
    )


if __name__ == "__main__":
    sys.exit(main())
