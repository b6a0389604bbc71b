"""Open a dataset, whatever its container and row format; hand TRL its examples."""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from tuiwb.data.examples import example_of, fits
from tuiwb.data.formats import broken, to_row
from tuiwb.data.records import BATCH_BYTES, characters
from tuiwb.data.rows import Row
from tuiwb.data.sources import Changed, Entry, Source, decode, files_of, open_source
from tuiwb.data.typed import TypedReader, typed_reader
from tuiwb.errors import BadInput, TuiwbError

LOOKED_AT = 100
# Rows of containers without JSON are handed on in lists of about so many characters.
BLOCK = 1 << 20
# With more files than this, none is held open between reads.
HELD_OPEN = 64


class Dataset:
    """The rows of one file or of several: how many, their format, any of them, all in order.

    One thread may still find rows while others read those found so far; `complete` says whether
    all are found. Every method may be called from any thread.
    """

    def __init__(self, path: Path, files: Sequence[Path], cache: Path | None, wait: bool) -> None:
        self.path, self.files = path, tuple(files)
        self._cache = cache
        self._sizes = [max(1, file.stat().st_size) for file in files]
        # (index of its first row, source) of every file whose rows are found, or being found.
        self._parts: list[tuple[int, Source]] = []
        self._grown = threading.Condition()
        self._done = self._closed = False
        self._failure: Exception | None = None
        self.format = ""
        self._typed: TypedReader | None = None
        self._start(wait)

    @property
    def container(self) -> str:
        """How the files hold their rows: jsonl, json, csv, parquet, arrow; .gz, .zst if packed."""
        return self._parts[0][1].container

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(self._sizes)

    @property
    def complete(self) -> bool:
        """Whether every row has been found, so that the length is final."""
        return self._done

    @property
    def progress(self) -> float:
        """The share of the bytes in which rows were looked for, 0 to 1."""
        if self._done:
            return 1.0
        count = len(self._parts)
        done = sum(self._sizes[: count - 1]) + self._parts[-1][1].progress * self._sizes[count - 1]
        return float(done / sum(self._sizes))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every row has been found; False when `timeout` seconds were not enough.

        BadInput when a file of several turned out not to be readable.
        """
        with self._grown:
            self._grown.wait_for(lambda: self._done, timeout)
        if self._failure is not None:
            raise copy(self._failure)
        return self._done

    def close(self) -> None:
        """Stop looking for more rows and hold no file open; what was found can still be read.

        The thread that looks for rows ends with its next step of about 2 MB. Who waits for a row
        that was not found then gets BadInput. It may be called twice, and while rows are read.
        """
        self._closed = True
        for _, source in list(self._parts):
            source.release()

    def __len__(self) -> int:
        """How many rows were found so far; all when `complete`."""
        if not self._parts:
            return 0
        first, source = self._parts[-1]
        return first + len(source)

    def row(self, n: int) -> Row:
        """Row `n` (from 0), opened without reading the others; BadInput when there is none."""
        first, source = self._part(n)
        entry = source.entry(n - first)
        return _row(entry, source.name, n)

    def raw(self, n: int) -> bytes | None:
        """The bytes of row `n` as they stand in the file, without its line end.

        None where a row has no bytes of its own (Parquet, Arrow, what follows the last record).
        BadInput when they can't be read any more.
        """
        first, source = self._part(n)
        try:
            return source.raw(n - first)
        except (Changed, OSError, MemoryError) as error:
            line = source.entry(n - first).line
            raise BadInput(f"{source.name}:{line} {error}: open the dataset again") from None

    def record(self, n: int) -> Any:
        """The decoded record of row `n` as the file has it, all its fields; None if broken."""
        first, source = self._part(n)
        return source.entry(n - first).value

    def __iter__(self) -> Iterator[Row]:
        """All rows in order, waiting for those not found yet."""
        return chain.from_iterable(rows for rows, _ in self._sized())

    def batches(self, size: int = 2000, most: int = BATCH_BYTES) -> Iterator[list[Row]]:
        """All rows in order in lists of `size`, of fewer where they come to about `most` bytes."""
        batch: list[Row] = []
        held = 0.0
        for rows, weight in self._sized():
            at, each = 0, weight / max(1, len(rows))
            while at < len(rows):
                take = rows[at : at + size - len(batch)]
                at += len(take)
                batch += take
                held += each * len(take)
                if len(batch) == size or held >= most:
                    yield batch
                    batch, held = [], 0.0
        if batch:
            yield batch

    def holding(self, words: bytes) -> Iterator[tuple[list[Row], int]]:
        """Rows whose texts may hold `words`, block by block, with the number of rows passed.

        `words` are printable ASCII in lower case without quotes, slashes and backslashes, so that
        JSON writes them as they are. Left out are only rows that surely hold them in no case.
        """
        n = 0
        while self._found(n):
            first, source = self._part(n)
            pieces = source.pieces(n - first)
            rows: list[Row] = []
            if pieces is None:
                for entry in source.block(n - first):
                    rows.append(_row(entry, source.name, n))
                    n += 1
            else:
                for line, data in pieces:
                    # Escapes and letters beyond ASCII may fold to ASCII ones: those are decoded.
                    if words in data.lower() or not data.isascii() or b"\\u" in data:
                        rows.append(_general(data, source.name, n, line))
                    n += 1
            yield rows, n

    def pairs(self) -> Iterator[tuple[Row, Any]]:
        """Every row with its decoded record (None if broken), for those who write new versions.

        A row shares tags and tool descriptions with its record: copy before changing either.
        """
        n = 0
        while self._found(n):
            first, source = self._part(n)
            for entry in source.block(n - first):
                yield _row(entry, source.name, n), entry.value
                n += 1

    def _sized(self) -> Iterator[tuple[list[Row], int]]:
        """All rows in order, block by block, each of about BLOCK, with its weight."""
        n = 0
        while self._found(n):
            first, source = self._part(n)
            pieces = source.pieces(n - first)
            name = source.name
            if pieces is None:
                for rows, weight in _weighed(source.block(n - first), name, n):
                    yield rows, weight
                    n += len(rows)
                continue
            read = list(pieces)
            if self._typed is None:
                rows = [_general(data, name, i, line) for i, (line, data) in enumerate(read, n)]
            else:
                rows = self._typed.rows(read, name, n, _general)
            n += len(rows)
            weight = sum(len(data) for _line, data in read)
            del read
            yield rows, weight

    def _found(self, n: int) -> bool:
        """Wait until row `n` is found; False when there is none."""
        if n >= len(self) and not self._done:
            with self._grown:
                self._grown.wait_for(lambda: n < len(self) or self._done)
        if n < len(self):
            return True
        if self._failure is not None:
            raise copy(self._failure)
        return False

    def _part(self, n: int) -> tuple[int, Source]:
        count = len(self)
        if not 0 <= n < count:
            so_far = "" if self._done else " so far"
            raise BadInput(f"{self.path} has {count} rows{so_far}, 0 to {count - 1}: no row {n}")
        parts = self._parts
        at = bisect_right(parts, n, key=lambda part: part[0]) if len(parts) > 1 else 1
        return parts[at - 1]

    def _start(self, wait: bool) -> None:
        """Find the first rows and their format, then the rest: here, or in a thread."""
        steps = self._fill()
        formats: set[str] = set()
        seen: list[tuple[Row, Any]] = []
        looked = 0
        while not self._done and (wait or not formats):
            if next(steps, None) is None:
                self._finish(None)
            while looked < len(self) and (looked < LOOKED_AT or not formats):
                first, source = self._part(looked)
                entry = source.entry(looked - first)
                row = _row(entry, source.name, looked)
                looked += 1
                seen.append((row, entry.value))
                if row.shape != "broken":
                    formats.add(row.format)
        if len(self) == 0:
            raise BadInput(f"{self.path} holds no rows: give a file with at least one")
        if not formats:
            top = self.row(0)
            rest = "; no other row opens either" if len(self) > 1 else ""
            raise BadInput(f"{top.where} {top.problem}{rest}")
        self.format = formats.pop() if len(formats) == 1 else "mixed"
        if self._parts[0][1].pieces(0) is not None:
            self._typed = typed_reader(seen)
        if not self._done:
            name = f"rows of {self.path.name}"
            threading.Thread(target=self._go_on, args=(steps,), name=name, daemon=True).start()

    def _fill(self) -> Iterator[bool]:
        """Find all rows, step by step."""
        for file in self.files:
            source = open_source(file, self._cache, len(self.files) <= HELD_OPEN)
            self._parts.append((len(self), source))
            for _ in source.fill():
                if self._closed:
                    source.release()
                    raise BadInput(f"{self.path} was closed before all of it was read")
                yield True

    def _go_on(self, steps: Iterator[bool]) -> None:
        try:
            for _ in steps:
                with self._grown:
                    self._grown.notify_all()
            self._finish(None)
        except Exception as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            at = self.files[max(0, len(self._parts) - 1)]
            told = isinstance(error, TuiwbError)
            self._finish(error if told else BadInput(f"can't read {at} or what follows it: {why}"))

    def _finish(self, failure: Exception | None) -> None:
        with self._grown:
            # A traceback, and so each raising of it, would keep this dataset in memory.
            self._done, self._failure = True, failure and failure.with_traceback(None)
            self._grown.notify_all()


def open_dataset(
    path: str | Path | Sequence[str | Path], *, cache: Path | None = None, wait: bool = True
) -> Dataset:
    """Open a file, a folder of shards, a saved dataset, a hub id, or several as one dataset.

    `cache` is a folder that keeps what opening finds out, for the next time. Without `wait` it
    returns with the first rows, and a thread finds the others. BadInput says why it can't be.
    """
    first = path if isinstance(path, (str, Path)) else next(iter(path), "")
    try:
        return Dataset(Path(first), files_of(path), cache, wait)
    except FileNotFoundError as error:
        raise BadInput(f"there is no file {error.filename or first}") from None
    except (OSError, MemoryError, ValueError) as error:
        raise BadInput(f"can't read {first}: {error}") from None


def training_examples(
    paths: Sequence[str | Path],
    method: str,
    malformed: Literal["error", "skip"] = "error",
) -> tuple[list[dict[str, Any]], list[Row]]:
    """Every row of `paths` as the plain dict TRL trains `method` on, and the rows left out.

    sft: messages (and tools), prompt/completion or text; dpo, orpo, cpo, reward:
    prompt/chosen/rejected; kto: prompt/completion/label. Rows that can't be trained on raise
    BadInput naming the first and their number, or with malformed="skip" are left out.
    """
    rows: list[Row] = []
    left_out: list[Row] = []
    for path in paths:
        for row in open_dataset(path):
            row.problem = fits(row, method)
            (rows if row.problem is None else left_out).append(row)
    if left_out and (malformed == "error" or not rows):
        first = left_out[0]
        count = f" ({len(left_out)} rows can't be trained on)" if len(left_out) > 1 else ""
        raise BadInput(
            f"{first.where} {first.problem}{count}: mend the file, or set data.malformed to skip"
            if rows
            else f"{first.where} {first.problem}{count}: no row of it can train {method}"
        )
    shapes = {row.shape for row in rows}
    if "text" in shapes and len(shapes) > 1:
        other = next(row for row in rows if row.shape != rows[0].shape)
        raise BadInput(
            f"{other.where} is {other.format} but {rows[0].where} is {rows[0].format}: "
            "plain text and chats can't be trained on together"
        )
    chats = len(shapes) > 1 or any(isinstance(row.prompt, list) for row in rows)
    return [example_of(row, method, as_chat=chats) for row in rows], left_out


def _weighed(entries: Iterator[Entry], name: str, n: int) -> Iterator[tuple[list[Row], int]]:
    """Lists of rows of about BLOCK characters, and how many they have."""
    rows: list[Row] = []
    weight = 0
    for i, entry in enumerate(entries, n):
        row = _row(entry, name, i)
        rows.append(row)
        weight += characters(row)
        if weight >= BLOCK:
            yield rows, weight
            rows, weight = [], 0
    if rows:
        yield rows, weight


def _row(entry: Entry, name: str, n: int) -> Row:
    if entry.problem is not None:
        return broken(name, n, entry.line, entry.problem, entry.raw)
    return to_row(entry.value, name, n, entry.line)


def _general(data: bytes, name: str, n: int, line: int) -> Row:
    return _row(decode(data, line), name, n)
