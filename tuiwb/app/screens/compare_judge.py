"""Before a judge is asked: which judge, which rubric, as a batch or now, and what it will cost."""

from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tuiwb.app.widgets.modal import Modal
from tuiwb.compare.judge.choices import JudgeChoices, JudgeOffer, judge_offer
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.project import Project
from tuiwb.text import inert

MUTED = "$foreground 60%"


class AskJudge(Modal[dict[str, Any] | None]):
    """The spec to start, or None; the cost stands there before anything is asked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Ask"),
        Binding("n,escape,q", "answer(False)", "No"),
        Binding("j,down", "judge(1)", "Next judge"),
        Binding("k,up", "judge(-1)", "Previous judge"),
        Binding("r", "rubric", "Next rubric"),
        Binding("b", "batch", "Batch or now"),
    ]

    def __init__(
        self, project: Project, run: str, choices: JudgeChoices, sides: tuple[str, str]
    ) -> None:
        super().__init__()
        self._project, self._run, self._choices, self._sides = project, run, choices, sides
        names = [name for name, _ in choices.judges]
        rubrics = [rubric.choice for rubric in choices.rubrics]
        self._judge = names.index(choices.judge) if choices.judge in names else 0
        self._rubric = rubrics.index(choices.rubric) if choices.rubric in rubrics else 0
        self._batch = False
        self._offer: JudgeOffer | None = None
        self._problem = ""

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog", can_focus=False) as dialog:
            dialog.border_title = "Ask the judge?"
            dialog.border_subtitle = "y asks, esc cancels"
            yield Static(id="offer", markup=False)

    def on_mount(self) -> None:
        self._plan_again()

    def _plan_again(self) -> None:
        self._offer, self._problem = None, ""
        self._show()
        self._plan(self._choice())

    def _choice(self) -> dict[str, Any]:
        return {
            "model": self._choices.judges[self._judge][0],
            "rubric": self._choices.rubrics[self._rubric].choice,
            "batch": self._batch,
            "sides": self._sides,
        }

    @work(thread=True, exclusive=True, exit_on_error=False, group="judge-plan")
    def _plan(self, choice: dict[str, Any]) -> None:
        offer, problem = None, ""
        try:
            offer = judge_offer(self._project, self._run, **choice)
        except (TuiwbError, OSError) as error:
            problem = on_screen(error)
        self.app.call_from_thread(self._take_offer, choice, offer, problem)

    def _take_offer(self, choice: dict[str, Any], offer: JudgeOffer | None, problem: str) -> None:
        # An offer that comes late is of another choice: what is confirmed is what stands there.
        if choice == self._choice():
            self._offer, self._problem = offer, problem
            self._show()

    def _show(self) -> None:
        judge, about = self._choices.judges[self._judge]
        rubric = self._choices.rubrics[self._rubric]
        lines = [
            _line("judge", judge, about, "j/k"),
            _line("rubric", rubric.choice, rubric.about, "r"),
            _line("when", "as a batch" if self._batch else "now", "", "b"),
            Content(""),
        ]
        if self._problem:
            lines.append(Content.styled(f"✗ {inert(self._problem)}", "$text-error"))
        elif self._offer is None:
            lines.append(Content.styled("counting ...", MUTED))
        else:
            offer = self._offer
            lines += [
                Content(inert(offer.endpoint, one_line=True)),
                Content(inert(offer.pairs)),
                Content(inert(offer.calls)),
                Content.assemble((inert(offer.price), "bold")),
            ]
            lines += [Content(inert(offer.batch))] if offer.batch else []
        hidden = "Verdicts stay hidden until you reveal your votes or press y on the screen."
        lines += [Content(""), Content.styled(hidden, MUTED)]
        self.query_one("#offer", Static).update(Content("\n").join(lines))

    def action_judge(self, by: int) -> None:
        """Another judge."""
        self._judge = (self._judge + by) % len(self._choices.judges)
        self._plan_again()

    def action_rubric(self) -> None:
        """The next rubric."""
        self._rubric = (self._rubric + 1) % len(self._choices.rubrics)
        self._plan_again()

    def action_batch(self) -> None:
        """At half the price within a day, or now."""
        self._batch = not self._batch
        self._plan_again()

    def action_answer(self, sure: bool) -> None:
        """Close; with a spec only when there is one to start."""
        if not sure:
            self.dismiss(None)
        elif self._offer is not None:
            self.dismiss(self._offer.spec)


def _line(name: str, chosen: str, about: str, key: str) -> Content:
    return Content.assemble(
        (f"{name:<7}", MUTED),
        (f"{key:<4}", "bold $accent"),
        (inert(chosen, one_line=True), "bold"),
        (f"  {inert(about, one_line=True)}" if about else "", MUTED),
    )
