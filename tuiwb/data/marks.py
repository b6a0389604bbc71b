"""What people said about rows: keep, drop, hard, accepted, rejected, edited. The file stays as is.

In: rows and what a person decides. Out: an append-only journal NAME.marks beside the dataset, one
JSON object a line, and its pure fold: the state of each row, undo and redo included. A mark names
its row by number and by a hash of the content, so that a changed file never shifts it silently.
"""

import errno
import fcntl
import getpass
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.editing import check_record
from tuiwb.data.formats import to_row
from tuiwb.data.records import Rows, encode_line, row_key
from tuiwb.data.rows import Row
from tuiwb.errors import BadInput
from tuiwb.prepared import prepared

FORMAT = 1
SUFFIX = ".marks"
FLAGS = ("keep", "drop", "hard")
VERDICTS = ("accept", "reject")
MARKS = (*FLAGS, *VERDICTS)


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line of the journal; entries with one `seq` were made in one step.

    `mark` is a flag or a verdict and takes the place of the last of its kind; null takes both
    away, or with `only` the flag alone; left out it changes neither. So does `record` with an edit.
    `undo` and `redo` name the `seq` of another step.
    """

    v: int = 0
    t: float
    seq: int
    by: str = ""
    row: int = -1
    key: str = ""
    mark: str | msgspec.UnsetType | None = msgspec.UNSET
    only: str = ""
    record: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    note: str = ""
    undo: int | None = None
    redo: int | None = None


class State(msgspec.Struct, kw_only=True, frozen=True):
    """What holds for a row now, the last note on it, and who left that when.

    `flag` is keep, drop or hard, `verdict` a review's accept or reject, `record` what the row was
    edited into.
    """

    flag: str | None = None
    verdict: str | None = None
    record: dict[str, Any] | None = None
    note: str = ""
    by: str = ""
    t: float = 0.0

    @property
    def mark(self) -> str | None:
        """One word for both: the flag, else the verdict."""
        return self.flag or self.verdict


NOTHING = State()


class Fold:
    """The journal folded: the state of each row by key and number; what undo and redo name.

    A step is undone as a whole. A new step ends what could be redone.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.states: dict[str, dict[int, State]] = {}
        self.last = 0
        self._steps: dict[int, list[Entry]] = {}
        self._done: dict[int, None] = {}
        self._undone: dict[int, None] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Take in the next entry."""
        self.last = max(self.last, entry.seq)
        if entry.undo is not None:
            self._move(entry.undo, self._done, self._undone)
        elif entry.redo is not None:
            self._move(entry.redo, self._undone, self._done)
        elif entry.key:
            self._steps.setdefault(entry.seq, []).append(entry)
            self._done[entry.seq] = None
            self._undone.clear()
            self._apply(entry)

    @property
    def undoable(self) -> int | None:
        """The step that undo would take back."""
        return next(reversed(self._done), None)

    @property
    def redoable(self) -> int | None:
        """The step that redo would do again."""
        return next(reversed(self._undone), None)

    def step(self, seq: int) -> list[Entry]:
        """The entries that were made in one step."""
        return self._steps.get(seq, [])

    def places(self) -> Iterator[tuple[str, int, State]]:
        """Every row that has a mark or an edit: its key, its number, its state."""
        for key, rows in self.states.items():
            yield from ((key, row, state) for row, state in rows.items())

    def _move(self, seq: int, here: dict[int, None], there: dict[int, None]) -> None:
        if seq not in here:
            return
        del here[seq]
        there[seq] = None
        self.states = {}
        for done in sorted(self._done):
            for entry in self._steps[done]:
                self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        rows = self.states.setdefault(entry.key, {})
        before = rows.get(entry.row, NOTHING)
        flag, verdict = before.flag, before.verdict
        if entry.mark is None:
            flag = None
            verdict = verdict if entry.only == "flag" else None
        elif entry.mark in VERDICTS:
            verdict = entry.mark
        elif entry.mark in FLAGS:
            flag = entry.mark
        state = State(
            flag=flag,
            verdict=verdict,
            record=before.record if isinstance(entry.record, msgspec.UnsetType) else entry.record,
            note=entry.note or before.note,
            by=entry.by,
            t=entry.t,
        )
        if flag or verdict or state.record is not None:
            rows[entry.row] = state
            return
        rows.pop(entry.row, None)
        if not rows:
            del self.states[entry.key]


def marks_path(dataset: str | Path) -> Path:
    """Where a dataset's journal is: support.jsonl -> support.jsonl.marks."""
    path = Path(dataset)
    return path.with_name(path.name + SUFFIX)


class Marks:
    """The marks of a dataset; several processes may write at once.

    `dataset` is looked into when a marked row is no longer where it was; without it such a mark
    goes to the first row with its content that is asked for.
    """

    def __init__(self, path: str | Path, dataset: Rows | None = None) -> None:
        self.path = marks_path(path)
        self._dataset = dataset
        self._offset = 0
        self._fold = Fold()
        self._claimed: dict[tuple[str, int], int] = {}
        # A search asks from its thread while a key marks in another.
        self._lock = threading.RLock()
        self.refresh()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._fold.states.values()))

    @property
    def size(self) -> int:
        """How many bytes of the journal were read."""
        return self._offset

    def refresh(self) -> bool:
        """Read what others added; whether there was anything."""
        with self._lock:
            return self._refresh()

    def _refresh(self) -> bool:
        try:
            with self.path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset, self._fold = 0, Fold()
                file.seek(self._offset)
                chunk = file.read()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise BadInput(f"can't read {self.path}: {error.strerror or error}") from None
        # What follows the last line end is torn, or still being written.
        whole = chunk.rfind(b"\n") + 1
        self._offset += whole
        new = [entry for line in chunk[:whole].split(b"\n") if (entry := _entry(line)) is not None]
        for entry in new:
            self._fold.add(entry)
        if new:
            self._claimed = {}
        return bool(new)

    def mark(
        self, rows: Row | Iterable[Row], mark: str | None, note: str = "", by: str | None = None
    ) -> None:
        """Mark rows as they stand in the file, in one step; None takes flag and verdict away."""
        self._mark(rows, mark, note, by)

    def unflag(self, rows: Row | Iterable[Row], note: str = "", by: str | None = None) -> None:
        """Take keep, drop or hard away in one step; a review's verdict stays."""
        self._mark(rows, None, note, by, only="flag")

    def _mark(
        self, rows: Row | Iterable[Row], mark: str | None, note: str, by: str | None, **more: str
    ) -> None:
        if mark is not None and mark not in MARKS:
            raise BadInput(f"{mark!r} is no mark: one of {', '.join(MARKS)}, or none")
        fields = {"mark": mark, "note": note, "by": by or _who(), **more}
        several = [rows] if isinstance(rows, Row) else rows
        self._append([{"row": row.index, "key": row_key(row), **fields} for row in several])

    def edit(
        self,
        row: Row,
        record: dict[str, Any] | None,
        note: str = "",
        by: str | None = None,
        mark: str | None = None,
    ) -> None:
        """Put `record` in the place of a row; None takes an edit back. BadInput if it is no row.

        `row` is the row as it stands in the file. With `mark` both happen in one step.
        """
        fields: dict[str, Any] = {"record": None if record is None else check_record(record)}
        if mark is not None:
            fields["mark"] = mark
        place = {"row": row.index, "key": row_key(row)}
        self._append([{**place, "note": note, "by": by or _who(), **fields}])

    def undo(self) -> list[Entry]:
        """Take the last step back that still holds; its entries, none when there is no step."""
        return self._step("undo")

    def redo(self) -> list[Entry]:
        """Do again what was undone last; its entries, none when something was marked since."""
        return self._step("redo")

    def state(self, row: Row) -> State:
        """What holds for a row as it stands in the file."""
        if not self._fold.states:
            return NOTHING
        key = row_key(row)
        with self._lock:
            return self._state(row, key)

    def counts(self) -> dict[str, int]:
        """How many rows carry each mark and each verdict, and how many are edited."""
        with self._lock:
            states = [state for _key, _row, state in self._fold.places()]
        counts = Counter(name for state in states for name in (state.flag, state.verdict))
        edited = sum(state.record is not None for state in states)
        named = {name: counts[name] for name in MARKS if counts[name]}
        return {**named, "edited": edited}

    def applied(self, rows: Iterable[Row]) -> Iterator[tuple[Row, State]]:
        """Every row with its edit applied, and its state; rows in the order of the file."""
        for row in rows:
            state = self.state(row)
            if state.record is None:
                yield row, state
            else:
                edited = to_row(state.record, row.file, row.index, row.line)
                yield (edited if edited.shape != "broken" else row), state

    def stale(self, rows: Rows) -> list[tuple[int, State]]:
        """Marks whose row is nowhere in `rows` any more: the row they were made for, and what."""
        with self._lock:
            places = list(self._fold.places())
            marked = {key: len(there) for key, there in self._fold.states.items()}
        missing = [(row, key, state) for key, row, state in places if not _holds(key, row, rows)]
        if not missing:
            return []
        wanted = Counter(key for _row, key, _state in missing)
        free = Counter(key for row in rows if (key := row_key(row)) in wanted)
        for key, count in wanted.items():
            # A copy that has a mark of its own takes no other's.
            free[key] -= marked[key] - count
        left = []
        for row, key, state in sorted(missing, key=lambda place: place[0]):
            free[key] -= 1
            left += [(row, state)] if free[key] < 0 else []
        return left

    def _state(self, row: Row, key: str) -> State:
        places = self._fold.states.get(key, {})
        if row.index in places:
            return places[row.index]
        for place in sorted(places):
            if self._claimed.setdefault((key, place), row.index) != row.index:
                continue
            if self._dataset is None or not _holds(key, place, self._dataset):
                return places[place]
            self._claimed.pop((key, place), None)
        return NOTHING

    def _step(self, kind: str) -> list[Entry]:
        self.refresh()
        seq = self._fold.undoable if kind == "undo" else self._fold.redoable
        if seq is None:
            return []
        self._append([{"by": _who(), kind: seq}])
        return self._fold.step(seq)

    def _append(self, several: list[dict[str, Any]]) -> None:
        """Add the entries of one step, all of them or none."""
        if not several:
            return
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise BadInput(f"can't write {self.path}: {error.strerror or error}") from None
        self._lock.acquire()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self.refresh()
            size = os.fstat(fd).st_size
            now, seq = time.time(), self._fold.last + 1
            entries = [Entry(v=FORMAT, t=now, seq=seq, **fields) for fields in several]
            data = b"".join(encode_line(msgspec.to_builtins(entry)) for entry in entries)
            if size and os.pread(fd, 1, size - 1) != b"\n":
                data = b"\n" + data
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(fd)
            except OSError as error:
                # Half a line would swallow the next one.
                os.ftruncate(fd, size)
                raise BadInput(f"can't write {self.path}: {error.strerror or error}") from None
        finally:
            os.close(fd)
            self._lock.release()
        self.refresh()


def _holds(key: str, row: int, rows: Rows) -> bool:
    return 0 <= row < len(rows) and row_key(rows.row(row)) == key


def _entry(line: bytes) -> Entry | None:
    """A line of the journal; None for a torn one, or one this version doesn't know."""
    try:
        return msgspec.json.decode(line, type=prepared(Entry))
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        # An edit may hold lone surrogates or NaN, which strict JSON has no room for.
        return msgspec.convert(json.loads(line), prepared(Entry))
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
