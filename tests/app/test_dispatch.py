"""Handlers looked up once for each class are those that Textual finds by walking all bases."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial, partialmethod, wraps
from typing import Any

import pytest
from textual import events, messages, on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.widgets import Button, DataTable, Input, OptionList, Static

from tuiwb.app import dispatch
from tuiwb.app.app import WorkbenchApp
from tuiwb.app.prompt_app import PromptApp
from tuiwb.app.screens.data import DataScreen
from tuiwb.app.screens.train import TrainScreen
from tuiwb.app.widgets.chart import Chart
from tuiwb.app.widgets.chart_wall import ChartWall
from tuiwb.app.widgets.run_view import RunView


class Asked(Message):
    """A message of the test's own."""


class AskedAgain(Asked):
    """One that the handlers of another take, too."""


class Odd(Widget):
    """Registers one handler for a message and for its base, and has two for the base by name."""

    @on(AskedAgain)
    @on(Asked)
    def _for_both(self) -> None: ...

    def on_asked(self) -> None: ...

    def _on_asked(self) -> None: ...


PUMPS = [
    WorkbenchApp, DataScreen, TrainScreen, ChartWall, Chart, RunView, Static, DataTable, Input,
    OptionList, Button, Odd,
]  # fmt: skip


def all_below(kind: type[Message]) -> Iterator[type[Message]]:
    for below in kind.__subclasses__():
        yield below
        yield from all_below(below)


@pytest.mark.parametrize("pump", PUMPS, ids=lambda pump: pump.__name__)
def test_every_class_has_the_handlers_that_walking_its_bases_finds(
    pump: type[MessagePump],
) -> None:
    at = object.__new__(pump)  # only its class is looked at
    found = 0
    for kind in set(all_below(Message)):
        message = object.__new__(kind)
        message._no_default_action = False
        message._sender = None
        walked = list(dispatch._by_walking(at, kind.handler_name, message))
        assert list(dispatch.handlers(at, kind.handler_name, message)) == walked, kind
        found += len(walked)
    assert found > 5


def said(widget: Widget) -> list[str]:
    """Which handlers ran in the app of a widget."""
    assert isinstance(widget.app, Chooses)
    return widget.app.said


class Base(Widget):
    def on_asked(self, message: Asked) -> None:
        said(self).append("base")


class Above(Base):
    stops = False

    @on(Asked)
    def _first(self, message: Asked) -> None:
        said(self).append("decorated")

    def on_asked(self, message: Asked) -> None:
        said(self).append("named")
        if self.stops:
            message.prevent_default()


class Chooses(PromptApp):
    """An app with a handler for one button of two."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def compose(self) -> ComposeResult:
        yield Above()
        yield Button("one", id="one")
        yield Button("two", id="two")

    @on(Button.Pressed, "#two")
    def _two(self) -> None:
        self.said.append("two")


async def test_handlers_run_from_the_class_to_its_bases_until_one_prevents_the_rest() -> None:
    app = Chooses()
    async with app.run_test() as pilot:
        assert MessagePump._get_dispatch_methods is dispatch.handlers  # type: ignore[comparison-overlap]
        widget = app.query_one(Above)
        for stops in (False, True, False):
            app.said.clear()
            widget.stops = stops
            widget.post_message(Asked())
            await pilot.pause()
            assert app.said == ["decorated", "named", *(() if stops else ("base",))]


async def test_a_handler_for_some_senders_only_is_called_for_those() -> None:
    app = Chooses()
    async with app.run_test() as pilot:
        for name in ("one", "two", "one", "two"):
            app.query_one(f"#{name}", Button).press()
            await pilot.pause()
        assert app.said == ["two", "two"]


class Called:
    def __call__(self, event: object) -> None: ...

    def bound(
        self, event: object, more: int = 0, *rest: int, key: str = "", **named: int
    ) -> None: ...

    def rest(*everything: object) -> None: ...

    @classmethod
    def of_class(cls, event: object) -> None: ...

    @staticmethod
    def of_none(event: object) -> None: ...

    partly = partialmethod(bound, 1)


@wraps(Called.bound)
def wrapped(*args: Any, **kwargs: Any) -> Any: ...


def signed(*args: Any, **kwargs: Any) -> Any: ...


signed.__signature__ = inspect.signature(Called.of_none)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        lambda event: None,
        Called().bound,
        Called.bound,
        Called().rest,
        Called().of_class,
        Called.of_none,
        Called(),
        Called().partly,
        Called.partly,
        wrapped,
        signed,
        print,
        [].append,
        partial(Called().bound, 1),
        App.run,
        events.Key,
    ],
    ids=repr,
)  # fmt: skip
def test_parameters_are_counted_as_inspect_does(function: Callable[..., Any]) -> None:
    assert dispatch.count_parameters(function) == len(inspect.signature(function).parameters)


def test_every_method_of_every_pump_has_the_parameters_that_inspect_counts() -> None:
    counted = 0
    for pump in [*PUMPS, messages.Message, MessagePump]:
        for value in vars(pump).values():
            if inspect.isfunction(value):
                counted += 1
                expected = len(inspect.signature(value).parameters)
                assert dispatch.count_parameters(value) == expected
    assert counted > 300
