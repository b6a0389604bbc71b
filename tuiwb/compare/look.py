"""One look at everything a run's comparison left on disk, for a screen or a report."""

from pathlib import Path
from typing import Any

import msgspec

from tuiwb.compare.completions import (
    COMPLETIONS,
    FIRST_PAIRS,
    Completion,
    Summary,
    read_completions,
    read_evidence,
    read_summary,
    summarise,
)
from tuiwb.compare.judge.plan import JUDGE, all_questions
from tuiwb.compare.judge.protocol import VERDICTS, PairVerdict, on_record, read_verdicts
from tuiwb.compare.judge.summary import JudgeSummary, outcomes, read_judge_summary
from tuiwb.compare.metrics.measure import Options
from tuiwb.compare.plan import COMPARE, plan
from tuiwb.errors import TuiwbError
from tuiwb.jobs.folder import fingerprint, load
from tuiwb.project import Project


class Comparison(msgspec.Struct, kw_only=True):
    """What is known of one run. `spec` is the question asked, or the one that would be; without
    one `problem` says why. `verdicts` are the judge's outcomes by completion id."""

    run: Path
    spec: dict[str, Any] | None = None
    problem: str = ""
    completions: list[Completion] = []
    summary: Summary | None = None
    judge: JudgeSummary | None = None
    verdicts: dict[str, PairVerdict] = {}


def look(project: Project, run: Path, before: Comparison | None = None) -> Comparison:
    """Read a run's comparison; figures of `before` are kept while its answers are the same."""
    seen = Comparison(run=run)
    folder = run / COMPARE
    try:
        asked = (folder / "job.yaml").is_file()
        seen.spec = load(folder).spec if asked else plan(project, run.name)
    except TuiwbError as error:
        seen.problem = str(error)
    seen.completions = read_completions(folder)
    seen.summary = read_summary(folder)
    if seen.summary is None or seen.summary.done != len(seen.completions):
        seen.summary = _figures(seen, before)
    _look_at_judge(seen)
    return seen


def _look_at_judge(seen: Comparison) -> None:
    """Take the judge's word on these very answers; what it said of earlier ones is left out."""
    folder, answers = seen.run / JUDGE, seen.run / COMPARE / COMPLETIONS
    try:
        job = load(folder)
        if job.fingerprints.get(COMPLETIONS) == fingerprint(answers):
            seen.judge = read_judge_summary(folder)
        asked = all_questions(job.spec, seen.completions)
    except (TuiwbError, OSError, KeyError, TypeError):
        return
    found = outcomes(seen.completions, *on_record(asked, *read_verdicts(folder / VERDICTS)))
    seen.verdicts = {pair.pair: pair for pair in found if not pair.identical}


def _figures(seen: Comparison, before: Comparison | None) -> Summary | None:
    """Figures of the answers so far; counted again only when there are more of them."""
    if not seen.completions:
        return None
    kept = before.summary if before is not None and before.run == seen.run else None
    if kept is not None and kept.done == len(seen.completions):
        return kept
    total = int((seen.spec or {}).get("limit") or 0)
    # BLEU and ROUGE take a second to load: the finished job's summary has them.
    quick = Options(overlap=False)
    figures = summarise(seen.completions, max(total, len(seen.completions)), quick)
    figures.max_logit_difference = read_evidence(seen.run / COMPARE)
    paired = figures.adapter is not None
    same = figures.done >= FIRST_PAIRS and figures.identical == figures.done
    if paired and (same or figures.max_logit_difference == 0.0):
        # Said while it runs: nobody should wait for answers that are all the same.
        figures.adapter_applied = False
    return figures
