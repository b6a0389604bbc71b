"""News for whoever looks elsewhere: a new alert, the end of a run; each told once.

In: the states of the jobs. Out: what is new since the last time it was told, remembered in a file
so that opening the program again tells nothing twice. Bell and notification go through the driver.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App
from textual.notifications import SeverityLevel

from tuiwb.app.terminal import attention
from tuiwb.jobs import JobState
from tuiwb.jobs.folder import write_atomically
from tuiwb.monitor.runs import run_name

TOLD = frozenset({"warning", "critical"})  # severities worth a bell
ENDS = {"finished": "has finished", "failed": "has failed", "died": "has died"}
MOST_BYTES = 4 << 20
AT_ONCE = 2  # toasts; more at a time become one
LISTED = 5


@dataclass(frozen=True)
class News:
    """One thing to tell."""

    title: str
    body: str
    severity: SeverityLevel


class Teller:
    """`news()` gives what was not told yet; `path` keeps it (None: only while this lives).

    The first time, when nothing was ever told, what has happened already counts as told.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        read = _read(path)
        self._told: dict[str, set[str]] = read or {}
        self._first = read is None
        self._seen: dict[Path, tuple[int, str, float | None]] = {}

    def news(self, jobs: Mapping[Path, JobState]) -> list[News]:
        """What happened to training runs that was not told; it counts as told from now on."""
        found: list[News] = []
        changed = False
        for folder, state in jobs.items():
            looked = (len(state.alerts), state.state, state.ended)
            if state.kind not in ("train", "") or self._seen.get(folder) == looked:
                continue
            self._seen[folder] = looked
            told = self._told.setdefault(run_name(folder), set())
            for key, news in _of(state):
                if key not in told:
                    told.add(key)
                    changed = True
                    if not self._first:
                        found.append(news)
        if changed or self._first:
            self._first = False
            self._write(jobs)
        return found

    def _write(self, jobs: Mapping[Path, JobState]) -> None:
        if self._path is None:
            return
        there = {run_name(folder) for folder in jobs}
        kept = {name: sorted(keys) for name, keys in self._told.items() if name in there}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps({"told": kept}).encode("utf-8", "replace"))
        except OSError:
            pass


def _of(state: JobState) -> Iterable[tuple[str, News]]:
    for alert in state.alerts:
        if alert.severity in TOLD:
            level: SeverityLevel = "error" if alert.severity == "critical" else "warning"
            title = f"{state.name}: {alert.rule.replace('_', ' ')}"
            yield f"{alert.rule}/{alert.step}/{alert.t:.3f}", News(title, alert.evidence, level)
    if state.state in ENDS:
        level = "information" if state.state == "finished" else "error"
        loss = state.metrics.get("eval_loss", state.metrics.get("loss"))
        said = state.message or (f"loss {loss:.4g}" if loss is not None else f"step {state.step}")
        title = f"{state.name} {ENDS[state.state]}"
        yield f"{state.state}/{state.ended or 0:.3f}", News(title, said, level)


def _read(path: Path | None) -> dict[str, set[str]] | None:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            plain: Any = json.loads(file.read(MOST_BYTES))
        return {str(name): {str(key) for key in keys} for name, keys in plain["told"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def tell(app: App[Any], news: list[News]) -> None:
    """Show news as a toast each, or one for many; with the bell and the terminal's own
    notification where nobody looks, or always where TUIWB_NOTIFY says so."""
    if not news:
        return
    if len(news) <= AT_ONCE:
        for one in news:
            app.notify(one.body, title=one.title, severity=one.severity)
        title, body = news[-1].title, news[-1].body
    else:
        worst = next((n.severity for n in news if n.severity == "error"), news[0].severity)
        lines = [one.title for one in news[:LISTED]]
        if len(news) > LISTED:
            lines.append(f"and {len(news) - LISTED} more")
        title, body = f"{len(news)} things happened", "; ".join(lines)
        app.notify("\n".join(lines), title=title, severity=worst)
    if not app.app_focus or os.environ.get("TUIWB_NOTIFY") == "always":
        attention(app, title, body)
