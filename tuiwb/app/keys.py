"""Keys of a screen with what the help says of each."""

from textual.binding import Binding


def shown(key: str, action: str, label: str, tip: str, *, display: str | None = None) -> Binding:
    """A key that the key line names by its label; `tip` stands in the help."""
    return Binding(key, action, label, key_display=display, tooltip=tip)


def known(key: str, action: str, label: str, tip: str, *, display: str | None = None) -> Binding:
    """A key that the help alone names, or the key line where there is room."""
    return Binding(key, action, label, show=False, key_display=display, tooltip=tip)
