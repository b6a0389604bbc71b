"""The tasks an evaluation can do by name: tuiwb's own, the harness's, the project's. No torch.

Without lm-evaluation-harness its well-known tasks are known by name, so that a typo is told from a
benchmark that only wants installing; with it the names stand in its task files.
"""

import importlib.util
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import msgspec

from tuiwb.compare.evaluation.results import RESULTS, read_results
from tuiwb.errors import BadInput, MissingHere
from tuiwb.jobs.folder import JOB, check_name, load, write_atomically

OWN = ("canary", "ood", "general", "seen")
HARNESS = ("mmlu", "hellaswag", "arc_challenge", "truthfulqa_mc2", "gsm8k")
# What people call the task, and what lm-evaluation-harness calls it.
ALIASES = {"truthfulqa": "truthfulqa_mc2", "arc": "arc_challenge"}
# Others that are often asked for, as lm-evaluation-harness 0.4 calls them.
_WELL_KNOWN = """
agieval anli arc_easy asdiv babi bbh belebele blimp boolq cb ceval-valid cmmlu commonsense_qa copa
coqa drop eq_bench fda french_bench global_mmlu glue gpqa gsm8k_cot gsm_plus hendrycks_ethics
hendrycks_math humaneval ifeval kmmlu kobest lambada lambada_openai lambada_standard leaderboard
logiqa logiqa2 mathqa mbpp medmcqa medqa_4options mgsm_direct minerva_math nq_open openbookqa
paloma pawsx piqa prost pubmedqa qasper race sciq siqa social_iqa squadv2 squad_completion
super-glue-lm-eval-v1 swag toxigen triviaqa truthfulqa_gen truthfulqa_mc1 unscramble webqs wikitext
winogrande wmdp wsc wsc273 xcopa xnli xstorycloze xwinograd
"""
_FAMILIES = ("mmlu_", "bbh_", "agieval_", "leaderboard_", "belebele_", "blimp_", "mgsm_", "gpqa_")
INSTALL = "pip install 'tuiwb[eval]'"


def task_names(asked: Sequence[str], files: Path | None, python: str | None) -> list[str]:
    """The tasks named, each once, aliases resolved; all of tuiwb's own where none is. `files` is
    the folder of the project's own task files, `python` another Python than ours that runs the job
    (a name unlike any known may be its harness's). BadInput, with the nearest name, for one that
    neither tuiwb nor the harness nor the project has."""
    names = [ALIASES.get(name.strip(), name.strip()) for name in asked if name.strip()]
    known = {*OWN, *HARNESS, *ALIASES, *_WELL_KNOWN.split()}
    for name in names:
        if name in known or _in_files(check_name(name), files) or _of_harness(name):
            continue
        near = get_close_matches(name, sorted(known, key=lambda n: n not in OWN), 1)
        if not near and python is not None:
            continue
        own = f"tuiwb's own are {', '.join(OWN)}"
        if not harness_there():
            own += f"; further ones of lm-evaluation-harness are known with it installed: {INSTALL}"
        hint = f"did you mean {near[0]}?" if near else own
        raise BadInput(f"there is no task {name!r}: {hint}")
    return list(dict.fromkeys(names or OWN))


def benchmarks_not_run(folder: Path) -> set[str]:
    """The harness's tasks that the evaluation in `folder` could not run."""
    results = read_results(folder)
    suites = results.suites if results is not None else []
    return {suite.name for suite in suites if suite.state == "not run" and suite.name not in OWN}


def leave_out(folder: Path, asked: Sequence[str]) -> None:
    """Take benchmarks that were not run and are asked no more out of an ended evaluation."""
    gone = benchmarks_not_run(folder) - set(asked)
    if not gone or (results := read_results(folder)) is None:
        return
    results.suites = [suite for suite in results.suites if suite.name not in gone]
    job = load(folder)
    tasks = [name for name in job.spec.get("tasks") or [] if name not in gone]
    job = msgspec.structs.replace(job, spec={**job.spec, "tasks": tasks})
    write_atomically(folder / JOB, msgspec.yaml.encode(msgspec.to_builtins(job)))
    write_atomically(folder / RESULTS, msgspec.json.format(msgspec.json.encode(results), indent=2))


def check_harness(tasks: Sequence[str], python: str | None) -> None:
    """MissingHere where every task is the harness's and it is not installed. Not asked of another
    Python (`python`) than ours: the job tells."""
    wanted = [name for name in tasks if name not in OWN]
    if wanted and len(wanted) == len(tasks) and python is None and not harness_there():
        raise MissingHere(
            f"{', '.join(wanted)} can't run: lm-evaluation-harness is not installed here: {INSTALL}"
        )


def _of_harness(name: str) -> bool:
    """Whether the harness that is installed has the task; without one, whether its name is of a
    family of well-known ones."""
    folder = _harness()
    return name.startswith(_FAMILIES) if folder is None else _in_files(name, folder / "tasks")


def harness_there() -> bool:
    """Whether lm-evaluation-harness is installed in our Python."""
    return _harness() is not None


def _harness() -> Path | None:
    spec = importlib.util.find_spec("lm_eval")
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _in_files(name: str, folder: Path | None) -> bool:
    """Whether a task file below a folder names the task, as a task, a group or a tag."""
    if folder is None or not folder.is_dir():
        return False
    line = re.compile(
        rf"^\s*(?:(?:task|group|tag)\s*:\s*(?:-\s+)?|-\s+)['\"]?{re.escape(name)}['\"]?\s*(?:#.*)?$",
        re.MULTILINE,
    )
    for path in sorted((*folder.rglob("*.yaml"), *folder.rglob("*.yml"))):
        try:
            text = path.read_text("utf-8", errors="replace")
        except OSError:
            continue
        if line.search(text):
            return True
    return False
