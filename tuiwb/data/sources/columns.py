"""Rows that stand in columns: Parquet files and the Arrow files `datasets` saves."""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tuiwb.data.index import Stamp
from tuiwb.data.sources.entry import Entry
from tuiwb.errors import BadInput

# A Parquet row group up to this many bytes is kept as a table; a larger one is read in batches.
KEPT = 64 << 20
BATCH = 1000


class Columns:
    """Tables that follow one another; one at a time is kept. A row's line is its index + 1."""

    container = ""
    progress = 0.0

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self._stamp = Stamp.of(path.stat())
        self._lock = threading.Lock()
        # The first row of every table, and the number of rows in all.
        self._firsts = [0]
        self._held: tuple[int, Any] = (0, None)

    def __len__(self) -> int:
        return self._firsts[-1]

    def fill(self) -> Iterator[None]:
        """Find how many rows each table has."""
        raise NotImplementedError

    def raw(self, n: int) -> bytes | None:
        """Columns hold no record's bytes in one piece."""
        return None

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Nothing here is JSON."""
        return None

    def entry(self, n: int) -> Entry:
        """Row `n`; the table it stands in is kept until a row of another is asked for."""
        table, at = self._table(n)
        return self._entries(n, table, at, 1)[0]

    def block(self, first: int) -> Iterator[Entry]:
        """The rows from `first` on, as many as stand in one table."""
        table, at = self._table(first)
        return iter(self._entries(first, table, at, BATCH))

    def _entries(self, n: int, table: Any, at: int, most: int) -> list[Entry]:
        if isinstance(table, str):
            return [Entry(n + 1, None, table)]
        try:
            values = table.slice(at, most).to_pylist()
        except Exception as error:
            if most > 1:
                count = min(most, len(table) - at)
                return [self._entries(n + i, table, at + i, 1)[0] for i in range(count)]
            return [Entry(n + 1, None, _why(error))]
        return [Entry(n + i + 1, without_nulls(value)) for i, value in enumerate(values)]

    def _table(self, n: int) -> tuple[Any, int]:
        """A table that holds row `n` and its place there, or why there is none."""
        with self._lock:
            start, table = self._held
            if table is None or not start <= n < start + table.num_rows:
                try:
                    if Stamp.of(self.path.stat()) != self._stamp:
                        return "can't be read any more: the file changed since it was opened", 0
                    start, table = self._load(bisect_right(self._firsts, n) - 1, n)
                except Exception as error:  # Arrow's errors share no base with their own kinds.
                    return _why(error), 0
                self._held = (start, table)
            return table, n - start

    def _load(self, piece: int, n: int) -> tuple[int, Any]:
        """The first row and the table of a piece that holds row `n`."""
        raise NotImplementedError


class Parquet(Columns):
    """Parquet, a row group at a time; from a large one, batches."""

    container = "parquet"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._opened() as file:
            self._metadata = file.metadata
        # Where the batches of a large row group have come to, so that reading on costs nothing.
        self._reading: tuple[int, int, Iterator[Any]] | None = None

    def fill(self) -> Iterator[None]:
        """The file itself says where its rows are."""
        counts = (
            self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)
        )
        for count in counts:
            self._firsts.append(self._firsts[-1] + count)
        self.progress = 1.0
        yield

    def _load(self, piece: int, n: int) -> tuple[int, Any]:
        start = self._firsts[piece]
        if self._metadata.row_group(piece).total_byte_size <= KEPT:
            with self._opened(self._metadata) as file:
                return start, file.read_row_group(piece)
        if self._reading is not None and self._reading[0] == piece and self._reading[1] <= n:
            _, start, batches = self._reading
        else:
            batches = self._opened(self._metadata).iter_batches(BATCH, row_groups=[piece])
        for batch in batches:
            if n < start + batch.num_rows:
                self._reading = (piece, start + batch.num_rows, batches)
                return start, batch
            start += batch.num_rows
        raise OSError("the row group ends early")

    def _opened(self, metadata: Any = None) -> Any:
        import pyarrow
        import pyarrow.parquet as parquet

        try:
            return parquet.ParquetFile(
                self.path, metadata=metadata, buffer_size=1 << 20, pre_buffer=False
            )
        except pyarrow.ArrowException as error:
            words = str(error).split("\n")[0]
            raise BadInput(f"{self.path} is not a Parquet file that can be read: {words}") from None


class Arrow(Columns):
    """An Arrow stream, as `save_to_disk` writes it, or an Arrow file; a record batch at a time."""

    container = "arrow"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import pyarrow

        self._offsets: list[int] = []
        self._whole: Any = None
        try:
            with pyarrow.OSFile(str(path)) as file:
                self._is_file = file.read(6) == b"ARROW1"
                file.seek(0)
                opened = pyarrow.ipc.open_file if self._is_file else pyarrow.ipc.open_stream
                self._schema = opened(file).schema
        except (pyarrow.ArrowException, OSError) as error:
            words = str(error).split("\n")[0]
            raise BadInput(f"{path} is not an Arrow file that can be read: {words}") from None

    def fill(self) -> Iterator[None]:
        """Count the rows of each batch, without keeping any."""
        import pyarrow

        size = max(1, self._stamp.size)
        try:
            with pyarrow.OSFile(str(self.path)) as file:
                if self._is_file:
                    reader = pyarrow.ipc.open_file(file)
                    for i in range(reader.num_record_batches):
                        self._offsets.append(i)
                        self._firsts.append(self._firsts[-1] + reader.get_batch(i).num_rows)
                        self.progress = (i + 1) / reader.num_record_batches
                        yield
                    return
                if any(pyarrow.types.is_dictionary(field.type) for field in self._schema):
                    self._whole = pyarrow.ipc.open_stream(file).read_all()
                    self._firsts.append(self._whole.num_rows)
                    self.progress = 1.0
                    yield
                    return
                pyarrow.ipc.read_message(file)
                while (at := file.tell()) < size:
                    message = self._message(file)
                    if message is None:
                        break
                    self._offsets.append(at)
                    batch = pyarrow.ipc.read_record_batch(message, self._schema)
                    self._firsts.append(self._firsts[-1] + batch.num_rows)
                    self.progress = min(1.0, file.tell() / size)
                    yield
        except (pyarrow.ArrowException, OSError, EOFError) as error:
            # One row more, which no batch holds, says that the file was cut.
            self._firsts.append(self._firsts[-1] + 1)
            self._offsets.append(-1)
            self._broken = f"can't be read from here on: {_why(error)}"
        self.progress = 1.0

    def _message(self, file: Any) -> Any:
        import pyarrow

        try:
            return pyarrow.ipc.read_message(file)
        except EOFError:
            return None

    def _load(self, piece: int, n: int) -> tuple[int, Any]:
        import pyarrow

        start = self._firsts[piece]
        if self._whole is not None:
            return 0, self._whole
        if self._offsets[piece] < 0:
            raise OSError(self._broken)
        with pyarrow.OSFile(str(self.path)) as file:
            if self._is_file:
                return start, pyarrow.ipc.open_file(file).get_batch(self._offsets[piece])
            file.seek(self._offsets[piece])
            message = pyarrow.ipc.read_message(file)
            return start, pyarrow.ipc.read_record_batch(message, self._schema)


def without_nulls(value: Any) -> Any:
    """Arrow pads structs to one schema; drop the keys it invented."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        items: Sequence[Any] = value
        return [without_nulls(inner) for inner in items]
    return value


def _why(error: Exception) -> str:
    words = str(error).split("\n")[0] or type(error).__name__
    return words if words.startswith("can't be read") else f"can't be read: {words}"
