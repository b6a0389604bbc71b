"""Rows that stand in columns: Parquet files and the Arrow files `datasets` saves."""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tuiwb.data.index import Cache, Stamp
from tuiwb.data.sources.entry import Entry
from tuiwb.data.sources.slices import NoRoom, Slices, cut, used
from tuiwb.errors import BadInput

# Rows that are decoded at once, fewer where they are long: about so many bytes.
BATCH, BATCH_BYTES = 1000, 4 << 20
# A piece up to this many bytes, decoded, is opened whole; a larger one from its slices on disk.
WHOLE = 4 << 20
# What is kept decoded, so that rows around those that were opened cost nothing.
HELD, HELD_BYTES = 64, 16 << 20


class Columns:
    """Pieces (row groups, record batches) that follow one another. A row's line is its index + 1.

    Rows in order are decoded once, as a stream. Any other row comes from its piece: whole where
    that is small, else from slices that are written to disk the first time.
    """

    container = ""
    progress = 0.0

    def __init__(self, path: Path, cache: Cache | None = None) -> None:
        self.path, self.name = path, str(path)
        self._stamp = Stamp.of(path.stat())
        self._lock = threading.Lock()
        # The first row of every piece, and the number of rows in all.
        self._firsts = [0]
        # (first row, rows) of what is kept decoded; what was used last stands last.
        self._held: list[tuple[int, Any]] = []
        # What a pass over all rows reads from, and the row it has come to.
        self._stream: tuple[int, Iterator[Any]] | None = None
        self._slices: Slices | None = Slices(cache)

    def __len__(self) -> int:
        return self._firsts[-1]

    def fill(self) -> Iterator[None]:
        """Find how many rows each piece has."""
        raise NotImplementedError

    def rest(self) -> None:
        """Let go of decoded rows and of what is read in order; any thread may ask for it."""
        self._held, self._stream = [], None

    def release(self) -> None:
        """Hold no file open and no row decoded."""
        self.rest()
        if self._slices is not None:
            self._slices.clear()

    def raw(self, n: int) -> bytes | None:
        """Columns hold no record's bytes in one piece."""
        return None

    def pieces(self, first: int) -> Iterator[tuple[int, bytes]] | None:
        """Nothing here is JSON."""
        return None

    def entry(self, n: int) -> Entry:
        """Row `n`; what stands around it is kept decoded."""
        rows, at = self._rows(n)
        return self._entries(n, rows, at, 1)[0]

    def block(self, first: int) -> Iterator[Entry]:
        """The rows from `first` on, as many as were decoded with it."""
        rows, at = self._rows(first)
        return iter(self._entries(first, rows, at, BATCH))

    def _entries(self, n: int, rows: Any, at: int, most: int) -> list[Entry]:
        if isinstance(rows, str):
            return [Entry(n + 1, None, rows)]
        try:
            values = rows.slice(at, most).to_pylist()
        except Exception as error:
            if most > 1:
                count = min(most, rows.num_rows - at)
                return [self._entries(n + i, rows, at + i, 1)[0] for i in range(count)]
            return [Entry(n + 1, None, _why(error))]
        return [Entry(n + i + 1, without_nulls(value)) for i, value in enumerate(values)]

    def _rows(self, n: int) -> tuple[Any, int]:
        """Decoded rows among which is `n`, and its place there, or why there are none."""
        with self._lock:
            held = self._held
            for i in range(len(held) - 1, -1, -1):
                start, rows = held[i]
                if start <= n < start + rows.num_rows:
                    held.append(held.pop(i))
                    return rows, n - start
            try:
                if Stamp.of(self.path.stat()) != self._stamp:
                    return "can't be read any more: the file changed since it was opened", 0
                used(self)
                start, rows = self._load(n)
            except Exception as error:  # Arrow's errors share no base with their own kinds.
                return _why(error), 0
            held.append((start, rows))
            total = sum(kept.nbytes for _, kept in held)
            while len(held) > 1 and (total > HELD_BYTES or len(held) > HELD):
                total -= held.pop(0)[1].nbytes
            return rows, n - start

    def _load(self, n: int) -> tuple[int, Any]:
        """Rows with `n` among them and the first one's number, from where they cost least."""
        piece = bisect_right(self._firsts, n) - 1
        start = self._firsts[piece]
        at = n - start
        slices = self._slices
        if slices is not None and (found := slices.holding(piece, at)) is not None:
            return start + found[0], found[1]
        stream = (n, self._cut(piece)) if at == 0 else self._stream
        if stream is not None and stream[0] == n:
            return self._next(n, *stream)
        some, rest = _up_to(WHOLE, self._batches(piece))
        if rest is None:
            import pyarrow

            return start, pyarrow.Table.from_batches(some)
        if slices is not None:
            try:
                slices.begin(piece, chain(some, rest))
                if (found := slices.holding(piece, at)) is not None:
                    return start + found[0], found[1]
            except NoRoom:
                self._slices = None
        return self._next(n, start, self._cut(piece))

    def _next(self, n: int, start: int, stream: Iterator[Any]) -> tuple[int, Any]:
        """Row `n` and those with it from a stream that has come to row `start`."""
        self._stream = None
        for rows in stream:
            if n < start + rows.num_rows:
                if start + rows.num_rows < self._firsts[bisect_right(self._firsts, n)]:
                    self._stream = (start + rows.num_rows, stream)
                return start, rows
            start += rows.num_rows
        raise EOFError("the rows end early")

    def _cut(self, piece: int) -> Iterator[Any]:
        for batch in self._batches(piece):
            yield from cut(batch)

    def _batches(self, piece: int) -> Iterator[Any]:
        """All rows of a piece in record batches, decoded as they are asked for."""
        raise NotImplementedError


class Parquet(Columns):
    """Parquet; its pieces are row groups."""

    container = "parquet"

    def __init__(self, path: Path, cache: Cache | None = None) -> None:
        super().__init__(path, cache)
        with self._opened() as file:
            self._metadata = file.metadata

    def fill(self) -> Iterator[None]:
        """The file itself says where its rows are."""
        counts = (
            self._metadata.row_group(i).num_rows for i in range(self._metadata.num_row_groups)
        )
        for count in counts:
            self._firsts.append(self._firsts[-1] + count)
        self.progress = 1.0
        yield

    def _batches(self, piece: int) -> Iterator[Any]:
        group = self._metadata.row_group(piece)
        fitting = BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
        with self._opened(self._metadata) as file:
            for batch in file.iter_batches(max(1, min(BATCH, fitting)), row_groups=[piece]):
                yield _spelled_out(batch)

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
    """An Arrow stream, as `save_to_disk` writes it, or an Arrow file; its pieces are batches.

    A stream with dictionaries is one piece: later batches may need any dictionary before them.
    """

    container = "arrow"

    def __init__(self, path: Path, cache: Cache | None = None) -> None:
        super().__init__(path, cache)
        import pyarrow

        self._offsets: list[int] = []
        self._one_piece = False
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
                if any(_has_dictionary(field.type) for field in self._schema):
                    self._one_piece = True
                    self._offsets.append(0)
                    self._firsts.append(sum(b.num_rows for b in pyarrow.ipc.open_stream(file)))
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

    def _batches(self, piece: int) -> Iterator[Any]:
        import pyarrow

        if self._offsets[piece] < 0:
            raise OSError(self._broken)
        with pyarrow.OSFile(str(self.path)) as file:
            if self._one_piece:
                yield from map(_spelled_out, pyarrow.ipc.open_stream(file))
            elif self._is_file:
                yield _spelled_out(pyarrow.ipc.open_file(file).get_batch(self._offsets[piece]))
            else:
                file.seek(self._offsets[piece])
                message = pyarrow.ipc.read_message(file)
                yield pyarrow.ipc.read_record_batch(message, self._schema)


def _up_to(most: int, batches: Iterator[Any]) -> tuple[list[Any], Iterator[Any] | None]:
    """The batches of up to `most` bytes, and those that follow; None where these are all.

    What goes wrong on the way is raised where it stands among those that follow.
    """
    some: list[Any] = []
    try:
        for batch in batches:
            some.append(batch)
            most -= batch.nbytes
            if most < 0:
                return some, batches
    except Exception as error:
        return some, _raising(error)
    return some, None


def _raising(error: Exception) -> Iterator[Any]:
    yield from ()
    raise error


def _has_dictionary(kind: Any) -> bool:
    import pyarrow

    inner = (kind.field(i).type for i in range(kind.num_fields))
    return pyarrow.types.is_dictionary(kind) or any(map(_has_dictionary, inner))


def _spelled_out(batch: Any) -> Any:
    """A batch without dictionaries, which every slice of it would bring along whole."""
    import pyarrow

    columns = batch.columns
    if not any(pyarrow.types.is_dictionary(column.type) for column in columns):
        return batch
    plain = [
        column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
        for column in columns
    ]
    return pyarrow.RecordBatch.from_arrays(plain, names=batch.schema.names)


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
