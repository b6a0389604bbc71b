"""A layout of parts gives the map that a layout of the whole screen gives."""

import random
from collections.abc import Iterable

import pytest
from textual._compositor import Compositor, CompositorMap
from textual.app import App, ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.geometry import Region
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Select, Static

from tests.app.conftest import until
from tests.app.runs import a_run, an_alert
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.pace import PromptScreen
from tuiwb.app.part_layout import PartLayout
from tuiwb.app.screens.train import TrainScreen
from tuiwb.app.widgets.run_view import RunView
from tuiwb.project import Project

Arranged = tuple[CompositorMap, set[Widget]]


def placed(found: CompositorMap) -> CompositorMap:
    """What shows nothing of itself shows nothing, wherever that is."""
    return {widget: at if at.clip else at._replace(clip=Region()) for widget, at in found.items()}


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compare each layout of parts with one of all; how many widgets each had."""
    sizes: list[int] = []
    of_parts = PartLayout._with_parts

    def compare(self: PartLayout, root: Widget, parts: Iterable[Widget]) -> Arranged | None:
        found = of_parts(self, root, parts)
        if found is not None:
            whole = Compositor._arrange_root(self, root, self.size, visible_only=False)
            one, other = placed(found[0]), placed(whole[0])
            differing = {
                widget: (one.get(widget), other.get(widget))
                for widget in one.keys() | other.keys()
                if one.get(widget) != other.get(widget)
            }
            assert not differing
            assert found[1] == whole[1]
            by_order = sorted(one.items(), key=lambda item: item[1].order)
            assert by_order == sorted(other.items(), key=lambda item: item[1].order)
            sizes.append(len(one))
        return found

    monkeypatch.setattr(PartLayout, "_with_parts", compare)
    return sizes


class Boxes(PromptScreen[None]):
    """Containers of their own size and of their content's, one in the other."""

    def compose(self) -> ComposeResult:
        with Vertical(id="fixed"):
            yield Static("head", classes="any", markup=False)
            with VerticalScroll(id="list"):
                for number in range(16):
                    yield Static(f"line {number}", classes="any", markup=False)
                    if number == 12:  # where the list is cut off
                        with Vertical(id="inner"):
                            yield Static("inner", classes="any", markup=False)
                            yield Static("next", classes="any", markup=False)
        with Vertical(id="growing"):
            with Horizontal(id="row"):
                yield Static("left", classes="any", markup=False)
                yield Static("right", classes="any", markup=False)
                yield Static("over", id="floating", classes="any", markup=False)
            yield Select([("one", 1), ("two", 2)], id="choice")
            yield Static("below", classes="any", markup=False)


class InBoxes(App[None]):
    """An app of that screen."""

    CSS = """
    Boxes { layout: horizontal; }
    #fixed { width: 30; height: 100%; border: round red; }
    #fixed > VerticalScroll { height: 1fr; }
    #growing { width: 1fr; height: auto; }
    #row { height: 5; }
    #row > Static { width: 1fr; height: 3; }
    #inner { height: 6; }
    #floating { layer: above; dock: right; width: 9; height: 2; }
    .tall { height: 9; }
    """

    def get_default_screen(self) -> Screen[None]:
        return Boxes()


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_shown_hidden_added_removed_or_resized(
    seed: int, in_parts: list[int]
) -> None:
    draw = random.Random(seed)
    app = InBoxes()
    async with app.run_test(size=(70, 20)) as pilot:
        screen = app.screen
        assert isinstance(screen, Boxes)
        for turn in range(60):
            what = draw.choice(
                ("show", "show", "inner", "add", "remove", "size", "scroll", "choose", "out", "all")
            )
            one = draw.choice(list(screen.query(".any")) or [screen])
            boxes = [screen.query_one(name) for name in ("#list", "#row", "#growing", "#fixed")]
            box = draw.choice(boxes)
            if what == "show":
                one.display = not one.display
                if draw.random() < 0.5 and isinstance(one.parent, Widget):
                    screen.lay_out(one.parent)
            elif what == "add":
                await box.mount(Static(f"new {turn}", classes="any", markup=False))
            elif what == "remove" and one is not screen:
                await one.remove()
            elif what == "size":
                one.toggle_class("tall")
            elif what == "inner":
                child = draw.choice(list(screen.query("#inner > *")))
                child.display = not child.display
            elif what == "all":
                screen.styles.padding = draw.randrange(3)
                screen.query_one("#inner").children[0].display ^= True
            elif what == "scroll":
                screen.query_one("#list").scroll_to(y=draw.randrange(12), animate=False)
            elif what == "choose":
                screen.query_one("#choice", Select).expanded ^= True
            elif what == "out":
                box.styles.visibility = draw.choice(("hidden", "visible"))
            await pilot.pause()
    assert len(in_parts) > 10


async def test_what_is_shown_or_hidden_is_laid_out_by_the_very_next_paint() -> None:
    app = InBoxes()
    async with app.run_test(size=(70, 20)) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, Boxes)
        row = screen.query_one("#row")
        left, right = row.children[:2]
        for shown, hidden in ((left, right), (right, left)):
            shown.display, hidden.display = True, False
            screen.lay_out(row)
            screen._paint_changes()
            assert shown.region.width == row.size.width
            assert hidden not in screen._compositor.visible_widgets


async def test_the_panes_of_a_run(project: Project, in_parts: list[int]) -> None:
    a_run(project, "one", steps=40, more=[an_alert()], log=b"a line\n" * 99)
    app = WorkbenchApp(project)
    async with app.run_test(size=(120, 36)) as pilot:
        await pilot.press("4")
        await until(lambda: isinstance(app.screen, TrainScreen))
        await until(lambda: app.screen.query_one(RunView).is_on_screen)
        for key in (*"adLOgaLd", "tab", *"zzdjka", "escape", *"d"):
            before = len(in_parts)
            await pilot.press(key)
            await pilot.pause()
            if key in "aL":
                await until(lambda before=before: len(in_parts) > before)
