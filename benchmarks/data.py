"""The data checks on generated corpora with known truth, against datasketch and presidio.

`python benchmarks/data.py` takes about ten minutes and 1 GB; `--million` adds a run on a million
rows (half an hour, 8 GB): peak memory against datasketch's, and time from 10k to 1M rows.
"""

import argparse
import sys
from typing import Any

import duplicates
import pii
from common import finish

PRECISION, DENSE, CLEAN = 0.95, 30.0, 300.0
# What presidio has rules for without an NER model; it knows no names, addresses and secrets.
BOTH_KNOW = ("email", "phone", "card", "iban", "ip", "national_id")


def personal_data(rows: int, peer_rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The results, and the targets they must reach as (value, at least)."""
    result = pii.measure(rows, peer_rows)
    print(pii.table(result))
    reach: dict[str, tuple[float, float]] = {}
    for corpus, found in result["corpora"].items():
        for kind in pii.KINDS:
            if kind in found["ours"] and found["ours"][kind]["planted"]:
                reach[f"pii, {corpus}: precision of {kind}"] = (
                    found["ours"][kind]["precision"], PRECISION,
                )  # fmt: skip
        for kind in BOTH_KNOW:
            ours, theirs = found["ours, presidio's rows"][kind], found["presidio"][kind]
            reach[f"pii, {corpus}: recall of {kind} against presidio's"] = (
                ours["recall"], theirs["recall"],
            )  # fmt: skip
    for name, speed in result["speed"].items():
        if isinstance(speed, dict):
            least = CLEAN if name == "clean" else DENSE
            reach[f"pii, {name}: times presidio's rows/s"] = (speed["ratio"], least)
    return result, reach


def main() -> int:
    """Measure, print the tables and the closing JSON; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=4000, help="texts with personal data")
    parser.add_argument("--peer-rows", type=int, default=800, help="of them, those presidio reads")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--million", action="store_true")
    arguments = parser.parse_args()
    found, reach = personal_data(arguments.rows, arguments.peer_rows)
    results: dict[str, Any] = {"pii": found}
    near, most = duplicates.measure(arguments.documents, repeats=arguments.repeats)
    duplicates.show(near)
    results["duplicates"] = near
    if arguments.million:
        large, limits = duplicates.measure(1_000_000, repeats=1, linear=True, leakage=False)
        duplicates.show(large)
        results["duplicates, a million"] = large
        most |= {f"a million, {name}": limit for name, limit in limits.items()}
    return finish("data", results, most, reach)


if __name__ == "__main__":
    sys.exit(main())
