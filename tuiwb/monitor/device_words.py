"""The words and small drawings of a GPU or host: figures, trouble, bars in cells, sparklines."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from tuiwb.jobs.events import Gpu, GpuProcess, Host
from tuiwb.monitor.device_past import DevicePast
from tuiwb.text import inert, short_bytes, short_seconds

Span = tuple[str, str]  # text, role
Line = list[Span]
GIB = 1 << 30
CARRY = 30.0  # seconds that a sample stands for: samples are written on change or every 10 s
HOT = 85.0  # degrees Celsius: about where data-centre and desktop cards begin to slow down
# Reasons for a lower clock that a person would do something about.
SLOWED = {"hw slowdown", "hw thermal", "sw thermal", "power brake"}
USUAL = {"idle", "application clocks", "display clocks"}
MOST_PROCESSES = 12


def gib(number: float) -> str:
    """Bytes in GiB, one decimal below 100."""
    value = number / GIB
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"


def percent(value: float | None) -> str:
    """'97%', or 'N/A' where it isn't reported; four columns at least."""
    return " N/A" if value is None else f"{value:3.0f}%"


def degrees(gpu: Gpu) -> str:
    """'61°C', or nothing."""
    return "" if gpu.temperature is None else f"{gpu.temperature:.0f}°C"


def watts(gpu: Gpu) -> str:
    """'412 of 700 W', or nothing."""
    if gpu.power is None:
        return ""
    return f"{gpu.power:.0f}" + (f" of {gpu.power_limit:.0f}" if gpu.power_limit else "") + " W"


def name_of(gpu: Gpu) -> str:
    """'GPU 0  NVIDIA H100 80GB HBM3'; an instance by its number and profile."""
    if gpu.mig:
        return f"  MIG {inert(gpu.mig, one_line=True)}"
    mine = "" if gpu.visible is not False else "  (not this run's)"
    return f"GPU {gpu.index}  {inert(gpu.name, one_line=True) or 'not answering'}{mine}"


def short_name(gpu: Gpu) -> str:
    """The name without its maker: 'H100 80GB HBM3'; of an instance its profile: '1g.10gb'."""
    if gpu.mig:
        return inert(gpu.mig, one_line=True)
    words = inert(gpu.name, one_line=True).split()
    return " ".join(
        w for w in words if w not in ("NVIDIA", "GeForce", "Tesla", "Graphics", "Device")
    )


def figures(gpu: Gpu) -> str:
    """'41.2/79.6G': what is used of the card, short."""
    if gpu.memory_total is None or gpu.memory_used is None:
        return "memory N/A"
    used = gib(gpu.memory_used)
    return f"{used:>4}/{gib(gpu.memory_total)}G"


def long_figures(gpu: Gpu) -> Line:
    """This run's, others' and free memory in words, each in its role."""
    total, used = gpu.memory_total, gpu.memory_used
    if total is None or used is None:
        return [("memory not reported", "muted")]
    free = max(0, total - used - (gpu.memory_reserved or 0))
    spans: Line = []
    if gpu.memory_job is not None:
        least = "at least " if gpu.job_from == "torch" else ""
        spans.append((f"{least}{gib(gpu.memory_job)} this run", "job"))
        others = max(0, used - gpu.memory_job)
        if others >= 0.05 * GIB:
            spans.append((f"{gib(others)} others", "others"))
    else:
        spans.append((f"{gib(used)} used", "others"))
    spans.append((f"{gib(free)} free of {gib(total)} GiB", "text"))
    return joined(spans, " · ")


def trouble(gpu: Gpu) -> Line:
    """What keeps the GPU from its best, worst first: lost, uncorrected errors, slowed down."""
    spans: Line = []
    if gpu.ecc_uncorrected:
        spans.append((f"{gpu.ecc_uncorrected} uncorrected memory errors", "error"))
    slowed = [reason for reason in gpu.throttle if reason in SLOWED]
    capped = [reason for reason in gpu.throttle if reason not in SLOWED | USUAL]
    if slowed:
        spans.append((f"slowed down: {', '.join(slowed)}", "error"))
    if capped:
        spans.append((f"held back: {', '.join(capped)}", "warning"))
    return spans


def trouble_short(gpu: Gpu) -> Line:
    """The worst of `trouble` in two words, for a line with little room."""
    told = trouble(gpu)
    if not told:
        return []
    words = told[0][0].split(": ")[-1].split(", ")[0]
    return [("! " + ("memory errors" if gpu.ecc_uncorrected else words), told[0][1])]


def host_lines(host: Host, past: DevicePast, width: int) -> list[Line]:
    """CPU, memory, swap and the disk of the run: a line, more where it is too short."""
    spans: Line = [(f"CPU {host.cpu:.0f}%", "text")]
    if host.job_cpu is not None:
        of = f" of {host.cores:g}" if host.cores else ""
        spans.append((f"this run {host.job_cpu / 100:.1f}{of} cores", "job"))
    if host.load is not None and width >= 100:
        spans.append((f"load {host.load:.1f}", "muted"))
    share = host.memory_used / max(host.memory_total, 1)
    limit = " (container's limit)" if host.limit else ""
    role = "error" if share > 0.95 else ("warning" if share > 0.9 else "text")
    used, total = gib(host.memory_used), gib(host.memory_total)
    spans.append((f"memory {used} of {total} GiB{limit}", role))
    if host.job_memory is not None:
        spans.append((f"this run {short_bytes(host.job_memory)}", "job"))
    if host.swap_used and host.swap_total and host.swap_used > 0.05 * host.swap_total:
        spans.append((f"swap {short_bytes(host.swap_used)}", "warning"))
    return wrapped([*spans, *_disk(host, past)], width, ("host    ", "muted"))


def _disk(host: Host, past: DevicePast) -> Line:
    if host.disk_free is None:
        return []
    of = f" of {gib(host.disk_total)}" if host.disk_total else ""
    low = host.disk_total and host.disk_free < 0.03 * host.disk_total
    spans: Line = [(f"disk {gib(host.disk_free)} free{of} GiB", "warning" if low else "text")]
    pace = past.fill_pace()
    if pace is not None and pace > 1024:
        left = host.disk_free / pace
        words = f"fills {short_bytes(pace * 3600)}/h"
        soon = left < 86400
        words += f", full in {short_seconds(left)}" * soon
        spans.append((words, "warning" if soon else "muted"))
    return spans


def process_lines(gpu: Gpu, width: int) -> Iterator[Line]:
    """The GPU's processes, most memory first; this run's are marked."""
    held = sorted(gpu.processes, key=lambda p: -(p.memory or 0))
    if not held and not gpu.problem:
        yield [("        no process holds memory here", "muted")]
    for process in held[:MOST_PROCESSES]:
        yield _process(process, width)
    if len(held) > MOST_PROCESSES:
        yield [(f"        and {len(held) - MOST_PROCESSES} more", "muted")]


def _process(process: GpuProcess, width: int) -> Line:
    memory = "   N/A" if process.memory is None else f"{gib(process.memory):>6}"
    user = inert(process.user, one_line=True) or "not known"
    name = inert(process.name, one_line=True) or "another namespace's process"
    mark, role = ("▸ ", "job") if process.job else ("  ", "muted")
    if width < 64:
        line = f"  {mark}{process.pid} {user[:8]} {memory.strip()} GiB {name}"
    else:
        line = f"      {mark}{process.pid:>8}  {user[:12]:<12} {memory} GiB  {name}"
    return [(line[:width], role)]


def sparkline(points: Sequence[tuple[float, float]], width: int, glyphs: str) -> str:
    """(unix seconds, share of 1) as `width` glyphs, oldest left; blank where nothing is known.

    A column shows the most that was measured in it; a sample stands for CARRY seconds after it, or
    until about the next one where the history has been thinned.
    """
    if not points or width <= 0:
        return " " * max(width, 0)
    begin, end = points[0][0], points[-1][0]
    step = max((end - begin) / width, 1e-9)
    carry = max(CARRY, 2.5 * (end - begin) / len(points))
    columns: list[float | None] = [None] * width
    for t, value in points:
        at = min(width - 1, max(0, int((t - begin) / step)))
        columns[at] = max(value, columns[at] or 0.0)
    held, since = None, 0
    for at, found in enumerate(columns):
        if found is not None:
            held, since = found, at
        elif held is not None and (at - since) * step <= carry:
            columns[at] = held
    top = len(glyphs) - 1
    # A measured zero has the lowest bar: a blank means that nothing was measured.
    return "".join(" " if c is None else glyphs[max(1, min(top, round(c * top)))] for c in columns)


def cells(values: Sequence[int], total: int, width: int) -> list[int]:
    """How many of `width` cells each value takes of `total`: at least one where it is not 0."""
    taken: list[int] = []
    for value in values:
        room = width - sum(taken)
        wanted = round(value / total * width) if total else 0
        taken.append(min(room, max(1, wanted) if value > 0 else 0))
    return taken


def runs(parts: Iterable[tuple[str, str]]) -> Line:
    """Neighbouring glyphs of one role as one span."""
    return [
        ("".join(glyph for glyph, _ in group), role)
        for role, group in groupby(parts, key=lambda part: part[1])
    ]


def joined(spans: Sequence[Span], between: str = "  ") -> Line:
    """Spans with muted space between them."""
    line: Line = []
    for span in spans:
        if line:
            line.append((between, "muted"))
        line.append(span)
    return line


def wrapped(spans: Sequence[Span], width: int, first: Span) -> list[Line]:
    """Spans in as many lines as they need, under each other after `first`; none is torn."""
    indent: Span = (" " * len(first[0]), "muted")
    lines: list[Line] = []
    line: Line = [first]
    room = width - len(first[0])
    for span in spans:
        gap = 0 if len(line) == 1 else 2
        if gap and len(span[0]) + gap > room:
            lines.append(line)
            line, room, gap = [indent], width - len(indent[0]), 0
        if gap:
            line.append(("  ", "muted"))
        line.append(span)
        room -= len(span[0]) + gap
    return [*lines, line] if len(line) > 1 else lines


def paragraph(first: Span, text: str, role: str, width: int) -> list[Line]:
    """`text` wrapped at words after `first`, its further lines under the first."""
    indent = len(first[0])
    found = wrap(inert(text, one_line=True), max(width - indent, 10)) or [""]
    lines: list[Line] = [[first, (found[0], role)]]
    return lines + [[(" " * indent, role), (line, role)] for line in found[1:]]


def spread(left: Line, right: Line, width: int) -> Line:
    """`left` and `right` at the two edges; `right` goes where there is no room for both."""
    room = width - length(left) - length(right)
    return [*left, (" " * room, "text"), *right] if room >= 2 else left


def length(line: Line) -> int:
    """Columns that a line takes (no wide characters: names are inert and ours)."""
    return sum(len(text) for text, _ in line)


def cut(line: Line, width: int) -> Line:
    """The line, cut to `width` columns with an ellipsis."""
    if length(line) <= width:
        return line
    kept: Line = []
    room = width - 1
    for text, role in line:
        kept.append((text[:room], role))
        room -= len(text)
        if room <= 0:
            break
    return [*kept, ("…", "muted")]
