"""Compare a run as it was asked before, or anew: what starting would do, told before it is done."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import msgspec

from tuiwb.compare.api_cost import ApiCost, api_costs
from tuiwb.compare.earlier import (
    COMPARE,
    fingerprints,
    same_pair,
    same_question,
    standing,
    votes_in,
    whole,
)
from tuiwb.compare.plan import answered, as_before, bring_back, check, plan, start
from tuiwb.compare.sides import spec_sides
from tuiwb.errors import BadInput
from tuiwb.jobs.folder import JOB, load
from tuiwb.project import Project
from tuiwb.train.job_spec import heldout_file

# What a comparison that is asked anew takes over from the one that stands.
_KEPT = ("max_new_tokens", "seed", "temperature", "system", "dtype")
Done = Literal["started", "taken back", "answered"]


class Ahead(msgspec.Struct, kw_only=True, frozen=True):
    """What starting the comparison of `spec` would do. `replaces` says what becomes of the answers
    that are shown now, '' where they stay; `costs` has a line for each API side that is asked;
    `answered` where this very question has been answered here."""

    spec: dict[str, Any]
    answered: bool = False
    replaces: str = ""
    costs: list[str] = []

    @property
    def sentence(self) -> str:
        """What should be known before it is done; '' where nothing is lost, moved or paid."""
        return "\n\n".join([*([self.replaces] if self.replaces else []), *self.costs])


def ahead(project: Project, spec: dict[str, Any]) -> Ahead:
    """Look at what starting `spec` would do. BadInput or MissingHere for what would end it at its
    start."""
    folder = Path(spec["run"]) / COMPARE
    done = answered(spec)
    if not done:
        check(spec)
    return Ahead(
        spec=spec,
        answered=done and standing(spec, fingerprints(spec)) == folder,
        replaces=_replaced(folder, spec),
        costs=[] if done else [_cost(spec, cost) for cost in api_costs(project, spec)],
    )


def anew(
    project: Project,
    run_name: str,
    against: list[str],
    prompts: str | None = None,
    limit: int = 50,
) -> Ahead:
    """The same for other sides or prompts than now, `against` as `sides.sides_of` reads it; length
    of the answers, seed, temperature and system turn stay those of the present comparison."""
    old = _present(project.run(run_name) / COMPARE)
    kept = {name: old[name] for name in _KEPT if name in old}
    spec = plan(project, run_name, against=against, prompts=prompts, limit=limit, **kept)
    return ahead(project, spec)


def asked_now(project: Project, run_name: str) -> tuple[str, int]:
    """The prompts file of the run's present comparison, '' for its own held-out file, and how many
    prompts it asked at most."""
    run = project.run(run_name)
    old = _present(run / COMPARE)
    own = heldout_file(load(run).spec)
    prompts = str(old.get("prompts") or "")
    if not prompts or (own and project.resolve(own).resolve() == Path(prompts)):
        prompts = ""
    return prompts and project.shorten(Path(prompts)), int(old.get("limit") or 50)


def begin(project: Project, spec: dict[str, Any], tell: Callable[[str], object]) -> Done:
    """Start the comparison of `spec`, go on with the one there is, or take back the one that asked
    the same of these very files; `tell` gets sentences of votes that are set aside or come back.
    Errors as `start`'s."""
    if answered(spec):
        return "taken back" if bring_back(spec, tell) else "answered"
    start(project, spec, tell)
    return "started"


def go_on(project: Project, run_name: str, tell: Callable[[str], object]) -> Done:
    """`begin` as the run was compared with its base before, on the prompts that it answered last;
    nobody is asked.

    BadInput where a side would cost money, which only the command line asks about; further errors
    as `plan`'s and `start`'s.
    """
    spec = as_before(project, run_name)
    if [side["kind"] for side in spec["sides"][:2]] != ["base", "adapter"]:
        # A checkpoint, or another model than the base, was compared last: the gate wants the run.
        kept = {name: spec[name] for name in (*_KEPT, "prompts", "limit")}
        spec = plan(project, run_name, **kept)
    if not answered(spec) and (costs := api_costs(project, spec)):
        raise BadInput(
            f"{costs[0].sentence}: 'tuiwb compare {run_name}' in a terminal, with the same "
            "options, asks you first"
        )
    return begin(project, spec, tell)


def _present(folder: Path) -> dict[str, Any]:
    """What the comparison in `folder` asked; empty without one."""
    if not (folder / JOB).is_file():
        return {}
    found: dict[str, Any] = msgspec.to_builtins(load(folder).spec)
    return found


def _cost(spec: dict[str, Any], cost: ApiCost) -> str:
    most = f"; at most ${spec['max_usd']:g} are spent" if cost.usd is not None else ""
    return f"{cost.sentence}{most}"


def _replaced(folder: Path, spec: dict[str, Any]) -> str:
    """What becomes of the comparison in `folder` when `spec` is started; '' where it goes on."""
    if not (folder / JOB).is_file():
        return ""
    prints, old = fingerprints(spec), load(folder)
    there = standing(spec, prints)
    same = same_question(old, spec, prints)
    known = [whole(side, old.fingerprints) for side in spec_sides(old.spec)]
    if there == folder and same and same_pair(old, spec, prints):
        return ""
    votes = votes_in(folder)
    with_votes = f", with {votes} vote{'s' * (votes != 1)}," if votes else ""
    said = (
        f"The answers shown{with_votes} are kept in the run's folder: asking the same of the same "
        "files brings them back."
    )
    if there != folder:
        return f"{said} {there.name} asked this before: it takes their place."
    stay = [side["label"] for side in spec_sides(spec) if whole(side, prints) in known]
    if same and stay:
        said += f" What {', '.join(stay)} answered goes along."
    return said
