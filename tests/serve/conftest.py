"""A real engine on the sample project's tiny model, with two random adapters."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serve.loopback import running_engine, unused_port
from tests.serve.tiny import TINY_CHAT, random_adapter


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
    return unused_port()


@pytest.fixture(scope="module")
def engine(base: Path, adapters: dict[str, Path]) -> Iterator[Any]:
    """The built-in engine in this process, both adapters loaded over HTTP."""
    from tuiwb.serve.client import Client

    with running_engine(base) as (running, url):
        for name, path in adapters.items():
            Client(url).load_adapter(name, str(path))
        yield running


@pytest.fixture
def client(engine: Any) -> Any:
    from tuiwb.serve.client import Client

    return Client(engine._spec.url)
