"""The form of the rows to generate, taken from the seeds: their shape, a system prompt they share.

In: typed rows. Out: what a model is shown of a row, the JSON schema of what it writes, and its
writing as a record of the same form. Pure.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from tuiwb.data.rows import Message, Row, Turns
from tuiwb.errors import BadInput

# A longer seed would fill the request by itself.
LONGEST_SEED = 24_000
ROLES = ("system", "user", "assistant")
ANSWERS = {
    "prompt_completion": ("completion",),
    "kto": ("completion",),
    "preference": ("chosen", "rejected"),
}
WORDS = {
    "chat": 'a row is {"messages": [{"role": "user" or "assistant" (or "system", first, where the '
    'examples have it), "content"}, ...]} and ends with the assistant\'s answer',
    "text": 'a row is {"text"}',
    "prompt_completion": 'a row is {"prompt", "completion"}',
    "preference": 'a row is {"prompt", "chosen", "rejected"}: chosen is a good answer to the '
    "prompt, rejected a plausible one that is worse in the way the examples show",
    "kto": 'a row is {"prompt", "completion", "label"}: label is true for a good answer and false '
    "for a bad one, about as often as in the examples",
}
_TURN = {
    "type": "object",
    "properties": {
        "role": {"type": "string", "enum": list(ROLES)},
        "content": {"type": "string"},
    },
    "required": ["role", "content"],
    "additionalProperties": False,
}
_TURNS = {"type": "array", "items": _TURN}
_TEXT = {"type": "string"}


class Form(msgspec.Struct, kw_only=True, frozen=True):
    """`shape` as in Row; `turns`: the prompt is a list of messages; `turned`: so are the answers.

    `system` is the system prompt that every seed opens with: it is put back, never generated.
    """

    shape: str
    turns: bool = False
    turned: bool = False
    system: str | None = None

    @property
    def words(self) -> str:
        """What a row is, for the model."""
        return WORDS[self.shape]

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON schema of one row as the model writes it."""
        fields: dict[str, Any]
        if self.shape == "chat":
            fields = {"messages": _TURNS}
        elif self.shape == "text":
            fields = {"text": _TEXT}
        else:
            fields = {"prompt": _TURNS if self.turns else _TEXT}
            fields |= dict.fromkeys(ANSWERS[self.shape], _TEXT)
            if self.shape == "kto":
                fields["label"] = {"type": "boolean"}
        return {
            "type": "object",
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }


def usable(row: Row) -> bool:
    """Whether a row can be a seed: whole, without tool calls, answers of one turn, not too long."""
    if row.shape == "broken" or row.tools:
        return False
    if any(m.tool_calls or m.role not in ROLES for _, m in row.conversation() if m.role != "text"):
        return False
    answers = ANSWERS.get(row.shape, ())
    if any(isinstance(a := getattr(row, name), list) and len(a) != 1 for name in answers):
        return False
    if answers and not row.prompt:
        return False
    return sum(len(text) for _, _, text in row.fields()) <= LONGEST_SEED


def form_of(rows: Iterable[Row], file: str) -> tuple[Form, list[int], int]:
    """The form the usable seeds share, their row numbers, and how many rows are left out.

    BadInput when no row can be a seed, or when they are of several shapes.
    """
    kinds: Counter[tuple[str, bool, bool]] = Counter()
    openings: set[str | None] = set()
    numbers, left_out = [], 0
    for row in rows:
        if not usable(row):
            left_out += 1
            continue
        numbers.append(row.index)
        answers = ANSWERS.get(row.shape, ())
        turned = any(isinstance(getattr(row, name), list) for name in answers)
        kinds[row.shape, isinstance(row.prompt, list), turned] += 1
        openings.add(_opening(row))
    if not kinds:
        raise BadInput(
            f"{file} has no row to learn the form from: seeds need whole rows without tool calls, "
            f"up to {LONGEST_SEED:,} characters"
        )
    if len(kinds) > 1:
        shapes = " and ".join(sorted({shape for shape, _, _ in kinds}))
        raise BadInput(f"{file} mixes rows of several forms ({shapes}): give seeds of one form")
    ((shape, turns, turned),) = kinds
    system = openings.pop() if len(openings) == 1 else None
    return Form(shape=shape, turns=turns, turned=turned, system=system), numbers, left_out


def shown(row: Row, form: Form) -> dict[str, Any]:
    """A seed as the model is shown it: the form it writes in, a shared system prompt left out."""
    if form.shape == "text":
        return {"text": row.text}
    if form.shape == "chat":
        return {"messages": _plain(row.messages, form)}
    said: dict[str, Any] = {"prompt": _plain(row.prompt, form)}
    for name in ANSWERS[form.shape]:
        said[name] = _answer(getattr(row, name))
    if form.shape == "kto":
        said["label"] = row.label
    return said


def record_of_answer(value: Any, form: Form) -> dict[str, Any]:
    """A generated row as a record of the seeds' own form; ValueError says what it lacks."""
    if not isinstance(value, dict):
        raise ValueError(f"a row is {type(value).__name__}, not an object")
    wanted = form.schema["properties"]
    if missing := [name for name in wanted if name not in value]:
        raise ValueError(f"a row lacks {', '.join(missing)}")
    if extra := [name for name in value if name not in wanted]:
        raise ValueError(f"a row has {', '.join(map(repr, extra[:3]))}, which is not asked for")
    record: dict[str, Any] = {}
    for name, schema in wanted.items():
        record[name] = _checked(name, value[name], schema)
    if form.system is not None:
        part = "messages" if form.shape == "chat" else "prompt"
        if any(turn["role"] == "system" for turn in record[part]):
            raise ValueError("a row brings a system prompt of its own")
        record[part] = [{"role": "system", "content": form.system}, *record[part]]
    if form.turned:
        for name in ANSWERS[form.shape]:
            record[name] = [{"role": "assistant", "content": record[name]}]
    return record


def _checked(name: str, value: Any, schema: dict[str, Any]) -> Any:
    if schema is _TEXT:
        if not isinstance(value, str):
            raise ValueError(f"{name} is {type(value).__name__}, not text")
        return value
    if schema is not _TURNS:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is {type(value).__name__}, not true or false")
        return value
    if not isinstance(value, list) or not value:
        raise ValueError(f"{name} is no list of turns")
    for turn in value:
        if not isinstance(turn, dict) or set(turn) != {"role", "content"}:
            raise ValueError(f"a turn of {name} is not a role and a content")
        if turn["role"] not in ROLES or not isinstance(turn["content"], str):
            raise ValueError(f"a turn of {name} has a wrong role or no text")
    return value


def _opening(row: Row) -> str | None:
    turns = row.messages if row.shape == "chat" else row.prompt
    if not isinstance(turns, list) or not turns or turns[0].role != "system":
        return None
    return turns[0].content


def _plain(turns: Turns | None, form: Form) -> Any:
    if not isinstance(turns, list):
        return turns
    rest = turns[1:] if form.system is not None else turns
    return [{"role": turn.role, "content": turn.content} for turn in rest]


def _answer(answer: str | list[Message] | None) -> str:
    return answer[0].content if isinstance(answer, list) else (answer or "")
