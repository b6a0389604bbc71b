"""Serve: the servers, what they hold and answer, and a chat with each of their models."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import get_current_worker

from tuiwb.app import keys
from tuiwb.app.screens.serve_jobs import ServerJobs
from tuiwb.app.widgets import serve_words as words
from tuiwb.app.widgets.menu import Choices
from tuiwb.app.widgets.serve_chat import ServeChat
from tuiwb.errors import TuiwbError, on_screen
from tuiwb.jobs import JobState
from tuiwb.jobs.folder import LOG
from tuiwb.jobs.state import tail
from tuiwb.serve.servers import Server, curl, server_at
from tuiwb.serve.traffic import Traffic, read_traffic
from tuiwb.text import inert

LOOK_SECONDS = 1.0
LOG_LINES = 40
WIDE = 100  # columns from which the list stands beside the rest


class ServeScreen(ServerJobs):
    """The selected server is looked at once a second; talk is kept per model while we are here."""

    MODE = "serve"
    CSS_PATH = "serve.tcss"
    HELP_TEXT = (
        "Serve a base and its adapters to OpenAI clients, and talk with them here. A server is a "
        "process of its own: it goes on when this program is closed. Adapters share "
        "one base in memory, and each version has a name of its own (run@hash). In the chat enter "
        "or ctrl+j sends; esc stops an answer, or leaves the chat. A fine-tune answers best with "
        "the system message it was trained with: p suggests it. 1st token is the median of a "
        "model's last thousand answers, above it that of the server's."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("n", "new", "New", "start a server on a base and adapters"),
        keys.shown("s", "stop", "Stop", "end the server"),
        keys.shown("c,i", "chat", "Chat", "write to the model", display="c"),
        keys.shown("m", "next_model", "Model", "talk with the next model of the server"),
        keys.shown("a", "load", "Load", "load a run's adapter into the server"),
        keys.shown("u", "unload", "Unload", "let the server forget the adapter you talk with"),
        keys.shown("p", "system", "System", "the system message of the talk"),
        keys.shown("y", "copy", "curl", "copy the curl command that asks this model"),
        keys.shown("x", "clear", "Clear", "forget the talk with this model"),
        keys.known(
            "right_square_bracket", "step(1)", "Older", "the next older server", display="]"
        ),
        keys.known(
            "left_square_bracket", "step(-1)", "Newer", "the next newer server", display="["
        ),
        Binding(
            "ctrl+j",
            "send",
            "Send",
            key_display="enter",
            priority=True,
            tooltip="send what is written",
        ),
        keys.shown(
            "ctrl+n",
            "next_model_here",
            "Next model",
            "the next model, from within the chat",
            display="ctrl+n",
        ),
        keys.shown(
            "escape", "leave", "Leave", "stop the answer; else leave the chat", display="esc"
        ),
    ]

    class Looked(Message):
        """What a look at a server's folder and its /metrics brought."""

        def __init__(
            self,
            server: Server,
            traffic: Traffic | None,
            log: list[str],
            verdicts: dict[str, str],
        ) -> None:
            super().__init__()
            self.server, self.traffic, self.log = server, traffic, log
            self.verdicts = verdicts

    def __init__(self) -> None:
        super().__init__()
        self._folders: list[Path] = []
        self._states: dict[Path, JobState] = {}
        self._chosen: Path | None = None
        self._painted: dict[str, Content] = {}
        self._verdicts: dict[str, str] = {}

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="main"):
            servers = Choices(id="servers", classes="panel", markup=False)
            servers.border_title = "Servers"
            yield servers
            with Vertical():
                yield Static(id="head", markup=False)
                with Vertical(id="models-box", classes="panel") as box:
                    box.border_title = "Models"
                    yield Static(id="columns", markup=False)
                    yield Choices(id="models", markup=False, compact=True)
                yield ServeChat(id="chat")

    def on_mount(self) -> None:
        self.set_interval(LOOK_SECONDS, self.look)
        self.query_one("#servers").focus()
        self._show_nothing()

    def on_screen_resume(self) -> None:
        super().on_screen_resume()
        self.look()

    # The list of servers

    def jobs_changed(self, jobs: dict[Path, JobState]) -> None:
        found = [(f, s) for f, s in reversed(jobs.items()) if s.kind == "serve"]
        fresh = [f for f, _ in found if f not in self._folders]
        self._folders = [folder for folder, _ in found]
        self._states = dict(found)
        wanted = self.workbench.wanted_run
        if wanted in self._folders:
            self.workbench.wanted_run = None
            self.show_server(wanted)
        elif fresh and fresh[0] == self._chosen:
            pass
        elif self._chosen not in self._folders:
            up = [f for f, s in found if s.running]
            self.show_server(next(iter(up or self._folders), None))
        self._list_servers()
        self.look()

    def _list_servers(self) -> None:
        lines = []
        for folder in list(self._folders):
            try:
                lines.append(
                    words.server_line(
                        server_at(folder, self._states[folder]), one_line=self.app.size.width < WIDE
                    )
                )
            except TuiwbError:
                lines.append(Content(inert(folder.name, one_line=True)))
        menu = self.query_one("#servers", OptionList)
        if not lines:
            lines = [Content.styled("none yet: n starts one", words.MUTED)]
        if [line.plain for line in lines] != [str(o.prompt) for o in menu.options]:
            with menu.prevent(OptionList.OptionHighlighted):
                menu.clear_options()
                menu.add_options(Option(line) for line in lines)
                if self._chosen in self._folders:
                    menu.highlighted = self._folders.index(self._chosen)
        if not self._folders:
            self._show_nothing()

    @on(OptionList.OptionHighlighted, "#servers")
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if event.option_index < len(self._folders):
            self.show_server(self._folders[event.option_index])

    @on(OptionList.OptionSelected, "#servers")
    def _opened(self) -> None:
        self.action_chat() if self._folders else self.action_new()

    def show_server(self, folder: Path | None) -> None:
        if folder == self._chosen:
            return
        self._chosen, self.server, self.traffic, self.model = folder, None, None, None
        menu = self.query_one("#servers", OptionList)
        if folder in self._folders and menu.option_count == len(self._folders):
            with menu.prevent(OptionList.OptionHighlighted):
                menu.highlighted = self._folders.index(folder)
        self.look()

    def action_step(self, by: int) -> None:
        """The next older or newer server."""
        if self._chosen in self._folders:
            at = self._folders.index(self._chosen) + by
            self.show_server(self._folders[max(0, min(len(self._folders) - 1, at))])

    # Looking at the chosen one

    def on_resize(self) -> None:
        """The lines are cut to the width."""
        self._list_servers()
        self._show_models()

    def look(self) -> None:
        if self._chosen is not None and self.is_current:
            self._read(self._chosen)

    @work(thread=True, exclusive=True, exit_on_error=False, group="look")
    def _read(self, folder: Path) -> None:
        try:
            server = server_at(folder)
        except (TuiwbError, OSError) as error:
            self.post_message(self.Told(on_screen(error)))
            return
        traffic = None
        if server.ready:
            try:
                traffic = read_traffic(server.client(timeout=2.0).metrics())
            except TuiwbError:
                pass  # the head says that it does not answer
        log = [] if server.ready else tail(folder / LOG, LOG_LINES)
        if not get_current_worker().is_cancelled:
            self.post_message(self.Looked(server, traffic, log, words.verdicts(server)))

    @on(Looked)
    def _show(self, message: Looked) -> None:
        if message.server.folder != self._chosen:
            return
        self.server = message.server
        # What it has answered stays told once it answers no more.
        self.traffic = message.traffic or self.traffic
        self._verdicts = message.verdicts
        ids = [m.id for m in message.server.models]
        if self.model not in ids:
            self.model = next((m.id for m in message.server.models if m.parent), ids[0])
        self._paint("#head", words.head(message.server, message.traffic))
        self._show_models()
        self._show_parts()
        if message.server.ready:
            self._show_talk()
        else:
            self._chat.show_log(message.log)

    @property
    def _chat(self) -> ServeChat:
        return self.query_one(ServeChat)

    def _show_parts(self) -> None:
        """Only what has something to say: no boxes without a server."""
        shown = self.server is not None
        for where in ("#models-box", "#chat"):
            widget = self.query_one(where)
            if widget.display != shown:
                widget.display = shown
                self.call_after_refresh(self._show_models)
        if self.focused is not None and not self.focused.display:
            self.query_one("#servers").focus()
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("send", "next_model_here"):
            return self._writing
        if action == "leave":
            return self._writing or (self.is_mounted and self._chat.answering)
        server = self.server
        if action == "stop":
            return server is not None and server.state.running
        if action in ("chat", "copy", "system", "load", "unload", "next_model", "clear"):
            return server is not None and server.ready
        return True

    @property
    def _writing(self) -> bool:
        return self.focused is not None and self.focused.id == "say"

    def _show_nothing(self) -> None:
        self._show_parts()
        self._paint(
            "#head",
            Content.assemble(
                ("No server yet", "bold"),
                "\n",
                ("n starts one on the base and finished runs' adapters", words.MUTED),
            ),
        )

    def _show_models(self) -> None:
        if self.server is None:
            return
        menu = self.query_one("#models", OptionList)
        width = max(30, menu.size.width - 5)
        models = self.server.models
        self._paint("#columns", Content.assemble("  ", words.model_header(width)))
        told = Content(words.verdict_line(self.model, self._verdicts))
        self.query_one("#models-box").border_subtitle = told
        lines = [
            Content.assemble(
                ("▸ " if m.id == self.model else "  ", "bold $accent"),
                words.model_line(m, self.traffic, width, self._verdicts.get(m.id, "")),
            )
            for m in models
        ]
        if [line.plain for line in lines] != [str(o.prompt) for o in menu.options]:
            at = next((i for i, m in enumerate(models) if m.id == self.model), 0)
            with menu.prevent(OptionList.OptionHighlighted):
                menu.clear_options()
                menu.add_options(Option(line) for line in lines)
                menu.highlighted = at

    def _show_talk(self) -> None:
        if self.server is not None and self.server.ready and self.model:
            self._chat.show(self.server, self.model)

    def _paint(self, where: str, content: Content) -> None:
        if self._painted.get(where) != content:
            self._painted[where] = content
            self.query_one(where, Static).update(content)

    # Models and talk

    @on(OptionList.OptionHighlighted, "#models")
    def _choose_model(self, event: OptionList.OptionHighlighted) -> None:
        if self.server is not None and event.option_index < len(self.server.models):
            self._use_model(self.server.models[event.option_index].id)

    @on(OptionList.OptionSelected, "#models")
    def _talk_with_model(self) -> None:
        self.action_chat()

    def _use_model(self, model: str) -> None:
        if model != self.model and not self._chat.answering:
            self.model = model
            self._show_models()
            self._show_talk()

    def action_next_model(self) -> None:
        """Talk with the next model of this server."""
        if self.server is not None:
            ids = [m.id for m in self.server.models]
            at = ids.index(self.model) if self.model in ids else -1
            self._use_model(ids[(at + 1) % len(ids)])

    def action_next_model_here(self) -> None:
        """The same from within the chat, where letters are text."""
        self.action_next_model()

    def action_chat(self) -> None:
        """Go to the line where one writes."""
        if self.ready_server() is not None:
            self._chat.write()

    def action_leave(self) -> None:
        """Stop the answer that is coming; else back to the list."""
        if self._chat.answering:
            self._chat.stop_answer()
        elif self._chat.writing:
            self.query_one("#servers").focus()

    def action_system(self) -> None:
        """Write the system message of this server's talks."""
        self._chat.ask_system()

    def action_clear(self) -> None:
        """Forget the talk with this model."""
        self._chat.clear()

    def action_send(self) -> None:
        """Send what was written."""
        self._chat.send()

    def action_copy(self) -> None:
        """Put the curl command line on the clipboard (OSC 52)."""
        if self.server is not None and self.model is not None:
            self.app.copy_to_clipboard(curl(self.server, self.model))
            self.notify("curl command sent to the terminal's clipboard", markup=False)
