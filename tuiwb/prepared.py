"""Types of records, made ready before several threads decode to them.

msgspec works out how to decode to a type when that is first asked for. Where two threads ask at
once for the first time, both do, and the process can end by a segmentation fault (0.22.0).
"""

import threading
from typing import Any, TypeVar

T = TypeVar("T")

_ready: set[Any] = set()
_one_at_a_time = threading.Lock()


def prepared(kind: type[T]) -> type[T]:
    """The same type, to be decoded to from any thread; asking again costs next to nothing."""
    if kind not in _ready:
        with _one_at_a_time:
            if kind not in _ready:
                import msgspec.msgpack  # here: who only imports this module pays nothing

                msgspec.msgpack.Decoder(kind)
                _ready.add(kind)
    return kind
