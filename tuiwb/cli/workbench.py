"""`tuiwb [DIR]`: open the workbench on a project."""

import os
import sys
from pathlib import Path

from tuiwb.errors import EXIT_FINE, BadInput
from tuiwb.project import Project, find_project, no_project


def open_workbench(folder: str | Path) -> int:
    """Run the terminal program on the project of `folder`; returns the exit code."""
    project = find_project(Path(folder))
    return open_project(project)


def stderr_file(project: Project) -> Path:
    """Where what libraries write to stderr goes while the screen is ours: a folder that is no
    project stays as it is."""
    return Path(os.devnull) if no_project(project) else project.cache / "stderr.log"


def open_project(project: Project) -> int:
    """Run the terminal program; BadInput where stdin or stdout is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput(
            "the workbench needs a terminal: run it in one, or use the commands that "
            "tuiwb --help lists"
        )
    import gc

    # Start-up makes no garbage worth a pass over everything; the app turns it on after it painted.
    gc.disable()
    from tuiwb.app.app import WorkbenchApp
    from tuiwb.app.terminal import end_with_the_terminal, stderr_to, tolerate_any_input
    from tuiwb.app.terminal_writer import write_at_once

    tolerate_any_input()
    write_at_once()
    end_with_the_terminal()
    with stderr_to(stderr_file(project)):
        app = WorkbenchApp(project)
        app.run()
    return app.return_code or EXIT_FINE
