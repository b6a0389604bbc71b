"""The facets of the dataset that is open: what occurs how often; enter filters by it."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuiwb.app.widgets.menu import Menu
from tuiwb.data.facets import Facet
from tuiwb.data.query import holds
from tuiwb.text import inert, short_count


class FacetMenu(Menu):
    """Counts by group; the screen hears `Chosen` with the filter word."""

    class Chosen(Message):
        """A facet was picked."""

        def __init__(self, facet: Facet) -> None:
            super().__init__()
            self.facet = facet

    def __init__(self) -> None:
        super().__init__(id="facets", classes="panel", markup=False)
        self.border_title = "Facets, by rows"
        self._facets: list[Facet] = []
        self._painted: tuple[object, ...] = ()

    def show(self, facets: Sequence[Facet], active: str, empty: str) -> None:
        """List these facets, `active` the filter in force; `empty` is said when there are none."""
        width = max(12, (self.content_size.width or 27) - 1)
        painted = (tuple(facets), active, empty, width)
        if painted == self._painted:
            return
        self._painted = painted
        kept = self.highlighted
        self.clear_options()
        self._facets = []
        group = None
        for facet in facets:
            if facet.group != group:
                group = facet.group
                title = Content.styled(inert(group, one_line=True), "$foreground 60%")
                self.add_option(Option(title, disabled=True))
                self._facets.append(facet)
            self.add_option(Option(_line(facet, width, holds(active, facet.word))))
            self._facets.append(facet)
        if not facets:
            self.add_option(Option(Content.styled(empty, "$foreground 60%"), disabled=True))
        if kept is not None and kept < self.option_count:
            self.highlighted = kept

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_index < len(self._facets):
            self.post_message(self.Chosen(self._facets[event.option_index]))


def _line(facet: Facet, width: int, active: bool) -> Content:
    count = short_count(facet.rows) if facet.rows >= 100_000 else f"{facet.rows:,}"
    check, slash, kind = facet.value.partition("/")
    name = f"└ {kind}" if slash and facet.group == "found" else check + slash + kind
    name = f"• {name}" if active else name
    room = max(1, width - len(count) - 2)
    name = inert(name, one_line=True)
    if cell_len(name) > room:
        name = set_cell_size(name, room - 1) + "…"
    text = f"{set_cell_size(name, room)} "
    return Content.assemble((text, "bold" if active else ""), (count, "$foreground 60%"))
