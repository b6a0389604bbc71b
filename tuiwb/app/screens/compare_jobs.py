"""The jobs of the Compare screen: comparing, judging, stopping either. Blocking work in threads."""

from pathlib import Path
from typing import Any, Literal

from textual import on, work
from textual.message import Message

from tuiwb import jobs
from tuiwb.app.screens.compare_judge import AskJudge
from tuiwb.app.screens.compare_new import NewComparison
from tuiwb.app.screens.compare_pair import PairScreen
from tuiwb.app.screens.dialogs import Confirm
from tuiwb.compare.go_on import Ahead, ahead, begin
from tuiwb.compare.judge.choices import JudgeChoices, judge_choices
from tuiwb.compare.judge.plan import JUDGE, start_judge
from tuiwb.compare.plan import COMPARE, as_before
from tuiwb.compare.vote.records import MAIN_PAIR
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.jobs import JobState
from tuiwb.text import inert

GO_AHEAD = "Start this comparison?"


class CompareJobs(PairScreen):
    """Starts and stops the jobs of the run in `run`; what can't be done is said."""

    class Refused(Message):
        """Something asked for can't be done; the sentence says why."""

        def __init__(
            self, sentence: str, severity: Literal["information", "error"] = "error"
        ) -> None:
            super().__init__()
            self.sentence, self.severity = sentence, severity

    class Offered(Message):
        """Which judges and rubrics there are to choose from."""

        def __init__(self, run: Path, choices: JudgeChoices) -> None:
            super().__init__()
            self.run, self.choices = run, choices

    class Found(Message):
        """What comparing a run again would do."""

        def __init__(self, run: Path, found: Ahead) -> None:
            super().__init__()
            self.run, self.found = run, found

    def __init__(self) -> None:
        super().__init__()
        self.run: Path | None = None
        self.sides: tuple[str, str] = MAIN_PAIR
        self.states: dict[Path, JobState] = {}

    @on(Refused)
    def _say_why(self, message: Refused) -> None:
        self.notify(inert(message.sentence), severity=message.severity, markup=False)

    def at_work(self) -> Path | None:
        """The comparison or judge run that is at work on the selected run."""
        if self.run is None:
            return None
        inside = (f for f in self.states if f.parent == self.run)
        judges = [f for f in inside if f.name == JUDGE or f.name.startswith(f"{JUDGE}-")]
        folders = (self.run / COMPARE, *judges)
        return next((f for f in folders if f in self.states and self.states[f].running), None)

    def action_start(self) -> None:
        """Start, or go on with, the comparison of this run."""
        if self.run is not None:
            self._look_ahead(self.run)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _look_ahead(self, run: Path) -> None:
        try:
            found = ahead(self.project, as_before(self.project, run.name))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(on_screen(error)))
            return
        self.post_message(self.Found(run, found))

    @on(Found)
    def _start_what_was_found(self, message: Found) -> None:
        if message.run == self.run and self.is_current:
            changed = "Files have changed since these answers: compare again?"
            self._ask_and_begin(message.found, changed if message.found.replaces else GO_AHEAD)

    def action_new(self) -> None:
        """Choose sides and prompts for another comparison of this run."""
        run = self.run
        if run is None:
            return

        def answer(found: Ahead | None) -> None:
            if found is not None and run == self.run:
                self._ask_and_begin(found, GO_AHEAD)

        self.app.push_screen(NewComparison(self.project, run.name), answer)

    def _ask_and_begin(self, found: Ahead, question: str) -> None:
        """Start what was looked at; asks first where that moves answers away, or costs money."""

        def answer(sure: bool | None) -> None:
            if sure:
                self._begin(found)

        if found.sentence:
            self.app.push_screen(Confirm(question, found.sentence), answer)
        else:
            self._begin(found)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _begin(self, found: Ahead) -> None:
        def tell(sentence: str) -> None:
            self.post_message(self.Refused(sentence, "information"))

        try:
            if begin(self.project, found.spec, tell) == "answered":
                tell(
                    "already compared: adapter and prompts are the same; n asks other prompts or "
                    "sides"
                )
                return
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(on_screen(error)))
            return
        self.app.call_from_thread(self.started)

    def started(self) -> None:
        """A comparison was started."""
        self.workbench.read_jobs()

    def action_stop(self) -> None:
        """Stop the comparison or the judge; what is there stays."""
        if (folder := self.at_work()) is not None:
            jobs.send(folder, "stop")
            self.notify("told it to stop: what is answered stays, enter goes on", markup=False)

    def action_judge(self) -> None:
        """Choose a judge, see what it would cost, and start it."""
        if self.run is not None:
            self._offer(self.run)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _offer(self, run: Path) -> None:
        try:
            self.post_message(self.Offered(run, judge_choices(self.project, run)))
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(on_screen(error)))

    @on(Offered)
    def _ask_to_judge(self, message: Offered) -> None:
        def answer(spec: dict[str, Any] | None) -> None:
            if spec is not None:
                self._judge(spec)

        dialog = AskJudge(self.project, message.run.name, message.choices, self.sides)
        self.app.push_screen(dialog, answer)

    @work(thread=True, exclusive=True, exit_on_error=False, group="compare-act")
    def _judge(self, spec: dict[str, Any]) -> None:
        try:
            start_judge(spec)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Refused(on_screen(error)))
            return
        self.app.call_from_thread(self.workbench.read_jobs)
