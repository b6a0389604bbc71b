"""Answers that break the form most keep: JSON that does not parse or drifts, and the like."""

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tuiwb.data.checks import answer_forms as forms
from tuiwb.data.checks.answers import last_answer
from tuiwb.data.checks.empty import blank
from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.json_drift import JsonDrift
from tuiwb.data.checks.places import Places
from tuiwb.data.checks.texts import texts_of
from tuiwb.data.rows import Row

MOST = 0.8
ENOUGH = 10


KEPT = 2000
NOT_A_PAIR = -1


class Format:
    """Looks at every last answer; says at the end which break the form most of them keep."""

    def __init__(self) -> None:
        self._places = Places()
        self._forms = array("b")
        # The form of the answer a pair rejects.
        self._rejected = array("b")
        self._counts: Counter[str] = Counter()
        self._shown: dict[int, tuple[str, str]] = {}
        self._drift = JsonDrift()

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Look at the answers of a batch (a pair's chosen one; a thumb's if it is good)."""
        said = [
            (row, *answer)
            for row, _, answer in texts_of(rows).said
            if answer is not None and not blank(answer[1])
        ]
        first = len(self._places)
        self._places.extend([row for row, _, _ in said], [field for _, field, _ in said])
        for place, (row, _, text) in enumerate(said, first):
            form = forms.form_of(text)
            self._forms.append(forms.FORMS.index(form.name))
            self._rejected.append(_rejected(row))
            self._counts[form.name] += 1
            usual = self._counts[form.name] * 2 > len(self._forms)
            if form.name == forms.OBJECT:
                usual &= self._drift.add(form.value, place)
            if not usual and len(self._shown) < KEPT:
                self._shown[place] = (form.problem, quote(text))
        return iter(())

    def end(self) -> Iterator[Finding]:
        """The answers in another form than four in five, and objects unlike the others."""
        if not self._counts:
            return
        usual, count = self._counts.most_common(1)[0]
        if usual == forms.PROSE or count < max(ENOUGH, MOST * len(self._forms)):
            return
        number = forms.FORMS.index(usual)
        for place, form in enumerate(self._forms):
            if form != number:
                yield self._other_form(place, form, number, count)
        if usual == forms.OBJECT:
            for place, kind, sentence in self._drift.drifts():
                yield self._found(place, kind, sentence)

    def _other_form(self, place: int, form: int, usual: int, count: int) -> Finding:
        problem, _ = self._shown.get(place, ("", ""))
        name, wanted = forms.FORMS[form], forms.FORMS[usual]
        if wanted == forms.OBJECT and name in (forms.BROKEN, forms.PROSE):
            sentence = f"the answer is not JSON, as most are: {problem or 'it is prose'}"
        else:
            why = f": {problem}" if problem else ""
            sentence = f"the answer is {name}{why}; {count} of {len(self._forms)} are {wanted}"
        if self._rejected[place] == usual:
            sentence += "; the answer it is preferred to keeps the form"
        return self._found(place, "form", sentence)

    def _found(self, place: int, kind: str, sentence: str) -> Finding:
        _, shown = self._shown.get(place, ("", ""))
        return self._places.found(
            place, "format", sentence, severity="error", kind=kind, text=shown
        )  # fmt: skip

    @property
    def json_answers(self) -> int:
        """How many answers are JSON objects."""
        return self._counts[forms.OBJECT]

    def audit(self) -> dict[str, Any]:
        """How many answers have which form; the share of pairs whose two answers differ in it."""
        audit: dict[str, Any] = {"forms": dict(self._counts.most_common())}
        pairs = [
            (chosen, rejected)
            for chosen, rejected in zip(self._forms, self._rejected, strict=True)
            if rejected != NOT_A_PAIR
        ]
        if pairs:
            differ = sum(chosen != rejected for chosen, rejected in pairs)
            audit["pairs_of_two_forms_share"] = round(differ / len(pairs), 4)
        return audit


def _rejected(row: Row) -> int:
    if row.shape != "preference":
        return NOT_A_PAIR
    said = last_answer(row, ("rejected",))
    return NOT_A_PAIR if said is None else forms.FORMS.index(forms.form_of(said[1]).name)


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
