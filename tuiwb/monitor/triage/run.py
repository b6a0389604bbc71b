"""All rules over one run: what the worker runs, what a replay of a log runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent
from tuiwb.monitor.triage import files
from tuiwb.monitor.triage.bases import Outcome, base_alerts
from tuiwb.monitor.triage.data import data_alerts
from tuiwb.monitor.triage.ending import OutOfMemory
from tuiwb.monitor.triage.facts import AdapterFacts, Answers, DataFacts
from tuiwb.monitor.triage.finite import NotFinite, ZeroGradient
from tuiwb.monitor.triage.hardware import Starvation, Throttling, ThroughputDrop
from tuiwb.monitor.triage.heldout import Forgetting, NoHeldout, Overfitting
from tuiwb.monitor.triage.learning import FirstLoss, Flat, LearningRateHigh
from tuiwb.monitor.triage.outputs import answer_alerts
from tuiwb.monitor.triage.rule import Rule, WorstBatch, cleared, setting
from tuiwb.monitor.triage.spike import LossSpike
from tuiwb.monitor.triage.weights import adapter_alerts


class Triage:
    """The rules over one run's events. Pure but for `worst_batch`, which names a batch's rows.

    To go on with a resumed run give it the events so far first and drop what it returns.
    """

    def __init__(self, spec: dict[str, Any], *, worst_batch: WorstBatch | None = None) -> None:
        self.spec = spec
        self.open: dict[str, Alert] = {}
        self._first_loss = FirstLoss(spec)
        self._memory = OutOfMemory(spec)
        self._rules: list[Rule] = [
            NotFinite(spec),
            ZeroGradient(),
            self._first_loss,
            LossSpike(spec, worst_batch),
            LearningRateHigh(spec),
            Flat(spec),
            NoHeldout(spec),
            Overfitting(spec),
            Forgetting(spec),
            ThroughputDrop(),
            Throttling(),
            Starvation(spec),
            self._memory,
        ]

    def add(self, events: Iterable[AnyEvent]) -> list[Alert]:
        """Take in events in order; the alerts they raise, or clear."""
        return [self._keep(a) for event in events for rule in self._rules for a in rule.add(event)]

    def learn(self, facts: DataFacts) -> list[Alert]:
        """What the data as tokenised make the rules say, before the first step."""
        self._first_loss.facts = self._memory.facts = facts
        return [self._keep(alert) for alert in data_alerts(facts, self.spec)]

    def see_adapter(self, facts: AdapterFacts, step: int | None = None) -> list[Alert]:
        """What a saved adapter makes the rules say."""
        return [self._keep(alert) for alert in adapter_alerts(facts, self.spec, step)]

    def see_answers(self, answers: Answers) -> list[Alert]:
        """What a comparison's answers make the rules say."""
        return [self._keep(alert) for alert in answer_alerts(answers, self.spec)]

    def see_runs(self, run: Outcome, others: Iterable[Outcome]) -> list[Alert]:
        """What other runs of the project make the rules say."""
        return [self._keep(alert) for alert in base_alerts(run, others)]

    def see_death(self, sentence: str, cause: str = "") -> list[Alert]:
        """What the way the run died makes the rules say; `cause` as tuiwb.jobs.death has it."""
        return [self._keep(alert) for alert in self._memory.ended(sentence, cause)]

    def _keep(self, alert: Alert) -> Alert:
        # A change to what is set already is none.
        alert.change = {k: v for k, v in alert.change.items() if setting(self.spec, k) != v}
        if cleared(alert):
            self.open.pop(alert.rule, None)
        else:
            self.open[alert.rule] = alert
        return alert


def after(run: Path) -> list[Alert]:
    """What can only be told once there are outputs: the run's adapter, its comparison, other runs
    beside it. Reads files of the run's folder and its neighbours'; nothing is written.

    Looks at the adapter's and one base's weights: call it from a thread.
    """
    job = files.job_of(run)
    if job is None or job.kind != "train":
        return []
    triage = Triage(job.spec)
    said: list[Alert] = []
    if (adapter := files.adapter_facts(run)) is not None:
        said += triage.see_adapter(adapter)
    if (answers := files.answers(run)) is not None:
        said += triage.see_answers(answers)
    if (outcome := files.outcome(run)) is not None:
        said += triage.see_runs(outcome, files.outcomes_beside(run))
    return said
