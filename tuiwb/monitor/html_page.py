"""What every HTML report is made of: one file, no script, no network, light and dark. Pure."""

from collections.abc import Sequence
from html import escape

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


def opening(title: str, *styles: str) -> str:
    """A page up to its <body>; `styles` are what the report's own parts need."""
    css = "\n".join((PAGE_STYLE, *styles))
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            # Belt and braces: whatever slipped through could load and run nothing.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; img-src data:\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escaped(title)}</title><style>{css}</style></head>",
        )
    )


def escaped(text: str) -> str:
    """Text from a run, a model or a dataset: inert, and nothing in it markup."""
    return escape(inert(text), quote=True)


def section(title: str, body: str) -> str:
    """A heading, itself markup, and what stands below; '' where that is empty."""
    return f"<h2>{title}</h2>\n{body}" if body else ""


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and values; '' without rows."""
    cells = "\n".join(
        f"<tr><th>{escaped(name)}</th><td>{escaped(value)}</td></tr>" for name, value in rows
    )
    return f"<table>{cells}</table>" if rows else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a header; '' without rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{escaped(name)}</th>" for name in header)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escaped(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>\n{body}</table>"
