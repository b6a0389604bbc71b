"""Answers that break the form most keep: JSON that does not parse or drifts, and the like."""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from tuiwb.data.checks import answer_forms as forms
from tuiwb.data.checks.answers import last_answer
from tuiwb.data.checks.empty import blank
from tuiwb.data.checks.finding import Finding, quote
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
            self._forms.append(forms.NUMBER_OF[form.name])
            self._rejected.append(_rejected(row) if row.shape == "preference" else NOT_A_PAIR)
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
        number = forms.NUMBER_OF[usual]
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
    said = last_answer(row, ("rejected",))
    return NOT_A_PAIR if said is None else forms.NUMBER_OF[forms.form_of(said[1]).name]
