"""What a `set` command may hold; that it takes effect is tested on a run that trains."""

import math
from typing import Any

import pytest

from tuiwb.errors import BadInput
from tuiwb.train.in_flight import change


@pytest.mark.parametrize(
    "args",
    [
        {},
        # NaN becomes null on its way through JSON.
        {"learning_rate": None},
        {"learning_rate": math.nan},
        {"learning_rate": 0},
        {"learning_rate": "1e-5"},
        {"logging_steps": None},
        {"logging_steps": 0},
        {"logging_steps": 2.5},
        {"seed": 1},
    ],
)
def test_a_value_that_can_not_be_is_refused_and_nothing_is_touched(args: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        change(None, args)
