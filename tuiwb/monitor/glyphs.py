"""What a cell of a chart is drawn with: braille, quadrant blocks, or plain ASCII."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

GlyphSet = Literal["braille", "blocks", "ascii"]


@dataclass(frozen=True)
class Glyphs:
    """Dots per cell (`rows` x `columns`), the character of each combination of them, and the
    signs beside the curve. Bit `row * columns + column` of a combination is that dot."""

    rows: int
    columns: int
    codes: NDArray[np.uint32]
    infinite: str
    above: str
    below: str
    nan: str
    checkpoint: str
    evaluation: str
    alert: str
    crosshair: str
    line: str
    dashes: str
    marker: str
    axis: str
    corner: str
    tick: str
    side: str


def _braille() -> NDArray[np.uint32]:
    bits = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
    flat = [bit for row in bits for bit in row]
    codes = [
        0x2800 + sum(flat[n] for n in range(8) if combination >> n & 1)
        for combination in range(256)
    ]
    codes[0] = ord(" ")
    return np.array(codes, np.uint32)


def _codes(characters: str) -> NDArray[np.uint32]:
    return np.array([ord(c) for c in characters], np.uint32)


GLYPHS: Mapping[GlyphSet, Glyphs] = {
    "braille": Glyphs(
        4, 2, _braille(), "∞", "↑", "↓", "×", "▲", "◇", "!", "│", "━", "╍", "◆", "─", "└", "┤", "│"
    ),
    "blocks": Glyphs(
        2,
        2,
        _codes(" ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"),
        *("∞", "↑", "↓", "×", "▲", "◇", "!", "│", "━", "╍", "◆", "─", "└", "┤", "│"),
    ),
    "ascii": Glyphs(
        2,
        1,
        _codes(" '.:"),
        *("I", "^", "v", "x", "c", "e", "!", "|", "--", "- -", "o", "-", "+", "+", "|"),
    ),
}


def detect(environment: Mapping[str, str] | None = None) -> GlyphSet:
    """Braille where the terminal can show it: not without UTF-8, on the Linux console (its fonts
    have no braille, blocks they have) or on a terminal that can't even move its cursor.

    A locale that says nothing of its encoding counts as UTF-8, as for Python itself (PEP 540);
    LC_ALL=C, which somebody has to ask for, as ASCII.
    """
    env = os.environ if environment is None else environment
    everywhere = env.get("LC_ALL", "")
    named = everywhere or env.get("LC_CTYPE") or env.get("LANG") or ""
    silent = named in ("", "C", "POSIX") and not everywhere
    if env.get("TERM") == "dumb" or not (silent or "utf8" in named.lower().replace("-", "")):
        return "ascii"
    return "blocks" if env.get("TERM") == "linux" else "braille"
