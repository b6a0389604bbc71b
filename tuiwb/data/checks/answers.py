"""Which texts of a row are answers and which are questions."""

from tuiwb.data.rows import Row, Turns


def last_answer(
    row: Row, parts: tuple[str, ...] = ("messages", "completion", "chosen")
) -> tuple[str, str] | None:
    """(field, text) of the last spoken answer in the first of `parts` the row has.

    A pair's answer is the chosen one; an answer marked bad is none to learn, and gives None.
    """
    if row.shape == "kto" and not row.label:
        return None
    for part in parts:
        value: Turns | None = getattr(row, part)
        if isinstance(value, str):
            return part, value
        if value is not None:
            for i in range(len(value) - 1, -1, -1):
                if value[i].role == "assistant" and not value[i].tool_calls:
                    return f"{part}[{i}].content", value[i].content
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
                    return f"{part}[{i}].content", value[i].content
    return None
