"""New versions of a dataset from the Data screen: clean, split, mix, generate, each as a job."""

from asyncio import to_thread
from pathlib import Path
from typing import Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from tuiwb import jobs
from tuiwb.app import checking
from tuiwb.app.screens.data_curation import CurationActions
from tuiwb.app.screens.dialogs import Ask, Confirm, Pick
from tuiwb.errors import TuiwbError
from tuiwb.jobs import JobState

CHOICES = (
    ("clean", "Clean: duplicates, format, personal data, your marks"),
    ("split", "Split off held-out rows, no near-duplicate across"),
    ("mix", "Mix in a share of general data"),
    ("generate", "Generate synthetic rows from these as seeds"),
)


class VersionActions(CurationActions):
    """Mixed into the Data screen; says when a version is there."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "version", "Version")]

    _making: Path | None = None

    def shown_path(self) -> Path | None:
        """The dataset that is shown."""
        raise NotImplementedError

    @work
    async def action_version(self) -> None:
        """Ask what to make of the dataset, and start the job."""
        path = self.shown_path()
        if path is None or self.open_dataset_here() is None:
            return
        if self._making is not None:
            self.notify("a version is being made: wait for it, or stop it on Home", markup=False)
            return
        words = [words for _name, words in CHOICES]
        picked = await self.app.push_screen_wait(Pick("A new version of this dataset", words))
        if picked is None:
            return
        operation = CHOICES[picked][0]
        if operation == "generate":
            await self._generate(path)
            return
        parameters = await getattr(self, f"_ask_{operation}")(path)
        if parameters is not None:
            self._start(path, operation, parameters)

    async def _ask_clean(self, path: Path) -> dict[str, Any] | None:
        import msgspec

        from tuiwb.app.screens.version_dialogs import CleanDialog

        cleaning = await self.app.push_screen_wait(CleanDialog(self.project.shorten(path)))
        return None if cleaning is None else {"cleaning": msgspec.to_builtins(cleaning)}

    async def _ask_split(self, _path: Path) -> dict[str, Any] | None:
        said = await self.app.push_screen_wait(
            Ask("Hold out which share?", "0.05", "0.05 to 0.1 is usual; from 1 on, so many rows")
        )
        value = self._number(said)
        if value is None:
            return None
        return {"rows": int(value)} if value >= 1 else {"share": value}

    async def _ask_mix(self, path: Path) -> dict[str, Any] | None:
        others = [other for other in self.project.datasets() if other != path]
        if not others:
            self.notify("there is no other dataset in data/ to mix in", markup=False)
            return None
        names = [self.project.shorten(other) for other in others]
        picked = await self.app.push_screen_wait(Pick("Mix in which dataset?", names))
        if picked is None:
            return None
        said = await self.app.push_screen_wait(
            Ask("Which share of the result?", "0.2", "0 to 1: 0.2 makes every fifth row general")
        )
        value = self._number(said)
        return None if value is None else {"general": str(others[picked]), "share": value}

    async def _generate(self, path: Path) -> None:
        """Show the cost first; the job makes the version when all rows are there."""
        from tuiwb.app.screens.version_dialogs import GenerateDialog
        from tuiwb.data.generate.plan import estimate, plan_generation, start_generation

        said = await self.app.push_screen_wait(GenerateDialog(self.project.shorten(path)))
        if said is None:
            return
        try:
            spec = await to_thread(plan_generation, self.project, seeds=path, **said)
            cost = await to_thread(estimate, spec)
            question = f"Generate {spec.rows} rows?"
            detail = f"{cost.sentence}; at {spec.base_url}"
            if await self.app.push_screen_wait(Confirm(question, detail)):
                self._began(start_generation(spec), "generate")
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)

    def _number(self, said: str | None) -> float | None:
        if said is None:
            return None
        try:
            value = float(said)
        except ValueError:
            value = 0.0
        if value <= 0:
            self.notify(f"{said!r} is no share: give 0.05, for example", severity="error")
            return None
        return value

    def _start(self, path: Path, operation: str, parameters: dict[str, Any]) -> None:
        folder = checking.free_folder(self.project.runs / "versions", f"{operation}-{path.stem}")
        spec = {"operation": operation, "path": str(path), "parameters": parameters}
        try:
            jobs.create(folder, "version", {**spec, "name": None, "root": None})
            jobs.launch(folder)
        except TuiwbError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._began(folder, operation)

    def _began(self, folder: Path, operation: str) -> None:
        self._making = folder
        self.notify(f"{operation} started: it goes on without this terminal", markup=False)
        self.workbench.read_jobs()

    def versions_changed(self, states: dict[Path, JobState]) -> None:
        """Say when the version that was started here is there, or why it is not."""
        state = states.get(self._making) if self._making is not None else None
        if state is None or state.running:
            return
        self._making = None
        made = next((a for a in state.artifacts if a.kind == "version"), None)
        if state.state == "finished":
            name = Path(made.path).name if made is not None else "what was generated"
            self.notify(f"{name} is in the list of datasets", title="New version", markup=False)
        else:
            self.notify(f"{state.state}: {state.message}", severity="error", markup=False)
