"""The jobs of the Serve screen: servers started and stopped, adapters loaded and unloaded.

Blocking work runs in threads; what became of it is told.
"""

from pathlib import Path
from typing import Literal

from textual import on, work
from textual.message import Message

from tuiwb.app.next_steps import told_not_finite
from tuiwb.app.screens.base import WorkbenchScreen
from tuiwb.app.screens.dialogs import Confirm, Pick
from tuiwb.app.widgets import serve_words as words
from tuiwb.app.widgets.serve_dialog import StartServer, Wanted
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.serve import plan
from tuiwb.serve.servers import Server, ask_to_stop, load_run
from tuiwb.serve.spec import Served, ServeSpec
from tuiwb.serve.traffic import Traffic
from tuiwb.text import inert


class ServerJobs(WorkbenchScreen):
    """Acts on the server in `server` and the model in `model`; what can't be done is said."""

    class Told(Message):
        """What became of something that was asked for; `folder` is a server to show."""

        def __init__(
            self,
            sentence: str,
            severity: Literal["information", "error"] = "error",
            folder: Path | None = None,
        ) -> None:
            super().__init__()
            self.sentence, self.severity, self.folder = sentence, severity, folder

    def __init__(self) -> None:
        super().__init__()
        self.server: Server | None = None
        self.traffic: Traffic | None = None
        self.model: str | None = None

    def look(self) -> None:
        """See again what the chosen server is and holds."""
        raise NotImplementedError

    def show_server(self, folder: Path | None) -> None:
        """Choose a server by its folder."""
        raise NotImplementedError

    @on(Told)
    def _tell(self, message: Told) -> None:
        self.notify(message.sentence, severity=message.severity, markup=False)
        if message.folder is not None:
            self.show_server(message.folder)
        self.workbench.read_jobs()
        self.look()

    def action_new(self) -> None:
        """Ask what to serve, then start it."""
        runs = plan.servable_runs(self.project)
        broken = {f.name for f, state in self.workbench.jobs.items() if told_not_finite(state)}

        def planned(wanted: Wanted) -> ServeSpec:
            return plan.plan(
                self.project,
                wanted.runs,
                base=wanted.base,
                engine=wanted.engine,
                port=wanted.port,
            )

        def told(spec: ServeSpec | None) -> None:
            if spec is not None:
                self._start(spec)

        base = self.project.settings.base_model
        self.app.push_screen(StartServer(runs, base, planned, broken), told)

    @work(thread=True, exclusive=True, exit_on_error=False, group="start")
    def _start(self, spec: ServeSpec) -> None:
        try:
            folder = plan.start(self.project, spec)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Told(on_screen(error)))
            return
        self.post_message(self.Told(f"{folder.name} is starting", "information", folder))

    def action_stop(self) -> None:
        """Ask, then stop the chosen server."""
        server = self.server
        if server is None or not server.state.running:
            self.notify("no server is up here", severity="warning")
            return

        def told(yes: bool | None) -> None:
            if yes:
                self._stop(server)

        running = self.traffic.running if self.traffic else 0
        detail = f"{server.spec.url}, {running} answers under way"
        self.app.push_screen(Confirm(f"Stop {server.folder.name}?", detail), told)

    @work(thread=True, exclusive=True, exit_on_error=False, group="stop")
    def _stop(self, server: Server) -> None:
        try:
            ask_to_stop(server)
        except OSError as error:
            self.post_message(self.Told(f"can't tell {server.folder.name}: {error.strerror}"))
            return
        self.post_message(self.Told(f"{server.folder.name} is stopping", "information"))

    def action_load(self) -> None:
        """Choose a run and load its adapter into the server."""
        server = self.ready_server()
        if server is None:
            return
        loaded = {m.root for m in server.models}
        runs = [
            run
            for run in plan.servable_runs(self.project)
            if str((self.project.runs / run / "adapter").resolve()) not in loaded
        ]
        if not runs:
            self.notify("every finished run's adapter is loaded here", markup=False)
            return

        def told(index: int | None) -> None:
            if index is not None:
                self._load(server, runs[index])

        self.app.push_screen(Pick(f"Load into {server.folder.name}", runs), told)

    @work(thread=True, exclusive=True, exit_on_error=False, group="load")
    def _load(self, server: Server, run: str) -> None:
        try:
            served = load_run(self.project, server, run)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Told(on_screen(error)))
            return
        self.post_message(self.Told(f"loaded {served.id}", "information"))

    def action_unload(self) -> None:
        """Let the server forget the adapter that is talked with."""
        server = self.ready_server()
        if server is None:
            return
        model = next((m for m in server.models if m.id == self.model), None)
        if model is None or model.parent is None:
            self.notify("the base stays: m chooses an adapter", severity="warning")
            return

        def told(yes: bool | None) -> None:
            if yes:
                self._unload(server, model)

        self.app.push_screen(Confirm(f"Unload {inert(model.id, one_line=True)}?"), told)

    @work(thread=True, exclusive=True, exit_on_error=False, group="load")
    def _unload(self, server: Server, model: Served) -> None:
        try:
            server.client().unload_adapter(model.id)
        except TuiwbError as error:
            self.post_message(self.Told(on_screen(error)))
            return
        self.post_message(self.Told(f"unloaded {model.id}", "information"))

    def ready_server(self) -> Server | None:
        """The chosen server where it answers; else None, and that is said."""
        server = self.server
        if server is None or server.ready:
            return server
        self.notify(words.why_silent(server), severity="warning", markup=False)
        return None
