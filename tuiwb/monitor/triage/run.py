"""All rules over one run: what the worker runs, what a replay of a log runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent
from tuiwb.monitor.triage.rule import RowsOf, Rule, cleared


class Triage:
    """The rules over one run's events. Pure but for `rows_of`, which names a batch's rows.

    To go on with a resumed run give it the events so far first and drop what it returns.
    """

    def __init__(self, spec: dict[str, Any], *, rows_of: RowsOf | None = None) -> None:
        self.spec = spec
        self.open: dict[str, Alert] = {}
        self._rules: list[Rule] = []
        self._rows_of = rows_of

    def add(self, events: Iterable[AnyEvent]) -> list[Alert]:
        """Take in events in order; the alerts they raise, or clear."""
        return [self._keep(a) for event in events for rule in self._rules for a in rule.add(event)]

    def _keep(self, alert: Alert) -> Alert:
        if cleared(alert):
            self.open.pop(alert.rule, None)
        else:
            self.open[alert.rule] = alert
        return alert


def after(run: Path) -> list[Alert]:
    """What can only be told once there are outputs: the run's adapter, its comparison, how it
    ended, other runs beside it. Reads files of the run's folder; nothing is written."""
    return []
