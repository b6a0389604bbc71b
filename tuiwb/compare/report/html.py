"""report.html of a comparison: one file, no script, no network, light and dark by the system.

`write_report` writes it with report.md beside.
"""

from collections.abc import Sequence
from pathlib import Path

from tuiwb.compare.completions import REPORT
from tuiwb.compare.report.figure_text import (
    ANSWER_HEAD,
    answer_rows,
    cells,
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
from tuiwb.monitor.html_page import escaped, facts, opening, section
from tuiwb.monitor.svg import STYLE

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
                opening(page.title, PAIR_STYLE, STYLE, MORE_STYLE),
                f"<body><h1>{escaped(page.title)}</h1>",
                *(f'<div class="alert critical"><p>{escaped(a)}</p></div>' for a in page.alarms),
                f'<p class="conclusion">{escaped(page.conclusion)}</p>' if page.conclusion else "",
                facts(page.facts),
                section("Metrics", _metrics(page)),
                _preferences(page),
                section("Slices", _slices(page)),
                section("JSON fields", _fields(page)),
                section("The answers themselves", _quantities(page)),
                section("Answers side by side", "\n".join(map(_example, page.examples))),
                "</body></html>",
                "",
            ),
        )
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escaped(name)}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table class="right"><tr>{top}</tr>\n{body}</table></div>'


def _cell(text: str) -> str:
    kind = f' class="{text}"' if text in ("better", "worse") else ""
    return f"<td{kind}>{escaped(text)}</td>"


def _note(text: str) -> str:
    return f'<p class="dim">{escaped(text)}</p>'


def _plots(*drawn: str) -> str:
    return f'<div class="plots">{"".join(drawn)}</div>' if any(drawn) else ""


def _metrics(page: Page) -> str:
    if not page.metrics:
        return _note(NO_REFERENCES)
    bars = metric_bars(page.metrics)
    plot = interval_plot("Metrics", bars, axis=DIFFERENCES, style=False) if bars else ""
    missing = [_note(f"{name}: {why}") for name, why in page.not_run.items()]
    table = _table(head(*page.sides), cells(figure_rows(page.metrics)))
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
        parts.append(f"<h3>{escaped(one.source)}</h3>")
        parts.append(
            "".join(f"<p>{escaped(line)}</p>" for line in preference_lines(one, page.sides))
        )
    parts += [f"<p>{escaped(agreement_line(a))}</p>" for a in page.agreements]
    return "\n".join(parts)


def _slices(page: Page) -> str:
    if not page.slices:
        return ""
    drawn, tables = [], []
    for tag, chosen in slices_by_tag(page.slices).items():
        title = f"{page.slices[0].line.label} by {tag}"
        bars = slice_bars(chosen)
        drawn.append(interval_plot(title, bars, axis=DIFFERENCES, style=False) if bars else "")
        tables.append(_table(head(*page.sides, first=tag), cells(slice_rows(chosen))))
    return "\n".join([_plots(*drawn), *tables, _note(FEW)])


def _fields(page: Page) -> str:
    return _table(field_head(*page.sides), field_rows(page.fields)) if page.fields else ""


def _quantities(page: Page) -> str:
    counted = _table(ANSWER_HEAD, answer_rows(page.answers))
    if not page.quantities:
        return counted if page.answers else ""
    return _table(head(*page.sides), cells(figure_rows(page.quantities))) + counted


def _example(example: Example) -> str:
    remark = f": {escaped(example.remark)}" if example.remark else ""
    answers = "".join(
        f"<div><h4>{escaped(label)}</h4><pre>{escaped(text)}</pre></div>"
        for label, text in example.answers
    )
    reference = ""
    if example.reference is not None:
        reference = f'<p class="dim">reference</p><pre>{escaped(example.reference)}</pre>'
    return (
        f"<h3>line {example.line}{remark}</h3>"
        f'<p class="dim">prompt</p><pre>{escaped(example.prompt)}</pre>'
        f'<div class="pair">{answers}</div>{reference}'
    )
