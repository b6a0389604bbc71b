"""`python -m tuiwb.monitor.keep FOLDER`: read a job's long log and leave beside it what was found.

A worker starts it now and then, so that whoever attaches later need not read the log again. A
process of its own, at the lowest priority: the training does not wait for it.
"""

import os
import sys
from pathlib import Path

from tuiwb.errors import TuiwbError
from tuiwb.monitor.history import RunHistory


def main(folder: Path) -> int:
    """Read the log in `folder` to its end; 1 when that can't be done."""
    try:
        history = RunHistory(folder, alone=True)
        while history.loaded < 1.0:
            history.poll(1.0)
        history.keep()
    except (TuiwbError, OSError):
        return 1
    return 0


if __name__ == "__main__":
    os.nice(19)
    sys.exit(main(Path(sys.argv[1])))
