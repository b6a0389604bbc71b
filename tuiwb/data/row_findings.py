"""What checks find, for those who leave rows out by it: checks of single rows, and of all of them.

In: rows. Out: their findings. Copies are not looked for here (see tuiwb.data.repeats), nor is what
takes a tokenizer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from tuiwb.data.checks.answer_format import Format
from tuiwb.data.checks.check import Check, EachRow
from tuiwb.data.checks.empty import Empty
from tuiwb.data.checks.encoding import Encoding
from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.injection import Injection
from tuiwb.data.checks.language import Language
from tuiwb.data.checks.leakage import Leakage
from tuiwb.data.checks.lengths import Lengths
from tuiwb.data.checks.malformed import Malformed
from tuiwb.data.checks.masking import masked_findings
from tuiwb.data.checks.pii import PersonalData
from tuiwb.data.checks.preference import same_answers
from tuiwb.data.checks.refusal import Refusals
from tuiwb.data.checks.repetition import Repetition
from tuiwb.data.checks.role_order import role_order
from tuiwb.data.checks.template import ControlTokens
from tuiwb.data.checks.tool_calls import tool_calls
from tuiwb.data.rows import Row

OF_A_ROW = (
    "malformed", "empty", "role_order", "tool_calls", "preference", "pii", "injection", "encoding",
    "refusal", "repetition", "template",
)  # fmt: skip
OF_ALL: dict[str, Callable[[], Check]] = {
    "format": Format,
    "language": Language,
    "length": Lengths,
}
LEAKAGE = "leakage"
NAMES = (*OF_A_ROW, *OF_ALL, LEAKAGE)


def findings_of(rows: Sequence[Row]) -> Iterator[Finding]:
    """All that the checks of single rows find in `rows`, without secrets in what they say."""
    checks: tuple[Check, ...] = (
        Malformed(),
        Empty(),
        EachRow((role_order, tool_calls, same_answers)),
        PersonalData(),
        Injection(),
        Encoding(),
        Refusals(),
        Repetition(),
        ControlTokens(),
    )
    yield from masked_findings(chain.from_iterable(check.add(rows) for check in checks))


class OfAll:
    """The checks that must see every row before they say anything, of those named.

    `held_out` are the rows that leakage looks for, read from `file`.
    """

    def __init__(self, names: Iterable[str], held_out: Iterable[Row] = (), file: str = "") -> None:
        self._checks: list[Check] = [make() for name, make in OF_ALL.items() if name in names]
        self._checks += [Leakage(held_out, file, fast=False)] if LEAKAGE in names else []
        self._found: list[Finding] = []

    def __bool__(self) -> bool:
        return bool(self._checks)

    def add(self, rows: Sequence[Row]) -> None:
        """Look at the next rows."""
        for check in self._checks:
            self._found.extend(check.add(rows))

    def end(self) -> list[Finding]:
        """What was found in all rows, without secrets in it."""
        for check in self._checks:
            self._found.extend(check.end())
        return list(masked_findings(self._found))
