"""Checks of a dataset: each a small module that looks at rows and says what is wrong, where.

In: typed rows. Out: findings with file, row, line, field and span, and a report. To add a check,
write a module with a function from a row to findings or a class as check.py says, name it in
run.py, and give it a page in docs/checks/.
"""

from typing import TYPE_CHECKING, Any

from tuiwb.data.checks.check import MAX_LENGTH
from tuiwb.data.checks.finding import Finding, Report

if TYPE_CHECKING:
    from tuiwb.data.checks.run import check_dataset

__all__ = ["MAX_LENGTH", "Finding", "Report", "check_dataset"]


def __getattr__(name: str) -> Any:
    """check_dataset, loaded when it is asked for: a screen that shows findings runs no check."""
    if name == "check_dataset":
        from tuiwb.data.checks.run import check_dataset

        return check_dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
