"""Personal data and secrets: one multi-pattern pass finds candidates, each class confirms its own.

In: texts, or rows. Out: spans (start and end in characters, kind, note), or findings. The shapes
stand in the TOML files beside the modules; `engine` says which of them may be in a text, and the
modules `mail`, `network`, `bank`, `card`, `phone`, `ids`, `places`, `people` and `secret` confirm.
Names are found only where words introduce them ("my name is"); a name in running text is missed.
"""

from tuiwb.data.checks.pii.check import PersonalData, masked, pii
from tuiwb.data.checks.pii.find import spans, spans_of
from tuiwb.data.checks.pii.span import KINDS, Span

__all__ = ["KINDS", "PersonalData", "Span", "masked", "pii", "spans", "spans_of"]
