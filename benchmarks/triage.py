"""Triage's confusion table: each rule against runs that provoke it and twenty healthy ones.

    python benchmarks/triage.py record [NAME ...]   train them for real (half an hour on one core)
    python benchmarks/triage.py                     replay what was recorded; exit 1 on a miss

The replay writes the table into docs/triage.md and measures what the rules cost a log entry, with
writing the same event into the log as the floor.
"""

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from common import finish  # noqa: E402
from triage_cases import build_data, healthy, provoked  # noqa: E402
from triage_noise import simulate  # noqa: E402

from tests.monitor.recording import RECORDED, Recorded, events_of, recorded, replay  # noqa: E402
from tuiwb.jobs.events import Alert, EventWriter, Metrics  # noqa: E402
from tuiwb.monitor.triage import Triage  # noqa: E402
from tuiwb.project import copy_sample  # noqa: E402

DOCS = HERE.parent / "docs" / "triage.md"
BEGIN, END = "<!-- confusion table: begin -->", "<!-- confusion table: end -->"
HALVES = ("tune", "report")


def record_all(names: list[str]) -> None:
    """Train the cases whose names begin with one of `names` (all without any)."""
    from triage_constructed import construct
    from triage_record import record

    cases = [c for c in [*healthy(), *provoked()] if not names or c.name.startswith(tuple(names))]
    folder = Path(tempfile.mkdtemp(prefix="triage-"))
    try:
        project = copy_sample(folder / "project")
        build_data(project.root)
        for case in cases:
            seconds = record(project, case, RECORDED)
            print(f"{case.name:<28} {seconds:6.1f} s", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not names:
        construct(RECORDED)


def fired(alerts: list[Alert]) -> set[str]:
    """The rules that said something."""
    return {alert.rule for alert in alerts}


def loud(alerts: list[Alert]) -> set[str]:
    """The rules that said something above a note."""
    return {alert.rule for alert in alerts if alert.severity != "note"}


def table(runs: list[Recorded], said: dict[str, list[Alert]]) -> list[list[str]]:
    """A line a rule: where it fired of the runs that provoke it, of the healthy, of the others."""
    names = sorted({r.rule for r in runs if r.rule} | {n for a in said.values() for n in fired(a)})
    sound = [r for r in runs if r.rule is None]
    rows = [["rule", "provoked: tune", "provoked: report", "healthy: tune", "healthy: report",
             "notes at healthy", "also fired at", "runs"]]  # fmt: skip
    for name in names:
        own = [r for r in runs if r.rule == name]

        def share(half: str, own: list[Recorded] = own, name: str = name) -> str:
            half_of = [r for r in own if r.half == half]
            return f"{sum(name in fired(said[r.name]) for r in half_of)}/{len(half_of)}"

        def false(half: str, name: str = name) -> str:
            half_of = [r for r in sound if r.half == half]
            return f"{sum(name in loud(said[r.name]) for r in half_of)}/{len(half_of)}"

        notes = sum(name in fired(said[r.name]) - loud(said[r.name]) for r in sound)
        others = {
            r.rule for r in runs if r.rule not in (None, name) and name in fired(said[r.name])
        }
        rows.append([
            f"`{name}`", *(share(h) if own else "-" for h in HALVES), *map(false, HALVES),
            str(notes), ", ".join(sorted(str(o) for o in others)) or "-",
            ", ".join(sorted({r.source for r in own})) or "-",
        ])  # fmt: skip
    return rows


def markdown(rows: list[list[str]]) -> str:
    """The table as Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def cost(runs: list[Recorded]) -> tuple[float, float]:
    """Microseconds a log entry of training: all rules, and writing the event (median of runs)."""
    ours, floor = [], []
    with tempfile.TemporaryDirectory() as folder:
        writer = EventWriter(Path(folder) / "events.jsonl")
        for run in runs:
            entries = [e for e in events_of(run) if isinstance(e, Metrics)]
            triage = Triage(run.job.spec)
            began = time.perf_counter()
            triage.add(entries)
            ours.append((time.perf_counter() - began) / len(entries))
            began = time.perf_counter()
            for entry in entries:
                writer.emit(entry)
            floor.append((time.perf_counter() - began) / len(entries))
        writer.close()
    return statistics.median(ours) * 1e6, statistics.median(floor) * 1e6


def long_run_cost() -> float:
    """Microseconds a log entry at the end of a run of 100,000 entries."""
    triage = Triage({"data": {"heldout": "x"}, "training": {"learning_rate": 2e-4}})

    def entries(first: int, count: int) -> list[Metrics]:
        return [
            Metrics(
                step=s,
                total_steps=200_000,
                t=float(s),
                values={"loss": 1 + 1 / (1 + s % 97), "grad_norm": 1.0, "tokens_per_second": 9.0},
            )
            for s in range(first, first + count)
        ]

    triage.add(entries(1, 100_000))
    last = entries(100_001, 2000)
    began = time.perf_counter()
    triage.add(last)
    return (time.perf_counter() - began) / len(last) * 1e6


def main() -> int:
    """Replay, print and keep the table, measure; the exit code."""
    runs = list(recorded())
    sound = [run for run in runs if run.rule is None]
    began = time.perf_counter()
    said = {run.name: replay(run, sound) for run in runs}
    seconds = time.perf_counter() - began
    rows = table(runs, said)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    missed = [r.name for r in runs if r.rule and r.rule not in fired(said[r.name])]
    alarms = [
        f"{r.name}: {', '.join(sorted(loud(said[r.name])))}" for r in sound if loud(said[r.name])
    ]
    print(f"\n{len(runs)} runs replayed in {seconds:.1f} s; missed: {', '.join(missed) or 'none'}; "
          f"false alarms: {'; '.join(alarms) or 'none'}")  # fmt: skip
    ours, floor = cost(sound)
    late = long_run_cost()
    print(f"a log entry of training: all rules {ours:.0f} µs, after 100,000 entries {late:.0f} µs; "
          f"writing it to the log {floor:.0f} µs")  # fmt: skip
    print("losses made up, sound but noisy: runs at which a rule said more than a note")
    share = simulate()
    print(f"  {share:.1%} of all")
    text = DOCS.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCS.write_text(f"{head}{BEGIN}\n\n{markdown(rows)}\n\n{END}{tail}")
    results = {
        "runs": len(runs),
        "healthy": len(sound),
        "rules": len(rows) - 1,
        "us_per_entry": ours,
        "us_per_entry_after_100k": late,
        "us_to_write": floor,
        "false_alarms_at_made_up_losses": share,
    }
    return finish(
        "triage",
        results,
        {
            "missed": (len(missed), 0),
            "false alarms": (len(alarms), 0),
            "false alarms at made-up losses": (share, 0.03),
            "us a log entry": (max(ours, late), 1000),
        },
        {"healthy runs": (len(sound), 20)},
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record_all(sys.argv[2:])
        sys.exit(0)
    sys.exit(main())
