"""tuiwb's own engine on loopback, in this process: the real server with a real model behind it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serve.waiting import until


def unused_port() -> int:
    """A port that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_engine(base: Path, name: str = "tiny-chat") -> Iterator[tuple[Any, str]]:
    """The built-in engine with the base under a name, and its address; imports torch."""
    from tuiwb.serve.builtin.in_process import BuiltinEngine
    from tuiwb.serve.client import Client
    from tuiwb.serve.spec import ServeSpec

    spec = ServeSpec(engine="builtin", base=str(base), base_name=name, port=unused_port())
    running = BuiltinEngine(spec, Path("unused"), None)
    running.start()
    try:
        until(lambda: running.ready(Client(spec.url)), 60)
        yield running, spec.url
    finally:
        running.stop()
