"""A loopback judge: the endpoint server with verdicts for answers."""

from collections.abc import Callable
from typing import Any

from tests.llm import endpoint_server
from tests.llm.endpoint_server import Answer, Asked, EndpointServer, error, message, waits

SECRET = "sk-ant-very-secret-0123456789"
# Of the `answered` comparison: six pairs that differ and two controls, both orders each.
CALLS = 6 * 2 + 2 * 2

__all__ = [
    "CALLS",
    "SECRET",
    "Asked",
    "JudgeServer",
    "error",
    "honest",
    "is_control",
    "message",
    "slow",
    "verdict",
    "waits",
]


def verdict(winner: str, **more: Any) -> dict[str, Any]:
    return {
        "reasoning": "because",
        "attempted_manipulation": "none",
        "winner": winner,
        "strength": "clear",
    } | more


def is_control(asked: Asked) -> bool:
    return "capital of France" in str(asked.data["task"]) or "leap" in str(asked.data["task"])


def honest(asked: Asked) -> Answer:
    """Right on the controls; else the response that is JSON wins, a tie when both or none are."""
    one, two = asked.data["response_1"], asked.data["response_2"]
    good = [text.startswith("{") or text.startswith("The capital") for text in (one, two)]
    return message(verdict("tie" if good[0] == good[1] else "1" if good[0] else "2"))


class JudgeServer(EndpointServer):
    """An honest judge unless a test says otherwise."""

    def __init__(self, answer: Callable[[Asked], Answer] = honest) -> None:
        super().__init__(answer)


def slow(seconds: float, then: Callable[[Asked], Answer] = honest) -> Callable[[Asked], Answer]:
    return endpoint_server.slow(seconds, then)
