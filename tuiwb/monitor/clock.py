"""Seconds since a run's first event, by a clock that may have been set meanwhile."""

import numpy as np

from tuiwb.monitor.columns import Floats

DAY = 86_400.0


class Clock:
    """Turns the events' unix seconds, in log order, into seconds that never run back.

    A step back counts as no time at all, and so does a leap of more than a day: a clock that was
    set, or a run that lay dead. What comes after goes on from there.
    """

    __slots__ = ("_origin", "_seconds", "_told")

    def __init__(
        self, origin: float | None = None, told: float = 0.0, seconds: float = 0.0
    ) -> None:
        self._origin = origin
        self._told = told
        self._seconds = seconds

    @property
    def hands(self) -> tuple[float | None, float, float]:
        """What makes another clock that goes on from here."""
        return self._origin, self._told, self._seconds

    def at(self, t: float) -> float:
        """The seconds at which an event stamped `t` happened."""
        if self._origin is None:
            self._origin = t
        elif not 0 <= t - self._told <= DAY:
            self._origin = t - self._seconds
        self._told = t
        self._seconds = max(self._seconds, t - self._origin)
        return self._seconds

    def at_all(self, times: Floats) -> Floats:
        """`at` of each of many times, in order."""
        if not len(times):
            return times
        gaps = np.diff(times, prepend=times[0] if self._origin is None else self._told)
        seconds = np.empty(len(times))
        start = 0
        for leap in [*np.flatnonzero(~((gaps >= 0) & (gaps <= DAY))).tolist(), len(times)]:
            if leap > start:
                self._run(times[start:leap], seconds[start:leap])
            if leap < len(times):
                seconds[leap] = self.at(float(times[leap]))
            start = leap + 1
        return seconds

    def _run(self, times: Floats, seconds: Floats) -> None:
        """Times without a leap among them."""
        if self._origin is None:
            self._origin = float(times[0])
        np.maximum(times - self._origin, self._seconds, out=seconds)
        self._told, self._seconds = float(times[-1]), float(seconds[-1])
