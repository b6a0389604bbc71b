"""A run's report as one HTML file: no script, no network, light and dark by the reader's system."""

from collections.abc import Iterable

from tuiwb.monitor.html_page import escaped, facts, opening, section, table
from tuiwb.monitor.report import Report
from tuiwb.monitor.svg import STYLE, svg_plot


def as_html(report: Report) -> str:
    """The whole page; every text from the run escaped and inert."""
    return "\n".join(
        filter(
            None,
            (
                opening(report.name, STYLE),
                f"<body><h1>{escaped(report.name)}</h1><p>{escaped(report.ended)}</p>",
                f'<div class="note">{escaped(report.note)}</div>' if report.note else "",
                _pre("", report.why),
                facts(report.summary),
                _plots(report),
                section("Alerts", _alerts(report)),
                section("Hardware", facts(report.device)),
                section("Data", table(("used as", "path", "fingerprint"), report.data)),
                section("Config", facts(report.config)),
                section("Ran with", facts(report.ran_with)),
                section("Sample outputs", _samples(report)),
                section("Artifacts", _artifacts(report)),
                section("Last value of each metric", facts(report.last)),
                f'<p class="dim">{escaped(report.made)}</p></body></html>',
                "",
            ),
        )
    )


def _plots(report: Report) -> str:
    drawn = [svg_plot(p.title, p.curves, marks=p.marks, style=False) for p in report.plots]
    return f'<h2>Curves</h2><div class="plots">{"".join(drawn)}</div>' if drawn else ""


def _pre(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{title}<pre>{escaped(text)}</pre>" if text else ""


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
        body = "".join(f"<p>{label}{escaped(text)}</p>" for label, text in lines if text)
        at = f" at step {alert.step}" if alert.step is not None else ""
        parts.append(
            f'<div class="alert {kind}"><p><b>{escaped(alert.severity)}: {escaped(alert.rule)}</b>'
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
    return table(("kind", "path", "step", "sha256"), rows)
