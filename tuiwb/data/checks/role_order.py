"""Who speaks when: the order chat templates and trainers rely on."""

from array import array
from collections.abc import Iterator, Sequence

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.places import Places
from tuiwb.data.rows import Message, Row, Turns

KNOWN = frozenset(("system", "developer", "user", "assistant", "tool", "function", "ipython"))
SYSTEM = frozenset(("system", "developer"))
TOOLS = frozenset(("tool", "function", "ipython"))
ANSWERS = ("completion", "chosen", "rejected")
FEW = 3


class RoleOrder:
    """The first turn of each row that is out of order; a set of prompts alone is said once."""

    def __init__(self) -> None:
        # Held back while no row has an answer: then the set is one of prompts. Of each its place,
        # and the number of its sentence, of which there are few.
        self._held = Places()
        self._told = array("I")
        self._sentences: dict[str, int] = {}
        self._answers = False

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Look at the rows of a batch."""
        for row in rows:
            for finding in role_order(row):
                if finding.kind == "no_answer" and not self._answers and _no_answer(row):
                    self._held.add(row, finding.field)
                    known = self._sentences
                    self._told.append(known.setdefault(finding.sentence, len(known)))
                    break
                yield finding
            else:
                self._answers = self._answers or row.shape != "broken"

    def end(self) -> Iterator[Finding]:
        """Says once of a set of prompts that there is nothing to learn."""
        count = len(self._held)
        if not self._answers and count >= FEW:
            yield self._finding(
                0,
                f"no row has an answer ({count} like this one): a set of prompts, to ask "
                "models with and not to train on",
            )
            return
        sentences = list(self._sentences)
        for place, told in enumerate(self._told):
            yield self._finding(place, sentences[told])

    def _finding(self, place: int, sentence: str) -> Finding:
        return self._held.found(place, "role_order", sentence, severity="error", kind="no_answer")


def _no_answer(row: Row) -> bool:
    return all(message.role != "assistant" for message in row.messages or ())


def role_order(row: Row) -> Iterator[Finding]:
    """The first turn that is out of order: system first, user and assistant in turn, an answer
    last, tools only after a call."""
    if row.messages is not None:
        yield from _look(row, "messages", row.messages, len(row.messages), is_chat=True)
        return
    prompt = row.prompt if isinstance(row.prompt, list) else []
    if prompt:
        problem = _first_problem(prompt, ends_with_answer=False)
        if problem is not None:
            yield _finding(row, "prompt", min(problem[0], len(prompt) - 1), problem)
            return
    for part in ANSWERS:
        value: Turns | None = getattr(row, part)
        if isinstance(value, list) and value and (prompt or row.prompt is None):
            yield from _look(row, part, [*prompt, *value], len(value), is_chat=not prompt)


def _look(row: Row, part: str, turns: list[Message], own: int, is_chat: bool) -> Iterator[Finding]:
    """The first problem of turns whose last `own` stand in `part`."""
    problem = _first_problem(turns, ends_with_answer=True)
    if problem is None or (not is_chat and problem[0] < len(turns) - own):
        return
    yield _finding(row, part, min(problem[0], len(turns) - 1) - (len(turns) - own), problem)


def _finding(row: Row, part: str, index: int, problem: tuple[int, str, str]) -> Finding:
    _at, kind, why = problem
    field = f"{part}[{max(index, 0)}]"
    return found(
        row, "role_order", f"{field}: {why}", severity="error", field=field, kind=kind
    )  # fmt: skip


def _first_problem(messages: list[Message], ends_with_answer: bool) -> tuple[int, str, str] | None:
    """(where, kind, sentence) of the first turn that is out of order."""
    before = ""
    called = False
    for i, message in enumerate(messages):
        role = message.role
        if role == "user":
            if called:
                return i, "order", "the user speaks before the called tool answered"
            if before == "user":
                return i, "order", "two user turns in a row"
        elif role == "assistant":
            if before == "assistant" and not called:
                return i, "order", "two assistant turns in a row"
            if before == "" or before in SYSTEM:
                return i, "order", "the first turn is the assistant's, not the user's"
        elif role in SYSTEM:
            if before != "" and before not in SYSTEM:
                return i, "order", f"a {role} turn after the {before}'s"
        elif role in TOOLS:
            if not called and before not in TOOLS:
                why = f"a tool answers, but the {before or 'first'} turn before calls none"
                return i, "order", why
        else:
            return i, "role", f"'{quote(role)}' is no role a chat template knows"
        called = role == "assistant" and bool(message.tool_calls)
        before = role
    if ends_with_answer and before != "assistant":
        why = f"ends with the {before}'s turn: there is no answer to learn"
        return len(messages), "no_answer", why
    if not ends_with_answer and before == "assistant":
        return len(messages), "order", "the prompt ends with the assistant's own turn"
    return None
