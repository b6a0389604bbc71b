"""The review queue: pairs on which you and the judge disagree, and who is right on each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from tuiwb.app.screens.compare_pair import WalkScreen
from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.compare_view import Look, middle, named_pair
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import Completion
from tuiwb.compare.judge.review import Disagreement, Review, Ruling
from tuiwb.compare.stats.counts import Kappa
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.errors import TuiwbError
from tuiwb.text import inert

RULED: dict[Ruling | None, str] = {
    "human": "you are right",
    "judge": "the judge is right",
    "unclear": "unclear",
    None: "not ruled yet",
}

SHORT = 32  # rows below which there is no room for all


@dataclass(frozen=True)
class Queue:
    """The pairs on which the rater and one judge disagree, and how far they agree on all."""

    judge: str
    items: Sequence[Disagreement]
    review: Review
    agreement: Kappa


class DisagreementScreen(WalkScreen):
    """Walks the disagreements; a ruling is kept at once and goes on to the next without one."""

    HELP_TEXT = (
        "You and the judge named different winners here. Read both reasons again and say who is "
        "right. Rulings change no vote and no verdict; exporting preference data follows them."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "rule('human')", "I am right"),
        Binding("l", "rule('judge')", "Judge is right"),
        Binding("space", "rule('unclear')", "Unclear"),
        Binding("u", "rule(None)", "Take back"),
        Binding("j", "step(1)", "Move", key_display="j/k"),
        Binding("k", "step(-1)", "Previous pair", show=False),
        Binding("n", "next_open", "Next without a ruling", show=False),
        Binding("w", "diff", "Diff"),
        Binding("J", "other_judge", "Other judge", key_display="J"),
        Binding("v,escape,q", "leave", "Leave", key_display="v"),
    ]

    def __init__(
        self,
        run: Path,
        queues: Sequence[Queue],
        ballot: Ballot,
        completions: Sequence[Completion],
        labels: tuple[str, str],
        look: Look | None = None,
    ) -> None:
        super().__init__(run, replace(look or Look(), middle="answers"))
        self._queues, self._judge, self._ballot = queues, 0, ballot
        self._completions = {c.id: c for c in completions}
        self._labels = labels
        self._at = self._open_after(-1) or 0

    @property
    def _items(self) -> Sequence[Disagreement]:
        return self._queues[self._judge].items

    @property
    def _review(self) -> Review:
        return self._queues[self._judge].review

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "other_judge" or len(self._queues) > 1

    def on_mount(self) -> None:
        super().on_mount()
        if self.app.size.height < SHORT:
            # Both reasons matter more here than the reference, which h brings back.
            self.look = replace(self.look, reference=False)

    def _open_after(self, place: int) -> int | None:
        count = len(self._items)
        places = ((place + 1 + i) % count for i in range(count))
        return next((i for i in places if self._review.ruling(self._items[i]) is None), None)

    def paint(self) -> None:
        item = self._items[self._at]
        count = self._review.count(self._items)
        told = "".join(f"   {name} {number}" for name, number in count.items())
        queue = self._queues[self._judge]
        which = f" ({self._judge + 1}/{len(self._queues)}, J)" if len(self._queues) > 1 else ""
        judge = inert(queue.judge, one_line=True) or "the judge"
        many = len(self._items)
        agreed = queue.agreement
        kappa = "" if agreed.kappa is None else f", kappa {agreed.kappa:.2f}"
        line = Content.assemble(
            (f"You and {judge}{which} disagree ", "bold"), f"on {many} of {agreed.n} pairs{kappa}"
        )
        rulings = Content.styled(f"right is{told.replace('human', 'you')}", words.MUTED)
        room = self.size.width - 2 - line.cell_length - rulings.cell_length
        self.paint_head(Content("   " if room > 2 else "\n").join([line, rulings]))
        completion = self._completions[item.pair]
        pair = named_pair(completion, self._labels, self.look)
        hides = completion.reference is not None and not self.look.reference
        single, name = middle(completion, self._labels, self.look, {})
        self.query_one(PairView).show(
            replace(
                pair,
                title=f"disagreement {self._at + 1} of {len(self._items)}"
                + ("   h shows the reference" if hides else ""),
                subtitle=RULED[self._review.ruling(item)],
                single=single,
                single_title=name,
                verdict=self._reasons(item),
                verdict_least=4,
                verdict_title=f"you: {words.won_by(item.vote, self._labels)}   judge: "
                f"{words.won_by(item.verdict.outcome, self._labels)}",
            )
        )

    def _reasons(self, item: Disagreement) -> Content:
        """What you noted, and what the judge said in each order."""
        said = words.verdict_text(item.verdict, self._labels)
        note = self._ballot.note(item.pair)
        mine = Content(inert(f"you noted: {note}", one_line=True))
        return Content("\n").join([mine, said]) if note else said

    def action_rule(self, ruling: Ruling | None) -> None:
        """Keep a ruling and go on; None takes the one shown back."""
        try:
            self._review.rule(self._items[self._at], ruling)
        except TuiwbError as error:
            self.complain(str(error))
            return
        if ruling is not None:
            following = self._open_after(self._at)
            self._at = self._at if following is None else following
        self.paint()

    def action_step(self, by: int) -> None:
        """The next or previous disagreement."""
        self._at = max(0, min(len(self._items) - 1, self._at + by))
        self.paint()

    def action_next_open(self) -> None:
        """The next disagreement without a ruling."""
        following = self._open_after(self._at)
        self._at = self._at if following is None else following
        self.paint()

    def action_other_judge(self) -> None:
        """The next judge with which the rater disagrees."""
        self._judge = (self._judge + 1) % len(self._queues)
        self._at = self._open_after(-1) or 0
        self.paint()

    def action_diff(self) -> None:
        """The diff in the answers' place; the same key goes back."""
        shown = self.look.middle == "diff"
        self.look = replace(self.look, middle="answers" if shown else "diff")
        self.paint()
