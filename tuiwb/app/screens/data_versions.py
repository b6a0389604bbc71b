"""New versions of a dataset from the Data screen: clean, split, mix, generate, each as a job."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import Binding, BindingType

from tuiwb import jobs
from tuiwb.app import checking
from tuiwb.app.screens.data_curation import CurationActions
from tuiwb.app.screens.dialogs import Ask, Confirm, Pick
from tuiwb.errors import BadInput, TuiwbError, on_screen
from tuiwb.jobs import JobState

if TYPE_CHECKING:
    from tuiwb.data.generate.plan import Estimate
    from tuiwb.data.generate.spec import GenerateSpec

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
        dataset = self.open_dataset_here()
        rows = len(dataset) if dataset is not None else 0
        return await self.app.push_screen_wait(
            Ask("Hold out which share?", lambda said: held_out(said, rows), "0.05",
                "0.05 to 0.1 is usual; from 1 on, so many rows")
        )  # fmt: skip

    async def _ask_mix(self, path: Path) -> dict[str, Any] | None:
        others = [other for other in self.project.datasets() if other != path]
        if not others:
            self.notify("there is no other dataset in data/ to mix in", markup=False)
            return None
        names = [self.project.shorten(other) for other in others]
        picked = await self.app.push_screen_wait(Pick("Mix in which dataset?", names))
        if picked is None:
            return None
        share = await self.app.push_screen_wait(
            Ask("Which share of the result?", general_share, "0.2",
                "between 0 and 1: 0.2 makes every fifth row general")
        )  # fmt: skip
        return None if share is None else {"general": str(others[picked]), "share": share}

    async def _generate(self, path: Path) -> None:
        """Show the cost first; the job makes the version when all rows are there."""
        from tuiwb.app.screens.version_dialogs import GenerateDialog
        from tuiwb.data.generate.plan import estimate, plan_generation, start_generation

        def planned(said: dict[str, Any]) -> "tuple[GenerateSpec, Estimate]":
            spec = plan_generation(self.project, seeds=path, **said)
            return spec, estimate(spec)

        plan = await self.app.push_screen_wait(GenerateDialog(self.project.shorten(path), planned))
        if plan is None:
            return
        spec, cost = plan
        try:
            question = f"Generate {spec.rows} rows?"
            detail = f"{cost.sentence}; at {spec.base_url}"
            if await self.app.push_screen_wait(Confirm(question, detail)):
                self._began(start_generation(spec), "generate")
        except TuiwbError as error:
            self.notify(on_screen(error), severity="error", markup=False)

    def _start(self, path: Path, operation: str, parameters: dict[str, Any]) -> None:
        folder = checking.free_folder(self.project.runs / "versions", f"{operation}-{path.stem}")
        spec = {"operation": operation, "path": str(path), "parameters": parameters}
        try:
            jobs.create(folder, "version", {**spec, "name": None, "root": None})
            jobs.launch(folder)
        except TuiwbError as error:
            self.notify(on_screen(error), severity="error", markup=False)
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


def held_out(said: str, rows: int) -> dict[str, Any]:
    """What to hold out of a dataset of so many rows: a share below 1, or a whole number of rows.

    BadInput for what is neither, and where no row would be left to train on.
    """
    value = _number(said)
    if 0 < value < 1:
        return {"share": value}
    if value < 1 or not value.is_integer():
        raise BadInput(f"{said.strip()!r} is no share: give 0.05, or a number of rows such as 200")
    if value >= rows:
        raise BadInput(f"there are {rows:,} rows: hold out fewer, some must be left to train on")
    return {"rows": int(value)}


def general_share(said: str) -> float:
    """The share of general rows; BadInput unless it lies between 0 and 1."""
    value = _number(said)
    if not 0 < value < 1:
        raise BadInput(f"{said.strip()!r} is no share between 0 and 1: give 0.2, for example")
    return value


def _number(said: str) -> float:
    """What was typed as a number; 0 for none, NaN or infinity, which are no share either."""
    try:
        value = float(said)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
