"""What a server job is asked (job.yaml's spec) and what it says of itself (server.json)."""

from pathlib import Path

import msgspec

from tuiwb.errors import BadInput
from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared

RECORD = "server.json"
PORT = "port.json"
ENGINES = ("vllm", "builtin")


class Adapter(msgspec.Struct, kw_only=True):
    """An adapter to serve: its name carries its content's hash, so a new version is a new name."""

    name: str
    path: str
    rank: int = 0
    run: str = ""


class ServeSpec(msgspec.Struct, kw_only=True):
    """Everything a server is started with; `api_key_env` names the variable that holds the key.

    `max_loras` counts adapters in the server's whole life plus the base; `max_model_len` is in
    tokens, prompt and answer together (None: what the model can place). A `port` that nobody
    `port_named` is the one it was to be: where it is taken by then the worker takes the next free
    one, and port.json says which.
    """

    engine: str
    base: str
    base_name: str
    adapters: list[Adapter] = []
    host: str = "127.0.0.1"
    port: int = 8000
    port_named: bool = True
    python: str | None = None
    api_key_env: str | None = None
    dtype: str = "auto"
    max_model_len: int | None = None
    max_batch: int = 32
    probe_seconds: float = 30.0
    max_loras: int = 5
    max_lora_rank: int = 16
    chat_template: str | None = None
    gpu: bool = False
    heldout: str | None = None
    warnings: list[str] = []

    @property
    def url(self) -> str:
        """Where a client on this machine finds the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{host if ':' not in host or host[0] == '[' else f'[{host}]'}:{self.port}"


class Served(msgspec.Struct, kw_only=True):
    """A model as /v1/models names it: an adapter has the base as its parent."""

    id: str
    root: str = ""
    parent: str | None = None


class ServerRecord(msgspec.Struct, kw_only=True):
    """server.json: where a running server is and what it holds, rewritten when that changes."""

    url: str
    engine: str
    version: str = ""
    models: list[Served] = []
    command: list[str] = []
    ready_at: float = 0.0


def read_spec(plain: dict[str, object], where: Path) -> ServeSpec:
    """A job's spec, typed; BadInput when it is not a server's."""
    try:
        return msgspec.convert(plain, prepared(ServeSpec))
    except msgspec.ValidationError as error:
        raise BadInput(f"{where}: not the spec of a server: {error}") from None


def write_port(folder: Path, port: int) -> None:
    """Leave the port a server listens on where it is not the one of its spec."""
    write_atomically(folder / PORT, msgspec.json.encode({"port": port}))


def read_port(folder: Path) -> int | None:
    """The port that `write_port` left; None where the spec's holds."""
    try:
        return msgspec.json.decode((folder / PORT).read_bytes(), type=dict[str, int]).get("port")
    except (OSError, msgspec.MsgspecError):
        return None


def read_record(folder: Path) -> ServerRecord | None:
    """What the server in `folder` last said of itself; None before it was ready."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=prepared(ServerRecord))
    except (OSError, msgspec.MsgspecError):
        return None


def write_record(folder: Path, record: ServerRecord) -> None:
    """Leave the record for UI, command line and scripts."""
    write_atomically(folder / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2))
