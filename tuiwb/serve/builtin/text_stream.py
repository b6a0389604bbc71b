"""Tokens to text, one at a time: no half characters, and stop strings found wherever they fall."""

from collections.abc import Callable, Sequence

UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """Turns token ids into text pieces whose concatenation is the decoding of all of them.

    `decode` maps ids to text. A piece is held back while its last character may still change
    (bytes of one character spread over tokens) or while it may be the start of a stop string.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()) -> None:
        self._decode = decode
        self._stop = [s for s in stop if s]
        self._ids: list[int] = []
        self._settled = 0
        self._read = 0
        self._held = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """The text that became certain with this token; `stopped` is set at a stop string."""
        self._ids.append(token)
        before = self._decode(self._ids[self._settled : self._read])
        now = self._decode(self._ids[self._settled :])
        if now.endswith(UNFINISHED) or len(now) <= len(before):
            return ""
        self._settled, self._read = self._read, len(self._ids)
        return self._release(now[len(before) :])

    def finish(self) -> str:
        """What was still held back, now that no token follows."""
        if self.stopped:
            return ""
        before = self._decode(self._ids[self._settled : self._read])
        rest = self._decode(self._ids[self._settled :])[len(before) :]
        self._read = self._settled = len(self._ids)
        text = self._release(rest)
        if not self.stopped:
            text += self._held
            self._held = ""
        return text

    def _release(self, fresh: str) -> str:
        text = self._held + fresh
        found = [at for s in self._stop if (at := text.find(s)) >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max((_overlap(text, s) for s in self._stop), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` begin `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
