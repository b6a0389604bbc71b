"""What the Compare screen shows of a run, told from its state: the head, the pair. No widgets."""

from dataclasses import dataclass
from pathlib import Path

from textual.content import Content

from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.pair_view import PairText
from tuiwb.app.words import STATE_MARKS, state_line
from tuiwb.compare.look import Comparison
from tuiwb.compare.votes import Ballot, Choice
from tuiwb.jobs import JobState
from tuiwb.project import Project
from tuiwb.text import inert

NOTHING = Content("")
CHOICES: dict[Choice, str] = {
    "left": "left is better",
    "right": "right is better",
    "tie": "tie",
    "both_bad": "both bad",
    "skip": "skipped",
}


@dataclass(frozen=True)
class Subject:
    """What the screen is about right now; `job` is the one at work, else the comparison."""

    project: Project
    run: Path | None
    which: int
    runs: int
    seen: Comparison | None
    job: JobState | None
    job_kind: str
    ballot: Ballot | None
    voting: bool
    place: int


def head(subject: Subject, width: int) -> Content:
    """The lines above the pair: the run and its figures, or how far the blind vote is."""
    if subject.run is None:
        return Content.styled("no finished run yet", words.MUTED)
    if subject.voting and subject.ballot is not None:
        ballot = subject.ballot
        return Content.assemble(
            ("Blind vote ", "bold"),
            f"{ballot.voted} of {len(ballot.pairs)} voted   ",
            ("which answer is better?", words.MUTED),
        )
    lines = [_title(subject, subject.run)]
    seen = subject.seen
    if seen is not None and seen.summary is not None:
        lines += words.headline(seen.summary, width)
        if (alarm := words.not_applied(seen.summary)) is not None:
            lines.append(alarm)
    if seen is not None and seen.judge is not None:
        lines.append(words.judge_line(seen.judge))
    if subject.ballot is not None and (tally := subject.ballot.tally()) is not None:
        lines.append(words.vote_line(tally))
    return Content("\n").join(lines)


def _title(subject: Subject, run: Path) -> Content:
    many = f" ({subject.which}/{subject.runs})" if subject.runs > 1 else ""
    parts = [Content.assemble((inert(run.name, one_line=True), "bold"), (many, words.MUTED))]
    state = subject.job
    if state is not None and state.state != "finished":
        symbol, style = STATE_MARKS[state.state]
        done = ""
        if state.running and state.progress is not None:
            progress = state.progress
            done = f" {progress.done:.0f}/{progress.total:.0f} {progress.unit}"
        label = f"{subject.job_kind} {state_line(state)}{done}"
        parts.append(Content.assemble((f"{symbol} ", style), label))
    spec = subject.seen.spec if subject.seen else None
    if spec is not None:
        prompts = inert(subject.project.shorten(Path(spec["prompts"])), one_line=True)
        base = inert(Path(spec["base"]).name, one_line=True)
        parts.append(Content.styled(f"base {base}, prompts {prompts}", words.MUTED))
    return Content("  ").join(parts)


def pair(subject: Subject) -> PairText:
    """The pair in view: with names and figures, or, while voting, without anything that tells."""
    seen = subject.seen
    if subject.run is None or seen is None or not seen.completions:
        return PairText(title="Compare", message=_nothing_yet(subject))
    if subject.voting and subject.ballot is not None:
        return _blind(subject.ballot, seen, subject.place)
    completion = seen.completions[subject.place]
    verdict = seen.verdicts.get(completion.id)
    vote = subject.ballot.winners().get(completion.id) if subject.ballot else None
    adapter, reference = completion.adapter, completion.reference
    return PairText(
        title=f"{subject.place + 1} of {len(seen.completions)}, line {completion.line}",
        subtitle="" if vote is None else f"you voted: {words.OUTCOMES[vote]}",
        prompt=words.prompt_text(completion),
        left=words.answer_text(completion.base),
        left_title="base",
        left_note=words.side_note(completion, "base"),
        right=NOTHING if adapter is None else words.answer_text(adapter),
        right_title="fine-tune",
        right_note=words.side_note(completion, "adapter"),
        reference=NOTHING if reference is None else words.answer_text(reference),
        verdict=NOTHING if verdict is None else words.verdict_text(verdict),
    )


def _blind(ballot: Ballot, seen: Comparison, place: int) -> PairText:
    """A pair as the rater may see it: two answers, no names, no lengths, no figures."""
    asked = ballot.pairs[place]
    completion = next(c for c in seen.completions if c.id == asked.id)
    texts = {"base": completion.base, "adapter": completion.adapter or ""}
    other = "base" if asked.left == "adapter" else "adapter"
    choice, reference = ballot.choice(asked), completion.reference
    return PairText(
        title=f"pair {place + 1} of {len(ballot.pairs)}",
        subtitle="no vote yet" if choice is None else f"your vote: {CHOICES[choice]}",
        prompt=words.prompt_text(completion),
        left=words.answer_text(texts[asked.left]),
        left_title="Left",
        right=words.answer_text(texts[other]),
        right_title="Right",
        reference=NOTHING if reference is None else words.answer_text(reference),
    )


def _nothing_yet(subject: Subject) -> Content:
    seen, state = subject.seen, subject.job
    if subject.run is None:
        return Content(
            "There is no finished run to compare.\n\n"
            "3 opens the configs: train one, and come back when it has an adapter."
        )
    if seen is None:
        return Content("reading ...")
    if seen.spec is None:
        return Content(inert(seen.problem))
    if state is not None and state.running:
        return Content("The first answers come as soon as the model is loaded.")
    failed = ""
    if state is not None and state.message and state.state in ("failed", "died"):
        failed = f"The last comparison {state.state}: {inert(state.message)}\n\n"
    prompts = inert(subject.project.shorten(Path(seen.spec["prompts"])))
    return Content(
        f"{failed}Press enter: base and fine-tune answer at most {seen.spec['limit']} prompts of "
        f"{prompts}, greedily, at most {seen.spec['max_new_tokens']} new tokens each.\n\n"
        "The job goes on without this screen; answers appear here as they come."
    )
