"""The chat of the Serve screen: talks kept per server and model, answers streamed as they come."""

import time
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from tuiwb.app.screens.dialogs import Ask
from tuiwb.app.widgets import serve_words as words
from tuiwb.errors import TuiwbError
from tuiwb.serve.proof import prompts
from tuiwb.serve.servers import Server, check_sound, curl
from tuiwb.text import inert

PIECE_SECONDS = 0.06
ROLES = {"you": "user", "system": "system"}
Turn = tuple[str, str]
Talk = tuple[Path, str]


class ServeChat(Vertical):
    """`show()` gives it a server and a model, `show_log()` lines instead while none answers."""

    DEFAULT_CSS = """
    ServeChat { height: 1fr; min-height: 5; }
    ServeChat #scroll { height: 1fr; scrollbar-size-vertical: 1; }
    ServeChat #talk { height: auto; }
    ServeChat #say { height: 1; background: $panel; }
    """

    class Said(Message):
        """A piece of an answer, or with `over` its end; `note` says what went wrong or how fast."""

        def __init__(self, talk: Talk, text: str, *, over: bool = False, note: str = "") -> None:
            super().__init__()
            self.talk, self.text, self.over, self.note = talk, text, over, note

    class SystemFound(Message):
        """The system message that a server's held-out chats begin with, if any."""

        def __init__(self, folder: Path, text: str) -> None:
            super().__init__()
            self.folder, self.text = folder, text

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.answering = False
        self._server: Server | None = None
        self._model = ""
        self._talks: dict[Talk, list[Turn]] = {}
        self._systems: dict[Path, str] = {}
        self._notes: dict[Talk, str] = {}
        self._painted: Content | None = None

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="scroll", can_focus=False):
            yield Static(id="talk", markup=False)
        field = Input(placeholder="say something; enter sends", id="say", compact=True)
        field.cursor_blink = False
        yield field

    @property
    def writing(self) -> bool:
        """Whether letters go into the chat."""
        return self.query_one("#say").has_focus

    def write(self) -> None:
        """Go to the line where one writes."""
        self.query_one("#say").focus()

    def show(self, server: Server, model: str) -> None:
        """The talk with `model` of a server that answers."""
        self._server, self._model = server, model
        self.query_one("#say").display = True
        self._title(f"Chat with {inert(model, one_line=True)}")
        turns = self._talks.get(self._key, [])
        if system := self._systems.get(server.folder, ""):
            turns = [("system", system), *turns]
        note = self._notes.get(self._key, "")
        if not turns and not note:
            note = f"c to talk, or from a shell (y copies it):\n{curl(server, model)}"
        self._paint(words.talk(turns, note))

    def show_log(self, lines: list[str]) -> None:
        """The end of the log of a server that does not answer, or not yet."""
        self._server = None
        self.query_one("#say").display = False
        self._title("Log")
        shown = [inert(line, one_line=True) for line in lines if line.strip()]
        self._paint(Content("\n".join(shown)))

    def stop_answer(self) -> None:
        """Let the answer that is coming end here."""
        self.workers.cancel_group(self, "chat")

    def clear(self) -> None:
        """Forget the talk with this model."""
        if not self.answering:
            self._talks.pop(self._key, None)
            self._notes.pop(self._key, None)
            self._show_again()

    @on(Input.Submitted, "#say")
    def send(self) -> None:
        """Send what was written."""
        field = self.query_one("#say", Input)
        text = field.value.strip()
        if not text or self.answering or self._server is None:
            return
        field.value = ""
        turns = self._talks.setdefault(self._key, [])
        short = self._model.rpartition("@")[0] or self._model
        turns += [("you", text), (inert(short, one_line=True), "")]
        self.answering = True
        self._notes.pop(self._key, None)
        self._show_again()
        system = self._systems.get(self._server.folder, "")
        asked = [("system", system)] * bool(system) + turns[:-1]
        self._ask(self._server, self._key, asked)

    def ask_system(self) -> None:
        """Ask for the system message of this server's talks; the training's own is suggested."""
        if self._server is not None:
            self._find_system(self._server)

    @property
    def _key(self) -> Talk:
        return (self._server.folder if self._server else Path(), self._model)

    def _show_again(self) -> None:
        if self._server is not None:
            self.show(self._server, self._model)

    def _title(self, title: str) -> None:
        if self.border_title != title:
            self.border_title = title

    def _paint(self, content: Content) -> None:
        if content != self._painted:
            self._painted = content
            self.query_one("#talk", Static).update(content)
            self.query_one("#scroll").scroll_end(animate=False)

    @work(thread=True, exclusive=True, exit_on_error=False, group="chat")
    def _ask(self, server: Server, talk: Talk, turns: list[Turn]) -> None:
        worker = get_current_worker()
        messages = [{"role": ROLES.get(who, "assistant"), "content": text} for who, text in turns]
        began, shown, held, tokens, note = time.monotonic(), 0.0, "", None, ""
        try:
            for model in server.models:
                if model.id == talk[1]:
                    check_sound(model)
            stream = server.client().chat(talk[1], messages, temperature=0)
            for delta in stream:
                held += delta.text
                tokens = delta.completion_tokens or tokens
                if worker.is_cancelled:
                    stream.close()
                    note = "stopped"
                    break
                if held and time.monotonic() - shown > PIECE_SECONDS:
                    self.post_message(self.Said(talk, held))
                    held, shown = "", time.monotonic()
        except TuiwbError as error:
            note = str(error)
        if tokens and not note:
            note = f"{tokens} tokens in {time.monotonic() - began:.1f} s, greedy"
        self.post_message(self.Said(talk, held, over=True, note=note))

    @on(Said)
    def _hear(self, message: Said) -> None:
        message.stop()
        turns = self._talks.get(message.talk)
        if turns:
            who, text = turns[-1]
            turns[-1] = (who, text + message.text)
            if message.over and not turns[-1][1]:
                # An answer that never came must not become part of the next prompt.
                del turns[-2:]
        if message.over:
            self.answering = False
            self._notes[message.talk] = message.note
        if message.talk == self._key:
            self._show_again()

    @work(thread=True, exclusive=True, exit_on_error=False, group="system")
    def _find_system(self, server: Server) -> None:
        first = next(iter(prompts(server.spec.heldout, 1)), [])
        text = first[0]["content"] if first and first[0]["role"] == "system" else ""
        self.post_message(self.SystemFound(server.folder, text))

    @on(SystemFound)
    def _ask_system(self, message: SystemFound) -> None:
        message.stop()
        folder = message.folder

        def told(text: str | None) -> None:
            if text is not None:
                self._systems[folder] = text
                self._talks = {k: v for k, v in self._talks.items() if k[0] != folder}
                self._show_again()

        suggested = " ".join(message.text.split())
        detail = "as in the held-out chats" if suggested and folder not in self._systems else ""
        value = self._systems.get(folder, suggested)
        self.app.push_screen(Ask("System message", str.strip, value, detail), told)
