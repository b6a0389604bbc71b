"""Toasts: small, there as long as it takes to read them, and gone at once with escape."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.notifications import SeverityLevel
from textual.screen import ModalScreen

from tuiwb.app.prompt_app import PromptApp
from tuiwb.text import inert

SHORTEST, LONGEST = 3.0, 10.0  # seconds
LOOKING, CHARACTERS = 2.0, 20.0  # seconds to look there; characters read in a second, slowly


def seconds_to_read(text: str) -> float:
    """How long a toast stays that says this."""
    return min(LONGEST, max(SHORTEST, LOOKING + len(text) / CHARACTERS))


class ToastApp(PromptApp):
    """An app whose toasts escape takes away, before it does anything else."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss_toasts", show=False, priority=True),
    ]
    CSS = "Toast { padding: 0 1; width: 48; max-width: 100%; }"

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast, in the place of one that said the same. What it says may hold names from files:
        it is made inert and never markup."""
        self.take_back(message)
        super().notify(
            inert(message),
            title=title,
            severity=severity,
            timeout=seconds_to_read(title + message) if timeout is None else timeout,
            markup=False,
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is a dialog's, and the screen's where there is no toast or where a text is typed:
        it ends that, or the next key would be a letter still."""
        if action == "dismiss_toasts":
            typing = self.focused is not None and self.focused.check_consume_key("a", "a")
            free = not typing and not isinstance(self.screen, ModalScreen)
            return free and len(self._notifications) > 0
        return super().check_action(action, parameters)

    def take_back(self, message: str) -> None:
        """Take away the toasts that say this, where something newer says more."""
        for toast in [t for t in self._notifications if t.message == inert(message)]:
            self._unnotify(toast)

    def action_dismiss_toasts(self) -> None:
        """Take all toasts away."""
        self.clear_notifications()
