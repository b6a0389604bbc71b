"""The blind vote: one key a pair, saved before the next is shown, sides hidden until the reveal."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from tuiwb.app.screens.compare_pair import WalkScreen
from tuiwb.app.screens.dialogs import Ask, Confirm
from tuiwb.app.widgets.compare_ballot import blind_pair, vote_head
from tuiwb.app.widgets.compare_view import Look
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import Completion
from tuiwb.compare.vote.ballot import Ballot, Choice
from tuiwb.compare.vote.raters import progress
from tuiwb.errors import TuiwbError


class VoteScreen(WalkScreen):
    """A rater's ballot, pair after pair; ends when it is left or revealed."""

    HELP_TEXT = (
        "Which answer is better? Names, lengths, figures and the judge stay hidden until you "
        "reveal, which locks your votes. Each vote is saved at once: leave and come back at any "
        "time. Some pairs come twice, sides swapped, to see how steady you are."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "cast('left')", "Left"),
        Binding("l", "cast('right')", "Right"),
        Binding("space", "cast('tie')", "Tie"),
        Binding("b", "cast('both_bad')", "Both bad"),
        Binding("s", "cast('skip')", "Skip"),
        Binding("u", "undo", "Undo"),
        Binding("j", "step(1)", "Move", key_display="j/k"),
        Binding("k", "step(-1)", "Previous pair", show=False),
        Binding("n", "next_open", "Next without a vote", show=False),
        Binding("c", "note", "Note on this pair", show=False),
        Binding("r", "reveal", "Reveal"),
        Binding("i,G,w,t", "covered", show=False),
        Binding("v,escape,q", "leave", "Leave", key_display="v"),
    ]

    def __init__(
        self,
        run: Path,
        ballot: Ballot,
        completions: Sequence[Completion],
        look: Look | None = None,
    ) -> None:
        super().__init__(run, look)
        self.ballot = ballot
        self._completions = {c.id: c for c in completions}
        self._at = ballot.next_open() or 0
        self._last: tuple[int, Choice | None] | None = None
        # Since when the pair is on the terminal; None before it is.
        self._since: float | None = None

    def paint(self) -> None:
        self.paint_head(vote_head(self.ballot, self.run.name, self._last, self.size.width - 2))
        pair = blind_pair(self.ballot, self._completions, self._at, self.look)
        self.query_one(PairView).show(pair)
        if self._since is None:
            self.call_after_refresh(self._painted, self._at)

    def on_screen_suspend(self) -> None:
        """Another screen, and no dialog over this one: the time away is not spent on the pair."""
        if self.app.current_mode != self.MODE:
            self._since = None

    def on_screen_resume(self) -> None:
        """Back at the pair."""
        super().on_screen_resume()
        self.call_after_refresh(self._painted, self._at)

    def _painted(self, place: int) -> None:
        if place == self._at and self._since is None:
            self._since = time.monotonic()

    def _go_to(self, place: int) -> None:
        if place != self._at:
            self._at, self._since = place, None
        self.paint()

    def action_cast(self, choice: Choice) -> None:
        """Save a vote and go on to the next pair without one. A key that comes before its pair is
        on the terminal (one that is held down, one typed ahead) is no vote on it."""
        place, ballot, since = self._at, self.ballot, self._since
        if since is None:
            return
        try:
            ballot.vote(ballot.pairs[place], choice, time.monotonic() - since)
        except TuiwbError as error:
            self.complain(str(error))
            return
        self._last = (place, choice)
        following = ballot.next_open(place)
        self._go_to(place if following is None else following)

    def action_undo(self) -> None:
        """Take the last vote back and show its pair."""
        try:
            pair = self.ballot.undo()
        except TuiwbError as error:
            self.complain(str(error))
            return
        if pair is None:
            self.notify("no vote to undo", markup=False)
            return
        place = self.ballot.pairs.index(pair)
        self._last = (place, None)
        self._go_to(place)

    def action_step(self, by: int) -> None:
        """The next or previous pair, voted on or not."""
        self._go_to(max(0, min(len(self.ballot.pairs) - 1, self._at + by)))

    def action_next_open(self) -> None:
        """The next pair without a vote."""
        following = self.ballot.next_open(self._at)
        self._go_to(self._at if following is None else following)

    def action_note(self) -> None:
        """Some words on the pair, shown again after the reveal."""
        pair = self.ballot.pairs[self._at]

        def write(text: str) -> str:
            self.ballot.write_note(pair.id, text)
            return text

        def answer(text: str | None) -> None:
            if text is not None:
                self.paint()

        question = f"Note on pair {self._at + 1}"
        self.app.push_screen(Ask(question, write, self.ballot.note(pair.id)), answer)

    def action_reveal(self) -> None:
        """Ask, then lock the votes and go back to where the sides are named."""
        ballot = self.ballot

        def answer(sure: bool | None) -> None:
            if not sure:
                return
            try:
                ballot.reveal()
            except TuiwbError as error:
                self.complain(str(error))
                return
            self.dismiss()

        self.app.push_screen(confirm_reveal(ballot), answer)


def confirm_reveal(ballot: Ballot) -> Confirm:
    """The question before a reveal."""
    return Confirm(
        "Reveal the sides?",
        f"{progress(ballot)}. Revealing shows the tally and "
        "locks your votes: none can be added or changed after.",
    )
