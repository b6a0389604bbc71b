"""Compare: base and fine-tune on held-out prompts, side by side; the way to vote, judge, review."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from tuiwb.app import keys
from tuiwb.app.screens.compare_ballots import CompareVotes
from tuiwb.app.screens.compare_look import Looked, look_at
from tuiwb.app.screens.compare_pair import run_of
from tuiwb.app.screens.dialogs import Pick
from tuiwb.app.widgets import compare_view as view
from tuiwb.app.widgets import compare_words as words
from tuiwb.app.widgets.gate_view import GateScreen
from tuiwb.app.widgets.pair_view import PairView
from tuiwb.compare.completions import Completion, label_of
from tuiwb.compare.plan import COMPARE, comparable_runs
from tuiwb.compare.vote.raters import side_pairs
from tuiwb.compare.vote.records import MAIN_PAIR
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState


class CompareScreen(CompareVotes):
    """Reads one run's comparison with names; a vote that is open covers all that could bias it."""

    HELP_TEXT = (
        "Is the fine-tune better, and may it ship? Base and fine-tune, or any other models, answer "
        "the same held-out prompts; ✗→✓ is wrong before, right after. "
        "A blind vote hides names, lengths, figures and the judge until you reveal, which locks "
        "it. With verdicts shown, < > and = in the list say which side the judge found better."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown(
            "enter,g", "start", "Compare", "ask all sides; nothing is asked twice", display="enter"
        ),
        keys.shown("n", "new", "New", "compare with other sides or prompts"),
        keys.shown("x", "stop", "Stop", "stop the comparison or the judge; what is there stays"),
        keys.shown("v", "vote", "Vote blind", "say of each pair which is better, names hidden"),
        keys.shown("j", "move(1)", "Move", "the next prompt, or the one before", display="j/k"),
        keys.shown("r", "reveal", "Reveal", "show which side was which, and lock the votes"),
        keys.shown("y", "uncover", "Show names", "read with names although a vote is open"),
        keys.shown(
            "J", "judge", "Judge", "let a model judge; its cost is shown first", display="J"
        ),
        keys.known("y", "verdicts", "Verdicts", "show or hide what the judge said"),
        keys.shown("e", "review", "Review", "pairs that you and the judge see differently"),
        keys.shown("i", "figures", "Figures", "every figure with its interval"),
        keys.shown("G", "gate", "Gate", "SHIP or NO-SHIP, and what stands against it", display="G"),
        Binding("i,G,w,t", "covered", show=False),
        keys.shown("w", "middle('diff')", "Diff", "what the answers have not in common"),
        keys.known("t", "middle('tokens')", "Tokens", "how likely each finds the reference"),
        keys.shown("o", "sides", "Sides", "which two sides to read and vote on"),
        keys.known("R", "rater", "Rater", "somebody else votes now", display="R"),
        keys.known("k", "move(-1)", "Previous", "the next prompt, or the one before"),
        keys.shown("right_square_bracket", "step_run(1)", "Run", "the next run", display="]"),
        keys.known(
            "left_square_bracket", "step_run(-1)", "Previous run", "the run before", display="["
        ),
    ]
    READING: ClassVar[frozenset[str]] = frozenset(
        {"figures", "move", "middle", "markdown", "reference"}
    )

    class Read(Message):
        """What a look at the run's folders brought, and by which question."""

        def __init__(self, looked: Looked, asked: int) -> None:
            super().__init__()
            self.looked, self.asked = looked, asked

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[Path] = []
        self._place = 0
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

    # What can be done now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        ballot, at_work = self.ballot, self.at_work()
        if action == "vote":
            return self._all_answered() and not (ballot is not None and ballot.revealed)
        if action == "reveal":
            return ballot is not None and ballot.hides
        if action in ("judge", "start", "new"):
            ready = self._all_answered() if action == "judge" else self.run is not None
            return at_work is None and ready
        if action == "stop":
            return at_work is not None
        if action == "step_run":
            return len(self._runs) > 1
        if action in ("uncover", "covered"):
            return self.covered
        if action == "gate":
            return self.run is not None and not self.covered
        if action == "verdicts":
            judged = self.looked is not None and bool(self.looked.seen.verdicts)
            return judged and not self.covered and not (ballot is not None and ballot.revealed)
        if action == "review":
            judged = self.looked is not None and bool(self.looked.seen.verdicts)
            return judged and ballot is not None and ballot.revealed
        if action == "sides":
            return len(self._side_pairs()) > 1 and not self.covered
        if action in self.READING:
            return bool(self.completions) and not self.covered
        return True

    def _all_answered(self) -> bool:
        """Whether there is a comparison that is not being added to."""
        at_work = self.at_work()
        return bool(self.completions) and (at_work is None or at_work.name != COMPARE)

    def _side_pairs(self) -> list[tuple[str, str]]:
        spec = self.looked.seen.spec if self.looked else None
        return side_pairs(spec) if spec else []

    # What is on disk

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        self.states = jobs
        self._runs = comparable_runs(self.project)
        # What stands over this screen is first left.
        wanted = self.workbench.wanted_run if self.is_active else None
        if wanted is not None and (run := run_of(wanted)) in self._runs:
            wanted = run
        if wanted in self._runs:
            self.workbench.wanted_run = None
            self._select(wanted)
        elif self.run not in self._runs:
            self._select(self._runs[0] if self._runs else None)
        else:
            self.look_again()
        self.refresh_bindings()

    def _select(self, run: Path | None) -> None:
        if run != self.run:
            self.run, self.looked, self._place, self.sides = run, None, 0, MAIN_PAIR
            self.uncovered = self.verdicts = False
            self.read_named.clear()
        if run is None:
            self.paint()
        else:
            self.look_again()

    def started(self) -> None:
        self.looked, self._place, self.sides = None, 0, MAIN_PAIR
        # It may be one that was taken back, with a vote that is open.
        self.uncovered = self.verdicts = False
        super().started()

    def look_again(self) -> None:
        if self.run is not None:
            self._read(self.run, self.sides, self.looked, self.asked)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-read")
    def _read(self, run: Path, sides: tuple[str, str], before: Looked | None, asked: int) -> None:
        try:
            self.post_message(self.Read(look_at(self.project, run, sides, before), asked))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(str(error)))

    @on(Read)
    def _take(self, message: Read) -> None:
        looked = message.looked
        if looked.seen.run != self.run or looked.sides != self.sides:
            return
        if message.asked != self.asked:
            self.look_again()
            return
        self.looked = looked
        self._place = min(self._place, max(0, len(self.completions) - 1))
        self.paint()
        self.refresh_bindings()

    # Painting

    def paint(self) -> None:
        subject = self._subject()
        self.paint_head(view.head(subject, self.size.width - 2))
        completions = self.completions
        self.set_class(self.covered or not completions, "-alone")
        self._paint_list(completions)
        self.query_one(PairView).show(view.pair(subject))
        if completions and not self.covered:
            self._keep_as_read(completions[self._place].id)

    def _keep_as_read(self, completion_id: str) -> None:
        """A pair read with its sides named is no blind one any more."""
        ballot = self.ballot
        if ballot is None:
            self.read_named.add(completion_id)
        elif not ballot.revealed:
            try:
                ballot.saw([completion_id])
            except TuiwbError as error:
                self.complain(str(error))

    def _subject(self) -> view.Subject:
        looked, at_work = self.looked, self.at_work()
        folder = at_work or (self.run / COMPARE if self.run is not None else None)
        return view.Subject(
            project=self.project,
            run=self.run,
            which=self._runs.index(self.run) + 1 if self.run in self._runs else 1,
            runs=len(self._runs),
            seen=looked.seen if looked else None,
            job=None if folder is None else self.states.get(folder),
            job_kind="" if folder is None else folder.name,
            place=self._place,
            labels=self.labels,
            look=self.look,
            ballot=self.ballot,
            agreements=looked.agreements if looked else [],
            probabilities=looked.probabilities if looked else {},
            covered=self.covered,
            verdicts=self.verdicts_shown,
        )

    def _paint_list(self, completions: list[Completion]) -> None:
        shown = self.looked is not None and self.verdicts_shown
        verdicts = self.looked.seen.verdicts if self.looked and shown else {}
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
        prompts.border_subtitle = "< > = : judge's winner" if verdicts else ""
        if lines and prompts.highlighted != self._place:
            with prompts.prevent(OptionList.OptionHighlighted):
                prompts.highlighted = self._place

    # Moving and looking

    def action_move(self, by: int) -> None:
        """The next or previous prompt."""
        if self.completions:
            self._place = max(0, min(len(self.completions) - 1, self._place + by))
            self.paint()

    @on(OptionList.OptionHighlighted, "#prompts")
    def _picked(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index != self._place:
            self._place = event.option_index
            self.paint()

    def action_step_run(self, by: int) -> None:
        """Another run that can be compared."""
        if self.run in self._runs:
            self._select(self._runs[(self._runs.index(self.run) + by) % len(self._runs)])

    def action_middle(self, what: Literal["diff", "tokens"]) -> None:
        """The diff, or the reference's tokens, in the answers' place; the same key goes back."""
        self.look = replace(self.look, middle="answers" if self.look.middle == what else what)
        self.paint()

    def action_uncover(self) -> None:
        """Read with names although a vote is open; it is kept which pairs were read so."""
        self.uncovered = True
        self.paint()
        self.refresh_bindings()

    def action_verdicts(self) -> None:
        """Show the judge's verdicts before the reveal, or hide them again."""
        self.verdicts = not self.verdicts
        self.paint()

    def action_gate(self) -> None:
        """May this run be shipped, and what stands against it."""
        if self.run is not None:
            self.app.push_screen(GateScreen(self.project, self.run))

    def action_sides(self) -> None:
        """Choose which two sides to read and vote on."""
        pairs, spec = self._side_pairs(), self.looked.seen.spec if self.looked else None

        def answer(index: int | None) -> None:
            if index is not None and pairs[index] != self.sides:
                self.sides, self.looked, self._place = pairs[index], None, 0
                self.uncovered = False
                self.read_named.clear()
                self.look_again()

        if spec is not None:
            choices = [f"{label_of(spec, a)} against {label_of(spec, b)}" for a, b in pairs]
            at = pairs.index(self.sides) if self.sides in pairs else 0
            self.app.push_screen(Pick("Which two sides?", choices, at), answer)
