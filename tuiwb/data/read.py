"""Open a dataset file, whatever its container and row format; hand TRL its examples."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from tuiwb.data.examples import example_of, fits
from tuiwb.data.formats import broken, to_row
from tuiwb.data.rows import Row
from tuiwb.data.sources import BOM, Csv, Entry, JsonArray, JsonLines, Parquet, Source
from tuiwb.errors import BadInput

LOOKED_AT = 100


class Dataset:
    """A dataset file: its length, its format, any row of it, all rows in order."""

    def __init__(self, path: Path, source: Source) -> None:
        self.path = path
        self._source = source
        self._name = str(path)
        self.format = self._look()

    @property
    def container(self) -> str:
        """How the file holds its rows: jsonl, json, csv or parquet."""
        return self._source.container

    def __len__(self) -> int:
        return len(self._source)

    def row(self, n: int) -> Row:
        """Row `n` (from 0), opened without reading the others; BadInput when there is none."""
        if not 0 <= n < len(self):
            raise BadInput(f"{self.path} has {len(self)} rows, 0 to {len(self) - 1}: no row {n}")
        return self._row(n, self._source.entry(n))

    def __iter__(self) -> Iterator[Row]:
        return (self._row(n, entry) for n, entry in enumerate(self._source.entries()))

    def _row(self, n: int, entry: Entry) -> Row:
        if entry.problem is not None:
            return broken(self._name, n, entry.line, entry.problem, entry.raw)
        return to_row(entry.value, self._name, n, entry.line)

    def _look(self) -> str:
        """The format of the first rows; BadInput when not one row of the file opens."""
        if len(self) == 0:
            raise BadInput(f"{self.path} holds no rows: give a file with at least one")
        formats = {row.format for row in islice(self, LOOKED_AT) if row.shape != "broken"}
        if not formats:
            opened = next((row for row in self if row.shape != "broken"), None)
            if opened is None:
                first = self.row(0)
                rest = "; no other row opens either" if len(self) > 1 else ""
                raise BadInput(f"{first.where} {first.problem}{rest}")
            formats = {opened.format}
        return formats.pop() if len(formats) == 1 else "mixed"


def open_dataset(path: str | Path) -> Dataset:
    """Open a JSONL, JSON, CSV or Parquet file as a dataset; BadInput says why it can't be."""
    path = Path(path)
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a folder: give one of the files in it")
        with path.open("rb") as file:
            head = file.read(1 << 16)
        if not head:
            raise BadInput(f"{path} is empty: give a file with rows in it")
        return Dataset(path, _source(path, head))
    except FileNotFoundError:
        raise BadInput(f"there is no file {path}") from None
    except (OSError, MemoryError) as error:
        raise BadInput(f"can't read {path}: {error}") from None


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


def _source(path: Path, head: bytes) -> Source:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(f"{path} is UTF-16: save it as UTF-8")
    suffix = path.suffix.lower()
    if suffix == ".parquet" or head.startswith(b"PAR1"):
        return Parquet(path)
    if suffix in (".csv", ".tsv"):
        return Csv(path)
    if suffix not in (".jsonl", ".json", ".ndjson"):
        raise BadInput(f"{path} is not a dataset: tuiwb reads .jsonl, .json, .csv and .parquet")
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"[") and not _rows_follow(text):
        return JsonArray(path)
    if suffix == ".json" and text.startswith(b"{") and _one_object(path, text):
        raise BadInput(f"{path}:1 is one JSON object, not rows: give a list of rows or JSONL")
    return JsonLines(path)


def _rows_follow(text: bytes) -> bool:
    """Whether a file that begins with '[' is JSONL all the same.

    It is when a line is whole by itself and others follow, or when its second line is an object.
    """
    first, _, rest = text.partition(b"\n")
    second = rest.partition(b"\n")[0].strip()
    if _decoded(first) is not None:
        return bool(rest.strip())
    return first.strip() != b"[" and isinstance(_decoded(second), dict)


def _one_object(path: Path, text: bytes) -> bool:
    if isinstance(_decoded(text.split(b"\n", 1)[0]), dict):
        return False
    try:
        return isinstance(json.loads(path.read_bytes().decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _decoded(line: bytes) -> Any:
    """A line as JSON; None when it is none by itself."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
