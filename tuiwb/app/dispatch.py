"""Which handlers a message has, looked up once for each class instead of for each message.

Textual walks all bases of a widget for every message that reaches it, and asks `inspect` for the
signature of every callback that was asked for: together a ninth of what a key costs.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from types import MethodType
from typing import Any

from textual import _callback
from textual.message import Message
from textual.message_pump import MessagePump

Handler = Callable[..., Any]
Found = Iterable[tuple[type, Handler]]
Plan = tuple[tuple[type, tuple[Handler, ...]], ...]  # each class that has some, in the MRO's order

_by_walking = MessagePump._get_dispatch_methods
_by_inspecting = _callback._count_parameters
# What a function bears that has another's signature; partialmethod's by its two names.
_STANDS_IN = ("__wrapped__", "__signature__", "_partialmethod", "__partialmethod__")
_plans: dict[tuple[type, type, str], Plan | None] = {}


def remember_handlers() -> None:
    """Let every widget look its handlers up here. To be called once or more."""
    setattr(MessagePump, "_get_dispatch_methods", handlers)  # noqa: B010 - mypy: a method
    setattr(_callback, "_count_parameters", count_parameters)  # noqa: B010


def handlers(pump: MessagePump, name: str, message: Message) -> Found:
    """The methods of `pump` that handle a message, bound, each with the class it comes from."""
    key = (type(pump), type(message), name)
    try:
        plan = _plans[key]
    except KeyError:
        plan = _plans[key] = _plan(*key)
    if plan is None:
        return _by_walking(pump, name, message)
    return _bound(plan, pump, message) if plan else ()


def _bound(plan: Plan, pump: MessagePump, message: Message) -> Iterator[tuple[type, Handler]]:
    for cls, methods in plan:
        if message._no_default_action:  # a handler before this one said so
            return
        for method in methods:
            yield cls, method.__get__(pump, cls)


def _plan(pump: type, message: type, name: str) -> Plan | None:
    """What Textual would find; None where it depends on the message's sender."""
    kinds = [kind for kind in message.__mro__ if issubclass(kind, Message)]
    plan: list[tuple[type, tuple[Handler, ...]]] = []
    seen: set[Handler] = set()
    for cls in pump.__mro__:
        methods: list[Handler] = []
        decorated = cls.__dict__.get("_decorated_handlers") or {}
        for method, selectors in (entry for kind in kinds for entry in decorated.get(kind, ())):
            if selectors:
                return None
            if method not in seen:
                seen.add(method)
                methods.append(method)
        named = cls.__dict__.get(f"_{name}") or cls.__dict__.get(name)
        if named is not None and not getattr(named, "_textual_on", None):
            methods.append(named)
        if methods:
            plan.append((cls, tuple(methods)))
    return tuple(plan)


def count_parameters(function: Handler) -> int:
    """How many parameters a function or bound method takes, as `inspect.signature` counts them."""
    bound = isinstance(function, MethodType)
    plain = function.__func__ if isinstance(function, MethodType) else function
    if not inspect.isfunction(plain) or not plain.__dict__.keys().isdisjoint(_STANDS_IN):
        return _by_inspecting(function)
    code = plain.__code__
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + stars - (bound and code.co_argcount > 0)
