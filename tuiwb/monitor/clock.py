"""Seconds since a run's first event, by a clock that may have been set meanwhile."""

DAY = 86_400.0


class Clock:
    """Turns the events' unix seconds, in log order, into seconds that never run back.

    A step back counts as no time at all, and so does a leap of more than a day: a clock that was
    set, or a run that lay dead. What comes after goes on from there.
    """

    __slots__ = ("_origin", "_seconds", "_told")

    def __init__(self) -> None:
        self._origin: float | None = None
        self._told = 0.0
        self._seconds = 0.0

    def at(self, t: float) -> float:
        """The seconds at which an event stamped `t` happened."""
        if self._origin is None:
            self._origin = t
        elif not 0 <= t - self._told <= DAY:
            self._origin = t - self._seconds
        self._told = t
        self._seconds = max(self._seconds, t - self._origin)
        return self._seconds
