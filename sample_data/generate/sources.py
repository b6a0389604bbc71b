"""Loads the hand-written texts in generate/text and names the plain types used throughout."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TEXT = Path(__file__).parent / "text"

Message = dict[str, str]
Chat = list[Message]


@dataclass(frozen=True)
class Fact:
    """One piece of common knowledge: several ways to ask, one way to answer."""

    relation: str
    asks: tuple[str, ...]
    answer: str


@functools.cache
def load(name: str) -> Any:
    """Return the parsed generate/text/NAME.yaml."""
    return yaml.safe_load((TEXT / f"{name}.yaml").read_text(encoding="utf-8"))


@functools.cache
def facts() -> tuple[Fact, ...]:
    """Return every fact of facts.yaml, then the small sums."""
    source = load("facts")
    found = [
        Fact(
            relation["name"],
            tuple(ask.format(a=a) for ask in relation["ask"]),
            relation["answer"].format(a=a, b=b),
        )
        for relation in source["relations"]
        for a, b in relation["pairs"].items()
    ]
    found += [Fact("single", tuple(one["ask"]), one["answer"]) for one in source["singles"]]
    return tuple(found) + sums()


@functools.cache
def sums() -> tuple[Fact, ...]:
    """Return additions up to 5 + 5, subtractions from up to 5, products up to 3 x 3."""
    found: list[Fact] = []
    for x in range(6):
        for y in range(6):
            asks = (f"What is {x} + {y}?", f"What is {x} plus {y}?", f"Add {x} and {y}.")
            found.append(Fact("sum", asks, f"{x} + {y} = {x + y}."))
            if y <= x:
                asks = (f"What is {x} - {y}?", f"What is {x} minus {y}?", f"Take {y} from {x}.")
                found.append(Fact("sum", asks, f"{x} - {y} = {x - y}."))
            if 1 <= x <= 3 and 1 <= y <= 3:
                asks = (f"What is {x} times {y}?", f"Multiply {x} by {y}.", f"What is {x} x {y}?")
                found.append(Fact("sum", asks, f"{x} times {y} is {x * y}."))
    return tuple(found)


def user(content: str) -> Message:
    """Return a user's turn."""
    return {"role": "user", "content": content}


def assistant(content: str) -> Message:
    """Return an assistant's turn."""
    return {"role": "assistant", "content": content}


def system(content: str) -> Message:
    """Return a system turn."""
    return {"role": "system", "content": content}


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON object a line; a row that is a str is written as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
