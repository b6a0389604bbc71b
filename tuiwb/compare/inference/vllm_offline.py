"""Generation through vLLM, in a process of the Python that has it (worker side)."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import SideAnswer, Stop
from tuiwb.compare.inference.generation import Asking, Encoded, prompt_seed, row_limit
from tuiwb.compare.inference.loading import BASE, Loaded
from tuiwb.errors import JobFailed
from tuiwb.jobs.child import ending_with_parent
from tuiwb.jobs.lines import decode_lines, tail
from tuiwb.text import inert

LOG = "vllm.log"
CHUNK = 256
POLL = 0.2
END_SECONDS = 15.0
RANKS = (16, 32, 64, 128, 256, 320, 512)  # vllm 0.32, config/lora.py
ROOM_AHEAD = 16


class _Line(msgspec.Struct, kw_only=True):
    id: str
    side: str
    ids: list[int]
    stop: Stop
    seconds: float
    shared_by: int


def answers(
    python: str,
    folder: Path,
    model: str,
    revision: str | None,
    adapters: Mapping[str, str],
    loaded: Loaded,
    asked: Mapping[str, Sequence[Encoded]],
    asking: Asking,
    tick: Callable[[], None],
) -> Iterator[list[SideAnswer]]:
    """The answers of sides to their prompts, a chunk at a time; `adapters` are folders by side.

    `loaded` need not hold its weights any more. `tick` is called five times a second; what it
    raises ends the engine. JobFailed with the engine's last words when it ends early.
    """
    request = _request(model, revision, adapters, loaded, asked, asking)
    asked_file, said_file = folder / "vllm-request.json", folder / "vllm-answers.jsonl"
    asked_file.write_text(json.dumps(request), encoding="utf-8")
    said_file.unlink(missing_ok=True)
    script = Path(__file__).with_name("vllm_batch.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    with (folder / LOG).open("ab") as log:
        child = subprocess.Popen(
            [python, "-I", str(script), str(asked_file), str(said_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
            preexec_fn=ending_with_parent(),
        )
    offset = 0
    try:
        while True:
            code = child.poll()
            lines, offset = _new_lines(said_file, offset)
            if lines:
                yield [_answer(loaded, line) for line in lines]
            if code is not None and not lines:
                break
            tick()
            if code is None:
                time.sleep(POLL)
        if code:
            raise JobFailed(f"vLLM ended with exit code {code}: {_last_error(folder)}")
    finally:
        _end(child)
        for path in (asked_file, said_file):
            path.unlink(missing_ok=True)


def _request(
    model: str,
    revision: str | None,
    adapters: Mapping[str, str],
    loaded: Loaded,
    asked: Mapping[str, Sequence[Encoded]],
    asking: Asking,
) -> dict[str, Any]:
    prompts: list[dict[str, Any]] = [
        {
            "id": encoded.prompt.id,
            "side": name,
            "adapter": None if loaded.sides[name].adapter == BASE else name,
            "ids": encoded.ids,
            "limit": row_limit(loaded, encoded, asking),
            "stops": loaded.sides[name].stops,
            "seed": prompt_seed(asking, encoded.prompt.id) % 2**31,
        }
        for name, each in asked.items()
        for encoded in each
    ]
    # Both answers to a prompt come in one chunk.
    prompts.sort(key=lambda prompt: (-len(prompt["ids"]), prompt["id"]))
    longest = max((len(p["ids"]) + p["limit"] for p in prompts), default=1)
    ranks = [_rank(Path(path)) for path in adapters.values()]
    on_cpu = {"enforce_eager": True, "kv_cache_memory_bytes": 512 << 20}
    return {
        "model": model,
        "revision": revision,
        "dtype": loaded.dtype,
        "max_model_len": min(loaded.room, longest + ROOM_AHEAD),
        "max_lora_rank": next((r for r in RANKS if r >= max(ranks, default=1)), RANKS[-1]),
        "adapters": dict(adapters),
        "chunk": CHUNK,
        "temperature": asking.temperature,
        "options": {} if loaded.device == "cuda" else on_cpu,
        "prompts": prompts,
    }


def _rank(adapter: Path) -> int:
    config = json.loads((adapter / "adapter_config.json").read_bytes())
    return max([int(config.get("r") or 1), *map(int, (config.get("rank_pattern") or {}).values())])


def _new_lines(path: Path, offset: int) -> tuple[list[_Line], int]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            chunk = file.read()
    except FileNotFoundError:
        return [], offset
    whole = chunk.rfind(b"\n") + 1
    return decode_lines(chunk[:whole], _Line), offset + whole


def _answer(loaded: Loaded, line: _Line) -> SideAnswer:
    side = loaded.sides[line.side]
    ended = line.stop == "eos" and bool(line.ids) and line.ids[-1] in side.stops
    return SideAnswer(
        id=line.id,
        side=line.side,
        text=side.tokenizer.decode(
            line.ids[:-1] if ended else line.ids,
            skip_special_tokens=False,
            clean_up_tokenization_spaces=False,
        ),
        tokens=len(line.ids),
        seconds=line.seconds / line.shared_by,
        latency=line.seconds,
        stop=line.stop,
    )


def _last_error(folder: Path) -> str:
    lines = [line.strip() for line in tail(folder / LOG, 200) if line.strip()]
    # The engine's processes pass an error on: the one that says why comes before these.
    passed_on = ("EngineDeadError", "Engine core init", "raise ")
    errors = [n for n in lines if "Error" in n and not any(word in n for word in passed_on)]
    return inert((errors or lines or ["its log is empty"])[-1], one_line=True)[-400:]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM, then the whole session: vLLM's engine is a process of its own."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
