"""Containers that never scroll: a new size of theirs is no reason to lay the screen out again."""

from textual.containers import Horizontal, Vertical
from textual.geometry import Size
from textual.widget import Widget


class Still(Widget):
    """A widget as large as what it shows. Textual lays all out once more after each change of a
    widget's size, for scroll bars that it may have."""

    def _size_updated(
        self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
    ) -> bool:
        return super()._size_updated(size, virtual_size, container_size, layout=False)


class StillVertical(Vertical, Still):
    """Children below each other."""


class StillHorizontal(Horizontal, Still):
    """Children beside each other."""
