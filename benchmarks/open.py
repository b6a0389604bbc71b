"""Opening a 1 GB JSONL of 535k chats: ours against VisiData and a cold `datasets`, and the screen.

Each reader runs in a process of its own that has imported what it needs before its clock starts;
all read the same file from a warm page cache, one after the other. The screen is the real program
in a terminal of 120x36 whose project holds that file.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import finish, median
from screen import paint_ratio, scrolling

ROWS = 535_000
RUNS = 5

OURS = """
import json, random, resource, sys, time
import msgspec, numpy
from tuiwb.data.read import open_dataset
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
before = resident()
start = time.perf_counter()
dataset = open_dataset(sys.argv[1], wait=False)
rows = [dataset.row(n) for n in range(50)]
first = time.perf_counter() - start
dataset.wait()
opened = resident() - before
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 - before
del dataset, rows
start = time.perf_counter()
dataset = open_dataset(sys.argv[1])
index = time.perf_counter() - start
places = [random.randrange(len(dataset)) for _ in range(2000)]
start = time.perf_counter()
for n in places:
    dataset.row(n)
row = (time.perf_counter() - start) / len(places)
start, read = time.perf_counter(), 0
for batch in dataset.batches():
    read += len(batch)
    if read >= 100_000:
        break
print(json.dumps({"rows": len(dataset), "first 50 rows, s": first, "index, s": index,
    "random row, ms": row * 1000, "opened, MB": opened, "peak, MB": peak,
    "rows/s iterated": read / (time.perf_counter() - start)}))
"""

VISIDATA = """
import json, sys, time
import visidata
from visidata import vd
sheet = vd.openSource(visidata.Path(sys.argv[1]))
start = time.perf_counter()
sheet.reload()
vd.sync()
print(json.dumps({"rows": len(sheet.rows), "index, s": time.perf_counter() - start}))
"""

DATASETS = """
import json, sys, time
import datasets
datasets.disable_progress_bars()
start = time.perf_counter()
rows = datasets.load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[2])
print(json.dumps({"rows": len(rows), "index, s": time.perf_counter() - start}))
"""


def write_chats(path: Path, rows: int, seed: int = 7) -> None:
    """JSONL chats of about 200 words, 2 KB each; row n asks "question n"."""
    draw = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    weights = range(len(letters), 0, -1)
    words = ["".join(draw.choices(letters, weights, k=draw.randint(2, 11))) for _ in range(5000)]
    texts = [" ".join(draw.choices(words, k=75)) for _ in range(4000)]
    with path.open("w", encoding="utf-8") as file:
        for n in range(rows):
            one, two, three = draw.choices(texts, k=3)
            asked = f"question {n}: {one}\n{two[:280]}"
            said = f'{three} "{two[280:]}" {one[:200]}'
            turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
            file.write(json.dumps({"messages": turns}) + "\n")


def measured(code: str, *arguments: str) -> dict[str, float]:
    """What a fresh Python prints as JSON, after it ran `code`."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        sys.exit(f"a reader failed: {done.stderr[-2000:]}")
    plain: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return plain


def readers(path: Path, folder: Path, rows: int) -> dict[str, dict[str, float]]:
    """What each reader took; every one must have found all rows."""
    runs = [measured(OURS, str(path)) for _ in range(RUNS)]
    found = {
        "tuiwb": {key: median([run[key] for run in runs]) for key in runs[0]},
        "visidata": measured(VISIDATA, str(path)),
        "datasets, cold": measured(DATASETS, str(path), str(folder / "cold")),
    }
    for name, result in found.items():
        if result["rows"] != rows:
            sys.exit(f"{name} found {result['rows']} rows of {rows}")
    return found


def main() -> int:
    """Measure, print the table, say whether the targets hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help="how many chats; 535000 are 1 GB")
    rows: int = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = folder / "project"
        path = project / "data" / "chats.jsonl"
        path.parent.mkdir(parents=True)
        write_chats(path, rows)
        print(f"{rows:,} chats, {path.stat().st_size / 1e6:,.0f} MB")
        found = readers(path, folder, rows)
        for reader, result in found.items():
            print(f"{reader:<16}", "  ".join(f"{k} {v:,.4g}" for k, v in result.items()))
        (path.parent / "a-small.jsonl").write_text('{"text": "small 0: a row"}\n')
        screen = scrolling(project, rows)
        print("screen          ", "  ".join(f"{k} {v:,.4g}" for k, v in screen.items()))
    ratio = paint_ratio()
    print(f"a table of 10M rows paints in {ratio:.2f} of the time of one of 10")
    ours = found["tuiwb"]
    results: dict[str, Any] = {**found, "screen": screen, "paint 10M / 10": ratio}
    return finish(
        "open",
        results,
        {
            "first 50 rows, s": (ours["first 50 rows, s"], 0.3),
            "memory to open, MB": (ours["peak, MB"], 20),
            "key to paint p95, ms": (screen["p95, ms"], 60),
            "first rows on the screen, ms": (screen["first rows, ms"], 300),
            "screen's memory, MB": (screen["peak memory, MB"], 150),
            "paint 10M / 10 rows": (ratio, 1.5),
        },
        at_least={
            "times visidata": (found["visidata"]["index, s"] / ours["index, s"], 40),
            "times cold datasets": (found["datasets, cold"]["index, s"] / ours["index, s"], 10),
        },
    )


if __name__ == "__main__":
    sys.exit(main())
