"""A run's report as Markdown, its plots as SVG files in a folder beside it."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

from tuiwb.errors import BadInput
from tuiwb.monitor.export import write_beside
from tuiwb.monitor.report import Report, Row, folder_of_plots
from tuiwb.monitor.svg import svg_plot
from tuiwb.text import fenced, inert

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&!])")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def write_plots(report: Report, path: Path, *, replace: bool) -> dict[str, str]:
    """Draw each plot into NAME_files/; returns the links, relative to the page, by title."""
    folder = folder_of_plots(path, replace=replace)
    links: dict[str, str] = {}
    try:
        for number, plot in enumerate(report.plots):
            folder.mkdir(exist_ok=True)
            name = f"{number + 1:02d}-{_UNSAFE.sub('-', plot.title)[:60]}.svg"
            svg = svg_plot(plot.title, plot.curves, marks=plot.marks)
            write_beside(folder / name, partial(_write, data=svg.encode("utf-8", "replace")))
            links[plot.title] = quote(f"{folder.name}/{name}")
    except OSError as error:
        raise BadInput(f"can't write into {folder}: {error.strerror or error}") from None
    return links


def _write(beside: Path, data: bytes) -> None:
    beside.write_bytes(data)


def as_markdown(report: Report, images: dict[str, str]) -> str:
    """The page; `images` are the plots' links by title. Text from the run is escaped and inert."""
    parts = [f"# {_e(report.name)}", _e(report.ended)]
    parts += [_quoted(report.note)] if report.note else []
    parts += [fenced("\n".join(report.why))] if report.why else []
    parts += [_table(("", ""), report.summary)]
    if images:
        drawn = [f"![{_e(title)}]({link})" for title, link in images.items()]
        parts += ["## Curves", *drawn]
    if report.alerts:
        parts += ["## Alerts", *(_alert(report, number) for number in range(len(report.alerts)))]
    for title, rows in (("Hardware", report.device),):
        parts += [f"## {title}", _table(("", ""), rows)] if rows else []
    if report.data:
        parts += ["## Data", _table(("used as", "path", "fingerprint"), report.data)]
    for title, rows in (("Config", report.config), ("Ran with", report.ran_with)):
        parts += [f"## {title}", _table(("", ""), rows)] if rows else []
    if report.samples:
        parts.append("## Sample outputs")
        for sample in report.samples:
            parts += [f"Step {sample.step}:", fenced(sample.prompt), fenced(sample.text)]
    if report.artifacts:
        made = [
            (a.kind, a.path, "" if a.step is None else str(a.step), a.sha256)
            for a in report.artifacts
        ]
        parts += ["## Artifacts", _table(("kind", "path", "step", "sha256"), made)]
    if report.last:
        parts += ["## Last value of each metric", _table(("", ""), report.last)]
    parts.append(_e(report.made))
    return "\n\n".join(parts) + "\n"


def _e(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", inert(text, one_line=True))


def _quoted(text: str) -> str:
    return "\n".join(f"> {_e(line)}" for line in text.split("\n"))


def _table(header: Sequence[str], rows: Sequence[Row | Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([_e(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _alert(report: Report, number: int) -> str:
    alert = report.alerts[number]
    at = f" at step {alert.step}" if alert.step is not None else ""
    change = ", ".join(f"{key}: {value}" for key, value in alert.change.items())
    said = [f"- **{_e(alert.severity)}: {_e(alert.rule)}**{at}: {_e(alert.evidence)}"]
    for label, text in (
        ("likely cause", alert.cause),
        ("fix", alert.fix),
        ("as config", change),
        ("look at", alert.look),
        ("rows", ", ".join(alert.rows)),
    ):
        said += [f"  - {label}: {_e(text)}"] if text else []
    return "\n".join(said)
