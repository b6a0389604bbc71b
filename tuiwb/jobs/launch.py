"""Start a job's worker so that it outlives the terminal: its own session, its log a file."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tuiwb.errors import BadInput
from tuiwb.jobs import process
from tuiwb.jobs.folder import LOG, load

WORKER_ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def launch(
    folder: Path, *, python: str | None = None, environment: Mapping[str, str] | None = None
) -> int:
    """Run `python -m tuiwb.jobs.run FOLDER` detached; returns its pid.

    `environment` adds to ours and may carry secrets: it is given to the process, written nowhere.
    """
    load(folder)
    folder = folder.resolve()
    try:
        with (folder / LOG).open("ab") as log:
            worker = subprocess.Popen(
                [python or sys.executable, "-m", "tuiwb.jobs.run", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
                cwd=folder,
                env={**os.environ, **WORKER_ENVIRONMENT, **(environment or {})},
            )
    except OSError as error:
        raise BadInput(f"can't start the worker of {folder}: {error}") from None
    try:
        process.write(folder, process.identify(worker.pid))
    except (ProcessLookupError, OSError):
        pass
    threading.Thread(target=worker.wait, name=f"reap-{worker.pid}", daemon=True).start()
    return worker.pid
