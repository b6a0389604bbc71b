"""The project's servers, told from their job folders; stopping them, adapters coming and going."""

import os
import shlex
import time
from pathlib import Path

import msgspec

from tuiwb import jobs
from tuiwb.errors import BadInput, JobFailed, MissingHere, TuiwbError
from tuiwb.jobs.state import JobState
from tuiwb.project import Project
from tuiwb.serve.client import Client
from tuiwb.serve.leftovers import end_leftovers
from tuiwb.serve.plan import adapter_of, content_version
from tuiwb.serve.preflight import require
from tuiwb.serve.spec import Served, ServerRecord, ServeSpec, read_port, read_record, read_spec
from tuiwb.train.finite import not_finite

STOP_SECONDS = 40.0
NAMED = 8  # servers at most, where a name is none's
NONE_UP = "tuiwb serve start RUN starts one"


class Server(msgspec.Struct, kw_only=True):
    """A server job: how it stands, what it was asked, what it said of itself when ready."""

    folder: Path
    state: JobState
    spec: ServeSpec
    record: ServerRecord | None

    @property
    def ready(self) -> bool:
        """Whether it answers requests."""
        return self.state.state == "running" and self.record is not None

    @property
    def models(self) -> list[Served]:
        """What it serves, or will once it is up."""
        if self.record is not None:
            return self.record.models
        base = self.spec.base_name
        adapters = [Served(id=a.name, root=a.path, parent=base) for a in self.spec.adapters]
        return [Served(id=base, root=self.spec.base), *adapters]

    def client(self, timeout: float = 60.0) -> Client:
        """A client for it; MissingHere when it wants a key that is not in the environment."""
        return client_for(self.spec, timeout)

    def as_json(self) -> dict[str, object]:
        """Plain values for --json."""
        return {
            "name": self.folder.name,
            "state": self.state.state,
            "phase": self.state.phase,
            "message": self.state.message,
            "engine": self.spec.engine,
            "url": self.spec.url,
            "models": msgspec.to_builtins(self.models),
            "started": self.state.started,
            "ended": self.state.ended,
            "alerts": msgspec.to_builtins(self.state.alerts),
            "pid": self.state.pid,
        }


def client_for(spec: ServeSpec, timeout: float = 60.0) -> Client:
    """A client for the server of `spec`, with its key from the environment."""
    key = None
    if spec.api_key_env:
        key = os.environ.get(spec.api_key_env)
        if not key:
            raise MissingHere(
                f"this server wants its API key: set {spec.api_key_env} to the one it has"
            )
    return Client(spec.url, api_key=key, timeout=timeout)


def server_at(folder: Path, state: JobState | None = None) -> Server:
    """The server job in `folder`."""
    job = jobs.load(folder)
    spec = read_spec(job.spec, folder / "job.yaml")
    spec.port = read_port(folder) or spec.port
    return Server(
        folder=folder,
        state=state or jobs.status(folder),
        spec=spec,
        record=read_record(folder),
    )


def servers(project: Project) -> list[Server]:
    """Every server job of the project, newest first."""
    found = []
    for folder in reversed(project.job_folders("serve")):
        try:
            found.append(server_at(folder))
        except (TuiwbError, OSError):
            continue
    return found


def find(project: Project, name: str | None) -> Server:
    """The server called `name`; without a name the one that is up. BadInput otherwise."""
    if name is not None:
        there = {folder.name: folder for folder in project.job_folders("serve")}
        if name not in there:
            names = ", ".join(list(there)[-NAMED:])
            hint = f"there {'is' if len(there) == 1 else 'are'} {names}" if there else NONE_UP
            raise BadInput(f"{name[:80]!r} is no server of this project: {hint}")
        folder = there[name]
        return server_at(folder)
    up = [server for server in servers(project) if server.state.running]
    if len(up) == 1:
        return up[0]
    if not up:
        raise BadInput(f"no server is up: {NONE_UP}")
    raise BadInput(f"several servers are up ({', '.join(s.folder.name for s in up)}): name one")


def match_model(models: list[Served], wanted: str | None) -> Served:
    """The model called `wanted`: its whole name, an adapter's without its version, or "base".

    Without `wanted` the first adapter, else the base. BadInput when none or several match.
    """
    if wanted is None:
        return next((m for m in models if m.parent), models[0])
    exact = [m for m in models if m.id == wanted or (wanted == "base" and m.parent is None)]
    found = exact or [m for m in models if m.id.rpartition("@")[0] == wanted]
    if len(found) == 1:
        return found[0]
    names = ", ".join(m.id for m in models)
    if found:
        raise BadInput(f"several models are called {wanted!r}: name the version, one of {names}")
    raise BadInput(f"no model {wanted!r} is served: one of {names}")


def check_sound(model: Served) -> None:
    """BadInput for an adapter that holds NaN or infinities, whose answers mean nothing."""
    if not (model.parent and model.root and (broken := not_finite(Path(model.root)))):
        return
    _, named, version = model.id.rpartition("@")
    # The folder may have been written anew since: then the server has the adapter of before.
    if not named or version == content_version(Path(model.root)):
        raise BadInput(broken.sentence)


def ask_to_stop(server: Server) -> bool:
    """Tell a running server to end; False when it had ended. What a dead one left is ended too."""
    if not server.state.running:
        end_leftovers(server.folder)
        return False
    jobs.send(server.folder, "stop")
    return True


def stop(server: Server, seconds: float = STOP_SECONDS) -> JobState:
    """Stop a server and wait until it has ended; JobFailed when it does not in `seconds`."""
    ask_to_stop(server)
    deadline = time.monotonic() + seconds
    while (state := jobs.status(server.folder)).running:
        if time.monotonic() > deadline:
            raise JobFailed(
                f"{server.folder.name} did not end in {seconds:.0f} s: see {server.folder}/"
                f"worker.log, and end process {state.pid} by hand"
            )
        time.sleep(0.1)
    return state


def wait_ready(folder: Path, seconds: float = 900.0) -> Server:
    """Wait until a server answers; JobFailed with its own sentence when it ends instead."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        server = server_at(folder)
        if server.ready:
            return server
        if not server.state.running:
            raise JobFailed(
                f"{folder.name} {server.state.word}: {server.state.message or 'see worker.log'}"
            )
        time.sleep(0.1)
    raise JobFailed(f"{folder.name} was not ready in {seconds:.0f} s: see {folder}/worker.log")


def load_run(project: Project, server: Server, run: str) -> Served:
    """Load a run's adapter into a running server, checked first; returns what it is called."""
    if server.record is None or not server.state.running:
        raise BadInput(f"{server.folder.name} is not up: start a server with {run}")
    adapter = adapter_of(project, run, Path(server.spec.base))
    if server.spec.engine == "vllm":
        require(Path(adapter.path), Path(server.spec.base), max_rank=server.spec.max_lora_rank)
    server.client().load_adapter(adapter.name, adapter.path)
    return Served(id=adapter.name, root=adapter.path, parent=server.spec.base_name)


def curl(server: Server, model: str, text: str = "Hello") -> str:
    """A command line that asks `model` once, safe to paste into a shell."""
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}]})
    parts = ["curl", f"{server.spec.url}/v1/chat/completions"]
    parts += ["-H", "Content-Type: application/json"]
    words = shlex.join(parts)
    if server.spec.api_key_env:
        words += f' -H "Authorization: Bearer ${server.spec.api_key_env}"'
    return f"{words} -d {shlex.quote(body.decode())}"
