"""What a rater sees while voting: two answers and nothing that tells which model wrote which.

No names, lengths, times, cut marks, figures, verdicts, no tally and no diff. Which side an answer
stands on comes from the ballot; all else here is the same for both.
"""

from collections.abc import Mapping

from textual.content import Content

from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.compare_view import NOTHING, Look
from tuiwb.app.widgets.pair_view import PairText
from tuiwb.compare.completions import Completion
from tuiwb.compare.vote.ballot import Ballot, Choice
from tuiwb.compare.vote.raters import repeats_in
from tuiwb.text import inert

CHOICES: dict[Choice, str] = {
    "left": "left is better",
    "right": "right is better",
    "tie": "tie",
    "both_bad": "both bad",
    "skip": "skipped",
}
BAR = 20


def blind_pair(
    ballot: Ballot, completions: Mapping[str, Completion], place: int, look: Look
) -> PairText:
    """The pair at `place` as its rater may see it."""
    asked = ballot.pairs[place]
    completion = completions[asked.id]
    texts = {"base": completion.base, "adapter": completion.adapter or ""}
    other = "base" if asked.left == "adapter" else "adapter"
    choice, reference = ballot.choice(asked), completion.reference
    note = ballot.note(asked.id)
    said = ["no vote yet" if choice is None else f"your vote: {CHOICES[choice]}"]
    said += [words.noted(note)] if note else []
    title = f"pair {place + 1} of {len(ballot.pairs)}"
    if repeats := repeats_in(ballot):
        title += f", {repeats}"
    return PairText(
        title=f"{title}  Markdown" if look.markdown else title,
        subtitle="  ".join(said),
        prompt=words.prompt_text(completion),
        asked=words.asked_text(completion),
        left=words.answer_text(texts[asked.left], markdown=look.markdown),
        left_title="Left",
        left_note="a",
        right=words.answer_text(texts[other], markdown=look.markdown),
        right_title="Right",
        right_note="l",
        reference=words.answer_text(reference, markdown=look.markdown)
        if reference is not None and look.reference
        else NOTHING,
    )


def vote_head(
    ballot: Ballot, run: str, last: tuple[int, Choice | None] | None, width: int
) -> Content:
    """One line: on which run, who votes, how far, and what was said last (None: that a vote was
    taken back). The bar gives way to the words."""
    count = len(ballot.pairs)
    name = Content(inert(run, one_line=True)).truncate(max(width // 3, 1), ellipsis=True)
    begin = Content.assemble(
        ("Blind vote ", "bold"), f"{ballot.voted} of {count} on ", (name.plain, "bold"), " "
    )
    if ballot.voted == count:
        said = Content.styled("  all voted: r reveals", "bold")
    elif last is not None:
        what = "vote taken back" if last[1] is None else CHOICES[last[1]]
        said = Content.styled(f"  pair {last[0] + 1}: {what}", words.MUTED)
    else:
        said = Content.styled("  which answer is better?", words.MUTED)
    who = Content.styled(words.rater_name(ballot.rater), words.MUTED)
    room = width - begin.cell_length - said.cell_length - who.cell_length - 2
    bar = max(0, min(BAR, room))
    done = round(bar * ballot.voted / count)
    line = Content.assemble(
        begin, ("━" * done, "$text-success"), ("┄" * (bar - done), "$foreground 40%"), said
    )
    gap = width - line.cell_length - who.cell_length
    return Content.assemble(line, " " * gap, who) if gap > 1 else line
