"""A thread of the screen that met an error nobody foresaw: said, not swallowed."""

from textual.message_pump import MessagePump
from textual.worker import Worker, WorkerState


def complain_of(of: MessagePump, event: Worker.StateChanged) -> None:
    """Say once what failed and how; errors that are foreseen are told where they are met."""
    error = event.worker.error
    if event.state == WorkerState.ERROR and error is not None:
        what = event.worker.name.strip("_").replace("_", " ")
        said = f"{what} failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        of.app.notify(f"{said}; what is shown may be old", severity="error")
