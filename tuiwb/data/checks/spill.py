"""Numbers that grow too many for memory: appended batch by batch, read back as one array."""

import tempfile
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IN_MEMORY = 128 * 2**20


class Spill:
    """4-byte numbers in order, in a nameless temporary file once they pass `in_memory` bytes."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self._chunks: list[NDArray[np.uint32]] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def __len__(self) -> int:
        return self._size

    def append(self, numbers: "NDArray[np.uint32]") -> None:
        """Put a batch at the end. OSError when the disk is full."""
        self._size += len(numbers)
        if self._file is not None:
            self._file.write(numbers.tobytes())
            return
        self._chunks.append(numbers)
        if 4 * self._size > self._in_memory:
            self._file = tempfile.TemporaryFile(prefix="tuiwb-")  # noqa: SIM115
            for chunk in self._chunks:
                self._file.write(chunk.tobytes())
            self._chunks.clear()

    def array(self) -> "NDArray[np.uint32]":
        """All of them; over a file its pages are read as they are needed."""
        import numpy as np

        if self._file is None:
            self._chunks = [np.concatenate(self._chunks)] if self._chunks else []
            return self._chunks[0] if self._chunks else np.empty(0, np.uint32)
        self._file.flush()
        mapped: Any = np.memmap(self._file, np.uint32, "r", shape=(self._size,))
        return np.asarray(mapped)
