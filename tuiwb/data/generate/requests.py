"""requests.jsonl: everything asked and answered, appended before it is looked at.

What a job generated is a function of this file: after a kill it is read again, and no request
with an answer in it is asked a second time.
"""

import time
from pathlib import Path

import msgspec

from tuiwb.jobs.lines import append_lines, decode_lines
from tuiwb.llm.prices import Usage

REQUESTS = "requests.jsonl"


class Asked(msgspec.Struct, kw_only=True, tag_field="type", tag="asked"):
    """A request is about to be sent; `guess` is what it should take if its answer never comes."""

    key: str
    n: int
    guess: Usage
    t: float


class Answered(msgspec.Struct, kw_only=True, tag_field="type", tag="answered"):
    """An answer as it came, redacted. `stop` is '', refusal or max_tokens; `mode` how it was asked.

    A request may have several: only the last counts, all of them cost.
    """

    key: str
    n: int
    text: str
    stop: str
    mode: str
    usage: Usage
    t: float


class Failed(msgspec.Struct, kw_only=True, tag_field="type", tag="failed"):
    """A request without an answer, after retries: asked again when the job is started again.

    `calls` is 0 where the error ended the job and says nothing of the request.
    """

    key: str
    n: int
    reason: str
    t: float
    calls: int = 1


class Lost(msgspec.Struct, kw_only=True, tag_field="type", tag="lost"):
    """Calls of a request that were sent and got no answer: nobody knows what they cost."""

    key: str
    n: int
    calls: int
    t: float


Entry = Asked | Answered | Failed | Lost


class RequestLog:
    """The file and what it says. `spent` counts every answer, and guesses for what got none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answered] = {}
        self.failures: dict[str, Failed] = {}
        self.usage = Usage()
        self.lost = Usage()
        self.dearest = Usage()
        self.calls = 0
        self._open: dict[str, Usage] = {}
        self._guesses: dict[str, Usage] = {}
        self._order: list[str] = []
        for entry in _read(path):
            self._count(entry)
        # What was in the air when an earlier process was killed may have been paid for.
        for guess in self._open.values():
            self.lost += guess
        self._open = {}

    @property
    def spent(self) -> Usage:
        """Tokens of all answers, guessed where a call was sent and nobody knows what it took."""
        return self.usage + self.lost

    def asked(self, key: str, n: int, guess: Usage) -> None:
        """Note that a request is about to be sent."""
        self._keep(Asked(key=key, n=n, guess=guess, t=time.time()))

    def answered(self, key: str, n: int, text: str, stop: str, mode: str, usage: Usage) -> None:
        """Keep an answer, whatever it says."""
        # The file is UTF-8: a lone surrogate of the transport's is no text.
        text = text.encode("utf-8", "replace").decode("utf-8")
        self._keep(
            Answered(key=key, n=n, text=text, stop=stop, mode=mode, usage=usage, t=time.time())
        )

    def failed(self, key: str, n: int, reason: str, *, calls: int = 1) -> None:
        """Keep why a request has no answer."""
        reason = reason.encode("utf-8", "replace").decode("utf-8")
        self._keep(Failed(key=key, n=n, reason=reason, t=time.time(), calls=calls))

    def unanswered(self, key: str, n: int, calls: int) -> None:
        """Note calls that were sent and ended without an answer."""
        self._keep(Lost(key=key, n=n, calls=calls, t=time.time()))

    def in_order(self) -> list[Answered]:
        """The answers that count, in the order they came: the same after every restart."""
        return [self.answers[key] for key in self._order]

    @property
    def mode(self) -> str:
        """How the last answer was asked for, '' before any."""
        return self.answers[self._order[-1]].mode if self._order else ""

    def _keep(self, entry: Entry) -> None:
        append_lines(self.path, [entry])
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        match entry:
            case Asked():
                if entry.key in self._open:
                    self.lost += self._open[entry.key]
                self._open[entry.key] = self._guesses[entry.key] = entry.guess
            case Answered():
                self.calls += 1
                self.usage += entry.usage
                if entry.usage.tokens > self.dearest.tokens:
                    self.dearest = entry.usage
                self._open.pop(entry.key, None)
                if entry.key in self.answers:
                    self._order.remove(entry.key)
                self.answers[entry.key] = entry
                self._order.append(entry.key)
                self.failures.pop(entry.key, None)
            case Failed():
                self.calls += entry.calls
                self._open.pop(entry.key, None)
                self.failures[entry.key] = entry
            case Lost():
                for _ in range(entry.calls):
                    self.lost += self._guesses.get(entry.key, Usage())


def _read(path: Path) -> list[Entry]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    entries: list[Entry] = decode_lines(data, Entry)  # type: ignore[arg-type]
    return entries
