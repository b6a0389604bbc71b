"""For every test: neither the machine's pace nor the caller's environment changes anything."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tuiwb.jobs.launch import WORKER_DEFAULTS

# A deadline per example and a limit for making examples measure the machine, not the code.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# As workers have it, for jobs that are done in this process: read when torch is first imported.
os.environ.update(WORKER_DEFAULTS)

LONGEST = 60  # characters of a value in a test's name


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long value names its test by its beginning: the name goes into the environment, and one
    of a megabyte there would let no process be started."""
    if isinstance(val, str | bytes) and len(val) > LONGEST:
        return ascii(val[:LONGEST])[:LONGEST]
    return None


# What a shell, a multiplexer or a connection leaves there and the program goes by.
OF_A_TERMINAL = (
    *("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"),
    *("TMUX", "STY", "SSH_CONNECTION", "TERM_PROGRAM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("TEXTUAL_ANIMATIONS", "TEXTUAL_COLOR_SYSTEM", "TEXTUAL_THEME"),
)
# A user's keys and endpoints, and the way to them.
OF_A_USER = (
    *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY"),
    *("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
)
KNOBS = ("TUIWB_REAL_DATA", "TUIWB_VLLM_PYTHON")  # the tests' own
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)

# A caller that started this in the background or by nohup has these ignored, and so would every
# program that the tests start and interrupt.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        ours = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        signal.signal(number, ours)


@pytest.fixture(scope="session", autouse=True)
def plain_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No terminal's variables, no user's and none of this program's; a queue and ports that no
    other program of this machine waits for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in (*OF_A_TERMINAL, *OF_A_USER) or (
                name.startswith("TUIWB_") and name not in KNOBS
            ):
                patch.delenv(name)
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def process_as_it_was() -> Iterator[None]:
    """What a test does to the process of all tests is undone: its priority, where it stands; a
    job that is done in it sets variables and handlers of signals as in a process of its own."""
    before = os.nice(0), os.getcwd()
    environment = dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for name in os.environ.keys() - environment.keys() - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]
    os.environ.update(environment)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    assert (os.nice(0), os.getcwd()) == before
