"""A run's report as one HTML file: no script, no network, light and dark by the reader's system."""

from collections.abc import Iterable, Sequence
from html import escape

from tuiwb.monitor.report import Report, Row
from tuiwb.monitor.svg import STYLE, svg_plot
from tuiwb.text import inert

PAGE_STYLE = """\
:root{color-scheme:light dark;--ground:#fff;--ink:#222;--dim:#6b6b72;--line:#e4e4e7;--box:#f6f6f8}
@media (prefers-color-scheme:dark){:root{--ground:#16181d;--ink:#e6e6e6;--dim:#9a9aa2;
--line:#2c2f36;--box:#1e2128}}
body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;
max-width:1500px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}.dim{color:var(--dim)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;
padding:.2rem .8rem .2rem 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
th{font-weight:500;color:var(--dim);white-space:nowrap}
pre,.note{background:var(--box);padding:.6rem .8rem;border-radius:6px;white-space:pre-wrap;
overflow-wrap:anywhere;margin:.4rem 0}pre{font:13px/1.45 ui-monospace,monospace}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,32rem),1fr));gap:1rem}
.plot{width:100%;height:auto;border:1px solid var(--line);border-radius:6px}
.critical{border-left:4px solid #c01c28}.warning{border-left:4px solid #c88800}
.alert{background:var(--box);padding:.5rem .8rem;margin:.5rem 0}.alert p{margin:.2rem 0}"""


def as_html(report: Report) -> str:
    """The whole page; every text from the run escaped and inert."""
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
                f"<title>{_e(report.name)}</title><style>{PAGE_STYLE}\n{STYLE}</style></head>",
                f"<body><h1>{_e(report.name)}</h1><p>{_e(report.ended)}</p>",
                f'<div class="note">{_e(report.note)}</div>' if report.note else "",
                _pre("", report.why),
                _table(report.summary),
                _plots(report),
                _section("Alerts", _alerts(report)),
                _section("Hardware", _table(report.device)),
                _section("Data", _rows(report.data, ("used as", "path", "fingerprint"))),
                _section("Config", _table(report.config)),
                _section("Ran with", _table(report.ran_with)),
                _section("Sample outputs", _samples(report)),
                _section("Artifacts", _artifacts(report)),
                _section("Last value of each metric", _table(report.last)),
                f'<p class="dim">{_e(report.made)}</p></body></html>',
                "",
            ),
        )
    )


def _e(text: str) -> str:
    return escape(inert(text), quote=True)


def _section(title: str, body: str) -> str:
    return f"<h2>{title}</h2>\n{body}" if body else ""


def _table(rows: Sequence[Row]) -> str:
    cells = "\n".join(f"<tr><th>{_e(k)}</th><td>{_e(v)}</td></tr>" for k, v in rows)
    return f"<table>{cells}</table>" if rows else ""


def _rows(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{_e(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def _plots(report: Report) -> str:
    drawn = [svg_plot(p.title, p.curves, marks=p.marks, style=False) for p in report.plots]
    return f'<h2>Curves</h2><div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _pre(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{title}<pre>{_e(text)}</pre>" if text else ""


def _alerts(report: Report) -> str:
    parts = []
    for alert in report.alerts:
        kind = alert.severity if alert.severity in ("critical", "warning") else "note"
        change = ", ".join(f"{key}: {value}" for key, value in alert.change.items())
        lines = [
            ("", f"{alert.evidence}"),
            ("Likely cause: ", alert.cause),
            ("Fix: ", alert.fix),
            ("As config: ", change),
            ("Look at: ", alert.look),
            ("Rows: ", ", ".join(alert.rows)),
        ]
        body = "".join(f"<p>{label}{_e(text)}</p>" for label, text in lines if text)
        at = f" at step {alert.step}" if alert.step is not None else ""
        parts.append(
            f'<div class="alert {kind}"><p><b>{_e(alert.severity)}: {_e(alert.rule)}</b>'
            f"{at}</p>{body}</div>"
        )
    return "\n".join(parts)


def _samples(report: Report) -> str:
    return "\n".join(
        f'<p class="dim">step {sample.step}</p>'
        + _pre("", [sample.prompt])
        + _pre("", [sample.text])
        for sample in report.samples
    )


def _artifacts(report: Report) -> str:
    rows = [
        (a.kind, a.path, "" if a.step is None else str(a.step), a.sha256) for a in report.artifacts
    ]
    return _rows(rows, ("kind", "path", "step", "sha256"))
