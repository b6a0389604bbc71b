"""Which source reads a file: by its first bytes, then by its name."""

import json
from pathlib import Path
from typing import Any

from tuiwb.data.index import Cache
from tuiwb.data.sources.array import JsonArray
from tuiwb.data.sources.columns import Arrow, Parquet
from tuiwb.data.sources.entry import BOM
from tuiwb.data.sources.file import PACKED, File, Unpacked, is_packed
from tuiwb.data.sources.lines import JsonLines
from tuiwb.data.sources.records import Source
from tuiwb.data.sources.table import Csv
from tuiwb.errors import BadInput
from tuiwb.project import LINES, TABLES, rows_suffix

READ = "tuiwb reads .jsonl, .json, .csv, .tsv (also .gz or .zst), .parquet and .arrow"
# A larger file is not read whole only to tell one JSON object from rows.
_LOOKED_AT = 1 << 26


def open_source(path: Path, cache: Path | None = None, keep: bool = True) -> Source:
    """The source that reads `path`, its records not found yet; BadInput, OSError if none can.

    `keep` false holds no file open between reads.
    """
    file = File(path, keep)
    if file.size == 0:
        raise BadInput(f"{path} is empty: give a file with rows in it")
    kept = Cache(cache, path, file.stamp) if cache is not None else None
    head = file.head()
    packed = is_packed(head)
    if path.suffix.lower() in PACKED and not packed:
        raise BadInput(f"{path} is not packed as its name says: give it its true name")
    if packed:
        file = Unpacked(path, kept, keep)
        head = file.head()
        if not head:
            raise BadInput(f"{path} {file.problem or 'holds nothing'}: pack it again")
    suffix = rows_suffix(path)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise BadInput(f"{path} is UTF-16: save it as UTF-8")
    if not packed and (suffix == ".parquet" or head.startswith(b"PAR1")):
        return Parquet(path, kept)
    if not packed and (suffix == ".arrow" or head.startswith(b"ARROW1")):
        return Arrow(path, kept)
    if suffix in TABLES:
        return Csv(file, kept)
    if suffix not in LINES:
        raise BadInput(f"{path} is not a dataset: {READ}")
    text = head.removeprefix(BOM).lstrip()
    if text.startswith(b"[") and not _rows_follow(text):
        return JsonArray(file, kept)
    if suffix == ".json" and text.startswith(b"{") and _one_object(file):
        raise BadInput(f"{path}:1 is one JSON object, not rows: give a list of rows or JSONL")
    return JsonLines(file, kept)


def _rows_follow(text: bytes) -> bool:
    """Whether a file that begins with '[' is JSONL all the same.

    It is when a line is whole by itself and others follow, or when its second line is an object;
    never when the first line says that it goes on.
    """
    first, _, rest = text.partition(b"\n")
    if first.rstrip().endswith((b",", b":", b"[", b"{")):
        return False
    second = rest.partition(b"\n")[0].strip()
    if _decoded(first) is not None:
        return bool(rest.strip())
    return isinstance(_decoded(second), dict)


def _one_object(file: File) -> bool:
    """Whether a file that begins with '{' is one object over several lines."""
    first = file.line().removeprefix(BOM).strip()
    if isinstance(_decoded(first), dict):
        return False
    while file.size <= _LOOKED_AT and file.grow():
        pass
    if file.size > _LOOKED_AT:
        return not first.endswith(b"}")
    return isinstance(_decoded(file.read(0, file.size).removeprefix(BOM)), dict)


def _decoded(line: bytes) -> Any:
    """A line as JSON; None when it is none by itself."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
