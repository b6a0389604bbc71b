"""The line of tabs and the line of keys: what stands under the mouse is what a click does."""

import pytest
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.geometry import Region
from textual.widget import Widget

from tests.app.conftest import until
from tuiwb.app.widgets.key_line import KeyLine
from tuiwb.app.widgets.pane_tabs import PaneTabs

PANES = (("d", "device", "Device"), ("L", "log", "Log"), ("a", "alerts", "Alerts"))
NAMES = ("first", "second", "third")


class Lines(App[None]):
    """Both lines, and what was asked for by a click."""

    BINDINGS = [
        Binding(key, f"note('{name}')", name.capitalize())
        for key, name in zip("xyz", NAMES, strict=True)
    ]

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def compose(self) -> ComposeResult:
        yield PaneTabs(PANES)
        yield KeyLine()

    def action_note(self, name: str) -> None:
        self.asked.append(name)

    def on_pane_tabs_chosen(self, message: PaneTabs.Chosen) -> None:
        self.asked.append(message.pane)


def painted(widget: Widget) -> list[Segment]:
    return list(widget.render_lines(Region(0, 0, widget.outer_size.width, 1))[0])


def words(widget: Widget) -> str:
    return "".join(segment.text for segment in painted(widget))


@pytest.mark.parametrize(
    ("width", "line"),
    [(60, "  d Device  L Log  a Alerts 2"), (24, "  d Device  L  a"), (40, "  d Device  L Log")],
)
async def test_a_click_opens_the_pane_whose_key_or_name_is_there(width: int, line: str) -> None:
    app = Lines()
    async with app.run_test(size=(width, 10)) as pilot:
        tabs = app.query_one(PaneTabs)
        tabs.show("device", {"alerts": "2"})
        await pilot.pause()
        shown = words(tabs)
        assert shown.startswith(line)
        for key, pane, _ in PANES:
            app.asked.clear()
            await pilot.click(PaneTabs, offset=(shown.index(f" {key} ") + 1, 0))
            await until(lambda pane=pane: app.asked == [pane])


async def test_the_open_pane_and_those_that_count_something_stand_out() -> None:
    app = Lines()
    async with app.run_test(size=(60, 10)) as pilot:
        tabs = app.query_one(PaneTabs)
        for pane, name in (("log", "Log"), ("device", "Device")):
            tabs.show(pane, {"alerts": "2"})
            await pilot.pause()
            reverse = [s.text for s in painted(tabs) if s.style and s.style.reverse]
            assert [text.split()[1] for text in reverse] == [name]
            bold = [s.text.strip() for s in painted(tabs) if s.style and s.style.bold]
            assert "Alerts 2" in bold


async def test_a_click_presses_the_key_that_is_named_there_and_keys_are_bold() -> None:
    app = Lines()
    async with app.run_test(size=(80, 10)) as pilot:
        line = app.query_one(KeyLine)
        await until(lambda: "x First" in words(line))
        assert [s.text for s in painted(line) if s.style and s.style.bold][:3] == list("xyz")
        for key, name in zip("xyz", NAMES, strict=True):
            said = f"{key} {name.capitalize()}"
            for at in (0, len(said) - 1):
                app.asked.clear()
                await pilot.click(KeyLine, offset=(words(line).index(said) + at, 0))
                await until(lambda name=name: app.asked == [name])
