"""Checks of a dataset: each a small module that looks at rows and says what is wrong, where.

In: typed rows. Out: findings with file, row, line, field and span, and a report. To add a check,
write a module with one function from a row to findings, name it in run.py, and give it a page in
docs/checks/.
"""

from tuiwb.data.checks.finding import Finding, Report
from tuiwb.data.checks.run import MAX_LENGTH, check_dataset

__all__ = ["MAX_LENGTH", "Finding", "Report", "check_dataset"]
