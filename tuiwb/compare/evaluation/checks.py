"""What can be checked of one answer without a judge: right, sound, invented. Pure."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import re2

from tuiwb.compare.metrics.task import normalise, normalised_match, parse_json, same_value
from tuiwb.prepared import prepared

MOST_REGEX = 1000
# A unit said so often in a row at an answer's end, over so many characters, is no text any more.
REPEATS, REPEATED = 4, 40
LONGEST_UNIT = 160
# A field of the references is copied from the prompt when so large a share of its values stands in
# it, over at least so many values.
COPIED, COPIED_FEW = 0.9, 5


class Expect(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a machine can check of an answer: the column `expect` of a row, as an object.

    `regex` must be found (RE2's syntax), all of `contains` and none of `absent` stand in the answer
    (normalised), `json` says that it is or is no JSON, `fields` of a JSON answer have these values.
    """

    regex: str | None = None
    contains: list[str] = []
    absent: list[str] = []
    json: bool | None = None
    fields: dict[str, Any] = {}


def read_expect(value: Any) -> Expect | None:
    """A row's `expect` as checks; None for none, or for words that only eyes or a judge can check.

    ValueError, worded to follow file:line, for an object that isn't one.
    """
    if not isinstance(value, dict):
        return None
    try:
        found = msgspec.convert(value, prepared(Expect))
    except msgspec.ValidationError as error:
        raise ValueError(f"has an expect that can't be checked: {error}") from None
    if found.regex is not None:
        try:
            if len(found.regex) > MOST_REGEX:
                raise ValueError(f"has a regex of more than {MOST_REGEX} characters")
            re2.compile(found.regex)
        except re2.error as error:
            raise ValueError(f"has a regex that RE2 does not take: {error}") from None
    return found


def broken(answer: str, expect: Expect) -> list[str]:
    """What of `expect` the answer doesn't hold, in words; [] when it holds all."""
    found = []
    if expect.regex is not None and not re2.search(expect.regex, answer):
        found.append(f"does not match {expect.regex!r}")
    said = f" {normalise(answer)} "
    found += [f"lacks {t!r}" for t in expect.contains if f" {normalise(t)} " not in said]
    found += [f"says {t!r}" for t in expect.absent if f" {normalise(t)} " in said]
    value = parse_json(answer)
    if expect.json is not None and (value is not None) != expect.json:
        found.append("is no JSON" if expect.json else "is JSON")
    if expect.fields:
        given = value if isinstance(value, dict) else {}
        for name, wanted in expect.fields.items():
            if name not in given or not _same(given[name], wanted):
                found.append(f"{name} is not {json.dumps(wanted, ensure_ascii=False)}")
    return found


def right(answer: str, reference: str | None, expect: Expect | None) -> bool | None:
    """Whether a canary answer passes: what is expected where that is given, else the reference
    once both are normalised; None where there is neither."""
    if expect is not None:
        return not broken(answer, expect)
    if reference is None:
        return None
    return bool(normalised_match(answer, reference))


def unsound(answer: str, *, ended: bool, expect: Expect | None = None) -> list[str]:
    """What is wrong with an answer that has no reference, in words; [] for a sound one."""
    found = []
    if not answer.strip():
        found.append("empty")
    if not ended:
        found.append("did not end")
    if repeats_itself(answer):
        found.append("repeats itself without end")
    return [*found, *(broken(answer, expect) if expect is not None else [])]


def repeats_itself(text: str) -> bool:
    """Whether the text ends in one unit said over and over."""
    text = text.rstrip()
    if len(text) < REPEATED or not text[-REPEATED:].strip():
        return False
    for length in range(1, min(LONGEST_UNIT, len(text) // REPEATS) + 1):
        times = max(REPEATS, -(-REPEATED // length))
        tail = text[-length * times :]
        if len(tail) == length * times and tail == tail[:length] * times:
            return True
    return False


def copied_fields(pairs: Iterable[tuple[str, str | None]]) -> frozenset[str]:
    """Fields of JSON references whose values stand in their prompts; from (prompt, reference).

    What a fine-tune writes into them for another prompt must stand in that one, or is invented.
    """
    seen: dict[str, list[bool]] = {}
    for prompt, reference in pairs:
        value = parse_json(reference) if reference is not None else None
        if isinstance(value, dict):
            for name, text in value.items():
                if isinstance(text, str) and text:
                    seen.setdefault(name, []).append(_stands_in(text, prompt))
    return frozenset(
        name
        for name, found in seen.items()
        if len(found) >= COPIED_FEW and sum(found) >= COPIED * len(found)
    )


def invented(answer: str, prompt: str, copied: Iterable[str]) -> list[str]:
    """Which of the copied fields of a JSON answer hold what the prompt doesn't say."""
    value = parse_json(answer)
    if not isinstance(value, Mapping):
        return []
    return [
        name
        for name in sorted(copied)
        if isinstance(text := value.get(name), str) and text and not _stands_in(text, prompt)
    ]


def _stands_in(text: str, prompt: str) -> bool:
    return _plain(text) in _plain(prompt)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def _same(given: Any, wanted: Any) -> bool:
    if isinstance(given, str) and isinstance(wanted, str):
        return _plain(given) == _plain(wanted)
    return same_value(given, wanted)
