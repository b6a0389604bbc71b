"""What the Serve screen says about servers, models and talk: pure, text in and Content out."""

import time
from pathlib import Path

from textual.content import Content

from tuiwb.app.words import STATE_MARKS
from tuiwb.compare.gate.verdict import verdict_words
from tuiwb.serve.servers import Server
from tuiwb.serve.spec import Served
from tuiwb.serve.traffic import ModelTraffic, Traffic
from tuiwb.text import inert, short_count, short_seconds

MUTED = "$foreground 60%"
ENGINE_WORDS = {"vllm": "vLLM", "builtin": "built-in"}
COLUMNS = ("requests", "errors", "tokens in", "out", "1st token")


def server_line(server: Server, *, one_line: bool = False) -> Content:
    """A server in the list: name and state, then engine, port and how many models."""
    state = server.state
    degraded = state.running and state.phase == "degraded"
    word = state.phase if state.phase in ("ready", "degraded") and state.running else state.word
    mark, style = ("!", "$text-error") if degraded else STATE_MARKS[state.state]
    count = len(server.models)
    engine = ENGINE_WORDS.get(server.spec.engine, server.spec.engine)
    return Content.assemble(
        (f"{mark} ", style),
        (inert(server.folder.name, one_line=True), "bold"),
        f"  {word}",
        "" if one_line else "\n",
        (f"  {engine} :{server.spec.port}, {count} model{'' if count == 1 else 's'}", MUTED),
    )


def phase_word(server: Server) -> str:
    """The one word for where it stands; what it is busy with while it comes up."""
    state = server.state
    if state.running and state.phase:
        return inert(state.phase, one_line=True)
    return state.word


def why_silent(server: Server) -> str:
    """Why a server that is not ready answers nothing, and what to do."""
    name, state = inert(server.folder.name, one_line=True), server.state
    if not state.running:
        return f"{name} is not up ({state.word}): n starts a new one"
    if state.state == "stopping":
        return f"{name} is stopping"
    return f"{name} is still starting ({phase_word(server)}): it answers once it is ready"


def head(server: Server, traffic: Traffic | None, now: float | None = None) -> Content:
    """Two lines: where it is and on what; then the queue, or what went wrong."""
    state = server.state
    now = now if now is not None else time.time()
    engine = server.record.version if server.record else ENGINE_WORDS.get(server.spec.engine, "")
    parts: list[Content | str | tuple[str, str]] = []
    if state.running:
        parts.append((f"{server.spec.url}/v1", "bold"))
    else:
        parts.append((state.word, "bold"))
    parts.append(f"  {inert(engine, one_line=True)}")
    if state.running and state.started:
        parts.append(f"  up {short_seconds(now - state.started)}")
    elif state.started and state.ended:
        parts.append(f"  ran {short_seconds(state.ended - state.started)}")
    return Content.assemble(*parts, "\n", _second_line(server, traffic))


def _second_line(server: Server, traffic: Traffic | None) -> Content:
    state = server.state
    if not state.running:
        failed = state.state in ("failed", "died")
        words = inert(state.message, one_line=True) or "n starts a new one"
        return Content.styled(words, "$text-error" if failed else MUTED)
    if state.alerts and (state.phase == "degraded" or traffic is None or state.alerts):
        alert = state.alerts[-1]
        if alert.rule != "server_degraded" or state.phase == "degraded":
            words = inert(f"! {alert.evidence}  {alert.fix}", one_line=True)
            return Content.styled(words, "$text-warning")
    if traffic is None:
        waiting = "not answering yet" if server.ready else f"{phase_word(server)} …"
        return Content.styled(waiting, MUTED)
    words = f"{traffic.running} running  {traffic.waiting} waiting"
    if traffic.kv_used is not None:
        words += f"  KV cache {traffic.kv_used:.0%}"
    if traffic.first_token_p50 is not None and traffic.first_token_p95 is not None:
        words += (
            f"  first token {seconds(traffic.first_token_p50)} median"
            f" {seconds(traffic.first_token_p95)} p95"
        )
    return Content.styled(words, MUTED)


def seconds(value: float | None) -> str:
    """A latency: milliseconds below a second."""
    if value is None:
        return "–"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def model_header(width: int) -> Content:
    """The line above the models, aligned with `model_line`."""
    return Content.styled(_columns("model", COLUMNS, width), MUTED)


def verdicts(server: Server) -> dict[str, str]:
    """What the gate said of the run of each adapter that is served, as it was kept there."""
    found = {}
    for model in server.models:
        if model.parent and model.root and (said := verdict_words(Path(model.root).parent)):
            found[model.id] = said
    return found


def model_line(model: Served, traffic: Traffic | None, width: int, verdict: str = "") -> Content:
    """One model and what it has answered, if its server says so; the base is named as such, an
    adapter with the gate's verdict where there is room for it."""
    name = inert(model.id, one_line=True) + ("" if model.parent else "  (base)")
    if verdict and len(name) + 2 + len(verdict) <= _room(width):
        name += f"  {verdict}"
    if traffic is None:
        return Content(_columns(name, ("–",) * len(COLUMNS), width))
    of = traffic.models.get(model.id, ModelTraffic())
    cells = (
        short_count(of.requests),
        short_count(of.errors),
        short_count(of.prompt_tokens),
        short_count(of.generated_tokens),
        seconds(of.first_token_p50),
    )
    return Content(_columns(name, cells, width))


def _columns(name: str, cells: tuple[str, ...], width: int) -> str:
    sizes, room = [len(c) for c in COLUMNS], _room(width)
    if len(name) > room:
        name = f"{name[: room - 1]}…"
    numbers = "".join(f"  {cell:>{size}}" for cell, size in zip(cells, sizes, strict=True))
    return f"{name:<{room}}{numbers}"


def _room(width: int) -> int:
    """Cells that the numbers leave to a name."""
    return max(8, width - sum(len(c) + 2 for c in COLUMNS))


def verdict_line(model: str | None, verdicts: dict[str, str]) -> str:
    """What the gate said of the model that is talked to, for below the models; '' for nothing."""
    said = verdicts.get(model or "")
    return f"gate of {inert(model or '', one_line=True)[:30]}: {said}" if said else ""


def talk(turns: list[tuple[str, str]], note: str = "") -> Content:
    """A conversation, oldest first; `note` is said below it in a muted voice."""
    lines: list[Content] = []
    for who, text in turns:
        style = {"you": "bold $accent", "system": "bold $foreground 60%"}.get(who, "bold $success")
        lines.append(Content.assemble((who, style), "  ", inert(text)))
    if note:
        lines.append(Content.styled(inert(note), MUTED))
    return Content("\n").join(lines)
