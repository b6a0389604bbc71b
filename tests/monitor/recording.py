"""Recorded runs of real training, replayed through the rules: what each made triage say."""

import gzip
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from tuiwb.jobs.events import Alert, AnyEvent, Metrics, decode
from tuiwb.jobs.folder import Job
from tuiwb.monitor.triage import Triage, cleared
from tuiwb.monitor.triage.bases import Outcome, outcome_of
from tuiwb.monitor.triage.facts import AdapterFacts, Answers, DataFacts

RECORDED = Path(__file__).parent / "recorded"


class Recorded(msgspec.Struct, kw_only=True):
    """A run as recorded; `rule` is what it should make triage say, None for a healthy one.

    `half`: "tune" if thresholds were chosen looking at it, else "report". `source`: "training", or
    "constructed" where samples of hardware that isn't here were put into a real run's log.
    """

    name: str
    rule: str | None
    half: str
    source: str
    job: Job
    facts: DataFacts | None = None
    adapter: AdapterFacts | None = None
    answers: Answers | None = None
    events: list[msgspec.Raw] = []


def recorded(folder: Path = RECORDED) -> Iterator[Recorded]:
    """All recorded runs of a folder, by name."""
    for path in sorted(folder.glob("*.json.gz")):
        yield msgspec.json.decode(gzip.decompress(path.read_bytes()), type=Recorded)


def events_of(run: Recorded) -> list[AnyEvent]:
    """Its events in order."""
    found = (decode(bytes(raw)) for raw in run.events)
    return [event for event in found if event is not None]


def outcome(run: Recorded) -> Outcome:
    """What came of it, as far as it can be held against a run on another base."""
    held = [
        event.values["eval_loss"]
        for event in events_of(run)
        if isinstance(event, Metrics) and "eval_loss" in event.values
    ]
    words = run.facts.vocabulary if run.facts is not None else 0
    return outcome_of(run.job, held[-1] if held else math.nan, words, run.answers)


def replay(run: Recorded, others: Iterable[Recorded] = ()) -> list[Alert]:
    """What the rules say to it, in the order a worker would hear it; alerts of its own left out.

    `others` are the runs that lie beside it.
    """
    triage = Triage(run.job.spec)
    said: list[Alert] = []
    told = False
    for event in events_of(run):
        if isinstance(event, Alert):
            continue
        training = getattr(event, "phase", "") == "training"
        if run.facts is not None and training and not told:
            told = True
            said += triage.learn(run.facts)
        said += triage.add([event])
    if run.adapter is not None:
        said += triage.see_adapter(run.adapter)
    if run.answers is not None:
        said += triage.see_answers(run.answers)
    said += triage.see_runs(outcome(run), [outcome(other) for other in others if other is not run])
    return [alert for alert in said if not cleared(alert)]
