"""What the gate rests on, read from a run's folder. The only part of the gate with I/O."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from tuiwb import jobs
from tuiwb.compare.completions import (
    COMPLETIONS,
    Completion,
    Summary,
    read_completions,
    read_summary,
)
from tuiwb.compare.evaluation.plan import EVAL, SUITES, check_named, fingerprints
from tuiwb.compare.evaluation.results import RESULTS, Results, read_results
from tuiwb.compare.gate.replay import further_files, mixed_in
from tuiwb.compare.judge.plan import all_questions
from tuiwb.compare.judge.protocol import VERDICTS, PairVerdict, on_record, read_verdicts
from tuiwb.compare.judge.summary import (
    JUDGE_SUMMARY,
    JudgeSummary,
    agreement,
    judge_folders,
    outcomes,
    read_judge_summary,
)
from tuiwb.compare.plan import ADAPTER_FILES, COMPARE
from tuiwb.compare.stats.counts import Kappa, PairedCounts
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import majority
from tuiwb.compare.vote.records import VOTES, Session, read_records
from tuiwb.errors import BadInput, TuiwbError
from tuiwb.jobs.folder import load
from tuiwb.monitor.triage.facts import AdapterFacts, DataFacts, read_facts
from tuiwb.monitor.triage.files import adapter_facts
from tuiwb.project import Project
from tuiwb.train.base_model import chat_template, hub_snapshot
from tuiwb.train.finite import Broken, not_finite
from tuiwb.train.job_spec import heldout_file, is_path, section, train_files
from tuiwb.train.start import model_fingerprint

ADAPTER = "adapter"


class Judged(msgspec.Struct, kw_only=True):
    """A judge's summary, and how it agrees with the people who voted on the same pairs."""

    summary: JudgeSummary
    human: Kappa | None = None


class Votes(msgspec.Struct, kw_only=True):
    """Revealed votes: pairs by who won them with most raters; `hidden` raters did not reveal."""

    counts: PairedCounts
    raters: int
    hidden: int = 0


class Evidence(msgspec.Struct, kw_only=True):
    """Everything the gate's lines are made of; None for what is not there.

    `compare_problem` and `eval_problem` say why a comparison or evaluation does not count (not
    there, running, about other files). `not_finite` says that the adapter holds NaN or infinities,
    so that nothing can be asked of it. Templates are the texts as they stand in the folders;
    `base_changed` says that the base's files are not those of the training; `mixed_in` what of the
    training data is known to be general rows already, `further_files` what else it holds beside
    its first file, both in words.
    """

    run: str
    spec: dict[str, Any] = {}
    compare: Summary | None = None
    compare_spec: dict[str, Any] = {}
    compare_problem: str = ""
    results: Results | None = None
    eval_problem: str = ""
    adapter: AdapterFacts | None = None
    not_finite: Broken | None = None
    data: DataFacts | None = None
    trained_template: str | None = None
    served_template: str | None = None
    base_found: bool = True
    base_changed: bool = False
    judges: list[Judged] = []
    votes: Votes | None = None
    mixed_in: str = ""
    further_files: str = ""

    @property
    def compare_command(self) -> str:
        """What compares the run; where it has no held-out file of its own, with the prompts of the
        last comparison, or with those that are to be named."""
        command = f"tuiwb compare {self.run}"
        if heldout_file(self.spec):
            return command
        prompts = self.compare_spec.get("prompts")
        return f"{command} --prompts {shlex.quote(prompts) if is_path(prompts) else 'FILE'}"


def gather(project: Project, run: Path) -> Evidence:
    """Read a run's folder; BadInput when it is no train run, has no adapter, or the settings name
    a file that is not there."""
    for suite in SUITES:
        check_named(project, suite)
    job = load(run)
    if job.kind != "train":
        raise BadInput(f"{run.name} is a {job.kind} job: give a training run's name")
    adapter = run / ADAPTER
    if not (adapter / ADAPTER_FILES[0]).is_file():
        raise BadInput(f"run {run.name} has no adapter in {adapter}: train it to its end first")
    model = section(job.spec, "model")
    train = [Path(file) for file in train_files(job.spec)]
    name = found if is_path(found := model.get("base")) else ""
    base = _folder_of(name, model.get("revision"))
    evidence = Evidence(
        run=run.name,
        spec=job.spec,
        adapter=adapter_facts(run),
        not_finite=not_finite(adapter),
        data=read_facts(run),
        trained_template=_template(adapter),
        served_template=_template(base) if base is not None else None,
        base_found=base is not None,
        mixed_in=mixed_in(train),
        further_files=further_files(train),
    )
    known = job.fingerprints.get(name)
    if base is not None and known is not None:
        evidence.base_changed = model_fingerprint(base) != known
    _comparison(run, evidence)
    _evaluation(run, evidence)
    people_and_judges(run, evidence)
    return evidence


def _folder_of(base: str, revision: str | None) -> Path | None:
    """Where a base model lies; None for one that is not on this machine, or has no name."""
    if not base:
        return None
    return Path(base) if Path(base).is_dir() else hub_snapshot(base, revision)


def inputs_of(run: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change (ns) of every file that can change the gate, relative to the run."""
    found = {}
    for path in _inputs(run):
        try:
            told = path.stat()
        except OSError:
            continue
        found[str(path.relative_to(run))] = (told.st_size, told.st_mtime_ns)
    return found


def _inputs(run: Path) -> Iterable[Path]:
    yield from (run / ADAPTER / name for name in (*ADAPTER_FILES, "chat_template.jinja"))
    yield from (run / COMPARE / name for name in ("job.yaml", "summary.json", COMPLETIONS, VOTES))
    yield from (run / EVAL / name for name in ("job.yaml", RESULTS))
    yield from (folder / JUDGE_SUMMARY for folder in judge_folders(run))


def _template(folder: Path) -> str | None:
    try:
        return chat_template(folder)
    except (TuiwbError, OSError):
        return None


def _comparison(run: Path, evidence: Evidence) -> None:
    folder = run / COMPARE
    if not (folder / "job.yaml").is_file():
        evidence.compare_problem = "base and fine-tune have not been compared"
        return
    try:
        job = load(folder)
    except TuiwbError as error:
        evidence.compare_problem = str(error)
        return
    evidence.compare_spec = job.spec
    summary = read_summary(folder)
    state = jobs.status(folder)
    if state.running:
        evidence.compare_problem = "the comparison is still running"
    elif summary is None or summary.adapter is None:
        evidence.compare_problem = f"the comparison {state.word} before its end"
    elif not _of_this_adapter(job.spec, run):
        evidence.compare_problem = "the last comparison is of other sides than base and this run"
    elif _changed(run, job.fingerprints, job.spec.get("prompts")):
        evidence.compare_problem = "the adapter or the prompts changed since the comparison"
    else:
        evidence.compare = summary


def _of_this_adapter(spec: dict[str, Any], run: Path) -> bool:
    """Whether the two roles are the base and this run's adapter."""
    sides = spec.get("sides")
    if not isinstance(sides, list) or len(sides) < 2:
        return True
    one, other = sides[0], sides[1]
    if not isinstance(one, dict) or not isinstance(other, dict):
        return False
    where = other.get("adapter") or other.get("path") or other.get("folder")
    return (one.get("kind"), other.get("kind")) == ("base", "adapter") and (
        where is None or Path(str(where)).resolve() == (run / ADAPTER).resolve()
    )


def _changed(run: Path, prints: dict[str, str], prompts: Any) -> bool:
    """Whether a file is not what it was: its fingerprint is none of those of then."""
    files = [run / ADAPTER / name for name in ADAPTER_FILES]
    if prompts:
        files.append(Path(str(prompts)))
    then = set(prints.values())
    return bool(then) and any(f.is_file() and jobs.fingerprint(f) not in then for f in files)


def _evaluation(run: Path, evidence: Evidence) -> None:
    folder = run / EVAL
    if not (folder / "job.yaml").is_file():
        evidence.eval_problem = "the run has not been evaluated"
        return
    try:
        job = load(folder)
        changed = fingerprints(job.spec) != job.fingerprints
    except (TuiwbError, KeyError, TypeError, OSError) as error:
        evidence.eval_problem = str(error)
        return
    results, state = read_results(folder), jobs.status(folder)
    if state.running:
        evidence.eval_problem = "the evaluation is still running"
    elif results is None:
        evidence.eval_problem = f"the evaluation {state.word} before its end"
    elif changed:
        evidence.eval_problem = "the adapter, the base or the prompts changed since the evaluation"
    else:
        evidence.results = results


def people_and_judges(run: Path, evidence: Evidence) -> None:
    """Votes and verdicts on the very answers of the comparison that counts."""
    if evidence.compare is None:
        return
    folder = run / COMPARE
    completions = read_completions(folder)
    revealed: list[Ballot] = []
    asked: set[str] = set()
    hidden = 0
    for rater in _raters(folder):
        try:
            ballot = Ballot(folder, completions, rater=rater)
        except (TuiwbError, OSError):
            continue
        if ballot.revealed:
            revealed.append(ballot)
            asked |= ballot.decided().keys()
        elif ballot.voted:
            hidden += 1
    won = majority(revealed)
    if revealed or hidden:
        outcomes_of = list(won.values())
        counts = PairedCounts(
            wins=outcomes_of.count("adapter"),
            losses=outcomes_of.count("base"),
            ties=outcomes_of.count("tie"),
        )
        evidence.votes = Votes(counts=counts, raters=len(revealed), hidden=hidden)
    answers = jobs.fingerprint(folder / COMPLETIONS)
    for judge in judge_folders(run):
        summary = read_judge_summary(judge)
        if summary is None or load(judge).fingerprints.get(COMPLETIONS) not in (None, answers):
            continue
        found = _said(judge, completions)
        # Pairs that look alike are ties that nobody was asked about.
        people = {pair: who for pair, who in won.items() if pair in asked}
        human = agreement(people, found) if people else None
        evidence.judges.append(Judged(summary=summary, human=human))


def _said(judge: Path, completions: list[Completion]) -> list[PairVerdict]:
    """What a judge said of these very answers; nothing where its job can't be read."""
    try:
        asked = all_questions(load(judge).spec, completions)
    except (TuiwbError, KeyError, TypeError):
        return []
    return outcomes(completions, *on_record(asked, *read_verdicts(judge / VERDICTS)))


def _raters(folder: Path) -> list[str]:
    """Who began a vote on base against fine-tune: nobody's session is begun by looking."""
    try:
        records = read_records(folder / VOTES)
    except (TuiwbError, OSError):
        return []
    return list(dict.fromkeys(r.rater for r in records if isinstance(r, Session)))
