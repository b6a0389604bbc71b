"""Set a share of a dataset apart as held-out, so that nothing of it is known from training.

In: a dataset's path, a share or a number of rows, a seed. Out: a new version with train.jsonl and
heldout.jsonl. Rows that are copies of each other, nearly say the same, or ask the same stay on one
side, and the leakage check finds nothing of the one in the other.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.similarity import FAST_FROM
from tuiwb.data.groups import Groups, held_out_groups, quotas
from tuiwb.data.manifest import HELD_OUT, TRAIN, Operation
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.records import batches, record_of, unread_note
from tuiwb.data.rows import Row
from tuiwb.data.versions import Outcome, Progress, Source, VersionWriter, name_of, versions_root
from tuiwb.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHARE = 0.05
MOST_STRATA = 1000
_NONE = "(none)"
_ASKED = frozenset(("user",))


def split(
    path: str | Path,
    *,
    share: float | None = None,
    rows: int | None = None,
    seed: int = 0,
    by: str | None = None,
    name: str | None = None,
    root: str | Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the dataset as a new version of two files; with `dry_run` only count.

    `share` (0.05 if neither is given) or `rows` say how much is held out; clusters stay whole, so
    it can come out less. With `by`, a column, each of its values gives the same share. BadInput
    when that can't be done: too few rows, no such column, or every row is known from another.
    """
    if share is not None and rows is not None:
        raise BadInput("give a share or a number of rows to hold out, not both")
    share = SHARE if share is None and rows is None else share
    if share is not None and not 0 < share < 1:
        raise BadInput(f"the held-out share is {share:g}: give one between 0 and 1, e.g. 0.05")
    dataset = open_dataset(path)
    work = _Split(dataset, by, progress)
    if dry_run:
        operations = work.run(share, rows, seed)
        return Outcome(folder=None, operations=operations, notes=work.notes)
    with VersionWriter(Path(root or versions_root(path)), name or name_of(path)) as writer:
        source = Source(path, len(dataset), dataset.files)
        operations = work.run(share, rows, seed)
        work.write(writer)
        folder, version = writer.finish(
            [source], operations, seed=seed, files=(TRAIN, HELD_OUT), notes=tuple(work.notes)
        )
    return Outcome(folder=str(folder), operations=operations, notes=work.notes, version=version)


class _Split:
    """One split: rows into groups, groups to a side, until nothing leaks."""

    def __init__(self, dataset: Dataset, by: str | None, progress: Progress | None) -> None:
        self.notes = unread_note(dataset)
        self._dataset, self._by = dataset, by
        self._tell = progress or (lambda _phase, _done, _total: None)
        self._fast = len(dataset) >= FAST_FROM
        self._broken: list[int] = []
        self._strata: dict[str, int] = {}
        self._held: NDArray[np.bool_]

    def run(self, share: float | None, rows: int | None, seed: int) -> list[Operation]:
        """Decide which rows are held out; what was done."""
        import numpy as np

        total = len(self._dataset)
        groups = self._grouped()
        good = total - len(self._broken)
        wanted = rows if rows is not None else max(1, round((share or 0) * good))
        if not 0 < wanted < good:
            raise BadInput(
                f"can't hold {wanted:,} of {good:,} rows out: give fewer, and at least one"
            )
        sizes = np.bincount(groups.strata[groups.row_group >= 0], minlength=len(self._strata))
        aims = quotas(sizes.tolist(), wanted)
        banned: set[int] = set()
        passes = 0
        while True:
            chosen = held_out_groups(groups, aims, seed, banned)
            self._held = groups.rows_in(chosen)
            if not self._held.any():
                raise BadInput(
                    f"nothing of {self._dataset.path} can be held out: every row is a near copy "
                    "of others, or asks what they ask"
                )
            passes += 1
            leaking = {int(groups.row_group[of]) for of in self._leaks(passes)}
            if not leaking:
                break
            banned |= leaking
        held = int(self._held.sum())
        if held < 0.9 * wanted:
            self.notes.append(
                f"{held:,} rows are held out, not {wanted:,}: the others are near copies of more "
                "rows than that, or ask what rows in training ask"
            )
        return self._operations(groups, share, rows, seed, passes, len(banned))

    def write(self, writer: VersionWriter) -> None:
        """Write both files, in the order of the source."""
        total = len(self._dataset)
        done = 0
        for batch in batches(self._dataset):
            self._tell("writing rows", done, total)
            for row in batch:
                if row.shape == "broken":
                    writer.drop(row, "read", "broken", f"the row {row.problem}")
                else:
                    held = bool(self._held[row.index])
                    writer.write(record_of(row), HELD_OUT if held else TRAIN)
            done += len(batch)
        self._tell("writing rows", total, total)

    def _grouped(self) -> Groups:
        """Every row with those it may not be parted from."""
        total = len(self._dataset)
        duplicates = Duplicates(fast=self._fast)
        prompts, strata = array("Q"), array("l")
        for batch in batches(self._dataset):
            self._tell("comparing rows", len(prompts), total)
            duplicates.add(batch)
            for row in batch:
                prompts.append(_prompt(row))
                strata.append(self._stratum(row))
                if row.shape == "broken":
                    self._broken.append(row.index)
        for _finding in duplicates.end():
            pass
        if self._by is not None and set(self._strata) == {_NONE}:
            names = sorted({name for row in _first(self._dataset, 200) for name in row.tags})
            have = ", ".join(names[:20]) or "none"
            raise BadInput(f"{self._dataset.path} has no column {self._by!r}: it has {have}")
        return Groups(prompts, strata, duplicates.clusters(), self._broken)

    def _stratum(self, row: Row) -> int:
        if row.shape == "broken":
            return 0
        value = _NONE if self._by is None else row.tags.get(self._by, _NONE)
        name = value if isinstance(value, str) else str(value)
        if name not in self._strata and len(self._strata) == MOST_STRATA:
            raise BadInput(
                f"the column {self._by!r} has more than {MOST_STRATA} different values: "
                "split by one that has few"
            )
        return self._strata.setdefault(name, len(self._strata))

    def _leaks(self, passes: int) -> Iterator[int]:
        """The held-out rows that the leakage check finds in training."""
        total = len(self._dataset)
        held = (self._dataset.row(int(n)) for n in self._held.nonzero()[0])
        leakage = Leakage(held, str(self._dataset.path), fast=self._fast)
        done = 0
        for batch in batches(self._dataset):
            self._tell(f"looking for leaks, pass {passes}", done, total)
            train = [row for row in batch if not self._held[row.index] and row.shape != "broken"]
            yield from (f.of for f in leakage.add(train) if f.of is not None)
            done += len(batch)
        yield from (f.of for f in leakage.end() if f.of is not None)

    def _operations(
        self,
        groups: Groups,
        share: float | None,
        rows: int | None,
        seed: int,
        passes: int,
        moved: int,
    ) -> list[Operation]:
        total, broken = len(self._dataset), len(self._broken)
        good, held = total - broken, int(self._held.sum())
        read = {"in": total, "out": good, "dropped": {"broken": broken} if broken else {}}
        counts: dict[str, Any] = {"in": good, "out": good, "dropped": {}, "changed": 0}
        counts |= {"train": good - held, "heldout": held, "share": round(held / good, 4)}
        counts |= {"groups": groups.count, "leakage_passes": passes, "moved_to_train": moved}
        if self._by is not None:
            of = Counter(groups.strata[groups.row_group >= 0].tolist())
            out = Counter(groups.strata[self._held].tolist())
            counts["by"] = {
                name: {"rows": of[n], "heldout": out[n]} for name, n in self._strata.items()
            }
        asked = {"share": share, "rows": rows, "by": self._by, "seed": seed}
        return [
            Operation(op="read", counts={**read, "changed": 0}),
            Operation(op="split", parameters=asked, counts=counts),
        ]


def _prompt(row: Row) -> int:
    """A hash of what users ask in the row, case and white space aside; 0 when they ask nothing."""
    asked = [text for _field, role, text in row.fields() if role in _ASKED]
    words = " ".join(" ".join(asked).split()).casefold()
    if not words:
        return 0
    digest = hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") or 1


def _first(dataset: Dataset, count: int) -> list[Row]:
    return [dataset.row(n) for n in range(min(count, len(dataset)))]
