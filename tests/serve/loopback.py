"""tuiwb's own engine on loopback, in this process: the real server with a real model behind it."""

import contextlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.serve.waiting import until


def _never_given_away() -> list[int]:
    """Ports that the system gives to nobody who asks for any: what connects and what listens
    anywhere on this machine meanwhile can't come to one of them by chance."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = [port for port in range(10_000, 65_536) if not low <= port <= high]
    ports = ports or [*range(10_000, 65_536)]
    random.shuffle(ports)
    return ports


_PORTS = _never_given_away()


def unused_port() -> int:
    """A port that nothing listens on, each time another."""
    while True:
        port = _PORTS.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
        until(lambda: running.ready(Client(spec.url)))
        yield running, spec.url
    finally:
        running.stop()
