"""Rows in another language than the dataset's, and questions answered in another one.

A sample spread over the file is looked at. Function words name the language of most texts; what
they leave open py3langid does (Lui and Baldwin, "langid.py", 2012), where it is sure: on short
texts, code and tables it guesses.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuiwb.data.checks.answers import last_answer, last_question
from tuiwb.data.checks.finding import Finding
from tuiwb.data.checks.places import Places
from tuiwb.data.checks.texts import gate
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

SAMPLED = 2000
READ = 500
# Letters below which a guess is worth little, and the probability it takes.
LETTERS = 60
SURE = 0.95
ONE_LANGUAGE = 0.9
ENOUGH = 20
# Of running English about two words in five are function words; three times as many as of any
# other language is more than neighbours share.
FUNCTION_WORDS = 0.25
CLEARLY = 3
_FENCED = re.compile(r"```.*?(?:```|$)|`[^`]*`", re.DOTALL)
# Words with these are code, links, mail addresses or numbers.
_ODD = frozenset("{}<>=_\\|@/0123456789")


class Language:
    """Samples questions and answers; names their languages at the end."""

    def __init__(self) -> None:
        self._every = 1
        self._rows = 0
        self._places = Places()
        self._sample: list[tuple[int, int, str, str]] = []
        self._languages: Counter[str] = Counter()
        self._sure = 0

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Keep every n-th row; n doubles when there are too many."""
        for row in rows:
            if self._rows % self._every == 0 and row.shape != "broken":
                self._keep(row)
            self._rows += 1
        return iter(())

    def _keep(self, row: Row) -> None:
        asked, said = last_question(row), last_answer(row)
        if row.text is not None:
            asked = ("text", row.text)
        question = self._places.add(row, asked[0] if asked else "")
        self._places.add(row, said[0] if said else "")
        texts = (asked[1][:READ] if asked else "", said[1][:READ] if said else "")
        if any(role != "assistant" and about_languages(text) for _, role, text in row.fields()):
            texts = ("", "")
        self._sample.append((self._rows, question, *texts))
        if len(self._sample) > SAMPLED:
            self._every *= 2
            self._sample = [kept for kept in self._sample if kept[0] % self._every == 0]

    def end(self) -> Iterator[Finding]:
        """Name the sample's languages; what differs from the most frequent, and from itself."""
        named: list[tuple[int, str | None, str | None]] = []
        for _, place, question, answer in self._sample:
            asked, said = language(question), language(answer)
            named.append((place, asked, said))
            self._languages.update(one for one in (asked, said) if one)
        self._sure = self._languages.total()
        if self._sure < ENOUGH:
            return
        usual, count = self._languages.most_common(1)[0]
        one_language = count >= ONE_LANGUAGE * self._sure
        for place, asked, said in named:
            if asked and said and not akin(asked, said):
                yield self._places.found(
                    place + 1, "language", f"asked in {asked}, answered in {said}", kind="mismatch"
                )
            elif one_language:
                for at, found in ((place, asked), (place + 1, said)):
                    if found and not akin(found, usual):
                        share = f"{100 * count / self._sure:.0f}%"
                        words = f"is in {found}; {share} of what was sampled is in {usual}"
                        field = self._places.field(at)
                        yield self._places.found(
                            at, "language", f"{field} {words}", kind="other_language", text=found
                        )
                        break

    def audit(self) -> dict[str, Any]:
        """How many rows were sampled, and the share of each language among the sure ones."""
        return {
            "sampled_rows": len(self._sample),
            "of_rows": self._rows,
            "passed_over": sum(not (asked or said) for _, _, asked, said in self._sample),
            "sure_texts": self._sure,
            "shares": {
                name: round(count / self._sure, 4) for name, count in self._languages.most_common(8)
            },
        }


def language(text: str) -> str | None:
    """The ISO 639 code of a text's language; None where it is too short or unsure."""
    start = text[:READ]
    prose = _FENCED.sub(" ", start) if "`" in start else start
    words = [word for word in prose.split() if _ODD.isdisjoint(word)]
    prose = " ".join(words)
    if sum(map(len, words)) < _least(prose):
        return None
    words = prose.lower().split()
    if (plain := by_function_words(words)) is not None:
        return plain
    name, probability = _classifier()(prose)
    return None if probability < SURE or name in _facts()["nothing"] else name


def by_function_words(words: list[str]) -> str | None:
    """The language a good part of whose function words the words are, if no other's are near."""
    lists = _function_words()
    shares = sorted(
        ((sum(map(known.__contains__, words)), name) for name, known in lists.items()), reverse=True
    )
    (most, name), (second, _) = shares[:2]
    return name if most >= FUNCTION_WORDS * len(words) and most >= CLEARLY * second else None


def _least(text: str) -> int:
    """A Chinese or Japanese character says about as much as three Latin letters."""
    return LETTERS if text.isascii() or text[:LETTERS].isascii() else LETTERS // 3


def about_languages(text: str) -> bool:
    """Whether a prompt speaks of languages: a translation, a grammar, a text to name."""
    return _about().search(text.encode("utf-8", "replace")) is not None


def akin(one: str, other: str) -> bool:
    """Whether two languages are the same or are taken for one another."""
    return one == other or any(one in group and other in group for group in _facts()["groups"])


@cache
def _facts() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "languages.toml").read_text("utf-8"))


@cache
def _about() -> "Regexp":
    return gate(_facts()["about"])


@cache
def _function_words() -> dict[str, frozenset[str]]:
    return {name: frozenset(words.split()) for name, words in _facts()["function_words"].items()}


@cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    loaded = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    classify: Callable[[str], tuple[str, float]] = loaded.classify
    return classify
