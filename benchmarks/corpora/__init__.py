"""Generated corpora with known truth for the data checks' benchmarks.

In: a number of rows and a seed. Out: samples, each a text with the spans a detector must find,
as (start, end, kind) in characters.
"""

from typing import NamedTuple


class Sample(NamedTuple):
    """A text and the spans planted in it: (start, end, kind), characters, end exclusive."""

    text: str
    spans: list[tuple[int, int, str]]
