"""Traffic counters per model, as Prometheus text (exposition format 0.0.4).

Only the standard library and nothing of ours: this file also runs inside vLLM's own Python.
"""

import math
import threading
from collections import deque
from collections.abc import Mapping, Sequence

# The header of the server job's own requests (proof, probe): nobody asked them, none are counted.
OWN = "x-tuiwb-own"
EDGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# Answers whose time to the first token is kept as it was: of few, a histogram says too little.
RECENT = 1000
QUANTILES = (0.5, 0.95)


class Histogram:
    """Counts of seconds by upper edge."""

    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[sum(edge < seconds for edge in EDGES)] += 1
        self.total += seconds

    def lines(self, name: str, labels: str) -> list[str]:
        """The series of this histogram, cumulative as the format wants it."""
        found, below = [], 0
        for edge, count in zip((*map(str, EDGES), "+Inf"), self.counts, strict=True):
            below += count
            found.append(f'{name}_bucket{{{labels},le="{edge}"}} {below}')
        return [*found, f"{name}_sum{{{labels}}} {self.total}", f"{name}_count{{{labels}}} {below}"]


class Counters:
    """Everything counted, by model; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str], int] = {}
        self._prompt: dict[str, int] = {}
        self._generated: dict[str, int] = {}
        self._first: dict[str, Histogram] = {}
        self._whole: dict[str, Histogram] = {}
        self._recent: dict[str, deque[float]] = {}
        self._recent_of_all: deque[float] = deque(maxlen=RECENT)
        self.adapter_loads = 0

    def ended(
        self,
        model: str,
        outcome: str,
        *,
        prompt_tokens: int,
        generated_tokens: int,
        first_token_seconds: float | None,
        seconds: float,
    ) -> None:
        """Count one request; `outcome` is "ok", "cancelled" or "error"."""
        with self._lock:
            key = (model, outcome)
            self._requests[key] = self._requests.get(key, 0) + 1
            self._prompt[model] = self._prompt.get(model, 0) + prompt_tokens
            self._generated[model] = self._generated.get(model, 0) + generated_tokens
            if first_token_seconds is not None:
                self._first.setdefault(model, Histogram()).add(first_token_seconds)
                self._recent_of_all.append(first_token_seconds)
                of = self._recent.setdefault(model, deque(maxlen=RECENT))
                of.append(first_token_seconds)
            self._whole.setdefault(model, Histogram()).add(seconds)

    def text(self, gauges: Mapping[str, float]) -> str:
        """All of it, with `gauges` (name -> value now) first."""
        lines = []
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name} {value}"]
        lines += ["# TYPE tuiwb_adapter_loads_total counter"]
        lines += [f"tuiwb_adapter_loads_total {self.adapter_loads}"]
        with self._lock:
            lines.append("# TYPE tuiwb_requests_total counter")
            for (model, outcome), count in self._requests.items():
                labels = f'model="{escape(model)}",outcome="{outcome}"'
                lines.append(f"tuiwb_requests_total{{{labels}}} {count}")
            for name, counts in (
                ("tuiwb_prompt_tokens_total", self._prompt),
                ("tuiwb_generation_tokens_total", self._generated),
            ):
                lines.append(f"# TYPE {name} counter")
                lines += [f'{name}{{model="{escape(m)}"}} {n}' for m, n in counts.items()]
            for name, histograms in (
                ("tuiwb_first_token_seconds", self._first),
                ("tuiwb_request_seconds", self._whole),
            ):
                lines.append(f"# TYPE {name} histogram")
                for model, histogram in histograms.items():
                    lines += histogram.lines(name, f'model="{escape(model)}"')
            lines.append("# TYPE tuiwb_first_token_recent_seconds gauge")
            for model, seconds in self._recent.items():
                labels = f'model="{escape(model)}",'
                lines += _quantiles("tuiwb_first_token_recent_seconds", labels, seconds)
            lines.append("# TYPE tuiwb_server_first_token_recent_seconds gauge")
            name = "tuiwb_server_first_token_recent_seconds"
            lines += _quantiles(name, "", self._recent_of_all)
        return "\n".join(lines) + "\n"


def _quantiles(name: str, labels: str, seconds: Sequence[float]) -> list[str]:
    """Nearest-rank quantiles of what was observed, none of nothing."""
    ordered = sorted(seconds)
    return [
        f'{name}{{{labels}quantile="{q}"}} {ordered[math.ceil(q * len(ordered)) - 1]}'
        for q in QUANTILES
        if ordered
    ]


def escape(label: str) -> str:
    """A label's value as the format wants it."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
