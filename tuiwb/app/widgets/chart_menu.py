"""Which charts the wall shows: a checklist to show, hide, pin and move them."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from tuiwb.app.widgets.modal import Modal
from tuiwb.monitor.layout import Layout
from tuiwb.monitor.metric_names import ChartOf
from tuiwb.text import inert


class ChartMenu(Modal[Layout | None]):
    """Gives the new layout; escape gives None and nothing changes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_hidden", "Show or hide"),
        Binding("asterisk", "toggle_pin", "Pin", key_display="*"),
        Binding("less_than_sign,shift+up,K", "move(-1)", "Earlier", key_display="<"),
        Binding("greater_than_sign,shift+down,J", "move(1)", "Later", key_display=">"),
        Binding("a", "all", "All or none"),
        Binding("u", "usual", "As it was made"),
        Binding("enter", "accept", "Done", priority=True),
        Binding("escape", "give_up", "Cancel"),
        Binding("j", "cursor(1)", "Down", show=False),
        Binding("k", "cursor(-1)", "Up", show=False),
    ]

    def __init__(self, charts: Sequence[ChartOf], layout: Layout) -> None:
        super().__init__()
        self._charts = {chart.key: chart for chart in charts}
        self._arranged = layout

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = "Charts"
            dialog.border_subtitle = "space shows, * pins, < > move, a all, u usual, enter done"
            yield OptionList(markup=False)

    def on_mount(self) -> None:
        """Fill the list."""
        self._list(None)

    @property
    def _keys(self) -> list[str]:
        return self._arranged.arrange(self._charts)

    @property
    def _key(self) -> str | None:
        at = self.query_one(OptionList).highlighted
        return self._keys[at] if at is not None and at < len(self._keys) else None

    def _list(self, key: str | None) -> None:
        menu = self.query_one(OptionList)
        menu.clear_options()
        menu.add_options(Option(self._line(self._charts[k])) for k in self._keys)
        keys = self._keys
        if keys:
            menu.highlighted = keys.index(key) if key in keys else 0

    def _line(self, chart: ChartOf) -> Content:
        box = "[ ]" if chart.key in self._arranged.hidden else "[x]"
        pin = "*" if chart.key in self._arranged.pinned else " "
        names = ", ".join(chart.names)
        raw = "" if names == chart.title else f"  {inert(names, one_line=True)}"
        return Content.assemble(
            (f"{box} {pin} ", "bold $accent"),
            inert(chart.title, one_line=True),
            (raw, "$foreground 60%"),
        )

    def _change(self, layout: Layout) -> None:
        key = self._key
        self._arranged = layout
        self._list(key)

    def action_toggle_hidden(self) -> None:
        """Show the chart under the cursor, or hide it."""
        if self._key is not None:
            self._change(self._arranged.toggled_hidden(self._key))

    def action_toggle_pin(self) -> None:
        """Put the chart under the cursor before all that are not pinned, or back."""
        if self._key is not None:
            self._change(self._arranged.toggled_pin(self._key))

    def action_move(self, by: int) -> None:
        """Move the chart under the cursor."""
        key = self._key
        if key is not None:
            # Here hidden charts are listed too, so they count as places.
            shown = self._arranged.changed(hidden=frozenset())
            moved = shown.moved(key, by, self._charts)
            self._change(moved.changed(hidden=self._arranged.hidden))

    def action_all(self) -> None:
        """Show all, or none if all are shown."""
        hidden = self._arranged.hidden & frozenset(self._charts)
        others = self._arranged.hidden - frozenset(self._charts)
        self._change(
            self._arranged.changed(hidden=others if hidden else others | frozenset(self._charts))
        )

    def action_usual(self) -> None:
        """The usual order, nothing hidden, nothing pinned."""
        self._change(self._arranged.changed(order=(), pinned=(), hidden=frozenset()))

    def action_cursor(self, by: int) -> None:
        """Move the cursor."""
        menu = self.query_one(OptionList)
        (menu.action_cursor_down if by > 0 else menu.action_cursor_up)()

    def action_accept(self) -> None:
        """Close with the new layout."""
        self.dismiss(self._arranged)

    def action_give_up(self) -> None:
        """Close; nothing changes."""
        self.dismiss(None)
