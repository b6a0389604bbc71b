"""`?`: every key of the screen that is shown, from its bindings."""

from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tuiwb.app.keys import TO_A_PLACE, is_own, only_moves
from tuiwb.app.widgets.modal import SCROLL, Modal
from tuiwb.app.widgets.nav_bar import PLACES

NAME = "help"
# What Textual brings along: said last, in words of this program.
EVERYWHERE = {
    "app.focus_next": "to the next pane",
    "app.focus_previous": "to the pane before",
    "screen.copy_text": "copy the selected text",
    "screen.minimize": "smaller again",
}


class HelpScreen(Modal[None]):
    """A table of keys; any of its own keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "Close", key_display="esc"),
        *SCROLL,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._said: tuple[str, Content] | None = None

    def tell(self, screen: Screen[object]) -> None:
        """Say the keys active on `screen`, each once: the screen's, its panes', then those that
        Textual's widgets bring along."""
        rows: dict[str, str] = {}
        app = screen.app
        active = sorted(
            screen.active_bindings.values(),
            key=lambda a: (
                a.binding.action in EVERYWHERE,
                not is_own(a.node, a.binding),
                a.node is not screen,
            ),
        )
        for node, binding, _enabled, tip in active:
            if binding.description and not binding.action.startswith(TO_A_PLACE):
                key = binding.key_display or app.get_key_display(binding)
                words = EVERYWHERE.get(binding.action) or tip or binding.description
                if only_moves(binding) and not is_own(node, binding):
                    key, words = "arrows", "move; pgup, pgdn, home and end too"
                if node is app and key not in rows.get(words, key).split():
                    key = f"{rows[words]} {key}"  # the program's own have one for fields as well
                    rows[words] = key
                rows.setdefault(words, key)
        width = max((len(key) for key in rows.values()), default=1)
        lines = [
            Content.assemble((f"{key:>{width}}", "bold $accent"), "  ", words)
            for words, key in rows.items()
        ]
        text = getattr(screen, "HELP_TEXT", "")
        places = "  ".join(f"{key} {name}" for key, _, name in PLACES)
        go_to = Content.styled(f"Go to: {places}", "$foreground 60%")
        first = [Content(text), Content("")] if text else []
        dialog = self.query_one(VerticalScroll)
        dialog.scroll_home(animate=False)
        title = f"{getattr(screen, 'MODE', 'keys').capitalize()}: keys"
        said = title, Content("\n").join([*first, *lines, Content(""), go_to])
        if said != self._said:
            self._said = said
            dialog.border_title = title
            self.query_one(Static).update(said[1])

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="dialog") as dialog:
            dialog.border_subtitle = "esc closes"
            # One widget: each one that is mounted keeps the key waiting.
            yield Static()


async def prepare_help(app: App[Any]) -> HelpScreen:
    """The app's help, mounted and laid out before it is asked for: then it opens at once."""
    known = app.is_screen_installed(NAME)
    if not known:
        app.install_screen(HelpScreen(), NAME)
    screen, mounted = app._get_screen(NAME)
    assert isinstance(screen, HelpScreen)
    if not known:
        await mounted
        if not app.screen_stack or not screen.query(VerticalScroll):
            return screen  # the app was left meanwhile
        screen.tell(app.screen)
        screen._refresh_layout(app.size)
        screen._layout_required = False
    return screen


async def open_help(app: App[Any]) -> None:
    """Every key of the screen that is shown."""
    below = app.screen
    if isinstance(below, HelpScreen):
        return
    screen = await prepare_help(app)
    screen.tell(below)
    if app.screen is below:
        app.push_screen(screen)
