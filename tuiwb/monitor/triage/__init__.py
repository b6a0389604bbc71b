"""Triage: rules that read a run's events, config, data and outputs and say what is wrong.

In: events (while the run lives, or from its log), facts about its data and adapter, the answers of
a comparison. Out: alerts with evidence, cause, fix and what to look at next. All folds are pure;
`files` reads what a run's folder holds.
"""

from tuiwb.monitor.triage.rule import cleared, open_alerts
from tuiwb.monitor.triage.run import Triage, after

__all__ = ["Triage", "after", "cleared", "open_alerts"]
