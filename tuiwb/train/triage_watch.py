"""Triage inside the worker: alerts stand in events.jsonl while nobody watches.

Hears every event of the job through its listeners; knows which rows a step's batches held; looks
at the adapter when it is saved. A fault of its own ends it with one line in the log, never the run.
"""

import threading
from collections.abc import Iterable, Sequence
from typing import Any

from tuiwb.jobs.events import Alert, AnyEvent, Artifact, EventReader, Log, State
from tuiwb.jobs.folder import EVENTS
from tuiwb.jobs.run import JobContext
from tuiwb.monitor import notify
from tuiwb.monitor.triage import files
from tuiwb.monitor.triage.facts import keep_facts
from tuiwb.monitor.triage.rule import Batch
from tuiwb.monitor.triage.run import Triage

NAMED = 16  # rows of a batch named in an alert


class TriageWatch:
    """The rules over one job; `trainer` and `data` come once they are there."""

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self.triage = Triage(context.spec, worst_batch=self._worst)
        self._trainer: Any = None
        self._data: Any = None
        self._where: Any = None
        self._lock = threading.RLock()
        self._off = False
        # A resumed run goes on with what the rules knew; what they said then is in the log.
        self._said: set[tuple[str, str]] = set()
        context.listeners.append(self.hear)
        log = EventReader(context.folder / EVENTS)
        try:
            while events := log.read():
                self.triage.add(events)
                self._said |= {(e.rule, e.evidence) for e in events if isinstance(e, Alert)}
        except Exception as error:
            context.emit(self._give_up(error))
        notify.attach(context)

    def prepared(self, trainer: Any, data: Any, tokenizer: Any, where: Any) -> None:
        """The trainer stands: measure its data, say what is wrong with them, remember batches."""
        # Imported here: both want transformers, which takes seconds.
        from tuiwb.train.canary import Canary
        from tuiwb.train.data_facts import data_facts

        self._trainer, self._data, self._where = trainer, data, where
        try:
            facts = data_facts(trainer, data, tokenizer, where)
            if (path := self.context.spec["data"].get("canary")) is not None:
                canary = Canary(self.context, trainer, tokenizer, path)
                # Before the reporter's own callback, which lets the clock of the pace run again.
                trainer.callback_handler.callbacks.insert(0, canary)
                facts.canary_rows = len(canary.rows)
            keep_facts(self.context.folder, facts)
            for alert in self.triage.learn(facts):
                if (alert.rule, alert.evidence) not in self._said:
                    self.context.emit(alert)
        except Exception as error:
            self.context.emit(self._give_up(error))

    def hear(self, event: AnyEvent) -> Iterable[AnyEvent]:
        """What the rules say to an event."""
        if self._off or isinstance(event, Alert | Log):
            return ()
        with self._lock:
            try:
                return [*self._told(event), *self.triage.add([event])]
            except Exception as error:
                return [self._give_up(error)]

    def _told(self, event: AnyEvent) -> Sequence[Alert]:
        if isinstance(event, State) and event.state == "finished":
            outcome = files.outcome(self.context.folder)
            beside = files.outcomes_beside(self.context.folder)
            return self.triage.see_runs(outcome, beside) if outcome is not None else ()
        if not (isinstance(event, Artifact) and event.kind == "adapter"):
            return ()
        facts = files.adapter_facts(self.context.folder)
        return self.triage.see_adapter(facts, event.step) if facts is not None else ()

    def _worst(self, first: int, last: int) -> Batch | None:
        worst = self._trainer.batches.worst(first, last) if self._trainer is not None else None
        if worst is None:
            return None
        step, loss, rows = worst
        return Batch(step, loss, self._where(self._data.files, self._data.left_out, rows, NAMED))

    def _give_up(self, error: Exception) -> Log:
        self._off = True
        return Log(level="warn", message=f"no triage any more: {type(error).__name__}: {error}")
