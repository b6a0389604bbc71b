"""What a new version of a dataset is to be: what cleaning does, what is generated."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from tuiwb.app.screens.dialogs import Form
from tuiwb.app.widgets.checklist import Checklist
from tuiwb.app.widgets.modal import Modal
from tuiwb.data.clean import DEFAULT, Cleaning
from tuiwb.errors import BadInput
from tuiwb.text import inert

P = TypeVar("P")
OPERATIONS = (
    ("marks", "your marks: dropped and rejected rows left out, edits put in", True),
    ("fix", "fix the form: invisible characters, line ends, stray white space", True),
    ("exact", "drop exact duplicates, the best stays", True),
    ("near", "drop near-duplicates, the best stays", True),
    ("redact", "redact personal data and secrets: [EMAIL_1], [PHONE_2] …", False),
    ("errors", "drop rows with errors: empty, broken order, leaks of secrets …", False),
    ("hard", "rows marked hard twice", False),
)
# In the order in which it is done.
DONE = {
    "marks": "apply your marks",
    "fix": "fix the form",
    "redact": "redact",
    "errors": "drop rows with errors",
    "exact": "drop exact duplicates",
    "near": "drop near-duplicates",
    "hard": "repeat hard rows",
}


def marks_left_out(chosen: Collection[str], marks: Mapping[str, int]) -> list[str]:
    """Which marks have no effect where these operations are chosen, each with its rows. Accept has
    none in any case; keep has its own wherever the marks are read."""
    used_by = {
        "drop": ("marks",),
        "reject": ("marks",),
        "edited": ("marks",),
        "keep": ("marks", "hard"),
        "hard": ("hard",),
    }
    return [
        f"{marks[mark]:,} {mark}"
        for mark, operations in used_by.items()
        if marks.get(mark) and not any(operation in chosen for operation in operations)
    ]


class CleanDialog(Modal[Cleaning | None]):
    """enter starts from anywhere in it, as the line under the choices says; gives what to do, None
    when nothing is. `marks` are the rows that a person marked or edited, by what was said of them.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,ctrl+j", "start", "Start", key_display="enter", priority=True),
        Binding("escape", "give_up", "Cancel"),
    ]

    def __init__(self, name: str, marks: Mapping[str, int]) -> None:
        super().__init__()
        self._dataset = name
        self._marks = {mark: rows for mark, rows in marks.items() if rows}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(f"Clean {inert(self._dataset, one_line=True)}")
            dialog.border_subtitle = "space chooses, enter starts, esc cancels"
            yield Checklist(OPERATIONS)
            yield Static(id="will", markup=False)
            yield Static("The file stays as it is: the result is a new version.", classes="muted")

    def on_mount(self) -> None:
        self.query_one(Checklist).focus()
        self._say()

    @on(Checklist.Changed)
    def _say(self) -> None:
        """Say what enter will do, and which marks it will leave out."""
        chosen = self.query_one(Checklist).chosen
        steps = [words for key, words in DONE.items() if key in chosen]
        will: Content | str = f"enter will {', '.join(steps)}." if steps else "Nothing is chosen."
        if out := marks_left_out(chosen, self._marks):
            words = f"\n! your marks stay out: {', '.join(out)}"
            will = Content.assemble(will, (words, "$text-warning"))
        self.query_one("#will", Static).update(will)

    def action_start(self) -> None:
        """Close with the operations that are chosen."""
        chosen = self.query_one(Checklist).chosen
        if not chosen:
            self.query_one("#will", Static).update(
                Content.assemble(("✗ ", "$text-error"), "nothing is chosen: space chooses")
            )
            return
        self.dismiss(
            Cleaning(
                apply_marks="marks" in chosen,
                fix=list(DEFAULT.fix) if "fix" in chosen else [],
                redact=[] if "redact" in chosen else None,
                drop_severity="error" if "errors" in chosen else None,
                drop_exact="exact" in chosen,
                drop_near="near" in chosen,
                repeat={"hard": 2} if "hard" in chosen else {},
            )
        )

    def action_give_up(self) -> None:
        """Close without doing anything."""
        self.dismiss(None)


class GenerateDialog(Form[P]):
    """Asks for the task, the rows and the endpoint; gives what `plan` makes of them, which takes
    them as plan_generation does."""

    FIELDS = (
        ("task", "what the model shall learn, in a sentence or two", ""),
        ("rows", "rows to generate", "100"),
        ("max_usd", "most to spend, in dollars", "2"),
        ("endpoint", "OpenAI-compatible URL; empty asks the judge's endpoint", ""),
        ("model", "model; empty takes the judge's", ""),
    )

    def __init__(self, name: str, plan: Callable[[dict[str, Any]], P]) -> None:
        super().__init__()
        self._dataset = name
        self._plan = plan

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(
                f"Generate rows like those of {inert(self._dataset, one_line=True)}"
            )
            dialog.border_subtitle = "tab moves, enter shows the cost, esc cancels"
            for key, words, value in self.FIELDS:
                yield Static(words, classes="muted", markup=False)
                yield self.field(value, name=key)
            yield self.problem()

    @on(Input.Submitted)
    def _accept(self, event: Input.Submitted) -> None:
        event.stop()
        said = {key: self.query_one(f"#{key}", Input).value.strip() for key, *_ in self.FIELDS}
        self.take_later(lambda: self._plan(_asked(said)))


def _asked(said: dict[str, str]) -> dict[str, Any]:
    """The fields as plan_generation takes them; BadInput for what is no number."""
    try:
        return {
            "task": said["task"],
            "rows": int(said["rows"]),
            "max_usd": float(said["max_usd"]) if said["max_usd"] else None,
            "endpoint": said["endpoint"] or None,
            "model": said["model"] or None,
        }
    except ValueError:
        raise BadInput("rows and dollars are numbers: 100, 2.50") from None
