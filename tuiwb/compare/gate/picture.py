"""The gate's picture: each change against the base with its interval and what is let pass. Pure."""

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from tuiwb.compare.gate.line import GateLine
from tuiwb.monitor.ticks import labels, nice_ticks
from tuiwb.text import inert

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 720, 150, 90, 16, 28, 34
STYLE = (
    ".gate text{font:12px system-ui,sans-serif;fill:#6b6b72}.gate .name{fill:#222}"
    ".gate .ground{fill:#fff}.gate .grid{stroke:#e4e4e7}.gate .zero{stroke:#6b6b72}"
    ".gate .limit{stroke:#c01c28;stroke-dasharray:3 3}.gate .bar{stroke-width:2.5}"
    ".gate .yes{stroke:#0072b2;fill:#0072b2}.gate .no{stroke:#c01c28;fill:#c01c28}"
    "\n@media (prefers-color-scheme:dark){.gate text{fill:#9a9aa2}.gate .name{fill:#e6e6e6}"
    ".gate .ground{fill:#16181d}.gate .grid{stroke:#2c2f36}.gate .limit{stroke:#ff7b72}"
    ".gate .yes{stroke:#56b4e9;fill:#56b4e9}.gate .no{stroke:#ff7b72;fill:#ff7b72}}"
)


def picture(lines: Sequence[GateLine], *, style: bool = False) -> str:
    """An <svg> of the lines that have a change to draw, in points of 100; '' where none has.

    A dashed mark is the largest loss let pass: a dot to its left does not hold. `style` puts the
    colours into the picture, for a page that has none.
    """
    drawn = [line for line in lines if line.at is not None]
    if not drawn:
        return ""
    ends = [0.0]
    for line in drawn:
        known = (line.at, line.low, line.high, -(line.limit or 0.0))
        ends += [100 * x for x in known if x is not None]
    low, high = min(ends), max(ends)
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    height = TOP + ROW * len(drawn) + FOOT

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gate plot" viewBox="0 0 {WIDTH} {height}" '
        'role="img" aria-label="change against the base">',
        f"<style>{STYLE}</style>" if style else "",
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
    ]
    foot = TOP + ROW * len(drawn)
    ticks = nice_ticks(low, high, 8)
    for tick, words in zip(ticks, labels(ticks), strict=True):
        kind = "zero" if tick == 0 else "grid"
        parts.append(
            f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{foot}"/>'
            f'<text x="{x(tick):.1f}" y="{foot + 15}" text-anchor="middle">{_text(words)}</text>'
        )
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{height - 4}" text-anchor="end">'
        "points of 100, fine-tune minus base, 95% interval; dashed: let pass</text>"
    )
    for number, line in enumerate(drawn):
        parts += _row(line, TOP + ROW * number + ROW / 2, x)
    return "\n".join(filter(None, [*parts, "</svg>"]))


def _row(line: GateLine, y: float, x: Callable[[float], float]) -> list[str]:
    kind = "no" if line.ok is False else "yes"
    at = 100 * (line.at or 0.0)
    mark = {True: "✓", False: "✗", None: "?"}[line.ok]
    parts = [
        f'<text class="name" x="{LEFT - 10}" y="{y + 4:.1f}" text-anchor="end">'
        f"{_text(f'{mark} {line.label}')}</text>"
    ]
    if line.limit is not None:
        parts.append(
            f'<line class="limit" x1="{x(-100 * line.limit):.1f}" x2="{x(-100 * line.limit):.1f}" '
            f'y1="{y - 10:.1f}" y2="{y + 10:.1f}"/>'
        )
    if line.low is not None and line.high is not None:
        parts.append(
            f'<line class="bar {kind}" x1="{x(100 * line.low):.1f}" x2="{x(100 * line.high):.1f}" '
            f'y1="{y:.1f}" y2="{y:.1f}"/>'
        )
    parts.append(f'<circle class="{kind}" cx="{x(at):.1f}" cy="{y:.1f}" r="4"/>')
    parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{y + 4:.1f}">{at:+.1f}</text>')
    return parts


def _text(words: str) -> str:
    return escape(inert(words, one_line=True))
