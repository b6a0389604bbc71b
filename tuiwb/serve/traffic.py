"""What a server's /metrics says, for both engines: counts, speeds and waiting times.

Prometheus text exposition format 0.0.4. vLLM names only the base in its series; the per-model
ones come from our own counters (`tuiwb_*`), which both engines carry.
"""

import re
from collections.abc import Iterator

import msgspec

_LINE = re.compile(r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: \d+)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class ModelTraffic(msgspec.Struct, kw_only=True):
    """One model's traffic since the server started; times in seconds, None before the first. The
    time to the first token is the median of its last thousand answers."""

    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    first_token_p50: float | None = None
    request_mean: float | None = None


class Traffic(msgspec.Struct, kw_only=True):
    """A server's traffic at one moment; `kv_used` is a share between 0 and 1, times to the first
    token are of the last thousand answers."""

    running: int = 0
    waiting: int = 0
    generated_tokens: int = 0
    adapter_loads: int = 0
    kv_used: float | None = None
    first_token_p50: float | None = None
    first_token_p95: float | None = None
    models: dict[str, ModelTraffic] = {}


def read_traffic(text: str) -> Traffic:
    """Fold /metrics into `Traffic`; lines of no interest and broken ones are passed over."""
    traffic = Traffic()
    sums: dict[tuple[str, str, str], float] = {}
    for name, labels, value in _samples(text):
        model = labels.get("model", "")
        match name:
            case "tuiwb_requests_running" | "vllm:num_requests_running":
                traffic.running += int(value)
            case "tuiwb_requests_waiting" | "vllm:num_requests_waiting":
                traffic.waiting += int(value)
            case "vllm:kv_cache_usage_perc":
                traffic.kv_used = value
            case "tuiwb_adapter_loads_total":
                traffic.adapter_loads = int(value)
            case "tuiwb_requests_total":
                of = traffic.models.setdefault(model, ModelTraffic())
                of.requests += int(value)
                of.errors += int(value) if labels.get("outcome") == "error" else 0
            case "tuiwb_prompt_tokens_total":
                traffic.models.setdefault(model, ModelTraffic()).prompt_tokens += int(value)
            case "tuiwb_generation_tokens_total":
                traffic.models.setdefault(model, ModelTraffic()).generated_tokens += int(value)
                traffic.generated_tokens += int(value)
            case "tuiwb_first_token_recent_seconds" if labels.get("quantile") == "0.5":
                traffic.models.setdefault(model, ModelTraffic()).first_token_p50 = value
            case "tuiwb_server_first_token_recent_seconds" if labels.get("quantile") == "0.5":
                traffic.first_token_p50 = value
            case "tuiwb_server_first_token_recent_seconds" if labels.get("quantile") == "0.95":
                traffic.first_token_p95 = value
            case "tuiwb_request_seconds_sum" | "tuiwb_request_seconds_count":
                series, _, part = name.rpartition("_")
                sums[series, model, part] = value
    for name, of in traffic.models.items():
        of.request_mean = _mean(sums, "tuiwb_request_seconds", name)
    return traffic


def _mean(sums: dict[tuple[str, str, str], float], series: str, model: str) -> float | None:
    count = sums.get((series, model, "count"), 0.0)
    return sums.get((series, model, "sum"), 0.0) / count if count else None


def _samples(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        if line.startswith("#") or not (match := _LINE.match(line)):
            continue
        labels = {
            key: re.sub(r"\\.", lambda m: _ESCAPES.get(m[0], m[0]), value)
            for key, value in _LABEL.findall(match["labels"] or "")
        }
        try:
            yield match["name"], labels, float(match["value"])
        except ValueError:
            continue
