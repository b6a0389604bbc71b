"""Plan a comparison from a run's name, check it before anything is loaded, start its job."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from tuiwb import jobs
from tuiwb.compare.completions import (
    ANSWERS,
    ROLES,
    TOKEN_PROBABILITIES,
    SideAnswer,
    TokenProbabilities,
    read_completions,
    read_side_answers,
    read_token_probabilities,
    side_names,
)
from tuiwb.compare.earlier import (
    COMPARE,
    fingerprints,
    make_room,
    same_pair,
    same_question,
    standing,
    take_back,
    whole,
)
from tuiwb.compare.prompts import held_out
from tuiwb.compare.sides import (
    ADAPTER_FILES,
    Side,
    adapter_of,
    prints_of,
    run_named,
    sides_of,
    spec_sides,
)
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import JOB, Job, load, write_atomically
from tuiwb.jobs.lines import append_lines
from tuiwb.jobs.reopen import open_job
from tuiwb.llm.address import check_answers
from tuiwb.project import Project
from tuiwb.serve.plan import find_vllm, has_gpu
from tuiwb.train.finite import not_finite
from tuiwb.train.job_spec import heldout_file, section, train_files

__all__ = ["ADAPTER_FILES", "COMPARE", "adapter_of"]

DTYPES = ("auto", "float32", "bfloat16", "float16")
# Answers from which vLLM is taken by itself: it needs half a minute or more to start.
VLLM_FROM = 400
_WHOLE = {"run", "prompts", "limit", "max_new_tokens", "seed", "system", "sides"}
Engine = Literal["auto", "transformers", "vllm"]


def plan(
    project: Project,
    run_name: str,
    *,
    against: Sequence[str] = ("base",),
    prompts: str | Path | None = None,
    limit: int = 50,
    max_new_tokens: int = 256,
    batch_size: int | None = None,
    seed: int = 0,
    temperature: float = 0.0,
    dtype: str | None = None,
    system: str | None = None,
    engine: str = "auto",
    max_usd: float | None = None,
) -> dict[str, Any]:
    """The spec of a compare job: a finished run, or RUN:checkpoint-N, and what it is compared
    against, on held-out prompts.

    `against` names sides as `sides.sides_of` reads them. Without `prompts` the run's own held-out
    file is taken; without `batch_size` as many rows run at once as fit. BadInput when the run, a
    side or the prompts are not there, or an argument is out of range; MissingHere for a key or an
    engine that this machine lacks.
    """
    for name, value in (
        ("limit", limit),
        ("max_new_tokens", max_new_tokens),
        ("batch_size", batch_size),
    ):
        if value is not None and value < 1:
            raise BadInput(f"{name.replace('_', '-')} is {value}: give 1 or more")
    if not 0 <= temperature <= 2:
        raise BadInput(f"temperature is {temperature:g}: give 0 (greedy) to 2")
    if engine not in get_args(Engine):
        raise BadInput(f"there is no engine {engine!r}: one of {', '.join(get_args(Engine))}")
    budget = project.settings.judge.max_usd if max_usd is None else max_usd
    if not budget > 0:
        raise BadInput(f"max-usd is {budget}: give the most to spend, above 0")
    run = run_named(project, run_name)
    job = load(run)
    sides = sides_of(project, run_name, against)
    own = sides[1]
    chosen = dtype or section(job.spec, "model").get("dtype") or "auto"
    if chosen not in DTYPES:
        raise BadInput(f"dtype {chosen!r} is not known: one of {', '.join(DTYPES)}")
    source = _prompts_of(project, run_name, heldout_file(job.spec), prompts)
    trained_on = {str(project.resolve(path)) for path in train_files(job.spec)}
    python, without = _vllm_python(project, engine, limit * len(sides))
    if python and (why := _not_for_vllm(sides)):
        if engine == "vllm":
            raise BadInput(f"{why}: leave out --engine vllm, or merge the adapter first")
        python, without = None, why
    return {
        "run": str(run),
        "base": own["model"],
        "revision": own["revision"],
        "adapter": own["adapter"],
        "sides": sides,
        "prompts": str(source),
        "seen_in_training": str(source) in trained_on,
        "limit": limit,
        "max_new_tokens": max_new_tokens,
        "batch_size": batch_size,
        "seed": seed,
        "temperature": temperature,
        "dtype": chosen,
        "system": system,
        "engine": "vllm" if python else "transformers",
        "vllm_python": python,
        "without_vllm": without,
        "max_usd": budget,
    }


def as_before(project: Project, run_name: str) -> dict[str, Any]:
    """The spec of the run's comparison as it was asked, so that what stands is gone on with and
    nothing of it set aside; of a run without one what `plan` asks by itself. Errors as `plan`'s."""
    run = project.run(run_name)
    if not (run / COMPARE / JOB).is_file():
        return plan(project, run_name)
    spec: dict[str, Any] = msgspec.to_builtins(load(run / COMPARE).spec)
    # One of an older version, or of a project that stood elsewhere, can't be asked as it is.
    if not spec.keys() >= _WHOLE or spec["run"] != str(run):
        return plan(project, run_name)
    if not Path(spec["prompts"]).is_file():
        raise BadInput(
            f"there is no prompts file {spec['prompts']} any more: 'tuiwb compare {run_name} "
            "--prompts FILE' asks others",
            on_screen=f"there is no prompts file {spec['prompts']} any more: n asks others",
        )
    return spec


def start(
    project: Project, spec: dict[str, Any], tell: Callable[[str], object] = lambda _: None
) -> Path:
    """Start, or go on with, the comparison of `spec` as a detached job; returns its folder."""
    folder = prepare(spec, tell)
    jobs.launch(folder, python=project.train_python)
    return folder


def prepare(spec: dict[str, Any], tell: Callable[[str], object] = lambda _: None) -> Path:
    """The job folder for `spec`, ready to launch.

    The same question about the same files goes on where it stopped, and costs nothing once all is
    answered; further sides join it, and those without an answer that are asked no more leave. Where
    a comparison that was set aside asked the same it is taken back. Another question sets the
    present one aside under compare-N; what sides that stay have answered to the same question goes
    along. `tell` gets a sentence of votes set aside and of a comparison taken back. BadInput while
    the comparison runs.
    """
    folder = Path(spec["run"]) / COMPARE
    prints = fingerprints(spec)
    there = standing(spec, prints)
    old = load(there) if (there / JOB).is_file() else None
    _check_can_begin(spec, old)
    name = f"{Path(spec['run']).name}-compare"
    if old is not None and same_pair(old, spec, prints) and same_question(old, spec, prints):
        more = _found_elsewhere(spec, prints, there)
        if there != folder:
            take_back(folder, there, tell)
        # The file as it is, so that open_job goes on with it; then the sides that join.
        open_job(folder, "compare", old.spec, old.fingerprints, name=name)
        _let_join(folder, old, spec, prints)
        if more:
            append_lines(folder / ANSWERS, more)
        return folder
    kept: dict[str, list[Any]] = {}
    if old is not None:
        if same_question(old, spec, prints):
            kept = _kept_answers(folder, old, spec, prints)
        make_room(folder, tell)
    open_job(folder, "compare", spec, prints, name=name)
    for file, lines in kept.items():
        if lines:
            append_lines(folder / file, lines)
    return folder


def bring_back(spec: dict[str, Any], tell: Callable[[str], object]) -> bool:
    """Put the comparison of this very question back in its place where it was set aside; whether
    it was. `tell` gets the sentences of it. BadInput while another one of the run is at work."""
    folder = Path(spec["run"]) / COMPARE
    if (there := standing(spec, fingerprints(spec))) == folder:
        return False
    take_back(folder, there, tell)
    return True


def check(spec: dict[str, Any]) -> None:
    """BadInput or MissingHere for what would end the job of `spec` at its start."""
    there = standing(spec, fingerprints(spec))
    _check_can_begin(spec, load(there) if (there / JOB).is_file() else None)


def _check_can_begin(spec: dict[str, Any], old: Job | None) -> None:
    """BadInput or MissingHere for what would end the job at its start, before anything that stands
    is set aside: prompts without one to answer, an adapter that holds NaN since it was asked, a new
    side's server that is not there."""
    held_out(Path(spec["prompts"]), limit=1, seed=spec.get("seed", 0), system=spec.get("system"))
    known = [] if old is None else old.spec.get("sides") or []
    for side in spec.get("sides") or []:
        if side.get("adapter") and (broken := not_finite(Path(side["adapter"]))):
            raise BadInput(broken.sentence)
        if old is not None and side.get("url") and side not in known:
            check_answers(side["url"], who=f"the model {side['model']}")


def answered(spec: dict[str, Any]) -> bool:
    """Whether a finished comparison, the present one or one that was set aside, asked this very
    question of these very sides."""
    prints = fingerprints(spec)
    folder = standing(spec, prints)
    if not (folder / JOB).is_file() or jobs.status(folder).state != "finished":
        return False
    old = load(folder)
    if not (same_question(old, spec, prints) and same_pair(old, spec, prints)):
        return False
    there = {whole(side, old.fingerprints) for side in spec_sides(old.spec)}
    return all(whole(side, prints) in there for side in spec_sides(spec))


def to_ask(spec: dict[str, Any]) -> tuple[list[Side], set[tuple[str, str]]]:
    """The sides that the job of `spec` will have, those that joined earlier too, and the answers
    that `prepare` keeps, by side name and prompt id."""
    prints = fingerprints(spec)
    folder = standing(spec, prints)
    old = load(folder) if (folder / JOB).is_file() else None
    if old is None or not same_question(old, spec, prints):
        return spec_sides(spec), set()
    sides, more = spec_sides(spec), []
    if same_pair(old, spec, prints):
        more = _found_elsewhere(spec, prints, folder)
        sides, prints = _joined(folder, old, spec, prints)
    kept = [*_kept_answers(folder, old, spec | {"sides": sides}, prints)[ANSWERS], *more]
    return sides, {(answer.side, answer.id) for answer in kept}


def comparable_runs(project: Project) -> list[Path]:
    """Run folders with an adapter in them, newest first."""
    runs = project.job_folders("train")
    return [run for run in reversed(runs) if (run / "adapter" / ADAPTER_FILES[0]).is_file()]


def _let_join(folder: Path, old: Job, spec: dict[str, Any], prints: dict[str, str]) -> None:
    """Write further sides, and how they are asked, into the comparison's job.yaml."""
    sides, new = _joined(folder, old, spec, prints)
    asked = {**old.spec, **spec, "sides": sides}
    if (asked, new) != (old.spec, old.fingerprints):
        job = msgspec.structs.replace(old, spec=asked, fingerprints=new)
        write_atomically(folder / JOB, msgspec.yaml.encode(msgspec.to_builtins(job)))


def _joined(
    folder: Path, old: Job, spec: dict[str, Any], prints: dict[str, str]
) -> tuple[list[Side], dict[str, str]]:
    """The sides of the job in `folder` and those of `spec` that it has not, under names that are
    free there, with the fingerprints of all. A further side that never answered and is not asked
    now leaves."""
    asked = {whole(side, prints): side for side in spec_sides(spec)}
    sides, new = [], dict(old.fingerprints)
    heard = {*ROLES, *(answer.side for answer in read_side_answers(folder))}
    for side in spec_sides(old.spec):
        if side["name"] not in heard and whole(side, old.fingerprints) not in asked:
            own = f"{side['name']}/"
            new = {name: print_ for name, print_ in new.items() if not name.startswith(own)}
            continue
        now = asked.pop(whole(side, old.fingerprints), side)
        # The key of today: another variable may hold it now.
        key = {"key_variable": now["key_variable"]} if "key_variable" in now else {}
        sides.append(side | key)
    taken = {side["name"] for side in sides}
    for side in asked.values():
        name = side["name"]
        name = next(
            n for i in range(1, 99) if (n := name if i == 1 else f"{name}-{i}") not in taken
        )
        taken.add(name)
        sides.append(side | {"name": name})
        new |= prints_of(sides[-1])
    return sides, new


def _kept_answers(
    folder: Path, old: Job, spec: dict[str, Any], prints: dict[str, str]
) -> dict[str, list[Any]]:
    """What sides of `spec` have answered in another pairing, under their new names."""
    named = {whole(side, old.fingerprints): side["name"] for side in spec_sides(old.spec)}
    renamed = {
        there: side["name"]
        for side in spec_sides(spec)
        if (there := named.get(whole(side, prints))) is not None
    }
    found: dict[tuple[str, str], SideAnswer] = {}
    completions = read_completions(folder)
    for completion in completions:
        for name in side_names(old.spec):
            if name in renamed and (answer := completion.answer(name)) is not None:
                plain = msgspec.structs.asdict(answer)
                found[completion.id, name] = SideAnswer(
                    id=completion.id, side=renamed[name], **plain
                )
    for single in read_side_answers(folder):
        if single.side in renamed:
            new = msgspec.structs.replace(single, side=renamed[single.side])
            found[single.id, single.side] = new
    scored = [_renamed(line, renamed) for line in read_token_probabilities(folder).values()]
    return {ANSWERS: list(found.values()), TOKEN_PROBABILITIES: scored}


def _found_elsewhere(spec: dict[str, Any], prints: dict[str, str], there: Path) -> list[SideAnswer]:
    """What the sides of the comparison in `there`, with those that join it, have answered to the
    same question in the present one alone, which it takes the place of."""
    folder = Path(spec["run"]) / COMPARE
    if there == folder or not (folder / JOB).is_file():
        return []
    present, old = load(folder), load(there)
    if not same_question(present, spec, prints):
        return []
    sides, prints = _joined(there, old, spec, prints)
    asked = spec | {"sides": sides}
    own = {(a.side, a.id) for a in _kept_answers(there, old, asked, prints)[ANSWERS]}
    found = _kept_answers(folder, present, asked, prints)[ANSWERS]
    return [answer for answer in found if (answer.side, answer.id) not in own]


def _renamed(line: TokenProbabilities, renamed: dict[str, str]) -> TokenProbabilities:
    old = {"base": line.base, "adapter": line.adapter, **line.others}
    new = {renamed[name]: values for name, values in old.items() if name in renamed and values}
    return TokenProbabilities(
        id=line.id,
        on=line.on,
        tokens=line.tokens,
        base=new.pop("base", []),
        adapter=new.pop("adapter", []),
        others=new,
    )


def _vllm_python(project: Project, engine: str, answers: int) -> tuple[str | None, str]:
    """The Python whose vLLM answers: one that was asked for, or on a GPU one that is there; and
    why one that the settings name is of no use."""
    if engine == "vllm":
        return find_vllm(project, required=True), ""
    if engine == "transformers" or answers < VLLM_FROM or not _gpu():
        return None, ""
    try:
        return find_vllm(project), ""
    except TuiwbError as error:
        return None, str(error)


def _not_for_vllm(sides: Sequence[Side]) -> str:
    """Why vLLM can't answer as one of the sides: what its LoRA layers do not know."""
    for side in sides:
        if not side.get("adapter"):
            continue
        try:
            config = msgspec.json.decode((Path(side["adapter"]) / ADAPTER_FILES[0]).read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        config = config if isinstance(config, dict) else {}
        known = {"use_dora": False, "bias": "none", "modules_to_save": None, "lora_bias": False}
        changed = [name for name, plain in known.items() if (config.get(name) or plain) != plain]
        if str(config.get("init_lora_weights")).startswith(("pissa", "olora")):
            changed.append("init_lora_weights")
        if changed:
            return f"vLLM does not take the adapter of {side['label']} ({', '.join(changed)})"
    return ""


@functools.cache
def _gpu() -> bool:
    return has_gpu()


def _prompts_of(project: Project, run_name: str, heldout: str, prompts: str | Path | None) -> Path:
    given = prompts or heldout
    if not given:
        raise BadInput(
            f"run {run_name} has no held-out file: give one with --prompts data/FILE.jsonl",
            on_screen=f"run {run_name} has no held-out file to take prompts from: name a dataset "
            "file under Prompts (n, New comparison)",
        )
    path = project.resolve(given).resolve()
    if not path.is_file():
        said = f"there is no prompts file {path}: give a dataset file"
        raise BadInput(f"{said} with --prompts", on_screen=said)
    return path
