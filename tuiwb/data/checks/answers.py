"""Which texts of a row are answers and which are questions."""

from tuiwb.data.rows import Row, Turns

_FIELDS = [f"messages[{i}].content" for i in range(64)]


def content_field(part: str, index: int) -> str:
    """The field of a turn's text: 'messages[1].content'."""
    if part == "messages" and index < len(_FIELDS):
        return _FIELDS[index]
    return f"{part}[{index}].content"


def last_answer(
    row: Row, parts: tuple[str, ...] = ("messages", "completion", "chosen")
) -> tuple[str, str] | None:
    """(field, text) of the last spoken answer in the first of `parts` the row has.

    A pair's answer is the chosen one; an answer marked bad is none to learn, and gives None.
    """
    if row.shape == "chat":
        parts = ("messages",)
    elif row.shape == "kto" and not row.label:
        return None
    for part in parts:
        value: Turns | None = getattr(row, part)
        if isinstance(value, str):
            return part, value
        if value is not None:
            for i in range(len(value) - 1, -1, -1):
                if value[i].role == "assistant" and not value[i].tool_calls:
                    return content_field(part, i), value[i].content
    return None


def last_question(row: Row) -> tuple[str, str] | None:
    """(field, text) of the last user turn, a bare prompt among them."""
    for part in ("messages", "prompt"):
        value: Turns | None = getattr(row, part)
        if isinstance(value, str):
            return part, value
        if value is not None:
            for i in range(len(value) - 1, -1, -1):
                if value[i].role == "user":
                    return content_field(part, i), value[i].content
    return None
