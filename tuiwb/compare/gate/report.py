"""The gate on a page: the verdict, its lines, what was lost, the run's curves. Markdown or HTML.

The HTML is one file without script or network, light and dark by the reader's system; every text of
a model or a dataset is made inert and escaped.
"""

import time
from collections.abc import Mapping
from pathlib import Path

import tuiwb
from tuiwb.compare.evaluation.plan import EVAL
from tuiwb.compare.evaluation.results import FIRST, Item, Results, read_items, read_results
from tuiwb.compare.gate.picture import STYLE as PICTURE_STYLE
from tuiwb.compare.gate.picture import picture
from tuiwb.compare.gate.verdict import Gate
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import write_atomically
from tuiwb.monitor.html_page import escaped, opening, table
from tuiwb.monitor.report import Plot, gather
from tuiwb.monitor.svg import STYLE, svg_plot
from tuiwb.text import inert

MARKDOWN, HTML, IMAGES = "gate.md", "gate.html", "gate_files"
MARKS = {True: "holds", False: "DOES NOT HOLD", None: "NOT KNOWN"}
MOST_ITEMS = 20
CURVES = 2
# Title, header, rows.
Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
SUITES = {
    "canary": "Canary questions",
    "ood": "Odd prompts",
    "general": "Questions of general ability",
}


def write_reports(run: Path, found: Gate, folder: Path | None = None) -> list[Path]:
    """Write gate.md and gate.html into `folder` (the run's own without one); returns their paths.

    BadInput for a folder in one that is not there, and when the disk says no.
    """
    where = folder or run
    if not where.absolute().parent.is_dir():
        raise BadInput(f"there is no folder {where.parent} for the gate's pages: make it first")
    results, items = read_results(run / EVAL), read_items(run / EVAL)
    try:
        (where / IMAGES).mkdir(parents=True, exist_ok=True)
        drawn = _pictures(run, found)
        pages = {
            **{f"{IMAGES}/{name}": svg for name, (_, svg) in drawn.items()},
            MARKDOWN: markdown(
                found, results, items, {n: title for n, (title, _) in drawn.items()}
            ),
            HTML: html(run, found, results, items),
        }
        for name, text in pages.items():
            write_atomically(where / name, text.encode("utf-8", "replace"))
    except OSError as error:
        raise BadInput(f"can't write into {where}: {error.strerror or error}") from None
    return [where / name for name in (MARKDOWN, HTML)]


def markdown(
    found: Gate,
    results: Results | None,
    items: list[Item],
    images: Mapping[str, str] | None = None,
) -> str:
    """The report as Markdown; texts of models stand in escaped cells. `images` are the pictures'
    files in gate_files/ with their titles."""
    lines = [
        f"# Gate of {found.run}: {found.verdict}",
        "",
        inert(found.sentence, one_line=True),
        "",
        "| line | | found | asked | what would change it |",
        "|---|---|---|---|---|",
    ]
    for line in found.lines:
        mark = MARKS[line.ok] + ("" if line.required else " (optional)")
        cells = (line.label, mark, line.figure, line.threshold, line.change)
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    if found.missing:
        lines += ["", "To know more:", "", *(f"    {inert(c)}" for c in found.missing)]
    for name, title in (images or {}).items():
        lines += ["", f"![{_cell(title)}]({IMAGES}/{name})"]
    for title, header, rows in _tables(results, items):
        lines += ["", f"## {title}", "", "| " + " | ".join(header) + " |"]
        lines.append("|" + "---|" * len(header))
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    lines += ["", _made(found), ""]
    return "\n".join(lines)


def html(run: Path, found: Gate, results: Results | None, items: list[Item]) -> str:
    """The report as one page."""
    rows = "\n".join(
        f'<tr class="{"yes" if line.ok else "unknown" if line.ok is None else "no"}">'
        f"<th>{escaped(line.label)}</th><td><b>{MARKS[line.ok]}</b>"
        f"{'' if line.required else ' (optional)'}</td>"
        f"<td>{escaped(line.figure)}</td><td>{escaped(line.threshold)}</td>"
        f"<td>{escaped(line.change)}</td></tr>"
        for line in found.lines
    )
    parts = [
        opening(f"{found.run}: {found.verdict}", STYLE, PICTURE_STYLE, VERDICT_STYLE),
        f'<body><h1>{escaped(found.run)} <span class="verdict {found.verdict.lower()}">'
        f"{found.verdict}</span></h1><p>{escaped(found.sentence)}</p>",
        "<table><tr><th>line</th><th></th><th>found</th><th>asked</th>"
        f"<th>what would change it</th></tr>\n{rows}</table>",
    ]
    if found.missing:
        parts.append(f"<h2>To know more</h2><pre>{escaped(chr(10).join(found.missing))}</pre>")
    if drawn := picture(found.lines):
        parts.append(f"<h2>Change against the base, and what is let pass</h2>{drawn}")
    parts.append(_curves(run))
    for title, header, listed in _tables(results, items):
        parts.append(f"<h2>{escaped(title)}</h2>{table(header, listed)}")
    parts.append(f'<p class="dim">{escaped(_made(found))}</p></body></html>\n')
    return "\n".join(filter(None, parts))


VERDICT_STYLE = """\
.verdict{padding:.1rem .6rem;border-radius:6px;border:2px solid;margin-left:.6rem}
.ship{color:#1a7f37}.no-ship{color:#c01c28}
tr.no b{color:#c01c28}tr.yes b{color:#1a7f37}tr.unknown b{color:#8a6d00}
@media (prefers-color-scheme:dark){.ship,tr.yes b{color:#4ac26b}.no-ship,tr.no b{color:#ff7b72}
tr.unknown b{color:#e6c34a}}"""


def _tables(results: Results | None, items: list[Item]) -> list[Table]:
    """What stands behind the figures: categories, and the items that were lost."""
    found: list[Table] = []
    rows: list[tuple[str, ...]]
    header: tuple[str, ...]
    general = results.suite("general") if results else None
    if general is not None and general.categories:
        rows = [
            (c.name, str(c.n), str(c.base), str(c.adapter), f"{c.adapter - c.base:+d}")
            for c in general.categories
        ]
        header = ("category", "items", "base right", "fine-tune right", "change")
        found.append(("General ability by category", header, rows))
    for suite, title in SUITES.items():
        lost = [
            i
            for i in items
            if i.suite == suite and i.round == FIRST and i.base_ok and i.adapter_ok is False
        ]
        if lost:
            more = f", the first {MOST_ITEMS} of {len(lost)}" if len(lost) > MOST_ITEMS else ""
            header = ("prompt", "reference", "base", "fine-tune")
            rows = [(i.prompt, i.reference or "", i.base, _said(i)) for i in lost[:MOST_ITEMS]]
            found.append((f"{title} that were lost{more}", header, rows))
    noted = [i for i in items if i.notes and i.round == FIRST]
    if noted:
        header = ("prompt", "what is expected", "fine-tune", "machine-checked")
        rows = [
            (i.prompt, i.reference or "", i.adapter or "", "; ".join(i.notes))
            for i in noted[:MOST_ITEMS]
        ]
        found.append(("Odd prompts whose answers hold facts the prompt doesn't", header, rows))
    return found


def _said(item: Item) -> str:
    why = f" ({'; '.join(item.adapter_why)})" if item.adapter_why else ""
    return f"{item.adapter or ''}{why}"


def _curves(run: Path) -> str:
    """The run's loss and its next curve, as its own report draws them."""
    drawn = [svg_plot(p.title, p.curves, marks=p.marks, style=False) for p in _plots(run)]
    return f'<h2>The run</h2><div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _plots(run: Path) -> list[Plot]:
    try:
        return gather(run).plots[:CURVES]
    except (TuiwbError, OSError):
        return []


def _pictures(run: Path, found: Gate) -> dict[str, tuple[str, str]]:
    """Title and <svg> of each picture by its file's name, colours inside."""
    drawn = {}
    if changes := picture(found.lines, style=True):
        drawn["changes.svg"] = ("change against the base, and what is let pass", changes)
    for number, plot in enumerate(_plots(run)):
        drawn[f"curve-{number}.svg"] = (
            plot.title,
            svg_plot(plot.title, plot.curves, marks=plot.marks),
        )
    return drawn


def _made(found: Gate) -> str:
    when = time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(found.made))
    return f"tuiwb {tuiwb.__version__}, {when}"


def _cell(text: str) -> str:
    """Text in a Markdown table: one line, nothing in it markup."""
    plain = inert(text, one_line=True)
    return "".join(f"\\{c}" if c in "\\|`*_[]<>#~" else c for c in plain) or " "
