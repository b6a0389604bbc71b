"""The hardware in lines of text: what the screen's device view and `tuiwb gpu` both show.

In: a `Device`, the samples before it, the estimate as (low, high) bytes, a width. Out: lines of
(text, role) spans; a role says what the text is, the caller chooses its colour. Nothing is told by
colour alone: this run, others, the driver and free memory have glyphs of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tuiwb.jobs.events import Device, Gpu, TorchMemory
from tuiwb.monitor import device_words as words
from tuiwb.monitor.device_past import DevicePast, Points, key
from tuiwb.monitor.device_words import HOT, Line
from tuiwb.text import inert, short_bytes, short_seconds

Layout = Literal["line", "brief", "block"]
BAR, WIDE_BAR = 14, 24  # columns that a bar has at least, before other things make way
NO_GPU = "this machine has none that the NVIDIA driver knows"


@dataclass(frozen=True)
class Glyphs:
    """What the bar and the sparkline are drawn with; `spark` from nothing to full."""

    job: str
    others: str
    reserved: str
    free: str
    estimate: str
    spark: str


# Not quite full cells: rows under each other stay apart.
BLOCKS = Glyphs("▆", "▒", "░", "·", "┃", " ▁▂▃▄▅▆▇")
ASCII = Glyphs("#", "x", "-", ".", "|", " .:-=+*#@")


def device_lines(
    device: Device,
    history: DevicePast | Sequence[Device] = (),
    estimate: tuple[int, int] | None = None,
    *,
    width: int = 80,
    layout: Layout = "line",
    processes: bool = False,
    glyphs: Glyphs = BLOCKS,
) -> list[Line]:
    """Every GPU, its processes where asked for, and the host; at most `width` columns a line.

    Layouts: a "line" a GPU; "brief", three or four; "block", with all there is to say.
    """
    width = max(width, 1)
    past = history if isinstance(history, DevicePast) else DevicePast(history)
    view = _View(device, past, estimate, width, glyphs)
    lines: list[Line] = []
    if not device.gpus:
        role = "warning" if device.problem else "text"
        lines += words.paragraph(("no GPU  ", role), device.problem or NO_GPU, "muted", width)
    cards: set[int] = set()
    for gpu in device.gpus:
        if gpu.mig and gpu.index not in cards:
            lines.append(view.card(gpu))
        cards.add(gpu.index)
        # All instances of a card share its index: torch's figures are those of the run's own.
        torch = next((t for t in device.torch if t.index == gpu.index and _jobs_own(gpu)), None)
        if layout == "line":
            lines.append(view.line(gpu))
        else:
            lines += view.block(gpu, torch, brief=layout == "brief")
        if processes:
            lines += words.process_lines(gpu, width)
    if device.gpus and device.problem:
        lines += words.paragraph(("", "text"), device.problem, "warning", width)
    if device.host is not None:
        lines += words.host_lines(device.host, past, width)
    return [words.cut(line, width) for line in lines]


def legend(glyphs: Glyphs = BLOCKS, *, run: bool = True, estimate: bool = False) -> Line:
    """What the bar's glyphs mean; without `run` all that is used is others'."""
    spans = [(f"{glyphs.job} this run", "job")] if run else []
    spans += [
        (f"{glyphs.others} {'others' if run else 'used'}", "others"),
        (f"{glyphs.reserved} driver", "muted"),
        (f"{glyphs.free} free", "muted"),
    ]
    spans += [(f"{glyphs.estimate} estimate", "estimate")] if estimate else []
    return words.joined(spans)


class _View:
    """What the lines of one picture share: the past, the estimate, the width."""

    def __init__(
        self,
        device: Device,
        past: DevicePast,
        estimate: tuple[int, int] | None,
        width: int,
        glyphs: Glyphs,
    ) -> None:
        self._shares: dict[str, tuple[Points, Points]] | None = None
        told = [words.length(words.trouble_short(gpu)) for gpu in device.gpus]
        self.told = max(told, default=0)  # columns that trouble takes, the same in every line
        self.past, self.estimate, self.width, self.glyphs = past, estimate, width, glyphs

    def line(self, gpu: Gpu) -> Line:
        """A GPU in one line: bar, figures, how busy it is, heat, power, why it is slowed down.

        Where it is narrow power, heat and the name's end make way for the bar.
        """
        name = f"{gpu.index} {words.short_name(gpu)}"
        if gpu.problem:
            return [(f"{name}  ", "bold"), (inert(gpu.problem, one_line=True), "error")]
        power = "" if gpu.power is None else f"{gpu.power:.0f} W"
        hot = (gpu.temperature or 0) >= HOT
        after: Line = [
            (f" {words.figures(gpu):>11}", "text"),
            (f" {words.percent(gpu.utilisation)}", "text"),
            (f" {words.degrees(gpu):>5}", "warning" if hot else "muted"),
            (f" {power:>6}", "muted"),
        ]
        wide = max(len(str(gpu.index)), min(16, self.width // 6))
        told = self.told + 1 if self.told else 0

        def left() -> int:
            return self.width - wide - 1 - words.length(after) - told

        while left() < BAR and len(after) > 2:
            after.pop()
        if left() < BAR:
            wide = len(str(gpu.index))
        spark = max(0, min(24, left() - 17))
        if spark >= 6:
            after.insert(2, (f" {self.spark(gpu, 'utilisation', spark)}", "past"))
        bar = max(0, left())
        spans: Line = [(f"{name:<{wide}.{wide}} ", "bold"), *self.bar(gpu, bar), *after]
        return [*spans, *[(f" {text}", role) for text, role in words.trouble_short(gpu)]]

    def card(self, gpu: Gpu) -> Line:
        """The card that instances are parts of: its own heat, power and name."""
        title: Line = [(f"GPU {gpu.index}  {inert(gpu.name, one_line=True)}  (MIG)", "bold")]
        return words.spread(title, self.facts(gpu), self.width)

    def block(self, gpu: Gpu, torch: TorchMemory | None, brief: bool) -> list[Line]:
        """A GPU in three lines or four, and what else there is to say unless `brief`."""
        title: Line = [(words.name_of(gpu), "bold")]
        if gpu.problem:
            return [title, *words.paragraph(("  ", "text"), gpu.problem, "error", self.width)]
        top = title if gpu.mig else words.spread(title, self.facts(gpu), self.width)
        figures = words.long_figures(gpu)
        bar = self.width - 8 - words.length(figures) - 2
        if bar >= (BAR if brief else WIDE_BAR):
            lines = [top, [("memory  ", "muted"), *self.bar(gpu, bar), ("  ", "text"), *figures]]
        else:
            lines = [top, self.bar(gpu, self.width), figures]
        if not gpu.mig:
            lines.append(self.curves(gpu))
        rest = self.rest(gpu, torch)
        if brief:
            rest = [span for span in rest if span[1] != "muted"]
        return lines + words.wrapped(rest, self.width, ("  ", "muted"))

    def facts(self, gpu: Gpu) -> Line:
        """Heat, power and clocks."""
        hot = (gpu.temperature or 0) >= HOT
        facts = [(words.degrees(gpu), "warning" if hot else "text"), (words.watts(gpu), "text")]
        if gpu.clock_sm is not None and self.width >= 72:
            most = f" of {gpu.clock_sm_most:.0f}" if gpu.clock_sm_most else ""
            facts.append((f"SM {gpu.clock_sm:.0f}{most} MHz", "muted"))
        if gpu.clock_memory is not None and self.width >= 110:
            facts.append((f"memory {gpu.clock_memory:.0f} MHz", "muted"))
        return words.joined([fact for fact in facts if fact[0]])

    def curves(self, gpu: Gpu) -> Line:
        """How busy the GPU is and what it holds, now and over the history."""
        spans: Line = [
            ("busy    ", "muted"),
            (f"{words.percent(gpu.utilisation).strip():>4} ", "text"),
        ]
        over = self._over()
        bus = gpu.memory_utilisation
        traffic = f"  memory bus {bus:.0f}%" if bus is not None else ""
        if self.width < 72:
            over, traffic = over.replace("  last", ""), ""
        each = max(0, min(60, (self.width - 13 - 9 - len(over) - len(traffic)) // 2))
        if each >= 4 and over:
            spans += [
                (self.spark(gpu, "utilisation", each), "past"),
                ("  memory ", "muted"),
                (self.spark(gpu, "memory", each), "past"),
                (over, "muted"),
            ]
        return [*spans, (traffic, "muted")] if traffic else spans

    def _over(self) -> str:
        return f"  last {short_seconds(self.past.span)}" if len(self.past) > 1 else ""

    def rest(self, gpu: Gpu, torch: TorchMemory | None) -> Line:
        """What is worth a line of its own: trouble, the estimate, torch, PCIe, ECC."""
        spans: Line = list(words.trouble(gpu))
        if self.estimate is not None and gpu.memory_total and _jobs_own(gpu):
            low, high = self.estimate
            over = high > gpu.memory_total
            said = f"{self.glyphs.estimate} estimate {words.gib(low)} to {words.gib(high)} GiB"
            said += ", more than the card has" * over
            spans.append((said, "error" if over else "estimate"))
        if torch is not None:
            held, kept = words.gib(torch.allocated), words.gib(torch.reserved)
            said = (
                f"torch {held} allocated, {kept} reserved, peak {words.gib(torch.peak_allocated)}"
            )
            spans.append((said, "muted"))
        if gpu.job_from == "hidden":
            spans.append(
                ("this run's share isn't known: the driver's pids are the host's", "muted")
            )
        if gpu.pcie_generation and gpu.pcie_width:
            said = f"PCIe {gpu.pcie_generation} x{gpu.pcie_width}"
            if gpu.pcie_sent is not None and gpu.pcie_received is not None:
                come, gone = short_bytes(gpu.pcie_received), short_bytes(gpu.pcie_sent)
                said += f" {come}/s in, {gone}/s out"
            spans.append((said, "muted"))
        if gpu.ecc_corrected:
            spans.append((f"{gpu.ecc_corrected} corrected memory errors", "muted"))
        return spans

    def bar(self, gpu: Gpu, width: int) -> Line:
        """The memory in `width` cells: this run, others, the driver, free; the estimate's mark."""
        if width <= 0:
            return []
        total = gpu.memory_total
        if not total or gpu.memory_used is None:
            return [("N/A".ljust(width)[:width], "muted")]
        # The allocator's own figure and the driver's are read one after the other.
        job = min(gpu.memory_job or 0, gpu.memory_used)
        taken = words.cells((job, gpu.memory_used - job, gpu.memory_reserved or 0), total, width)
        marks = self.glyphs
        parts = [
            *[(marks.job, "job")] * taken[0],
            *[(marks.others, "others")] * taken[1],
        ]
        driver = [(marks.reserved, "muted")] * taken[2]
        # The driver's own share stands at the card's end: free memory ends before it.
        parts += [(marks.free, "muted")] * (width - len(parts) - len(driver)) + driver
        if self.estimate is not None and _jobs_own(gpu):
            at = min(width - 1, round(self.estimate[1] / total * width))
            parts[at] = (marks.estimate, "error" if self.estimate[1] > total else "estimate")
        return words.runs(parts)

    def spark(self, gpu: Gpu, what: Literal["utilisation", "memory"], width: int) -> str:
        """A GPU's past as `width` glyphs; blank where nothing was measured."""
        if self._shares is None:
            self._shares = self.past.shares()
        busy, full = self._shares.get(key(gpu), ((), ()))
        points = busy if what == "utilisation" else full
        return words.sparkline(points, width, self.glyphs.spark)


def _jobs_own(gpu: Gpu) -> bool:
    """Whether the estimate is about this GPU: the run is on it, or may be."""
    return gpu.memory_job is not None or gpu.visible is True
