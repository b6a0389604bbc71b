"""The server job's worker: brings an engine up, proves its adapters, watches it, ends it cleanly.

Both engines are driven alike: through HTTP, as every client drives them.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tuiwb.errors import BadInput, JobFailed, MissingHere, TuiwbError
from tuiwb.jobs.events import Alert
from tuiwb.jobs.folder import JOB
from tuiwb.jobs.run import JobContext
from tuiwb.serve import proof
from tuiwb.serve.client import Client
from tuiwb.serve.ports import HeldPort, hold
from tuiwb.serve.spec import (
    RECORD,
    Served,
    ServerRecord,
    ServeSpec,
    read_spec,
    write_port,
    write_record,
)
from tuiwb.serve.traffic import read_traffic

LOAD_SECONDS = 1800.0
PROBE_DEADLINE_SECONDS = 20.0
LOOK_SECONDS = 1.0


class Engine(Protocol):
    """What the two engines have in common."""

    version: str
    command: list[str]

    def start(self) -> None: ...
    def ready(self, client: Client) -> bool: ...
    def poll(self) -> None: ...
    def stop(self) -> None: ...


def run(context: JobContext) -> None:
    """Serve until told to stop; ends finished when stopped on request, failed on a crash."""
    spec = read_spec(context.spec, context.folder / JOB)
    key = _key(spec)
    kind = _engine(spec)  # before the port is settled: its libraries take seconds to load
    held = _settle_port(context, spec)
    try:
        _serve(context, spec, kind(spec, context.folder, key), key)
    finally:
        held.close()


def _settle_port(context: JobContext, spec: ServeSpec) -> HeldPort:
    """Hold a port; where it is not the one of the plan, port.json and the log tell which."""
    held = hold(spec.host, spec.port, named=spec.port_named)
    if held.port != spec.port:
        context.log(f"port {spec.port} is taken by now: this server listens on {held.port}")
        spec.port = held.port
        write_port(context.folder, held.port)
    return held


def _serve(context: JobContext, spec: ServeSpec, engine: Engine, key: str | None) -> None:
    client = Client(spec.url, api_key=key, own=True)
    context.log(f"{engine.version}: {' '.join(engine.command)}")
    for warning in spec.warnings:
        context.emit(Alert(rule="serve_setup", severity="warning", evidence=warning))
    try:
        context.state("starting", "loading model", spec.base_name)
        engine.start()
        if _wait_until_loaded(context, engine, client):
            models = _load_adapters(context, spec, client)
            write_record(context.folder, _record(spec, engine, models))
            context.artifact("server", RECORD)
            context.log(f"{spec.url}/v1 serves {', '.join(m.id for m in models)}")
            context.state("running", "ready", spec.url)
            _Watch(context, spec, engine, client, models).until_stopped()
        context.state("stopping", "closing connections")
    finally:
        engine.stop()


def _key(spec: ServeSpec) -> str | None:
    if spec.api_key_env is None:
        return None
    key = os.environ.get(spec.api_key_env)
    if not key:
        raise MissingHere(f"no API key: {spec.api_key_env} is not set in the environment")
    return key


def _engine(spec: ServeSpec) -> Callable[[ServeSpec, Path, str | None], Engine]:
    if spec.engine == "vllm":
        from tuiwb.serve.vllm_engine import VllmEngine

        return VllmEngine
    if spec.engine == "builtin":
        from tuiwb.serve.builtin.in_process import BuiltinEngine

        return BuiltinEngine
    raise BadInput(f"there is no engine {spec.engine!r}")


def _wait_until_loaded(context: JobContext, engine: Engine, client: Client) -> bool:
    """True once the engine answers, False when told to stop before."""
    deadline = time.monotonic() + LOAD_SECONDS
    while not engine.ready(client):
        if _told_to_stop(context):
            return False
        if time.monotonic() > deadline:
            raise JobFailed(f"the model was not loaded in {LOAD_SECONDS:.0f} s")
        time.sleep(0.1)
    return True


def _load_adapters(context: JobContext, spec: ServeSpec, client: Client) -> list[Served]:
    """Load each adapter and ask base and adapters the same, to see that they differ."""
    for done, adapter in enumerate(spec.adapters):
        context.progress("loading adapters", done, len(spec.adapters), "adapters")
        client.load_adapter(adapter.name, adapter.path)
    if spec.adapters:
        context.state("starting", "proving adapters")
        names = [adapter.name for adapter in spec.adapters]
        try:
            chats = proof.candidates(spec.heldout)
            for alert in proof.not_applied(client, spec.base_name, names, chats):
                context.emit(alert)
        except TuiwbError as error:
            context.emit(
                Alert(
                    rule="adapters_not_proven",
                    severity="warning",
                    evidence=f"base and adapters could not be asked the same: {error}",
                )
            )
    return client.models()


def _record(spec: ServeSpec, engine: Engine, models: list[Served]) -> ServerRecord:
    return ServerRecord(
        url=spec.url,
        engine=spec.engine,
        version=engine.version,
        models=models,
        command=engine.command,
        ready_at=time.time(),
    )


def _told_to_stop(context: JobContext) -> bool:
    for command in context.commands():
        known = command.command == "stop"
        context.answer(command, ok=known, note="" if known else "not known to a server")
    return context.stop_requested


class _Watch:
    """Looks at the engine until told to stop: its process, its models, a one-token probe."""

    def __init__(
        self,
        context: JobContext,
        spec: ServeSpec,
        engine: Engine,
        client: Client,
        models: list[Served],
    ) -> None:
        self._context = context
        self._spec = spec
        self._engine = engine
        self._client = client
        self._models = models
        self._record = _record(spec, engine, models)
        self._probe: threading.Thread | None = None
        self._probe_said = ""
        self._probed = time.monotonic()
        self._tokens = 0
        self._degraded = False

    def until_stopped(self) -> None:
        """JobFailed when the engine ends by itself."""
        looked = time.monotonic()
        while not _told_to_stop(self._context):
            self._engine.poll()
            if time.monotonic() - looked > LOOK_SECONDS:
                looked = time.monotonic()
                self._look_at_models()
            self._look_at_probe()
            time.sleep(0.1)

    def _look_at_models(self) -> None:
        try:
            models = Client(self._spec.url, api_key=_key(self._spec), timeout=2.0).models()
        except TuiwbError:
            return  # the probe tells whether that is trouble
        if models != self._models:
            self._models = self._record.models = models
            write_record(self._context.folder, self._record)
            self._context.log(f"now serves {', '.join(m.id for m in models)}")
            self._context.artifact("server", RECORD)

    def _look_at_probe(self) -> None:
        if self._probe is not None:
            if not self._probe.is_alive():
                self._probe = None
                self._judge(self._probe_said)
        elif time.monotonic() - self._probed > self._spec.probe_seconds:
            self._probed = time.monotonic()
            self._probe = threading.Thread(target=self._ask_one_token, daemon=True)
            self._probe.start()

    def _ask_one_token(self) -> None:
        deadline = min(PROBE_DEADLINE_SECONDS, max(2.0, self._spec.probe_seconds))
        client = Client(self._spec.url, api_key=_key(self._spec), timeout=deadline, own=True)
        self._probe_said = ""
        try:
            client.complete_text(self._spec.base_name, "Hello", max_tokens=1, temperature=0)
        except TuiwbError as error:
            self._probe_said = str(error)
            if self._tokens_moved(client):
                self._probe_said = ""

    def _tokens_moved(self, client: Client) -> bool:
        """A full server may let a probe wait: tokens that flow are life enough."""
        try:
            tokens = read_traffic(client.metrics()).generated_tokens
        except TuiwbError:
            return False
        moved = tokens > self._tokens
        self._tokens = tokens
        return moved

    def _judge(self, trouble: str) -> None:
        if trouble and not self._degraded:
            self._degraded = True
            self._context.emit(
                Alert(
                    rule="server_degraded",
                    severity="error",
                    evidence=f"a one-token probe failed: {trouble}",
                    fix="look at worker.log; stop and start the server if it does not recover",
                )
            )
            self._context.state("running", "degraded", self._spec.url)
        elif not trouble and self._degraded:
            self._degraded = False
            self._context.state("running", "ready", self._spec.url)
