"""The questions before a new config: on which dataset, which base, what is held out, which file."""

from collections.abc import Sequence
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.suggester import SuggestFromList
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from tuiwb.app.screens.dialogs import Form
from tuiwb.app.widgets.menu import Choices
from tuiwb.project import Project
from tuiwb.text import inert
from tuiwb.train.choices import free_place, heldout_for, place_of
from tuiwb.train.template import new_config


class NewConfig(Form[Path]):
    """Makes the file and gives its path. Enter on a dataset is enough where a base is known."""

    def __init__(self, project: Project, datasets: Sequence[Path], bases: Sequence[str]) -> None:
        super().__init__()
        self._project = project
        self._datasets = list(datasets)
        self._bases = list(bases)
        self._proposed: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "New config"
            dialog.border_subtitle = "enter makes it, tab next field, esc cancels"
            yield Static("train on", classes="muted")
            names = (inert(self._project.shorten(p), one_line=True) for p in self._datasets)
            menu = Choices(*map(Option, names), id="data", markup=False)
            menu.styles.max_height = 6
            yield menu
            yield Static("base model: its folder, or a hub id", classes="muted")
            base = self.field(self._bases[0] if self._bases else "", name="base")
            base.placeholder = "models/my-base or organisation/name"
            base.suggester = SuggestFromList(self._bases)
            yield base
            yield Static("held out, never trained on (empty: none)", classes="muted")
            yield self.field(name="heldout")
            yield Static("file", classes="muted")
            yield self.field(name="file")
            yield self.problem()

    def on_mount(self) -> None:
        """The likeliest dataset is chosen, and what goes with it proposed."""
        menu = self.query_one("#data", OptionList)
        menu.highlighted = 0
        menu.focus()
        self._propose(0)

    @on(OptionList.OptionHighlighted, "#data")
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        self._propose(event.option_index)

    def _propose(self, index: int) -> None:
        """Fill in what goes with a dataset, but for what a person typed."""
        data = self._datasets[index]
        heldout = heldout_for(self._project, data)
        for name, path in (("heldout", heldout), ("file", free_place(self._project, data))):
            field = self.query_one(f"#{name}", Input)
            if field.value == self._proposed.get(name, ""):
                field.value = self._project.shorten(path) if path is not None else ""
                self._proposed[name] = field.value

    @on(OptionList.OptionSelected, "#data")
    @on(Input.Submitted)
    def _accept(self, event: OptionList.OptionSelected | Input.Submitted) -> None:
        event.stop()
        said = {name: self.query_one(f"#{name}", Input) for name in ("base", "heldout", "file")}
        for name, words in (
            ("base", "name the base model to train: a folder with its weights, or a hub id"),
            ("file", "name the file to write, such as configs/mine.yaml"),
        ):
            if not said[name].value.strip():
                said[name].focus()
                self.complain(words)
                return
        base, heldout, file = (field.value.strip() for field in said.values())
        data = self._datasets[self.query_one("#data", OptionList).highlighted or 0]
        project = self._project
        self.take_later(
            lambda: new_config(
                project,
                project.resolve(place_of(project, file)),
                base=base,
                data=project.shorten(data),
                heldout=heldout,
            )
        )
