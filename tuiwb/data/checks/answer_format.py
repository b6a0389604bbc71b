"""Answers meant to be JSON that are not, or whose keys drift."""

import json
from collections import Counter
from collections.abc import Iterator

from tuiwb.data.checks.empty import blank
from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.rows import Row

MOST = 0.8
ENOUGH = 10


class AnswerFormat:
    """Looks at every last answer; says at the end which break the form most of them keep."""

    def __init__(self) -> None:
        self._keys: Counter[tuple[str, ...]] = Counter()
        self._odd: list[tuple[tuple[str, ...] | None, Finding]] = []
        self.answers = 0

    def add(self, row: Row) -> None:
        """Look at one row's answer (a pair's chosen one; a thumb's if it is good)."""
        answer = _answer(row)
        if answer is None or blank(answer[1]):
            return
        field, text = answer
        self.answers += 1
        keys, problem = _read(text)
        if keys is not None:
            self._keys[keys] += 1
            if keys == self._keys.most_common(1)[0][0]:
                return
        finding = found(row, "format", problem, severity="error", field=field, text=quote(text))
        self._odd.append((keys, finding))

    @property
    def json_answers(self) -> int:
        """How many answers are JSON objects."""
        return sum(self._keys.values())

    def findings(self) -> Iterator[Finding]:
        """The answers that break the form, when at least four in five keep one."""
        if self.json_answers < max(ENOUGH, MOST * self.answers):
            return
        usual, count = self._keys.most_common(1)[0]
        for keys, finding in self._odd:
            if keys is None:
                yield finding
            elif keys != usual and count >= MOST * self.json_answers:
                lacks = [key for key in usual if key not in keys]
                adds = [key for key in keys if key not in usual]
                words = [f"lacks {', '.join(lacks)}"] if lacks else []
                words += [f"adds {', '.join(adds)}"] if adds else []
                finding.sentence = (
                    f"the answer's keys drift: it {' and '.join(words)} "
                    f"({count} of {self.json_answers} answers have {', '.join(usual)})"
                )
                finding.kind = "keys"
                yield finding


def _answer(row: Row) -> tuple[str, str] | None:
    if row.shape == "kto" and not row.label:
        return None
    for part in ("messages", "completion", "chosen"):
        value = getattr(row, part)
        if isinstance(value, str):
            return part, value
        for i in range(len(value or []) - 1, -1, -1):
            if value[i].role == "assistant" and not value[i].tool_calls:
                return f"{part}[{i}].content", value[i].content
    return None


def _read(text: str) -> tuple[tuple[str, ...] | None, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, f"the answer is not JSON, as most are: {error}"
    if not isinstance(value, dict):
        return None, "the answer is JSON but not an object, as most are"
    return tuple(sorted(value)), ""
