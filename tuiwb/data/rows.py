"""The one typed form of a row, whatever file and format it came from."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Shape = Literal["chat", "text", "preference", "kto", "prompt_completion", "broken"]


class Message(msgspec.Struct, omit_defaults=True):
    """One turn. `content` is plain text, empty where the turn only calls tools.

    `tool_calls` are OpenAI-shaped: {"type": "function", "function": {"name", "arguments": dict}}.
    """

    role: str
    content: str
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The plain dict a chat template takes: role, content and what else is set."""
        plain: dict[str, Any] = {"role": self.role, "content": self.content}
        for key in ("name", "tool_calls", "tool_call_id"):
            if (value := getattr(self, key)) is not None:
                plain[key] = value
        return plain


Turns = str | list[Message]


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One row of a dataset.

    `index` counts rows from 0, `line` counts lines of the file from 1. `shape` says which fields
    are set: chat: messages; text: text; prompt_completion: prompt, completion; preference: prompt,
    chosen, rejected; kto: prompt, completion, label; broken: problem, and text holds the raw
    beginning. Prompts and answers are strings, or lists of messages in conversational rows.
    `tags` holds the columns that no training reads.
    """

    file: str
    index: int
    line: int
    format: str
    shape: Shape
    messages: list[Message] | None = None
    prompt: Turns | None = None
    completion: Turns | None = None
    chosen: Turns | None = None
    rejected: Turns | None = None
    label: bool | None = None
    text: str | None = None
    tools: list[dict[str, Any]] | None = None
    tags: dict[str, Any] = {}
    problem: str | None = None

    @property
    def where(self) -> str:
        """The place a person can open: file:line."""
        return f"{self.file}:{self.line}"

    def fields(self) -> Iterator[tuple[str, str, str]]:
        """Every text of the row as (field, role, text), field like 'messages[1].content'.

        The role of a bare string is user for a prompt and assistant for an answer, '' for text.
        """
        if self.shape == "broken":
            return
        if self.text is not None:
            yield "text", "", self.text
        parts: tuple[tuple[str, str, Turns | None], ...] = (
            ("messages", "", self.messages),
            ("prompt", "user", self.prompt),
            ("completion", "assistant", self.completion),
            ("chosen", "assistant", self.chosen),
            ("rejected", "assistant", self.rejected),
        )
        for name, role, part in parts:
            if isinstance(part, str):
                yield name, role, part
            elif part is not None:
                for i, message in enumerate(part):
                    yield f"{name}[{i}].content", message.role, message.content

    def conversation(self) -> list[tuple[str, Message]]:
        """Every turn in reading order with the part it belongs to, strings made into turns."""
        turns: list[tuple[str, Message]] = []
        if self.text is not None:
            turns.append(("text", Message("text", self.text)))
        for name in ("messages", "prompt", "completion", "chosen", "rejected"):
            part: Turns | None = getattr(self, name)
            if isinstance(part, str):
                turns.append((name, Message("user" if name == "prompt" else "assistant", part)))
            elif part is not None:
                turns.extend((name, message) for message in part)
        return turns
