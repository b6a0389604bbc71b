"""The gate on real runs of the sample project: SHIP for the good one alone.

    python benchmarks/gate.py            all of them (about five minutes on a quiet core)
    python benchmarks/gate.py NAME ...   those of these names
    python benchmarks/gate.py --short    the good run for one epoch, as the tests train it

Trains each on the tiny model, compares, evaluates and asks the gate. Prints a table of verdicts and
lines, then one JSON line; exits 1 on a verdict that is not the one expected or a fault that its
line did not catch.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from common import machine  # noqa: E402

from tests.compare.gate_runs import (  # noqa: E402
    SHORT,
    build,
    cases,
    judged,
    line_words,
    seconds,
    train,
)
from tuiwb.compare.gate.report import write_reports  # noqa: E402
from tuiwb.compare.gate.verdict import Gate, write_gate  # noqa: E402
from tuiwb.project import copy_sample  # noqa: E402


def main(names: list[str]) -> int:
    """Run the cases; returns the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="gate-"))
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    good = SHORT if "--short" in names else {}
    names = [name for name in names if name != "--short"]
    known = [case.name for case in cases(good)]
    if strange := [name for name in names if name not in known]:
        sys.exit(f"there is no run {strange[0]!r}: one of {', '.join(known)}")
    found: dict[str, Gate] = {}
    results, missed = {}, []
    try:
        project = copy_sample(folder / "project")
        build(project.root)
        for case in cases(good):
            if names and case.name not in names:
                continue
            run, trained = seconds(lambda case=case: train(project, case))
            verdict, measured = seconds(lambda case=case: judged(project, case.name))
            found[case.name] = verdict
            write_gate(run, verdict)
            write_reports(run, verdict, Path(os.environ.get("OUT", folder)) / case.name)
            said = line_words(verdict)
            uncaught = [name for name in case.wrong if said.get(name) == "ok"]
            if verdict.verdict != case.verdict or uncaught:
                missed.append(case.name)
            results[case.name] = {
                "verdict": verdict.verdict,
                "expected": case.verdict,
                "lines": {line.name: [line.ok, line.figure] for line in verdict.lines},
                "uncaught": uncaught,
                "train_seconds": round(trained, 1),
                "compare_and_eval_seconds": round(measured, 1),
            }
            print(f"{case.name}: {verdict.sentence} ({trained:.0f} + {measured:.0f} s)", flush=True)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        shutil.rmtree(folder, ignore_errors=True)
    print()
    print(table(found))
    print()
    targets = {
        name: {
            "value": result["verdict"],
            "target": result["expected"],
            "ok": name not in missed,
        }
        for name, result in results.items()
    }
    print(
        json.dumps({"name": "gate", "machine": machine(), "results": results, "targets": targets})
    )
    return 1 if missed else 0


def table(found: dict[str, Gate]) -> str:
    """A row a line, a column a run."""
    names = list(dict.fromkeys(line.name for gate in found.values() for line in gate.lines))
    head = ["", *found]
    rows = [["verdict", *(gate.verdict for gate in found.values())]]
    for name in names:
        rows.append([name, *(line_words(gate).get(name, "-") for gate in found.values())])
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
