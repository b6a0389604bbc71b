"""vLLM as a child process in a session of its own: its command line, its watch, its clean end.

Flags and their reasons are those of vLLM 0.32, tried on its CPU build and read for CUDA.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuiwb.errors import JobFailed
from tuiwb.jobs import process
from tuiwb.jobs.child import ending_with_parent
from tuiwb.jobs.folder import LOG
from tuiwb.jobs.state import tail
from tuiwb.serve import leftovers
from tuiwb.serve.client import Client
from tuiwb.serve.plan import vllm_version
from tuiwb.serve.spec import ServeSpec
from tuiwb.text import inert

GUARD = "engine_modules"
DRAIN_SECONDS = 5
END_SECONDS = 15.0
CPU_MODEL_LEN = 4096
CPU_KV_BYTES = 128 << 20


class VllmEngine:
    """Started with no adapter: each is loaded while it runs, so a bad one ends nothing."""

    def __init__(self, spec: ServeSpec, folder: Path, api_key: str | None) -> None:
        assert spec.python is not None
        self._spec = spec
        self._folder = folder
        self._key = api_key
        self._child: subprocess.Popen[bytes] | None = None
        self._noted = 0.0
        self.version = f"vllm {vllm_version(spec.python, 'the spec')}"
        self.command = command_line(spec)

    def start(self) -> None:
        """Launch it; it is not ready yet."""
        modules = self._folder / GUARD
        modules.mkdir(exist_ok=True)
        here = Path(__file__).parent
        shutil.copyfile(here / "vllm_guard.py", modules / "tuiwb_guard.py")
        shutil.copyfile(here / "builtin" / "metrics.py", modules / "tuiwb_counters.py")
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=ending_with_parent(),
            cwd=self._folder,
            env=environment(self._spec, modules, self._key),
        )
        self._note()

    def ready(self, client: Client) -> bool:
        """Whether it answers; JobFailed when it has ended."""
        self.poll()
        return client.health(timeout=2.0)

    def poll(self) -> None:
        """JobFailed when the process is gone: nobody asked it to end, whatever its exit code."""
        assert self._child is not None
        code = self._child.poll()
        if code is not None:
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise JobFailed(f"vLLM crashed ({how}): {last_error(self._folder)}")
        if time.monotonic() - self._noted > 10:
            self._note()

    def stop(self) -> None:
        """SIGTERM and a time to drain, then the whole group; its shared memory goes too."""
        if self._child is None:
            return
        noted = self._note()
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
        try:
            self._child.wait(timeout=DRAIN_SECONDS + END_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        leftovers.end(noted, self._folder)

    def _note(self) -> leftovers.EngineProcesses:
        assert self._child is not None
        self._noted = time.monotonic()
        found = leftovers.members(self._child.pid)
        try:
            leader = process.identify(self._child.pid)
        except ProcessLookupError:
            leader = process.ProcessIdentity(pid=self._child.pid, start=-1, host="", boot="")
        noted = leftovers.EngineProcesses(
            leader=leader,
            members=found,
            shared_memory=leftovers.shared_memory_of({m.pid for m in found}),
        )
        leftovers.note(self._folder, noted)
        return noted


def command_line(spec: ServeSpec) -> list[str]:
    """The whole command, for the log and for people to copy."""
    words = [str(spec.python), "-m", "vllm.entrypoints.cli.main", "serve", spec.base]
    words += ["--served-model-name", spec.base_name]
    words += ["--host", spec.host, "--port", str(spec.port)]
    words += ["--max-num-seqs", str(spec.max_batch)]
    words += ["--enable-lora", "--max-loras", str(spec.max_loras)]
    words += ["--max-lora-rank", str(spec.max_lora_rank)]
    words += ["--shutdown-timeout", str(DRAIN_SECONDS)]
    words += ["--middleware", "tuiwb_guard.Guard", "--disable-uvicorn-access-log"]
    if spec.chat_template:
        words += ["--chat-template", spec.chat_template]
    if spec.gpu:
        words += ["--max-model-len", str(spec.max_model_len or "auto"), "--dtype", spec.dtype]
        return words
    # On a CPU: float32 gives the texts transformers gives; compiling costs more than it brings.
    config = json.loads((Path(spec.base) / "config.json").read_bytes())
    room = int(config.get("max_position_embeddings") or CPU_MODEL_LEN)
    room = min(room, spec.max_model_len or CPU_MODEL_LEN)
    dtype = "float32" if spec.dtype == "auto" else spec.dtype
    words += ["--max-model-len", str(room), "--dtype", dtype, "--enforce-eager"]
    return [*words, "--kv-cache-memory-bytes", str(max(CPU_KV_BYTES, 4 * _kv_bytes(config, room)))]


def environment(spec: ServeSpec, modules: Path, api_key: str | None) -> Mapping[str, str]:
    """What vLLM's process sees; the key travels here and nowhere else."""
    ours = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "TUIWB_MAX_LORAS": str(spec.max_loras),
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(modules), os.environ.get("PYTHONPATH")])),
        **({"VLLM_API_KEY": api_key} if api_key else {}),
    }
    kept = {k: v for k, v in os.environ.items() if k not in ("VLLM_API_KEY", "PYTHONHOME")}
    return {**kept, **ours}


def last_error(folder: Path) -> str:
    """The line of the log that says most about why it ended."""
    lines = [line.strip() for line in tail(folder / LOG, 200) if line.strip()]
    telling = [n for n in lines if "Error" in n and "Engine core init" not in n]
    line = (telling or lines or ["its log is empty"])[-1]
    return inert(line, one_line=True)[-400:]


def _kv_bytes(config: Mapping[str, Any], tokens: int) -> int:
    """Bytes of one sequence's keys and values in float32."""
    text = config.get("text_config", config)
    heads = int(text.get("num_attention_heads") or 1)
    size = int(text.get("head_dim") or int(text.get("hidden_size") or 64) // heads)
    kv_heads = int(text.get("num_key_value_heads") or heads)
    return 2 * int(text.get("num_hidden_layers") or 1) * kv_heads * size * 4 * tokens
