"""Compare: base and fine-tune on held-out prompts, side by side, voted on blind, judged."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tuiwb import jobs
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.app.widgets import compare_view as view
from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.figures import FiguresScreen
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import Completion
from tuiwb.compare.judge_plan import JUDGE, Estimate, estimate, plan_judge, start_judge
from tuiwb.compare.judge_summary import agreement
from tuiwb.compare.look import Comparison, look
from tuiwb.compare.plan import COMPARE, answered, comparable_runs, plan, start
from tuiwb.compare.votes import VOTES, Ballot, Choice
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState
from tuiwb.text import inert


class CompareScreen(WorkbenchScreen):
    """Shows one run's comparison; while voting, nothing that could tell the sides apart."""

    MODE = "compare"
    CSS_PATH = "compare.tcss"
    HELP_TEXT = (
        "Base and fine-tune answer the same held-out prompts; ✗→✓ is wrong before, right after. "
        "A blind vote hides names, lengths, figures and the judge until you reveal, which locks "
        "it. Votes are saved one by one: leave and come back at any time. With a judge's verdicts, "
        "F, B and = in the list say who won a pair: fine-tune, base or neither."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,g", "start", "Compare", key_display="enter"),
        Binding("x", "stop", "Stop"),
        Binding("v", "vote_mode(True)", "Vote blind"),
        Binding("J", "judge", "Judge", key_display="J"),
        Binding("i", "figures", "Figures"),
        Binding("j", "move(1)", "Move", key_display="j/k"),
        Binding("k", "move(-1)", "Previous", show=False),
        Binding("a", "cast('left')", "Left"),
        Binding("l", "cast('right')", "Right"),
        Binding("space", "cast('tie')", "Tie"),
        Binding("b", "cast('both_bad')", "Both bad"),
        Binding("s", "cast('skip')", "Skip"),
        Binding("u", "undo", "Undo"),
        Binding("j", "step(1)", "Next pair", show=False),
        Binding("k", "step(-1)", "Previous pair", show=False),
        Binding("n", "next_open", "Next open", show=False),
        Binding("r", "reveal", "Reveal"),
        Binding("v,escape", "vote_mode(False)", "Leave", key_display="v"),
        Binding("right_square_bracket", "step_run(1)", "Run", key_display="]"),
        Binding("left_square_bracket", "step_run(-1)", "Previous run", key_display="[", show=False),
    ]
    VOTING: ClassVar[frozenset[str]] = frozenset({"cast", "undo", "next_open", "step", "reveal"})
    READING: ClassVar[frozenset[str]] = frozenset({"figures", "move"})

    class Read(Message):
        """What a look at the run's folders brought."""

        def __init__(self, seen: Comparison) -> None:
            super().__init__()
            self.seen = seen

    class Refused(Message):
        """Something asked for can't be done; the sentence says why."""

        def __init__(
            self, sentence: str, severity: Literal["information", "error"] = "error"
        ) -> None:
            super().__init__()
            self.sentence, self.severity = sentence, severity

    class Priced(Message):
        """What judging would cost, to be confirmed."""

        def __init__(self, spec: dict[str, Any], cost: Estimate) -> None:
            super().__init__()
            self.spec, self.cost = spec, cost

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[Path] = []
        self._run: Path | None = None
        self._seen: Comparison | None = None
        self._jobs: dict[Path, JobState] = {}
        self._place = 0
        self._ballot: Ballot | None = None
        self._voting = False
        self._head: Content | None = None
        self._listed: list[str] = []

    def compose_body(self) -> Iterable[Widget]:
        yield Static(id="head", markup=False)
        with Horizontal(id="main"):
            prompts = OptionList(id="prompts", classes="panel", markup=False)
            prompts.border_title = "Prompts"
            # The screen's own keys move: a focused list would swallow them.
            prompts.can_focus = False
            yield prompts
            yield PairView(id="pair")

    def on_mount(self) -> None:
        self.query_one(PairView).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in self.VOTING:
            return self._voting
        if action == "vote_mode":
            begin = bool(parameters[0])
            return self._voting != begin and (not begin or self._all_answered())
        if action == "judge":
            return not self._voting and self._all_answered() and self._at_work() is None
        if action == "stop":
            return not self._voting and self._at_work() is not None
        if action == "start":
            return not self._voting and self._at_work() is None
        if action == "step_run":
            return not self._voting and len(self._runs) > 1
        if action in self.READING:
            return not self._voting and self._seen is not None and bool(self._seen.completions)
        return True

    def _all_answered(self) -> bool:
        """Whether there is a comparison that is not being added to."""
        seen, at_work = self._seen, self._at_work()
        return bool(seen and seen.completions) and (at_work is None or at_work.name != COMPARE)

    # What is on disk

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        self._jobs = jobs
        self._runs = comparable_runs(self.project)
        wanted = self.workbench.wanted_run
        if wanted is not None and wanted.name in (COMPARE, JUDGE):
            wanted = wanted.parent
        if wanted in self._runs:
            self.workbench.wanted_run = None
            self._select(wanted)
        elif self._run not in self._runs:
            self._select(self._runs[0] if self._runs else None)
        else:
            self._look()
        self.refresh_bindings()

    def _select(self, run: Path | None) -> None:
        if self._voting:
            self._leave_vote()
        if run != self._run:
            self._run, self._seen, self._ballot, self._place = run, None, None, 0
        if run is None:
            self._paint()
        else:
            self._look()

    def _look(self) -> None:
        if self._run is not None:
            self._read(self._run, self._seen)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-read")
    def _read(self, run: Path, before: Comparison | None) -> None:
        try:
            self.post_message(self.Read(look(self.project, run, before)))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(str(error)))

    @on(Read)
    def _take(self, message: Read) -> None:
        if message.seen.run != self._run:
            return
        self._seen = message.seen
        if self._all_answered() and (self._seen.run / COMPARE / VOTES).is_file():
            self._open_ballot(complain=False)
        self._place = min(self._place, max(0, len(self._seen.completions) - 1))
        self._paint()
        self.refresh_bindings()

    @on(Refused)
    def _complain(self, message: Refused) -> None:
        self.notify(inert(message.sentence), severity=message.severity, timeout=12, markup=False)

    def _at_work(self) -> Path | None:
        """The comparison or judge run that is at work on the selected run."""
        if self._run is None:
            return None
        folders = (self._run / COMPARE, self._run / JUDGE)
        return next((f for f in folders if f in self._jobs and self._jobs[f].running), None)

    # Painting

    def on_resize(self) -> None:
        self.call_after_refresh(self._paint)

    def _paint(self) -> None:
        head = view.head(self._subject(), self.size.width - 2)
        if self._head is None or head != self._head:
            self._head = head
            self.query_one("#head", Static).update(head)
        completions = self._seen.completions if self._seen else []
        self.set_class(self._voting or not completions, "-alone")
        self._paint_list(completions)
        self.query_one(PairView).show(view.pair(self._subject()))

    def _subject(self) -> view.Subject:
        at_work = self._at_work()
        folder = at_work or (self._run / COMPARE if self._run is not None else None)
        return view.Subject(
            project=self.project,
            run=self._run,
            which=self._runs.index(self._run) + 1 if self._run in self._runs else 1,
            runs=len(self._runs),
            seen=self._seen,
            job=None if folder is None else self._jobs.get(folder),
            job_kind="" if folder is None else folder.name,
            ballot=self._ballot,
            voting=self._voting,
            place=self._place,
        )

    def _paint_list(self, completions: list[Completion]) -> None:
        verdicts = self._seen.verdicts if self._seen else {}
        lines = [words.list_line(c, verdicts.get(c.id)) for c in completions]
        prompts = self.query_one("#prompts", OptionList)
        plain = [line.plain for line in lines]
        if plain != self._listed:
            with prompts.prevent(OptionList.OptionHighlighted):
                if plain[: len(self._listed)] == self._listed:
                    prompts.add_options(Option(line) for line in lines[len(self._listed) :])
                else:
                    prompts.clear_options()
                    prompts.add_options(Option(line) for line in lines)
            self._listed = plain
        prompts.border_subtitle = "F B = : judge's winner" if verdicts else ""
        if lines and not self._voting and prompts.highlighted != self._place:
            with prompts.prevent(OptionList.OptionHighlighted):
                prompts.highlighted = self._place

    # Moving

    def action_move(self, by: int) -> None:
        """The next or previous prompt."""
        if self._seen is not None and self._seen.completions:
            self._go_to(self._place + by, len(self._seen.completions))

    def action_step(self, by: int) -> None:
        """The next or previous pair of the vote."""
        if self._ballot is not None:
            self._go_to(self._place + by, len(self._ballot.pairs))

    def _go_to(self, place: int, count: int) -> None:
        self._place = max(0, min(count - 1, place))
        self._paint()

    @on(OptionList.OptionHighlighted, "#prompts")
    def _picked(self, event: OptionList.OptionHighlighted) -> None:
        if not self._voting and event.option_index != self._place:
            self._place = event.option_index
            self._paint()

    def action_step_run(self, by: int) -> None:
        """Another run that can be compared."""
        if self._run in self._runs:
            self._select(self._runs[(self._runs.index(self._run) + by) % len(self._runs)])

    # Comparing

    def action_start(self) -> None:
        """Start, or go on with, the comparison of this run."""
        if self._run is not None:
            self._start(self._run)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _start(self, run: Path) -> None:
        try:
            spec = plan(self.project, run.name)
            if answered(spec):
                self.post_message(
                    self.Refused(
                        "already compared: adapter and prompts are the same", "information"
                    )
                )
                return
            start(self.project, spec)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(str(error)))
            return
        self.app.call_from_thread(self._started)

    def _started(self) -> None:
        self._ballot, self._place = None, 0
        self.workbench.read_jobs()

    def action_stop(self) -> None:
        """Stop the comparison or the judge; what is there stays."""
        if (folder := self._at_work()) is not None:
            jobs.send(folder, "stop")
            self.notify("told it to stop: what is answered stays, enter goes on", markup=False)

    def action_figures(self) -> None:
        """Every figure with its interval."""
        seen = self._seen
        if seen is None:
            return
        tally = self._ballot.tally() if self._ballot else None
        shared = None
        if tally is not None and self._ballot is not None and seen.verdicts:
            shared = agreement(self._ballot.winners(), seen.verdicts.values())
        text = words.figures(seen.summary, seen.judge, tally, shared)
        self.app.push_screen(FiguresScreen(text))

    # Voting

    def action_vote_mode(self, on: bool) -> None:
        """Begin, go on with, or leave the blind vote."""
        if not on:
            self._leave_vote()
        elif self._open_ballot(complain=True) and self._ballot is not None:
            if self._ballot.revealed:
                self.notify("the votes were revealed, which locks them", markup=False)
            elif not self._ballot.pairs:
                self.notify("all answers are identical: nothing to vote on", markup=False)
            else:
                self._voting = True
                self._place = self._ballot.next_open() or 0
                self._paint()
                self.refresh_bindings()

    def _open_ballot(self, *, complain: bool) -> bool:
        if self._ballot is not None:
            return True
        if self._seen is None:
            return False
        try:
            self._ballot = Ballot(self._seen.run / COMPARE, self._seen.completions)
        except (TuiwbError, OSError) as error:
            if complain:
                self.post_message(self.Refused(str(error)))
            return False
        return True

    def _leave_vote(self) -> None:
        self._voting, self._place = False, 0
        self._paint()
        self.refresh_bindings()

    def action_cast(self, choice: Choice) -> None:
        """Save a vote and go on to the next pair without one."""
        ballot = self._ballot
        if ballot is None:
            return
        try:
            ballot.vote(ballot.pairs[self._place], choice)
        except TuiwbError as error:
            self.post_message(self.Refused(str(error)))
            return
        following = ballot.next_open(self._place)
        if following is None:
            self.notify("every pair has a vote: r reveals which side was which", markup=False)
        else:
            self._place = following
        self._paint()

    def action_undo(self) -> None:
        """Take the last vote back and show its pair."""
        if self._ballot is None:
            return
        try:
            pair = self._ballot.undo()
        except TuiwbError as error:
            self.post_message(self.Refused(str(error)))
            return
        if pair is None:
            self.notify("no vote to undo", markup=False)
        else:
            self._place = self._ballot.pairs.index(pair)
            self._paint()

    def action_next_open(self) -> None:
        """The next pair without a vote."""
        if self._ballot is not None:
            following = self._ballot.next_open(self._place)
            self._place = self._place if following is None else following
            self._paint()

    def action_reveal(self) -> None:
        """Ask, then show which side was which and lock the votes."""
        ballot = self._ballot
        if ballot is None:
            return

        def answer(sure: bool | None) -> None:
            if sure:
                try:
                    ballot.reveal()
                except TuiwbError as error:
                    self.post_message(self.Refused(str(error)))
                    return
                self._leave_vote()

        self.app.push_screen(
            Confirm(
                "Reveal the sides?",
                f"{ballot.voted} of {len(ballot.pairs)} pairs have a vote. Revealing shows the "
                "tally and locks it: no vote can be added or changed after.",
            ),
            answer,
        )

    # Judging

    def action_judge(self) -> None:
        """Show what a judge would cost, ask, and start it."""
        if self._run is not None:
            self._price(self._run)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _price(self, run: Path) -> None:
        try:
            spec = plan_judge(self.project, run.name)
            self.post_message(self.Priced(spec, estimate(spec)))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(str(error)))

    @on(Priced)
    def _ask_to_judge(self, message: Priced) -> None:
        spec, cost = message.spec, message.cost

        def answer(sure: bool | None) -> None:
            if sure:
                self._judge(spec)

        detail = (
            f"{cost.sentence}.\n\nEndpoint {spec['base_url']}, rubric {spec['rubric']['name']}, "
            f"both orders, at most ${spec['max_usd']:g}."
        )
        self.app.push_screen(Confirm("Ask the judge?", inert(detail)), answer)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _judge(self, spec: dict[str, Any]) -> None:
        try:
            start_judge(spec)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(str(error)))
            return
        self.app.call_from_thread(self.workbench.read_jobs)
