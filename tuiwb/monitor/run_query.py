"""What runs a person wants to see: a small filter language over `RunSummary`, and an order. Pure.

    qwen                       text in name, note, tags, method, base or dataset, any case
    state:failed  kind:train   also is:live, is:ended, is:paused, is:archived, is:alerted
    tag:good  method:dpo       a tag; a training method
    base~qwen  dataset=x       part of a field, or the whole of it (name, base, dataset, note, ...)
    loss<1.5  best>=2  step=0  numbers: loss, eval_loss, best, step, speed, cost, alerts, gpus
    memory>20G  took<2h  age<3d    bytes (k, M, G, T) and durations (s, m, h, d)
    -state:failed              a leading minus turns a word round

Words are joined by and; text with blanks goes into quotes. What isn't known (or is NaN) is
smaller, larger and equal to nothing; `loss=nan` finds what is NaN.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from tuiwb.errors import BadInput
from tuiwb.jobs.state import STATES, word_of
from tuiwb.monitor.runs import RunSummary

Number = Callable[[RunSummary, float], float | None]
Test = Callable[[RunSummary, float], bool]

NUMBERS: dict[str, Number] = {
    "loss": lambda run, now: run.loss,
    "eval_loss": lambda run, now: run.eval_loss,
    "best": lambda run, now: run.best_loss,
    "step": lambda run, now: run.step,
    "steps": lambda run, now: run.total_steps,
    "progress": lambda run, now: None if run.share is None else 100 * run.share,
    "speed": lambda run, now: run.tokens_per_second,
    "memory": lambda run, now: run.peak_memory,
    "cost": lambda run, now: run.cost,
    "gpus": lambda run, now: run.gpus,
    "alerts": lambda run, now: run.alerts,
    "took": lambda run, now: run.took,
    "active": lambda run, now: run.active,
    "eta": lambda run, now: run.eta,
    "age": lambda run, now: now - run.created,
}
TEXTS: dict[str, Callable[[RunSummary], str]] = {
    "name": lambda run: run.name,
    "kind": lambda run: run.kind,
    "state": lambda run: run.word,
    "phase": lambda run: run.phase,
    "method": lambda run: run.method,
    "base": lambda run: run.base,
    "dataset": lambda run: run.dataset,
    "version": lambda run: run.dataset_version,
    "note": lambda run: run.note,
    "message": lambda run: run.message,
}
FLAGS: dict[str, Callable[[RunSummary], bool]] = {
    "live": lambda run: run.running,
    "ended": lambda run: not run.running,
    "paused": lambda run: run.paused,
    "archived": lambda run: run.archived,
    "alerted": lambda run: run.alerts > 0,
}
SORTS = (*NUMBERS, "created", "name", "kind", "state", "method", "base", "dataset", "version")
NEAR = 0.7  # how alike a word and a column's name must be for the one to be offered
NAMED = ("is", "tag", "state", "kind", "method")  # what stands before a colon
_STATES = sorted(map(word_of, STATES))
_SEARCHED = ("name", "note", "method", "base", "dataset", "version")
_COMPARED = re.compile(r"(\w+)(<=|>=|<|>|=)(.*)$", re.DOTALL)
_WORD = re.compile(r'-?[\w.-]*[~=:]?"[^"]*"|\S+')
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([A-Za-z%]*)$", re.IGNORECASE)
_BYTES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATIONS = frozenset({"took", "active", "eta", "age"})


class Query(NamedTuple):
    """A parsed filter; `archived`: it asks about archived runs, so they are not left out."""

    text: str
    tests: tuple[Test, ...]
    archived: bool = False

    def matches(self, run: RunSummary, now: float) -> bool:
        """Whether a run passes every word."""
        return all(test(run, now) for test in self.tests)


def parse(text: str) -> Query:
    """A filter as typed; BadInput says which word is wrong and what it may be."""
    tests: list[Test] = []
    archived = False
    for found in _WORD.finditer(text):
        word = found[0]
        if word.count('"') % 2:
            raise BadInput(f"{word} opens a quote that is never closed")
        negated = len(word) > 1 and word[0] == "-"
        word = word[negated:]
        quoted = len(word) > 2 and word[0] == word[-1] == '"'
        word = word.replace('"', "")
        if not word or word == "-":
            continue
        test = _contains(word) if quoted else _test(word)
        archived = archived or (not quoted and word.lower() == "is:archived")
        tests.append(_not(test) if negated else test)
    return Query(text, tuple(tests), archived)


def select(
    runs: Iterable[RunSummary],
    query: str = "",
    order: str = "",
    *,
    archived: bool = False,
    now: float | None = None,
) -> list[RunSummary]:
    """The runs that `query` lets through, ordered; archived ones only where asked for.

    `order` is a name of SORTS, a leading minus turns it round; without one the order stays. What
    isn't known comes last either way. BadInput for a filter or an order that means nothing.
    """
    parsed = parse(query)
    now = time.time() if now is None else now
    kept = [
        run
        for run in runs
        if (archived or parsed.archived or not run.archived) and parsed.matches(run, now)
    ]
    return sort(kept, order, now) if order else kept


def sort(runs: Sequence[RunSummary], order: str, now: float) -> list[RunSummary]:
    """Runs by a column: `-loss` from the highest down; unknown and NaN last either way."""
    down = order.startswith("-")
    name = order.removeprefix("-").lower()
    if name not in SORTS:
        near = get_close_matches(name, SORTS, 1, NEAR)
        hint = f"did you mean {near[0]!r}? There are" if near else "one of"
        raise BadInput(f"runs can't be sorted by {name!r}: {hint} {', '.join(SORTS)}")
    if name in TEXTS:
        text = TEXTS[name]
        known = sorted((r for r in runs if text(r)), key=lambda r: text(r).casefold(), reverse=down)
        return [*known, *(r for r in runs if not text(r))]
    number = NUMBERS.get(name)
    valued = [(number(run, now) if number else run.created, run) for run in runs]
    good = [(v, r) for v, r in valued if v is not None and not math.isnan(v)]
    good.sort(key=lambda pair: pair[0], reverse=down)
    bad = [r for v, r in valued if v is None or math.isnan(v)]
    return [*(r for _v, r in good), *bad]


def _test(word: str) -> Test:
    key, colon, value = word.partition(":")
    key = key.lower()
    if colon and key in NAMED:
        return _named(key, value)
    if colon and key.isidentifier():
        raise BadInput(_no_filter(word, key, value))
    field, tilde, part = word.partition("~")
    if tilde and field.lower() in (*TEXTS, "tag"):
        return _part(field.lower(), part.casefold())
    compared = _COMPARED.match(word)
    if compared is None:
        return _contains(word)
    name, sign, wanted = compared[1].lower(), compared[2], compared[3]
    if name in NUMBERS:
        return _number(name, sign, wanted, word)
    if sign == "=" and name == "state":
        return _named(name, wanted)
    if sign == "=" and name in TEXTS:
        return lambda run, now: TEXTS[name](run).casefold() == wanted.casefold()
    if near := get_close_matches(name, (*NUMBERS, *TEXTS), 1):
        raise BadInput(f"runs have no {name!r} to compare: did you mean {near[0]!r}?")
    raise BadInput(f"runs have no {name!r} to compare: one of {', '.join((*NUMBERS, *TEXTS))}")


def _no_filter(word: str, key: str, value: str) -> str:
    """What to write instead of a word with a colon that names no filter."""
    if key in TEXTS:
        return f"{key}: is no filter: write {key}~{value} for a part of it, {key}={value} for all"
    if key in NUMBERS:
        return f"{key}: is no filter: write {key}<{value or 1} or {key}>{value or 1}"
    near = get_close_matches(key, NAMED, 1)
    hint = f"did you mean {near[0]}:{value}?" if near else f"there are {', '.join(NAMED)}"
    return f'runs have no filter {key}: ({hint}); to find the text itself write "{word}"'


def _named(key: str, value: str) -> Test:
    wanted = value.lower()
    if key == "is":
        if wanted not in FLAGS:
            raise BadInput(f"is:{value} is no filter: is: takes {', '.join(FLAGS)}")
        return lambda run, now: FLAGS[wanted](run)
    if key == "tag":
        return lambda run, now: any(
            tag.casefold() == wanted or (wanted == "any" and bool(run.tags)) for tag in run.tags
        )
    if key == "state":
        # The event log's own word for one is understood too.
        wanted = word_of(wanted)
        if wanted not in _STATES:
            near = get_close_matches(wanted, _STATES, 1)
            hint = f"did you mean state:{near[0]}?" if near else f"one of {', '.join(_STATES)}"
            raise BadInput(f"there is no state {value!r}: {hint}")
        return lambda run, now: run.word == wanted
    return lambda run, now: TEXTS[key](run).casefold() == wanted


def _part(field: str, part: str) -> Test:
    if field == "tag":
        return lambda run, now: any(part in tag.casefold() for tag in run.tags)
    return lambda run, now: part in TEXTS[field](run).casefold()


def _contains(word: str) -> Test:
    needle = word.casefold()

    def found(run: RunSummary, now: float) -> bool:
        texts = (*(TEXTS[name](run) for name in _SEARCHED), *run.tags)
        return any(needle in text.casefold() for text in texts)

    return found


def _number(name: str, sign: str, text: str, word: str) -> Test:
    wanted = _quantity(name, text)
    if wanted is None:
        unit = {"memory": "20G"}.get(name, "2h" if name in _DURATIONS else "1.5")
        raise BadInput(f"{word} compares no number: write {name}{sign}{unit}, for example")
    if math.isnan(wanted):
        return lambda run, now: math.isnan(NUMBERS[name](run, now) or 0.0)
    compare: dict[str, Callable[[float], bool]] = {
        "<": lambda n: n < wanted,
        "<=": lambda n: n <= wanted,
        ">": lambda n: n > wanted,
        ">=": lambda n: n >= wanted,
        "=": lambda n: n == wanted,
    }
    right = compare[sign]

    def holds(run: RunSummary, now: float) -> bool:
        value = NUMBERS[name](run, now)
        return value is not None and right(value)

    return holds


def _quantity(name: str, text: str) -> float | None:
    """A number with the unit its column may have; NaN for `nan`, None for no number."""
    if text.lower() in ("nan", "inf", "-inf"):
        return float(text)
    found = _QUANTITY.match(text)
    if found is None:
        return None
    unit = found[2].lower().removesuffix("ib") if name == "memory" else found[2].lower()
    units = _BYTES if name == "memory" else _SECONDS if name in _DURATIONS else {"": 1, "%": 1}
    return float(found[1]) * units[unit] if unit in units else None


def _not(test: Test) -> Test:
    return lambda run, now: not test(run, now)
