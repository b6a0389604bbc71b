"""The built-in engine inside the job's own process: listens at once, loads in the background."""

import importlib.metadata
import sys
import threading
import traceback
from pathlib import Path

from tuiwb.errors import BadInput, JobFailed, TuiwbError
from tuiwb.serve.builtin.http import Server
from tuiwb.serve.builtin.model import LoadedModel
from tuiwb.serve.client import Client
from tuiwb.serve.spec import ServeSpec


class BuiltinEngine:
    """Same face as the vLLM one: start, ready, poll, stop."""

    def __init__(self, spec: ServeSpec, folder: Path, api_key: str | None) -> None:
        self._spec = spec
        self.version = f"built-in, transformers {importlib.metadata.version('transformers')}"
        self.command = [sys.executable, "-m", "tuiwb.jobs.run", str(folder)]
        self._trouble: Exception | None = None
        try:
            self._server = Server(spec, Path(spec.base), api_key)
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise BadInput(f"can't listen on {spec.host} port {spec.port}: {words}") from None

    def start(self) -> None:
        """Answer 503 from now on, and load the model."""
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        ).start()
        threading.Thread(target=self._load, name="load", daemon=True).start()

    def ready(self, client: Client) -> bool:
        """Whether the model is in memory; raises what kept it from being loaded."""
        self.poll()
        return self._server.engine is not None

    def poll(self) -> None:
        """JobFailed when loading or generating has ended by itself."""
        if isinstance(self._trouble, TuiwbError):
            raise self._trouble
        if self._trouble is not None:
            words = " ".join(f"{type(self._trouble).__name__}: {self._trouble}".split())
            raise JobFailed(f"can't load {self._spec.base}: {words[:400]}")
        if self._server.engine is not None and not self._server.engine.alive:
            raise JobFailed("the generation thread has ended: see worker.log")

    def stop(self) -> None:
        """End open streams, free the port."""
        self._server.close()

    def _load(self) -> None:
        try:
            self._server.open(
                LoadedModel(
                    self._spec.base,
                    self._spec.base_name,
                    dtype=self._spec.dtype,
                    template=self._spec.chat_template,
                    most_tokens=self._spec.max_model_len,
                )
            )
        except Exception as error:
            if not isinstance(error, TuiwbError):
                traceback.print_exc()
            self._trouble = error
