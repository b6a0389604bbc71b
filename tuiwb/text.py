"""Make hostile text harmless to look at: control characters become visible symbols."""

import re
import time

LONGEST = 100_000 * 86400  # seconds; what a log claims beyond is no duration

_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20) if code not in (0x09, 0x0A)},
    0x7F: "␡",
    **{code: f"\\x{code:02x}" for code in range(0x80, 0xA0)},
    **{code: f"\\u{code:04x}" for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F))},
    **{code: f"\\u{code:04x}" for code in (0x061C, 0x2028, 0x2029, 0xFEFF, *range(0x2066, 0x206A))},
}
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def inert(text: str, *, one_line: bool = False) -> str:
    """`text` safe for a terminal: escapes, controls, direction marks and lone surrogates shown.

    With `one_line`, newlines and tabs become symbols too. Clean text is returned as it is.
    """
    if "\ufe0f" in text or "\ufe0e" in text:
        # With a variation selector terminals differ on a symbol's width, and what they then leave
        # beside it is another text's.
        text = text.replace("\ufe0f", "").replace("\ufe0e", "")
    if _HOSTILE.search(text):
        text = _HOSTILE.sub(
            lambda match: _VISIBLE.get(ord(match[0]), f"\\u{ord(match[0]):04x}"), text
        )
    if one_line:
        text = text.replace("\n", "⏎").replace("\t", "⇥")
    return text.replace("\t", "    ")


def fenced(text: str) -> str:
    """A fenced block of Markdown: the fence is longer than any run of backticks inside, so that
    the text, made inert, can't close it."""
    text = inert(text)
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def short_count(number: float) -> str:
    """1234567 -> '1.2M'."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"


def counted(number: int, what: str) -> str:
    """A number of things: '1 row', '1,234 rows'."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def short_bytes(number: float) -> str:
    """Bytes in binary units: 1536 -> '1.5 KiB'."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(number) < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def short_seconds(seconds: float) -> str:
    """A duration in at most two units: 75 -> '1m15s', 7260 -> '2h01m'."""
    if not seconds < LONGEST:  # a log may hold any number
        return f"over {LONGEST // 86400:,}d"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def ago(moment: float) -> str:
    """How long ago a unix time was: '3m12s ago'."""
    return f"{short_seconds(time.time() - moment)} ago"
