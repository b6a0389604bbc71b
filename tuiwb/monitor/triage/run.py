"""All rules over one run: what the worker runs, what a replay of a log runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent
from tuiwb.monitor.triage.facts import AdapterFacts, DataFacts
from tuiwb.monitor.triage.rule import Rule, WorstBatch, cleared


class Triage:
    """The rules over one run's events. Pure but for `worst_batch`, which names a batch's rows.

    To go on with a resumed run give it the events so far first and drop what it returns.
    """

    def __init__(self, spec: dict[str, Any], *, worst_batch: WorstBatch | None = None) -> None:
        self.spec = spec
        self.open: dict[str, Alert] = {}
        self._rules: list[Rule] = []
        self._worst_batch = worst_batch

    def add(self, events: Iterable[AnyEvent]) -> list[Alert]:
        """Take in events in order; the alerts they raise, or clear."""
        return [self._keep(a) for event in events for rule in self._rules for a in rule.add(event)]

    def learn(self, facts: DataFacts) -> list[Alert]:
        """What the data as tokenised make the rules say, before the first step."""
        return []

    def see_adapter(self, facts: AdapterFacts, step: int | None) -> list[Alert]:
        """What a saved adapter makes the rules say."""
        return []

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
