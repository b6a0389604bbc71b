"""The process that waits for a job's turn on a GPU: `python -m tuiwb.monitor.wait_turn`.

In: FOLDER PYTHON TICKET (JSON). It gives the waiting of tuiwb.jobs.waiter its eyes.
"""

import os
import sys
from pathlib import Path

import msgspec

from tuiwb.errors import TuiwbError
from tuiwb.jobs.events import Gpu
from tuiwb.jobs.turns import Ticket
from tuiwb.jobs.waiter import greet, wait
from tuiwb.monitor.device import sample
from tuiwb.prepared import prepared


def hardware() -> list[Gpu]:
    """The GPUs as they are now; one that gives no figures where they can't be asked."""
    device = sample(os.getpid(), Path.cwd())
    if not device.gpus and device.problem:
        # There may well be one: not a machine to train on the CPU of.
        return [Gpu(index=0, problem=device.problem)]
    return device.gpus


def main(folder: Path, python: str, ticket: Ticket) -> int:
    """The waiting process."""
    greet("here")
    try:
        return wait(folder, ticket, python, hardware)
    except (TuiwbError, OSError) as error:
        greet(f"! {error}")
        print(f"the queue: {error}", file=sys.stderr)  # noqa: T201
        return 4


if __name__ == "__main__":
    sys.exit(
        main(
            Path(sys.argv[1]), sys.argv[2], msgspec.json.decode(sys.argv[3], type=prepared(Ticket))
        )
    )
