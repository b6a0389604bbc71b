"""A real engine on the sample project's tiny model, with two random adapters."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.tiny import TINY_CHAT, random_adapter
from tests.serve.waiting import until


@pytest.fixture(scope="session")
def base() -> Path:
    return TINY_CHAT


@pytest.fixture(scope="session")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two adapters that each change the base's greedy texts."""
    return {
        name: random_adapter(base, tmp_path_factory.mktemp("adapters") / name, seed)
        for seed, name in enumerate(("first", "second"))
    }


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def engine(base: Path, adapters: dict[str, Path]) -> Iterator[Any]:
    """The built-in engine in this process, both adapters loaded over HTTP."""
    from tuiwb.serve.builtin.in_process import BuiltinEngine
    from tuiwb.serve.client import Client
    from tuiwb.serve.spec import ServeSpec

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    spec = ServeSpec(engine="builtin", base=str(base), base_name="tiny-chat", port=port)
    running = BuiltinEngine(spec, Path("unused"), None)
    running.start()
    client = Client(spec.url)
    until(lambda: running.ready(client), 60)
    for name, path in adapters.items():
        client.load_adapter(name, str(path))
    yield running
    running.stop()


@pytest.fixture
def client(engine: Any) -> Any:
    from tuiwb.serve.client import Client

    return Client(engine._spec.url)
