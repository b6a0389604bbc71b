"""The rater's part of the Compare screen: whose ballot, the vote, the reveal, the disagreements."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from textual import work

from tuiwb.app.screens.compare_jobs import CompareJobs
from tuiwb.app.screens.compare_look import Looked
from tuiwb.app.screens.compare_review import DisagreementScreen, Queue
from tuiwb.app.screens.compare_voting import VoteScreen, confirm_reveal
from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.widgets.compare_figures import figures
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.compare.completions import Completion, label_of
from tuiwb.compare.judge.review import Review, agreed_with, disagreements, read_judged
from tuiwb.compare.plan import COMPARE
from tuiwb.compare.vote.ballot import Ballot
from tuiwb.compare.vote.raters import (
    agreement_of,
    agreements,
    likely_rater,
    rater_of,
    remember_rater,
)
from tuiwb.compare.vote.records import votes_name
from tuiwb.errors import TuiwbError, on_screen


class CompareVotes(CompareJobs):
    """Knows what was read of a run for two `sides`, and what of it the rater may see."""

    def __init__(self) -> None:
        super().__init__()
        self.looked: Looked | None = None
        self.uncovered = self.verdicts = False
        # What was read from disk before this number changed may be of another rater or vote.
        self.asked = 0
        # Read with names before there was a ballot to keep it.
        self.read_named: set[str] = set()

    def look_again(self) -> None:
        """Read what is on disk now."""
        raise NotImplementedError

    @property
    def ballot(self) -> Ballot | None:
        """The ballot of the rater who is here; None before their first vote."""
        return self.looked.ballot if self.looked else None

    @property
    def completions(self) -> list[Completion]:
        """The pairs in view, in the order of their prompts."""
        return self.looked.seen.completions if self.looked else []

    @property
    def labels(self) -> tuple[str, str]:
        """How the two sides are called."""
        spec = (self.looked.seen.spec if self.looked else None) or {}
        return label_of(spec, self.sides[0]), label_of(spec, self.sides[1])

    @property
    def covered(self) -> bool:
        """Whether a vote is open, so that names and figures must stay out of sight."""
        return self.ballot is not None and self.ballot.hides and not self.uncovered

    @property
    def verdicts_shown(self) -> bool:
        """Whether the judge's verdicts may be seen: after the reveal, or when asked for."""
        revealed = self.ballot is not None and self.ballot.revealed
        return revealed or self.verdicts

    def action_figures(self) -> None:
        """Every figure with its interval."""
        looked, shown = self.looked, self.verdicts_shown
        if looked is None:
            return
        seen, ballot = looked.seen, looked.ballot
        with_judge, with_judges = None, []
        if ballot is not None and ballot.revealed:
            decided = ballot.decided()
            with_judges = [(one.judge, agreed_with(decided, one)) for one in looked.judged]
            if seen.verdicts and not with_judges:
                said = {key: found.outcome for key, found in seen.verdicts.items()}
                with_judge = agreement_of(decided, said)
        judge = seen.judge if shown else None
        raters = looked.agreements if ballot is not None and ballot.revealed else []
        text = figures(
            seen.summary,
            judge,
            looked.tallies(),
            with_judge,
            raters,
            labels=self.labels,
            with_judges=with_judges,
        )
        self.app.push_screen(FiguresScreen(text))

    def action_rater(self) -> None:
        """Another person votes now; their ballot is their own."""
        self._ask_who(self._somebody_else)

    def _somebody_else(self) -> None:
        """What was read before was read by another person."""
        self.read_named.clear()
        self.asked += 1
        self.look_again()

    def action_vote(self) -> None:
        """Begin, or go on with, the blind vote; asks once who votes."""
        try:
            known = rater_of(self.project)
        except TuiwbError as error:
            self.complain(on_screen(error))
            return
        if known is None:
            self._ask_who(self.action_vote)
        else:
            self._vote_as(known)

    def _ask_who(self, then: Callable[[], None]) -> None:
        def answer(name: str | None) -> None:
            if name is not None:
                self.uncovered = self.verdicts = False
                then()

        detail = "Votes are kept under this name; R changes it."
        ask = Ask("Who votes?", partial(remember_rater, self.project), likely_rater(), detail)
        self.app.push_screen(ask, answer)

    def _vote_as(self, rater: str) -> None:
        looked = self.looked
        if looked is None:
            return
        folder = looked.seen.run / COMPARE
        try:
            ballot = Ballot(folder, looked.seen.completions, rater=rater, sides=self.sides)
            if self.read_named and not ballot.revealed:
                ballot.saw(sorted(self.read_named))
        except (TuiwbError, OSError) as error:
            self.complain(on_screen(error))
            return
        if ballot.revealed:
            self.notify("these votes were revealed, which locks them", markup=False)
        elif not ballot.pairs:
            self.notify("all answers are identical: nothing to vote on", markup=False)
        else:
            if ballot.not_asked:
                count = ballot.not_asked
                self.notify(
                    f"{count} prompts were answered after your ballot began: it is not on them",
                    markup=False,
                )
            self.uncovered = self.verdicts = False
            self.read_named.clear()
            self.looked = replace(looked, ballot=ballot)
            plain = replace(self.look, middle="answers")
            screen = VoteScreen(looked.seen.run, ballot, looked.seen.completions, plain)
            self.app.push_screen(screen, lambda _: self._voted(ballot))

    def _voted(self, ballot: Ballot) -> None:
        looked = self.looked
        here = None if looked is None else looked.seen.run / COMPARE / votes_name(*self.sides)
        if looked is None or ballot.path != here:
            # Another run came into view meanwhile: these votes are not on it.
            self.look_again()
            return
        # What was read before the last votes is old.
        self.asked += 1
        others = [b for b in looked.ballots if b.rater != ballot.rater]
        ballots = [*others, ballot]
        self.looked = replace(
            looked, ballot=ballot, ballots=ballots, agreements=agreements(ballots)
        )
        self.paint()
        self.refresh_bindings()
        if ballot.revealed:
            self.action_figures()

    def action_reveal(self) -> None:
        """Ask, then show which side was which and lock the votes."""
        ballot = self.ballot
        if ballot is None:
            return

        def answer(sure: bool | None) -> None:
            if sure:
                try:
                    ballot.reveal()
                except TuiwbError as error:
                    self.complain(on_screen(error))
                    return
                self._voted(ballot)

        self.app.push_screen(confirm_reveal(ballot), answer)

    def action_review(self) -> None:
        """Walk the pairs on which the rater and a judge disagree, one judge after another."""
        looked, ballot = self.looked, self.ballot
        if looked is not None and ballot is not None:
            self._find_disagreements(looked, ballot)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _find_disagreements(self, looked: Looked, ballot: Ballot) -> None:
        seen, decided = looked.seen, ballot.decided()
        try:
            judges = read_judged(seen.run, seen.completions, looked.sides)
            found = [
                Queue(
                    judge=one.judge,
                    items=disagreements(decided, one.verdicts),
                    review=Review(seen.run / COMPARE, ballot.rater, one.judge),
                    agreement=agreed_with(decided, one),
                )
                for one in judges
            ]
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(on_screen(error)))
            return
        self.app.call_from_thread(self._walk, looked, ballot, [q for q in found if q.items])

    def _walk(self, looked: Looked, ballot: Ballot, queues: list[Queue]) -> None:
        if not self.is_current or self.looked is None or self.looked.seen.run != looked.seen.run:
            return  # the reader went elsewhere meanwhile
        if not queues:
            self.notify("you and the judge agree wherever both decided", markup=False)
            return
        self.app.push_screen(
            DisagreementScreen(
                looked.seen.run,
                queues,
                ballot,
                looked.seen.completions,
                self.labels,
                self.look,
            )
        )
