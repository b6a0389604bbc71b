"""What the Compare screen shows of a run, told from its state: the head, the pair. No widgets."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from textual.content import Content

from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.pair_view import PairText
from tuiwb.app.words import STATE_MARKS, state_line
from tuiwb.compare.completions import Completion, TokenProbabilities
from tuiwb.compare.left_out import left_out_sentence
from tuiwb.compare.look import Comparison
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import Agreement
from tuiwb.jobs import JobState
from tuiwb.project import Project
from tuiwb.text import inert

NOTHING = Content("")


@dataclass(frozen=True)
class Look:
    """How a pair is looked at: Markdown rendered or plain, the reference shown or hidden, and what
    stands in the middle."""

    markdown: bool = False
    reference: bool = True
    middle: Literal["answers", "diff", "tokens"] = "answers"


@dataclass(frozen=True)
class Subject:
    """What the screen is about right now; `seen` has the two sides in view in the roles base and
    adapter, `job` is the one at work, else the comparison. `ballot` is the rater's own."""

    project: Project
    run: Path | None
    which: int
    runs: int
    seen: Comparison | None
    job: JobState | None
    job_kind: str
    place: int
    labels: tuple[str, str] = words.LABELS
    look: Look = field(default_factory=Look)
    ballot: Ballot | None = None
    agreements: list[Agreement] = field(default_factory=list)
    probabilities: dict[str, TokenProbabilities] = field(default_factory=dict)
    covered: bool = False
    verdicts: bool = False


def head(subject: Subject, width: int) -> Content:
    """The lines above the pair: the run and its figures, none of them while a vote is open."""
    if subject.run is None:
        return Content.styled("no finished run yet", words.MUTED)
    lines = [_title(subject, subject.run)]
    seen, ballot = subject.seen, subject.ballot
    if subject.covered or seen is None:
        return Content("\n").join(lines)
    if seen.summary is not None:
        lines += words.headline(seen.summary, width)
        if (alarm := words.not_applied(seen.summary)) is not None:
            lines.append(alarm)
    if seen.judge is not None and (seen.verdicts or subject.verdicts):
        valid = any(verdict.outcome != "invalid" for verdict in seen.verdicts.values())
        has = "has verdicts: y shows them" if valid else "gave no valid verdict: y marks the pairs"
        hidden = Content.styled(f"judge  {has}", words.MUTED)
        lines.append(words.judge_line(seen.judge) if subject.verdicts else hidden)
    if ballot is not None and (tally := ballot.tally()) is not None:
        lines.append(words.vote_line(tally))
        if (agree := words.agreement_line(subject.agreements, ballot.rater)) is not None:
            lines.append(agree)
    if seen.summary is not None and (left_out := left_out_sentence(seen.summary.left_out)):
        lines.append(Content.styled(inert(left_out, one_line=True), words.MUTED))
    return Content("\n").join(lines)


def _title(subject: Subject, run: Path) -> Content:
    many = f" ({subject.which}/{subject.runs})" if subject.runs > 1 else ""
    parts = [Content.assemble((inert(run.name, one_line=True), "bold"), (many, words.MUTED))]
    state = subject.job
    if state is not None and state.state != "finished":
        symbol, style = STATE_MARKS[state.state]
        done = ""
        progress = state.progress
        # What a comparison told of its phase before says nothing of the one it is in; a judge has
        # one phase, and counts in it as it answers or waits.
        told = progress is not None and (
            progress.phase == state.phase or subject.job_kind != "compare"
        )
        if state.running and progress is not None and told:
            done = f" {progress.done:.0f}/{progress.total:.0f} {progress.unit}"
        label = f"{subject.job_kind} {state_line(state)}{done}"
        parts.append(Content.assemble((f"{symbol} ", style), label))
    spec = subject.seen.spec if subject.seen else None
    if spec is not None:
        # An older comparison, or one that another program made, may not say all of it.
        named = spec.get("prompts")
        prompts = inert(subject.project.shorten(Path(named)), one_line=True) if named else "unknown"
        base = inert(Path(str(spec.get("base") or "unknown")).name, one_line=True)
        against = f"base {base}"
        if subject.labels != words.LABELS:
            against = inert(f"{subject.labels[0]} against {subject.labels[1]}", one_line=True)
        parts.append(Content.styled(f"{against}, prompts {prompts}", words.MUTED))
    return Content("  ").join(parts)


def pair(subject: Subject) -> PairText:
    """The pair in view with names and figures; nothing of it while a vote is open."""
    seen = subject.seen
    if subject.run is None or seen is None or not seen.completions:
        return PairText(title="Compare", message=_nothing_yet(subject))
    if subject.covered and subject.ballot is not None:
        return PairText(title="Compare", message=_open_vote(subject.ballot))
    completion = seen.completions[subject.place]
    ballot, look = subject.ballot, subject.look
    vote = ballot.winners().get(completion.id) if ballot else None
    note = ballot.note(completion.id) if ballot else ""
    said = [f"you voted: {words.won_by(vote, subject.labels)}"] if vote is not None else []
    said += [words.noted(note)] if note else []
    verdict = seen.verdicts.get(completion.id) if subject.verdicts else None
    title = f"{subject.place + 1} of {len(seen.completions)}, line {completion.line}"
    single, name = middle(completion, subject.labels, look, subject.probabilities)
    return replace(
        named_pair(completion, subject.labels, look),
        title=f"{title}  Markdown" if look.markdown else title,
        subtitle="  ".join(said),
        verdict=NOTHING if verdict is None else words.verdict_text(verdict, subject.labels),
        single=single,
        single_title=name,
    )


def named_pair(completion: Completion, labels: tuple[str, str], look: Look) -> PairText:
    """Prompt, both answers under their labels with what is known of them, the reference."""
    adapter, reference = completion.adapter, completion.reference

    def said(text: str | None) -> Content:
        return NOTHING if text is None else words.answer_text(text, markdown=look.markdown)

    return PairText(
        title="",
        prompt=words.prompt_text(completion),
        asked=words.asked_text(completion),
        left=said(completion.base),
        left_title=inert(labels[0], one_line=True),
        left_note=words.side_note(completion, "base"),
        right=said(adapter),
        right_title=inert(labels[1], one_line=True),
        right_note=words.side_note(completion, "adapter"),
        reference=said(reference) if look.reference else NOTHING,
    )


def middle(
    completion: Completion,
    labels: tuple[str, str],
    look: Look,
    probabilities: Mapping[str, TokenProbabilities],
) -> tuple[Content, str]:
    """What stands in the answers' place, and its title: a diff, the tokens, or nothing."""
    labels = (inert(labels[0], one_line=True), inert(labels[1], one_line=True))
    if look.middle == "diff" and completion.adapter is not None:
        from tuiwb.app.widgets.compare_diff import diff_content

        title = f"from {labels[0]} [-gone-] to {labels[1]} {{+new+}}"
        if completion.identical:
            return Content("both answers are the same"), title
        return diff_content(completion.base, completion.adapter), title
    if look.middle == "tokens":
        from tuiwb.app.widgets.compare_tokens import token_content

        found = probabilities.get(completion.id)
        if found is None:
            return Content(_NO_TOKENS), "reference, token by token"
        return token_content(found, labels), "reference, token by token"
    return NOTHING, ""


_NO_TOKENS = (
    "Nothing is known of the tokens of this reference: it has none, or the comparison was made "
    "without measuring them."
)


def _open_vote(ballot: Ballot) -> Content:
    """What stands in place of names and figures while a vote is under way."""
    key = "bold $accent"
    return Content.assemble(
        (f"A blind vote is open: {ballot.voted} of {len(ballot.pairs)} pairs voted on.\n\n", ""),
        ("v", key),
        "  goes on where you left it\n",
        ("r", key),
        "  reveals which side was which, and locks your votes\n",
        ("y", key),
        "  reads on with names: pairs read so are kept as not blind when you vote on them later\n",
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
    if not {"prompts", "limit", "max_new_tokens"} <= seen.spec.keys():
        return Content(f"{failed}Press enter: base and fine-tune answer the held-out prompts.")
    prompts = inert(subject.project.shorten(Path(seen.spec["prompts"])))
    return Content(
        f"{failed}Press enter: base and fine-tune answer at most {seen.spec['limit']} prompts of "
        f"{prompts}, greedily, at most {seen.spec['max_new_tokens']} new tokens each.\n\n"
        "n chooses other sides or prompts. The job goes on without this screen; answers appear "
        "here as they come."
    )
