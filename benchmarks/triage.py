"""Triage's confusion table: each rule against runs that provoke it and twenty healthy ones.

python benchmarks/triage.py record [NAME ...]   train them for real (about ten minutes)
python benchmarks/triage.py                     replay what was recorded; exit 1 on a miss
"""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from triage_cases import build_data, healthy, provoked

from tuiwb.project import copy_sample

RECORDED = Path(__file__).parents[1] / "tests" / "monitor" / "recorded"


def record_all(names: list[str]) -> None:
    """Train the cases whose names begin with one of `names` (all without any)."""
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        record_all(sys.argv[2:])
        sys.exit(0)
