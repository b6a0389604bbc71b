"""Mix a share of general data into a dataset, so that a fine-tune forgets less of what it knew.

In: a dataset, general data, a share, a seed. Out: a new version in which general rows stand at
places drawn by the seed, each with its source in a column. Rows that repeat one of the dataset, or
each other, are not taken.
"""

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from tuiwb.data.checks.duplicates import EXACT, NEAR, Duplicates
from tuiwb.data.checks.similarity import FAST_FROM
from tuiwb.data.manifest import Operation
from tuiwb.data.read import Dataset, open_dataset
from tuiwb.data.records import batches, record_of, unread_note
from tuiwb.data.rows import Row
from tuiwb.data.versions import Outcome, Progress, Source, VersionWriter, name_of, versions_root
from tuiwb.errors import BadInput

SHARE = 0.2
SOURCE = "source"
# Shapes that one training run can take together (see tuiwb.data.examples.NEEDED).
_TOGETHER = ({"chat", "prompt_completion"}, {"text"}, {"preference"}, {"kto"})
# More are looked at than are needed, for some will repeat others.
_SPARE = 1.2
_FEWEST = 100


def mix(
    path: str | Path,
    general: str | Path,
    *,
    share: float = SHARE,
    seed: int = 0,
    name: str | None = None,
    root: str | Path | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Write the dataset with general rows mixed in as a new version; `dry_run` only counts.

    `share` is that of the general rows in the result; it comes out less when there are too few.
    BadInput when the two can't be trained on together, or no general row is new.
    """
    if not 0 < share < 1:
        raise BadInput(f"the share of general rows is {share:g}: give one between 0 and 1")
    dataset, other = open_dataset(path), open_dataset(general)
    work = _Mix(dataset, other, progress)
    if dry_run:
        operations = work.run(share, seed)
        return Outcome(folder=None, operations=operations, notes=work.notes)
    with VersionWriter(Path(root or versions_root(path)), name or name_of(path)) as writer:
        sources = [
            Source(path, len(dataset), dataset.files), Source(general, len(other), other.files)
        ]  # fmt: skip
        operations = work.run(share, seed)
        work.write(writer, seed)
        folder, version = writer.finish(sources, operations, seed=seed, notes=tuple(work.notes))
    return Outcome(folder=str(folder), operations=operations, notes=work.notes, version=version)


class _Mix:
    """One mixing: general rows in an order drawn by the seed, taken while they are new."""

    def __init__(self, dataset: Dataset, general: Dataset, progress: Progress | None) -> None:
        self.notes = unread_note(dataset) or unread_note(general)
        self._dataset, self._general = dataset, general
        self._tell = progress or (lambda _phase, _done, _total: None)
        self._good = 0
        self._taken: list[int] = []
        self._left: list[tuple[int, str, str]] = []

    def run(self, share: float, seed: int) -> list[Operation]:
        """Choose the rows; what was done."""
        import numpy as np

        shapes, self._good = self._shapes()
        wanted = max(1, round(self._good * share / (1 - share)))
        order = np.random.default_rng(seed).permutation(len(self._general)).tolist()
        looked = 0
        while len(self._taken) < wanted and looked < len(order):
            # Each pass reads the dataset again: every one looks at as many as all before it did.
            more = max(_FEWEST, looked, int((wanted - len(self._taken)) * _SPARE))
            fitting = self._fitting(order[looked : looked + more], shapes)
            if fitting:
                self._take(fitting, wanted)
            looked += more
        if not self._taken:
            why = self._left[0][2] if self._left else "it holds no rows"
            raise BadInput(f"no row of {self._general.path} can be mixed in: of the first, {why}")
        if len(self._taken) < wanted:
            self.notes.append(
                f"{len(self._taken):,} general rows were mixed in, not {wanted:,}: "
                f"{self._general.path} has no more that are new"
            )
        return self._operations(share, seed)

    def write(self, writer: VersionWriter, seed: int) -> None:
        """Write the dataset's rows in their order, the general rows between them."""
        import numpy as np

        total = self._good + len(self._taken)
        random = np.random.default_rng([seed, 1])
        places = set(random.choice(total, len(self._taken), replace=False).tolist())
        taken = iter(self._taken)
        own = (row for row in self._dataset if not self._broken(row, writer))
        labelled = 0
        for place in range(total):
            if place % 2000 == 0:
                self._tell("writing rows", place, total)
            if place in places:
                row = self._general.row(next(taken))
                labelled += SOURCE in row.tags
                tags = {**row.tags, SOURCE: row.tags.get(SOURCE, self._general.path.name)}
                writer.write(record_of(replace(row, tags=tags)))
            else:
                writer.write(record_of(next(own)))
        # What follows the last good row of the dataset is broken, and is listed too.
        for _row in own:
            pass
        for index, reason, why in self._left:
            writer.drop(self._general.row(index), "mix", reason, why)
        if labelled:
            self.notes.append(f"{labelled:,} general rows kept the {SOURCE!r} column they had")
        self._tell("writing rows", total, total)

    @staticmethod
    def _broken(row: Row, writer: VersionWriter) -> bool:
        if row.shape == "broken":
            writer.drop(row, "read", "broken", f"the row {row.problem}")
        return row.shape == "broken"

    def _shapes(self) -> tuple[set[str], int]:
        """The shapes a general row may have, and how many rows of the dataset can be read."""
        have: dict[str, int] = {}
        done = 0
        for batch in batches(self._dataset):
            self._tell("reading rows", done, len(self._dataset))
            for row in batch:
                have[row.shape] = have.get(row.shape, 0) + 1
            done += len(batch)
        have.pop("broken", None)
        fitting = [group for group in _TOGETHER if group & have.keys()]
        return set().union(*fitting), sum(have.values())

    def _fitting(self, candidates: Sequence[int], shapes: set[str]) -> list[int]:
        """Those that can be trained along; the others are listed as left out."""
        fitting = []
        for index in candidates:
            row = self._general.row(index)
            if row.shape in shapes:
                fitting.append(index)
            else:
                why = row.problem if row.shape == "broken" else f"is a {row.format} row"
                self._left.append((index, "shape", f"the row {why}: it can't be trained along"))
        return fitting

    def _take(self, candidates: Sequence[int], wanted: int) -> None:
        """Take those that are new, up to `wanted` in all; say of the others why not."""
        shift = len(self._dataset)
        duplicates = Duplicates(fast=shift + len(candidates) >= FAST_FROM)
        copies: dict[int, int] = {}
        exact: set[int] = set()

        def see(rows: Sequence[Row]) -> None:
            found = duplicates.add(rows)
            copies.update((f.row, f.of) for f in found if f.of is not None)
            exact.update(f.row for f in found if f.check == EXACT)

        done = 0
        for batch in batches(self._dataset):
            self._tell("comparing rows", done, shift)
            see(batch)
            done += len(batch)
        order = [*self._taken, *candidates]
        for batch in batches(self._general.row(n) for n in order):
            see([replace(row, index=n) for n, row in enumerate(batch, shift)])
            shift += len(batch)
        for _finding in duplicates.end():
            pass
        near: dict[int, list[int]] = {}
        for later, earlier, _score in duplicates.edges():
            near.setdefault(later, []).append(earlier)
        own = len(self._dataset)
        kept = set(range(own + len(self._taken)))
        for n, index in enumerate(candidates, own + len(self._taken)):
            if len(self._taken) == wanted:
                return
            # A copy is as near to what is kept as the one it is a copy of.
            beside = [*near.get(n, ()), *near.get(copies.get(n, -1), ())]
            of = next((other for other in sorted(beside) if other in kept), None)
            if of is not None:
                very = n in exact and copies[n] == of
                whose = f"row {of} of the dataset" if of < own else "another that is mixed in"
                says = "exactly" if very else "nearly"
                reason = EXACT if very else NEAR
                self._left.append((index, reason, f"the row says {says} what {whose} says"))
            else:
                kept.add(n)
                self._taken.append(index)

    def _operations(self, share: float, seed: int) -> list[Operation]:
        broken = len(self._dataset) - self._good
        dropped: dict[str, int] = {}
        for _row, reason, _why in self._left:
            dropped[reason] = dropped.get(reason, 0) + 1
        total = self._good + len(self._taken)
        read = {"in": len(self._dataset), "out": self._good}
        return [
            Operation(
                op="read",
                counts={**read, "dropped": {"broken": broken} if broken else {}, "changed": 0},
            ),
            Operation(
                op="mix",
                parameters={"with": str(self._general.path), "share": share, "seed": seed},
                counts={
                    "in": self._good + len(self._taken) + len(self._left),
                    "out": total,
                    "dropped": dropped,
                    "changed": len(self._taken),
                    "own": self._good,
                    "general": len(self._taken),
                    "share": round(len(self._taken) / total, 4),
                },
            ),
        ]
