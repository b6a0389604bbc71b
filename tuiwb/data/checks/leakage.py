"""Held-out prompts that stand in the training data."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.checks.similarity import AHEAD, load_kernels
from tuiwb.data.checks.spill import Spill
from tuiwb.data.checks.words import Texts, asked_texts, asks
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from tuiwb.data.checks.hashes import I64

# Runs of N words; at N = 8 or 13 without a share, shared phrases flag every other row.
N = 5
CONTAINED, FEWEST, COMMON = 0.3, 3, 10
BATCH = 2_000


class Leakage:
    """Compares training rows with held-out prompts by the five-word runs they share.

    A training row leaks a prompt exactly when it asks the same, case and white space aside. It
    leaks it nearly when it holds at least CONTAINED of the prompt's runs, FEWEST or all of them;
    runs that stand in more than COMMON training rows or prompts are boilerplate and count for
    nothing. A prompt of fewer words is one run. No text is kept. `file` names held-out rows that
    do not say which file they stand in. Without `fast` the compiled kernels are not loaded; what is
    found is the same.
    """

    def __init__(self, held_out: Iterable[Row], file: str, *, fast: bool = True) -> None:
        import numpy as np

        self._kernels = load_kernels(fast)
        self._prompts: dict[int, int] = {}
        self._held: list[tuple[int, int, str]] = []
        grams, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        rows = iter(held_out)
        while batch := list(islice(rows, BATCH)):
            words = self._kernels.tokenise(asked_texts(batch))
            hashed, bounds = self._kernels.grams(words, N)
            numbers = np.full(len(batch), -1, np.int64)
            for i, (row, digest) in enumerate(zip(batch, words.digests.tolist(), strict=True)):
                # The same prompt twice is one prompt: the first stands for it.
                if digest not in self._prompts and asks(row):
                    numbers[i] = self._prompts[digest] = len(self._held)
                    self._held.append((row.index, row.line, row.file or file))
            owner = np.repeat(numbers, np.diff(bounds))
            grams.append(hashed[owner >= 0])
            owners.append(owner[owner >= 0])
        flat, holders = np.concatenate(grams), np.concatenate(owners)
        order = np.lexsort((holders, flat))
        flat, holders = flat[order], holders[order]
        new_run = np.append(True, flat[1:] != flat[:-1])[: len(flat)]
        first = new_run | np.append(True, holders[1:] != holders[:-1])[: len(flat)]
        self._holders = holders[first]
        self._bounds = np.append(np.flatnonzero(new_run[first]), len(self._holders))
        self._known = self._kernels.Known(flat[new_run])
        self._rows: list[I64] = []
        self._shared, self._sizes = Spill(), Spill()
        # Rows are looked at in a thread beside the caller's, who meanwhile reads the next ones.
        self._thread = ThreadPoolExecutor(1, "leakage")
        self._waiting: deque[Future[list[Finding]]] = deque()
        self._files: dict[str, int] = {}

    def add(self, rows: Sequence[Row]) -> list[Finding]:
        """Look at the next training rows; findings of exact leaks as they become known."""
        self._waiting.append(self._thread.submit(self._look, list(rows), asked_texts(rows)))
        findings: list[Finding] = []
        while self._waiting and (len(self._waiting) > AHEAD or self._waiting[0].done()):
            findings.extend(self._waiting.popleft().result())
        return findings

    def _look(self, rows: list[Row], texts: Texts) -> list[Finding]:
        """Remember which held-out runs the rows hold; findings of exact leaks."""
        import numpy as np

        words = self._kernels.tokenise(texts)
        findings: list[Finding] = []
        near = np.ones(len(rows), bool)
        for i, digest in enumerate(words.digests.tolist()):
            prompt = self._prompts.get(digest)
            if prompt is not None:
                near[i] = False
                findings.append(self._finding(rows[i], prompt, "exact", 1.0))
        owner, places = self._known.find(words, N)
        # Exact leaks do not make a prompt's runs common: its edited copies are still found.
        owner, places = owner[near[owner]], places[near[owner]]
        held = np.bincount(owner, minlength=len(rows))
        sharing = np.flatnonzero(held)
        self._shared.append(places.astype(np.uint32))
        self._sizes.append(held[sharing].astype(np.uint32))
        files = self._files
        where = [
            (row.index, row.line, files.setdefault(row.file, len(files)))
            for row in (rows[i] for i in sharing.tolist())
        ]
        self._rows.append(np.array(where, np.int64).reshape(-1, 3))
        return findings

    def end(self) -> Iterator[Finding]:
        """The other findings: each leaking row with the held-out row it holds most of."""
        import numpy as np

        while self._waiting:
            yield from self._waiting.popleft().result()
        self._thread.shutdown()
        rows = np.concatenate([np.empty((0, 3), np.int64), *self._rows])
        places = self._shared.array()
        owner = np.repeat(np.arange(len(rows)), self._sizes.array())
        holders = np.diff(self._bounds)
        rare = (np.bincount(places, minlength=len(holders)) <= COMMON) & (holders <= COMMON)
        sizes = np.bincount(self._holders[np.repeat(rare, holders)], minlength=len(self._held))

        counted = rare[places]
        place, owner = places[counted].astype(np.int64), owner[counted]
        repeats = holders[place]
        nth = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        prompt = self._holders[np.repeat(self._bounds[place], repeats) + nth]
        keys = np.repeat(owner, repeats) * max(1, len(self._held)) + prompt
        pairs, hits = np.unique(keys, return_counts=True)
        owner, prompt = np.divmod(pairs, max(1, len(self._held)))
        score = hits / sizes[prompt]
        enough = (score >= CONTAINED) & (hits >= np.minimum(sizes[prompt], FEWEST))
        owner, prompt, score = owner[enough], prompt[enough], score[enough]
        order = np.lexsort((prompt, -score, owner))
        best = order[np.append(True, np.diff(owner[order]) != 0)[: len(order)]]
        names = list(self._files)
        for i in best.tolist():
            index, line, file = rows[owner[i]].tolist()
            row = Row(file=names[file], index=index, line=line, format="", shape="broken")
            yield self._finding(row, int(prompt[i]), "near", float(score[i]))

    def _finding(self, row: Row, prompt: int, kind: str, score: float) -> Finding:
        of, line, file = self._held[prompt]
        verb = "asks what" if kind == "exact" else f"holds {score:.0%} of"
        ending = " asks" if kind == "exact" else ""
        return found(
            row,
            "leakage",
            f"{verb} held-out row {of}{ending} ({file}:{line})",
            severity="error",
            kind=kind,
            of=of,
            of_file=file,
            score=round(score, 4),
        )
