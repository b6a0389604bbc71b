"""The errors a user can meet, each with the exit code the command line returns for it.

A message is one sentence: what is wrong, where (file:line), and what to do.
"""

EXIT_FINE = 0
EXIT_FINDINGS = 1
EXIT_BAD_INPUT = 2
EXIT_MISSING = 3
EXIT_JOB_FAILED = 4


class TuiwbError(Exception):
    """Base of every error whose message is meant for the user.

    `on_screen` is the same sentence for the screens, where keys and fields stand for options.
    """

    exit_code = EXIT_FINDINGS

    def __init__(self, sentence: str = "", *, on_screen: str = "") -> None:
        super().__init__(sentence)
        self.on_screen = on_screen or sentence


class BadInput(TuiwbError):
    """Something the user gave is wrong: a file, a config, a name, an argument."""

    exit_code = EXIT_BAD_INPUT


class MissingHere(TuiwbError):
    """Something this machine lacks: a package, an engine, a key, a GPU."""

    exit_code = EXIT_MISSING


class JobFailed(TuiwbError):
    """A job ended without doing what it was asked."""

    exit_code = EXIT_JOB_FAILED


def on_screen(error: Exception) -> str:
    """What a screen says of an error."""
    return error.on_screen if isinstance(error, TuiwbError) else str(error)
