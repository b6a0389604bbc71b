"""What the telemetry tests share: a driver that isn't there, and whose pids are ours."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.monitor.fake_nvml import Card, FakeLibrary, library
from tuiwb.monitor import nvml

Driver = Callable[..., FakeLibrary]


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    """`driver([Card(), ...])` is the machine that pynvml finds; its pids are of our namespace."""
    monkeypatch.setattr(nvml, "foreign_pids", lambda: False)
    with ExitStack() as stack:

        def make(cards: list[Card], **how: object) -> FakeLibrary:
            fake = FakeLibrary(cards, **how)  # type: ignore[arg-type]
            stack.enter_context(library(fake))
            return fake

        yield make
