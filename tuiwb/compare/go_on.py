"""Go on with a run's comparison as it was asked, from a screen or the gate: nobody is asked."""

from collections.abc import Callable
from typing import Literal

from tuiwb.compare.api_cost import api_costs
from tuiwb.compare.plan import answered, as_before, bring_back, start
from tuiwb.errors import BadInput
from tuiwb.project import Project


def go_on(
    project: Project, run_name: str, tell: Callable[[str], object]
) -> Literal["started", "taken back", "answered"]:
    """Start the comparison of a run, go on with the one there is, or take back the one that asked
    the same of these very files; `tell` gets sentences of votes that are set aside or come back.

    BadInput where a side would cost money, which only the command line asks about; further errors
    as `plan`'s and `start`'s.
    """
    spec = as_before(project, run_name)
    if answered(spec):
        return "taken back" if bring_back(spec, tell) else "answered"
    if costs := api_costs(project, spec):
        raise BadInput(
            f"{costs[0].sentence}: 'tuiwb compare {run_name}' in a terminal, with the same "
            "options, asks you first"
        )
    start(project, spec, tell)
    return "started"
