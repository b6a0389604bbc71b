"""Home: what is in the project, what runs, and what to do next."""

from collections.abc import Iterable
from pathlib import Path

from textual import on
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuiwb.app.next_steps import Step, next_steps
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.widgets.here import Here
from tuiwb.app.widgets.menu import Menu
from tuiwb.app.widgets.nowhere import Nowhere
from tuiwb.app.words import STATE_MARKS, state_line
from tuiwb.jobs import JobState
from tuiwb.text import inert

SCREEN_OF = {
    "check": "data",
    "compare": "compare",
    "judge": "compare",
    "evaluate": "compare",
    "serve": "serve",
}


class HomeScreen(WorkbenchScreen):
    """The first screen: enter on a line goes where it points."""

    MODE = "home"
    CSS_PATH = "home.tcss"
    HELP_TEXT = (
        "What is in this project, what runs, and what to do next. Jobs are processes of their "
        "own: quitting, or losing the connection, changes nothing for them."
    )

    def compose_body(self) -> Iterable[Widget]:
        yield Nowhere(self.project)
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                steps = Menu(id="steps", classes="panel", markup=False)
                steps.border_title = "Next"
                yield steps
                runs = Menu(id="runs", classes="panel", markup=False)
                runs.border_title = "Runs"
                yield runs
            yield Here(self.project)

    def on_mount(self) -> None:
        self._steps: list[Step] = []
        self._folders: list[Path] = []
        self.query_one("#steps").focus()

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        seen = self.workbench.files
        self.query_one(Here).show(seen)
        something = bool(seen.datasets or seen.configs or jobs)
        self.query_one(Nowhere).look(something=something)
        datasets, configs = ([path for path, _ in f] for f in (seen.datasets, seen.configs))
        self._show_steps(next_steps(datasets, configs, jobs))
        self._show_runs(jobs)

    def _show_steps(self, steps: list[Step]) -> None:
        if steps == self._steps:
            return
        self._steps = steps
        menu = self.query_one("#steps", OptionList)
        kept = menu.highlighted or 0
        menu.clear_options()
        for step in steps:
            menu.add_option(
                Option(
                    Content.assemble(
                        (step.key, "bold $accent"),
                        "  ",
                        (step.title, "bold"),
                        "\n   ",
                        (step.why, "$foreground 60%"),
                    )
                )
            )
        menu.highlighted = min(kept, len(steps) - 1)

    def _show_runs(self, jobs: dict[Path, JobState]) -> None:
        menu = self.query_one("#runs", OptionList)
        newest = list(reversed(jobs.items()))
        lines = [self._run_line(folder, state) for folder, state in newest]
        self._folders = [folder for folder, _ in newest]
        if not lines:
            lines = [Content.styled("none yet", "$foreground 60%")]
        if [line.plain for line in lines] == [str(o.prompt) for o in menu.options]:
            return
        kept = menu.highlighted
        menu.clear_options()
        menu.add_options(Option(line) for line in lines)
        menu.highlighted = min(kept or 0, len(lines) - 1)

    def _run_line(self, folder: Path, state: JobState) -> Content:
        mark, style = STATE_MARKS[state.state]
        name = str(folder.relative_to(self.project.runs))
        return Content.assemble(
            (f"{mark} ", style),
            (f"{inert(name, one_line=True)}  ", "bold"),
            (state_line(state), "$foreground 80%"),
        )

    @on(OptionList.OptionSelected, "#steps")
    async def _go_on(self, event: OptionList.OptionSelected) -> None:
        await self.workbench.action_go(self._steps[event.option_index].mode)

    @on(OptionList.OptionSelected, "#runs")
    async def _open_run(self, event: OptionList.OptionSelected) -> None:
        if not self._folders:
            return
        folder = self._folders[event.option_index]
        kind = self.workbench.jobs[folder].kind
        self.workbench.wanted_run = folder
        mode = SCREEN_OF.get(kind, "train")
        await self.workbench.action_go(mode)
