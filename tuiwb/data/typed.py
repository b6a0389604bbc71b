"""The fast way from JSON to rows, for the chats most datasets hold.

The first records of a dataset say which fields it has; from then on msgspec decodes straight into
messages, without a dict for each. Whatever does not fit that mould (other fields, other types, a
turn that is no text) is declined, and is read the general way: both give the same row.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from tuiwb.data.formats import SHAREGPT_ROLES, Unreadable, chat_of
from tuiwb.data.rows import Message, Row
from tuiwb.prepared import prepared

# Fields that make another format of a chat.
_OTHERS = frozenset(("label", "kto_tag", "chosen", "rejected"))
_MOST_FIELDS = 64


class _Said(msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"said": "from"}):
    """A ShareGPT turn that says something; `from` is a word of Python's."""

    said: str
    value: str


_TURNS: dict[str, tuple[str, Any]] = {
    "messages": ("messages", list[Message]),
    "sharegpt": ("conversations", list[_Said]),
}


class TypedReader:
    """Reads records of the fields it was made for fast, and any other as it is told to."""

    def __init__(self, format_: str, fields: Sequence[str]) -> None:
        self.format = format_
        key, type_ = _TURNS[format_]
        self._others = [(f"f{i}", field) for i, field in enumerate(fields) if field != key]
        names = {"turns": key, **dict(self._others)}
        columns: list[tuple[str, Any, Any]] = [
            (name, Any, msgspec.field(default=None)) for name, _ in self._others
        ]
        struct = msgspec.defstruct(
            "Record",
            [("turns", prepared(type_)), *columns],
            rename=names,
            forbid_unknown_fields=True,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(struct).decode

    def rows(
        self,
        pieces: Iterable[tuple[int, bytes]],
        file: str,
        first: int,
        general: Callable[[bytes, str, int, int], Row],
    ) -> list[Row]:
        """The rows of consecutive (line, JSON) pieces; `general` reads those that don't fit."""
        rows = []
        decode, format_, sharegpt = self._decode, self.format, self.format == "sharegpt"
        for index, (line, data) in enumerate(pieces, first):
            try:
                record = decode(data)
                if not data.isascii():
                    # What is skipped in a turn is not looked at; it must be text all the same.
                    data.decode("utf-8")
                turns = record.turns
                if sharegpt:
                    turns = [Message(_role(turn.said), turn.value) for turn in turns]
                called = [turn for turn in turns if turn.tool_calls is not None]
                if called or self._others or not turns:
                    row = self._chat(record, turns, file, index, line)
                else:
                    row = Row(
                        file=file,
                        index=index,
                        line=line,
                        format=format_,
                        shape="chat",
                        messages=turns,
                    )
            except (msgspec.MsgspecError, UnicodeError, RecursionError, Unreadable):
                row = general(data, file, index, line)
            rows.append(row)
        return rows

    def _chat(self, record: Any, turns: list[Message], file: str, index: int, line: int) -> Row:
        if not turns:
            raise Unreadable("has no turns")
        fields = {key: v for name, key in self._others if (v := getattr(record, name)) is not None}
        return chat_of(turns, fields, self.format, file, index, line)


def typed_reader(records: Sequence[tuple[Row, Any]]) -> TypedReader | None:
    """A reader for a dataset that begins with these rows and their records; None if none helps."""
    fields: dict[str, None] = {}
    formats = {row.format for row, _ in records if row.shape != "broken"}
    if len(formats) != 1 or not formats <= _TURNS.keys():
        return None
    for row, record in records:
        if row.shape != "broken":
            fields.update(dict.fromkeys(record))
    if _OTHERS & fields.keys() or len(fields) > _MOST_FIELDS:
        return None
    reader = TypedReader(formats.pop(), list(fields))
    declined = 0

    def general(_data: bytes, _file: str, _index: int, _line: int) -> Row:
        nonlocal declined
        declined += 1
        return records[0][0]

    pieces = [(1, json.dumps(record).encode()) for _, record in records if record is not None]
    reader.rows(pieces, "", 0, general)
    return reader if declined < len(pieces) / 2 else None


def _role(said: str) -> str:
    """The role of a speaker; raises Unreadable for one whose words are no text."""
    if said == "function_call":
        raise Unreadable("calls a function")
    return SHAREGPT_ROLES.get(said) or SHAREGPT_ROLES.get(said.lower(), said)
