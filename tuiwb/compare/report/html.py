"""report.html of a comparison: one file, no script, no network, light and dark by the system.

`write_report` writes it with report.md beside.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from tuiwb.compare.completions import REPORT
from tuiwb.compare.report.figure_text import (
    FigureRow,
    field_head,
    field_rows,
    figure_rows,
    head,
    slice_rows,
    slices_by_tag,
)
from tuiwb.compare.report.interval_plot import MORE_STYLE, interval_plot
from tuiwb.compare.report.markdown import FEW, NO_REFERENCES, NOTES, markdown
from tuiwb.compare.report.page import (
    Example,
    Page,
    agreement_line,
    metric_bars,
    preference_bars,
    preference_lines,
    slice_bars,
)
from tuiwb.compare.vote.records import MAIN_PAIR, votes_name
from tuiwb.jobs.folder import write_atomically
from tuiwb.monitor.report_html import PAGE_STYLE
from tuiwb.monitor.svg import STYLE
from tuiwb.text import inert

HTML = "report.html"
PAIR_STYLE = """\
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 1rem}
.pair h4{margin:.4rem 0 0;font-size:.9rem;font-weight:500;color:var(--dim)}
.right td+td,.right th+th{text-align:right;overflow-wrap:normal}.wide{overflow-x:auto}
.conclusion{font-size:1.1rem}.better{color:#1a7f37}.worse{color:#c01c28}
@media (prefers-color-scheme:dark){.better{color:#2fc494}.worse{color:#ff7b72}
.critical{border-left-color:#ff7b72}}"""
DIFFERENCES = "Difference in percentage points, 95% interval"
WON = "Won of the decided pairs in percent, 95% interval"


def write_report(folder: Path, page: Page, sides: tuple[str, str] = MAIN_PAIR) -> list[Path]:
    """Write report.md and report.html into `folder`, report-ONE-OTHER for other sides than the
    two in focus; returns both paths."""
    # '' for the two in focus, else '-ONE-OTHER', as their votes are called.
    told = votes_name(*sides).removeprefix("votes").removesuffix(".jsonl")
    names = [name.replace(".", f"{told}.", 1) for name in (REPORT, HTML)]
    for name, text in zip(names, (markdown(page), as_html(page)), strict=True):
        write_atomically(folder / name, text.encode("utf-8", "replace"))
    return [folder / name for name in names]


def as_html(page: Page) -> str:
    """The whole page; every text from models, data and judges escaped and inert."""
    return "\n".join(
        filter(
            None,
            (
                "<!doctype html>",
                '<html lang="en"><head><meta charset="utf-8">',
                # Belt and braces: whatever slipped through could load and run nothing.
                '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
                "style-src 'unsafe-inline'; img-src data:\">",
                '<meta name="viewport" content="width=device-width, initial-scale=1">',
                f"<title>{_e(page.title)}</title>"
                f"<style>{PAGE_STYLE}\n{PAIR_STYLE}\n{STYLE}\n{MORE_STYLE}</style></head>",
                f"<body><h1>{_e(page.title)}</h1>",
                *(f'<div class="alert critical"><p>{_e(a)}</p></div>' for a in page.alarms),
                f'<p class="conclusion">{_e(page.conclusion)}</p>' if page.conclusion else "",
                _facts(page),
                _section("Metrics", _metrics(page)),
                _preferences(page),
                _section("Slices", _slices(page)),
                _section("JSON fields", _fields(page)),
                _section("The answers themselves", _quantities(page)),
                _section("Answers side by side", "\n".join(map(_example, page.examples))),
                "</body></html>",
                "",
            ),
        )
    )


def _e(text: str) -> str:
    return escape(inert(text), quote=True)


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>\n{body}" if body else ""


def _facts(page: Page) -> str:
    cells = "\n".join(f"<tr><th>{_e(k)}</th><td>{_e(v)}</td></tr>" for k, v in page.facts)
    return f"<table>{cells}</table>" if page.facts else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{_e(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table class="right"><tr>{top}</tr>\n{body}</table></div>'


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("better", "worse") else ""
    return f"<td{kind}>{_e(text)}</td>"


def _cells(rows: Sequence[FigureRow]) -> list[tuple[str, ...]]:
    return [row.cells for row in rows]


def _note(text: str) -> str:
    return f'<p class="dim">{_e(text)}</p>'


def _plots(*drawn: str) -> str:
    return f'<div class="plots">{"".join(drawn)}</div>' if any(drawn) else ""


def _metrics(page: Page) -> str:
    if not page.metrics:
        return _note(NO_REFERENCES)
    bars = metric_bars(page.metrics)
    plot = interval_plot("Metrics", bars, axis=DIFFERENCES, style=False) if bars else ""
    missing = [_note(f"{name}: {why}") for name, why in page.not_run.items()]
    table = _table(head(*page.sides), _cells(figure_rows(page.metrics)))
    return "\n".join([_plots(plot), table, _note(NOTES), *missing])


def _preferences(page: Page) -> str:
    if not (page.preferences or page.agreements):
        return ""
    parts = ["<h2>Preferred</h2>"]
    if bars := preference_bars(page.preferences):
        title = f"{page.sides[1]} against {page.sides[0]}"
        plot = interval_plot(
            title, bars, reference=50.0, axis=WON, within=(0.0, 100.0), style=False
        )
        parts.append(_plots(plot))
    for one in page.preferences:
        parts.append(f"<h3>{_e(one.source)}</h3>")
        parts.append("".join(f"<p>{_e(line)}</p>" for line in preference_lines(one, page.sides)))
    parts += [f"<p>{_e(agreement_line(a))}</p>" for a in page.agreements]
    return "\n".join(parts)


def _slices(page: Page) -> str:
    if not page.slices:
        return ""
    drawn, tables = [], []
    for tag, chosen in slices_by_tag(page.slices).items():
        title = f"{page.slices[0].line.label} by {tag}"
        bars = slice_bars(chosen)
        drawn.append(interval_plot(title, bars, axis=DIFFERENCES, style=False) if bars else "")
        tables.append(_table(head(*page.sides, first=tag), _cells(slice_rows(chosen))))
    return "\n".join([_plots(*drawn), *tables, _note(FEW)])


def _fields(page: Page) -> str:
    return _table(field_head(*page.sides), field_rows(page.fields)) if page.fields else ""


def _quantities(page: Page) -> str:
    rows = [
        (
            label,
            f"{side.tokens:,}",
            f"{side.tokens_per_second:.0f}",
            str(side.cut),
            str(side.empty),
        )
        for label, side in page.answers
    ]
    counted = _table(("side", "tokens", "tokens/s", "cut at the limit", "empty"), rows)
    if not page.quantities:
        return counted if rows else ""
    return _table(head(*page.sides), _cells(figure_rows(page.quantities))) + counted


def _example(example: Example) -> str:
    remark = f": {_e(example.remark)}" if example.remark else ""
    answers = "".join(
        f"<div><h4>{_e(label)}</h4><pre>{_e(text)}</pre></div>" for label, text in example.answers
    )
    reference = ""
    if example.reference is not None:
        reference = f'<p class="dim">reference</p><pre>{_e(example.reference)}</pre>'
    return (
        f"<h3>line {example.line}{remark}</h3>"
        f'<p class="dim">prompt</p><pre>{_e(example.prompt)}</pre>'
        f'<div class="pair">{answers}</div>{reference}'
    )
