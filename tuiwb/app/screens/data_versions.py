"""New versions of a dataset from the Data screen: clean, split, mix, generate, each as a job."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import work
from textual.binding import BindingType

from tuiwb import jobs
from tuiwb.app import checking, keys
from tuiwb.app.screens.data_curation import CurationActions
from tuiwb.app.screens.dialogs import Ask, Confirm, Pick
from tuiwb.errors import BadInput, TuiwbError, on_screen
from tuiwb.jobs import JobState
from tuiwb.text import counted

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

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("w", "version", "Version", "clean, split, mix or generate: a new version"),
    ]

    _making: Path | None = None

    def shown_path(self) -> Path | None:
        """The dataset that is shown."""
        raise NotImplementedError

    @work
    async def action_version(self) -> None:
        """Ask what to make of the dataset, and start the job."""
        path = self.shown_path()
        if path is None or self.open_dataset_here() is None:
            self.refuse()
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

        dialog = CleanDialog(self.project.shorten(path), self.mark_counts())
        cleaning = await self.app.push_screen_wait(dialog)
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
            question = f"Generate {counted(spec.rows, 'row')}?"
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
        folder, self._making = self._making, None
        if state.state != "finished":
            self.notify(f"{state.word}: {state.message}", severity="error", markup=False)
            return
        made = next((a for a in state.artifacts if a.kind == "version"), None)
        try:
            title, words = _came_out(folder, None if made is None else made.path)
        except TuiwbError as error:
            title, words = "New version", str(error)
        self.notify(words, title=title, markup=False)


def _came_out(job: Path | None, version: str | None) -> tuple[str, str]:
    """What a job made, as the title and words of a toast; BadInput when it can't be read."""
    if job is not None and version is not None:
        from tuiwb.data.manifest import read_manifest
        from tuiwb.data.version_text import version_words

        made = read_manifest(job / version)
        return f"New version: {made.name}", version_words(made)
    from tuiwb.data.generate.results import read_generate_summary

    told = read_generate_summary(job) if job is not None else None
    if told is None:
        return "New version", "it is in the list of datasets"
    kept = f"{told.kept:,} of {counted(told.rows, 'row')} generated"
    return f"New version: {Path(told.dataset).parent.name}", kept + (
        f"; ended early: {told.ended}" if told.ended else ""
    )


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
        has = counted(rows, "row")
        raise BadInput(f"the dataset has {has}: hold out fewer, some must be left to train on")
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
