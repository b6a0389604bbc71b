"""Near-duplicates and leakage against datasketch and a Python 8-gram set, on known truth.

`python benchmarks/duplicates.py --documents 100000` prints speed, precision, recall and peak
memory of both in one run; `--documents 1000000 --linear` adds ours at 10k, 100k and 1M rows. Each
measurement is a process of its own, so that peak memory is that of one method. The corpus is
generated and streamed; only the method's own work on ready rows is timed.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.corpora.chats import Chats, Truth, leaks
from tuiwb.data.checks.duplicates import Duplicates
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.rows import Row

PRECISION, RECALL, TIMES, LEAK_TIMES = 0.99, 0.95, 20.0, 8.0
MEGABYTES, LINEAR = 1536.0, 1.5
# Blocks of rows made ready before the clock runs.
READY = 10
LINEAR_SIZES = (10_000, 100_000, 1_000_000)


class Truths:
    """What each row is, in little room: the corpus must not outweigh what is measured."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.roots = array("q")

    def add(self, truths: Sequence[Truth]) -> None:
        """The next rows' truth."""
        self.kinds.extend(truth.kind for truth in truths)
        self.roots.extend(truth.root for truth in truths)


def measure(
    documents: int = 100_000, *, repeats: int = 3, linear: bool = False, leakage: bool = True
) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Results, and targets as (value, at most); values that must be large are turned over.

    Ours runs before and after datasketch; the medians of the ratios count, for machines drift.
    """
    before = [_alone("ours", documents) for _ in range((repeats + 1) // 2)]
    peer = _alone("datasketch", documents)
    after = [_alone("ours", documents) for _ in range(repeats // 2)]
    ours = sorted(before + after, key=lambda run: float(run["documents_per_second"]))
    middle = ours[len(ours) // 2]
    times = middle["documents_per_second"] / peer["documents_per_second"]
    results: dict[str, Any] = {
        "near": {"ours": ours, "datasketch": peer, "times_datasketch": round(times, 1)}
    }
    targets = {
        "near: datasketch's speed over ours": (1 / times, 1 / TIMES),
        "near: false flags": (1 - middle["precision"], 1 - PRECISION),
        "near: missed": (1 - middle["recall"], 1 - RECALL),
    }
    if documents <= 100_000:
        targets["near: peak MB"] = (middle["peak_mb"], MEGABYTES)
    else:
        targets["near: peak of datasketch's"] = (middle["peak_mb"] / peer["peak_mb"], 0.5)
    if linear:
        sizes = {n: middle if n == documents else _middle(n) for n in LINEAR_SIZES}
        results["linear"] = {str(n): run for n, run in sizes.items()}
        first, last = (sizes[n]["cpu_us_per_row"] for n in (LINEAR_SIZES[0], LINEAR_SIZES[-1]))
        targets["near: processor time a row, 1M over 10k"] = (last / first, LINEAR)
    if leakage:
        leak = _alone("leakage", min(documents, 100_000))
        results["leakage"] = leak
        targets["leakage: 8-gram set's speed over ours"] = (1 / leak["times_set"], 1 / LEAK_TIMES)
        targets["leakage: false flags"] = (1 - leak["precision"], 0.05)
        targets["leakage: missed"] = (1 - leak["recall"], 0.05)
    return results, targets


def _middle(documents: int) -> dict[str, Any]:
    """The run of three with the median processor time."""
    runs = [_alone("ours", documents) for _ in range(3)]
    return sorted(runs, key=lambda run: float(run["cpu_us_per_row"]))[1]


def show(results: dict[str, Any]) -> None:
    """The results as a table."""
    near = results["near"]
    print(f"{'near-duplicates':<26}{'rows/s':>9}{'P':>7}{'R':>7}{'peak MB':>9}")
    for name, run in (*(("ours", run) for run in near["ours"]), ("datasketch", near["datasketch"])):
        print(f"  {name:<24}{run['documents_per_second']:>9,}{run['precision']:>7.3f}"
              f"{run['recall']:>7.3f}{run['peak_mb']:>9,.0f}")  # fmt: skip
    print(f"  times datasketch's rows/s: {near['times_datasketch']}")
    for size, run in results.get("linear", {}).items():
        print(
            f"  {int(size):>9,} rows: {run['documents_per_second']:,} rows/s, "
            f"{run['cpu_us_per_row']} us of processor time a row, {run['peak_mb']:.0f} MB"
        )
    if leak := results.get("leakage"):
        print(f"leakage: {leak['times_set']} times an 8-gram set, "
              f"P {leak['precision']:.3f}, R {leak['recall']:.3f}")  # fmt: skip


def ours(documents: int) -> dict[str, Any]:
    """The near-duplicate pass from rows to edges: words, hashes, exact pass and all."""
    loaded = _load()
    duplicates, truths, seconds, cpu = Duplicates(), Truths(), 0.0, 0.0
    exact = 0
    blocks = Chats().blocks(documents)
    while ready := list(islice(blocks, READY)):
        for _, truth in ready:
            truths.add(truth)
        start, used = time.perf_counter(), time.process_time()
        for rows, _ in ready:
            exact += len(duplicates.add(rows))
        # Its thread must not go on while the clock stands still.
        duplicates._near.wait()
        seconds += time.perf_counter() - start
        cpu += time.process_time() - used
    start, used = time.perf_counter(), time.process_time()
    near = [(finding.row, finding.of or 0) for finding in duplicates.end()]
    edges = duplicates.edges()
    seconds += time.perf_counter() - start
    cpu += time.process_time() - used
    return {
        **_score(truths, near),
        "documents_per_second": round(documents / seconds),
        "seconds": round(seconds, 3),
        "cpu_us_per_row": round(1e6 * cpu / documents, 1),
        "load_seconds": loaded,
        "exact_found": exact,
        "exact_planted": truths.kinds.count("exact"),
        "edges": len(edges),
    }


def datasketch(documents: int) -> dict[str, Any]:
    """MinHash LSH at its usual setting: 5-word shingles, 128 permutations, threshold 0.7."""
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(threshold=0.7, num_perm=128)
    truths = Truths()
    flagged: list[tuple[int, int]] = []
    seconds = 0.0
    for rows, truth in Chats().blocks(documents):
        truths.add(truth)
        start = time.perf_counter()
        shingles = []
        for row in rows:
            words = " ".join(m.content for m in row.messages or ()).lower().split()
            runs = {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
            shingles.append([run.encode() for run in runs])
        # bulk is its fastest way: the permutations are drawn once.
        for row, sketch in zip(rows, MinHash.bulk(shingles, num_perm=128), strict=True):
            for other in lsh.query(sketch):
                flagged.append((row.index, int(other)))
            lsh.insert(row.index, sketch, check_duplication=False)
        seconds += time.perf_counter() - start
    # Of several candidates the right one counts where there is one.
    best = {row: of for row, of in flagged if truths.kinds[row] != "exact"}
    best |= {row: of for row, of in flagged
             if truths.kinds[row] != "exact" and truths.roots[row] == truths.roots[of]}  # fmt: skip
    return {
        **_score(truths, list(best.items())),
        "documents_per_second": round(documents / seconds),
        "seconds": round(seconds, 3),
    }


def leakage(documents: int) -> dict[str, Any]:
    """Held-out prompts in training rows, ours and a Python set of 8-grams over the same texts."""
    corpus = leaks(documents)
    load = _load()
    tries = []
    for _ in range(3):
        start = time.perf_counter()
        check = Leakage(corpus.held_out, "held.jsonl")
        findings = []
        for first in range(0, documents, 2_000):
            findings.extend(check.add(corpus.train[first : first + 2_000]))
        findings.extend(check.end())
        tries.append(time.perf_counter() - start)
    seconds = statistics.median(tries)
    start = time.perf_counter()
    flagged = _gram_set(corpus.held_out, corpus.train)
    peer_seconds = time.perf_counter() - start
    right = {f.row for f in findings if corpus.planted.get(f.row) == f.of}
    found = {
        kind: sum(row in right for row, k in corpus.kinds.items() if k == kind)
        / max(1, sum(k == kind for k in corpus.kinds.values()))
        for kind in ("verbatim", "edited", "embedded")
    }
    return {
        "precision": round(len(right) / max(1, len(findings)), 4),
        "recall": round(len(right) / len(corpus.planted), 4),
        "recall_by_kind": {kind: round(share, 4) for kind, share in found.items()},
        "exact": sum(f.kind == "exact" for f in findings),
        "planted": len(corpus.planted),
        "seconds": round(seconds, 3),
        "load_seconds": load,
        "set_seconds": round(peer_seconds, 3),
        "set_precision": round(len(flagged & corpus.planted.keys()) / max(1, len(flagged)), 4),
        "set_recall": round(len(flagged & corpus.planted.keys()) / len(corpus.planted), 4),
        "times_set": round(peer_seconds / seconds, 1),
        "peak_mb": _peak(),
    }


def _gram_set(held_out: list[Row], train: list[Row], n: int = 8) -> set[int]:
    known: set[str] = set()
    for row in held_out:
        words = _asked(row)
        known.update(" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))
    flagged = set()
    for row in train:
        words = _asked(row)
        grams = (" ".join(words[i : i + n]) for i in range(max(1, len(words) - n + 1)))
        if any(gram in known for gram in grams):
            flagged.add(row.index)
    return flagged


def _asked(row: Row) -> list[str]:
    return " ".join(m.content for m in row.messages or () if m.role == "user").lower().split()


def _score(truths: Truths, flagged: list[tuple[int, int]]) -> dict[str, Any]:
    """Share of flags whose pair has one source, and share of planted near ones so flagged."""
    right = [row for row, of in flagged if truths.roots[row] == truths.roots[of]]
    planted = [row for row, kind in enumerate(truths.kinds) if kind == "near"]
    found = set(right)
    return {
        "precision": round(len(right) / max(1, len(flagged)), 4),
        "recall": round(sum(row in found for row in planted) / max(1, len(planted)), 4),
        "flagged": len(flagged),
        "planted": len(planted),
        "peak_mb": _peak(),
    }


def _load() -> float:
    """Seconds to load the compiled kernels: compiled once per installation, then from disk."""
    rows = next(Chats(3).blocks(300))[0]
    start = time.perf_counter()
    duplicates = Duplicates()
    duplicates.add(rows)
    list(duplicates.end())
    leak = Leakage(rows[:20], "")
    leak.add(rows)
    list(leak.end())
    return round(time.perf_counter() - start, 2)


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


METHODS: dict[str, Callable[[int], dict[str, Any]]] = {
    "ours": ours,
    "datasketch": datasketch,
    "leakage": leakage,
}


def _alone(method: str, documents: int) -> dict[str, Any]:
    """Run one method in a process of its own."""
    command = [sys.executable, __file__, "--only", method, "--documents", str(documents)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{method} {documents}: {json.dumps(result)}", flush=True)
    return result


def main() -> int:
    """Measure, print, and say whether the targets are met."""
    from benchmarks.common import finish

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--linear", action="store_true", help="ours at 10k, 100k and 1M rows too")
    parser.add_argument("--only", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(METHODS[arguments.only](arguments.documents)))
        return 0
    results, targets = measure(
        arguments.documents, repeats=arguments.repeats, linear=arguments.linear
    )
    show(results)
    return finish("duplicates", results, targets)


if __name__ == "__main__":
    sys.exit(main())
