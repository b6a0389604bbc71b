"""`?`: every key of the screen that is shown, from its bindings."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tuiwb.app.widgets.modal import Modal
from tuiwb.app.widgets.nav_bar import PLACES


class HelpScreen(Modal[None]):
    """A table of keys; any of its own keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "Close", key_display="esc"),
    ]

    def __init__(self, title: str, text: str, keys: list[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._text = text
        self._keys = keys

    @classmethod
    def of(cls, screen: Screen[object]) -> "HelpScreen":
        """The keys active on `screen`, each once, the screen's own first."""
        rows: dict[str, str] = {}
        app = screen.app
        active = sorted(screen.active_bindings.values(), key=lambda a: a.node is not screen)
        for _, binding, _enabled, _tip in active:
            if binding.description and not binding.action.startswith(("app.go", "go(")):
                key = binding.key_display or app.get_key_display(binding)
                rows.setdefault(binding.description, key)
        keys = [(key, words) for words, key in rows.items()]
        title = getattr(screen, "MODE", "keys").capitalize()
        return cls(title, getattr(screen, "HELP_TEXT", ""), keys)

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_title = f"{self._title}: keys"
            dialog.border_subtitle = "esc closes"
            width = max((len(key) for key, _ in self._keys), default=1)
            lines = [
                Content.assemble((f"{key:>{width}}", "bold $accent"), "  ", words)
                for key, words in self._keys
            ]
            text = [Content(self._text), Content("")] if self._text else []
            places = "  ".join(f"{key} {name}" for key, _, name in PLACES)
            go_to = Content.styled(f"Go to: {places}", "$foreground 60%")
            # One widget: each one that is mounted keeps the key waiting.
            yield Static(Content("\n").join([*text, *lines, Content(""), go_to]))
