"""Keys of a screen with what the help says of each; which are ours, not Textual's widgets'."""

from collections.abc import Iterator

from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

# Of every screen, and so no command of one: help, commands, the way out; places are named apart.
OF_THE_PROGRAM = frozenset(("help", "letter_help", "command_palette", "quit"))
TO_A_PLACE = ("app.go(", "go(")
MOVES = frozenset(("up", "down", "left", "right", "pageup", "pagedown", "home", "end"))


def shown(key: str, action: str, label: str, tip: str, *, display: str | None = None) -> Binding:
    """A key that the key line names by its label; `tip` stands in the help."""
    return Binding(key, action, label, key_display=display, tooltip=tip)


def known(key: str, action: str, label: str, tip: str, *, display: str | None = None) -> Binding:
    """A key that the help alone names, or the key line where there is room."""
    return Binding(key, action, label, show=False, key_display=display, tooltip=tip)


def is_own(node: DOMNode, binding: Binding) -> bool:
    """Whether a class of this program gave `node` the binding."""
    return any(
        isinstance(given, Binding) and given.action == binding.action
        for cls in type(node).__mro__
        if cls.__module__.partition(".")[0] == __name__.partition(".")[0]
        for given in cls.__dict__.get("BINDINGS", ())
    )


def only_moves(binding: Binding) -> bool:
    """Whether it is on a key of the cursor block, with or without ctrl or shift."""
    return binding.key.rpartition("+")[2] in MOVES


def actions_of(screen: Screen[object]) -> Iterator[tuple[DOMNode, Binding, str]]:
    """What can be done on a screen now: whose it is, the binding, the key's name; each once, and
    what only moves about last."""
    active = screen.active_bindings.values()
    moves = {one.binding.description for one in active if one.binding.key in MOVES}
    said = set()
    for node, binding, enabled, _ in sorted(active, key=lambda a: a.binding.description in moves):
        of_all = binding.action in OF_THE_PROGRAM or binding.action.startswith(TO_A_PLACE)
        told = of_all or binding.description in said
        if enabled and binding.description and not told and is_own(node, binding):
            said.add(binding.description)
            key = binding.key_display or screen.app.get_key_display(binding)
            yield node, binding, key
