"""Chats of about 200 words with known truth: near and exact copies, boilerplate, leaked prompts.

Words follow a Zipf-Mandelbrot law over an invented vocabulary, with topics, so that unrelated
chats share their common words as real ones do. Everything streams: a million rows need no more
memory than ten thousand.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuiwb.data.rows import Message, Row

VOCABULARY, TOPICS, TOPIC_WORDS = 40_000, 60, 400
BLOCK, POOL, DRAWN = 2_000, 20_000, 400_000
NEAR, EXACT, FAMILY = 0.10, 0.02, 0.05
FAMILIES, FAMILY_LIFE = 20, 60
SEPARATORS = (" ", "  ", "\n")

Ids = NDArray[np.int64]
Turns = list[Ids]


class Truth(NamedTuple):
    """What a row is: "own", "family", "near" or "exact"; copies have the `root` of their source."""

    kind: str
    root: int


class Chats:
    """A stream of chats; the same for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self.random = np.random.default_rng(seed)
        self.words = _vocabulary(np.random.default_rng(1))
        rank = np.arange(VOCABULARY, dtype=np.float64)
        self._law = np.cumsum(1 / (rank + 2.7))
        self._law /= self._law[-1]
        self._refill(DRAWN)
        self._pool: list[tuple[Turns, int]] = []
        self._families: list[tuple[Ids, Ids, int]] = []

    def blocks(self, documents: int) -> Iterator[tuple[list[Row], list[Truth]]]:
        """Rows in blocks of BLOCK with what each is."""
        for start in range(0, documents, BLOCK):
            rows, truths = [], []
            for i in range(start, min(start + BLOCK, documents)):
                turns, truth, spaced = self._chat(i)
                rows.append(self._row(i, turns, spaced))
                truths.append(truth)
            yield rows, truths

    def draw(self, size: int, topic: int) -> Ids:
        """Word ids of a text on a topic, some with the full stop that ends a sentence."""
        if self._at + size > len(self._drawn):
            self._refill(size)
        part = slice(self._at, self._at + size)
        self._at += size
        own = 500 + topic * TOPIC_WORDS + self._drawn_own[part]
        return np.where(self._is_own[part], own, self._drawn[part]) + self._stops[part]

    def _refill(self, size: int) -> None:
        random, size = self.random, max(size, DRAWN)
        self._drawn = np.minimum(np.searchsorted(self._law, random.random(size)), VOCABULARY - 1)
        self._drawn_own = random.integers(0, TOPIC_WORDS, size)
        self._is_own = random.random(size) < 0.25
        self._stops = VOCABULARY * (random.random(size) < 0.08)
        self._at = 0

    def edited(self, turns: Turns, share: float) -> Turns:
        """`share` of the words replaced (half of them), dropped, added or swapped with the next."""
        random = self.random
        sizes = [len(turn) for turn in turns]
        edits = max(1, round(share * sum(sizes)))
        places = np.sort(random.choice(sum(sizes), min(edits, sum(sizes)), replace=False))
        fresh = self.draw(len(places), int(random.integers(TOPICS)))
        new, first = [], 0
        for turn, size in zip(turns, sizes, strict=True):
            words = turn.tolist()
            inside = (places >= first) & (places < first + size)
            for place, word in zip(places[inside][::-1] - first, fresh[inside], strict=True):
                how = random.random()
                if how < 0.5 or len(words) < 3:
                    words[place] = int(word)
                elif how < 0.7:
                    del words[place]
                elif how < 0.9:
                    words.insert(place, int(word))
                else:
                    words[place : place + 2] = words[place : place + 2][::-1]
            new.append(np.array(words, np.int64))
            first += size
        return new

    def text(self, ids: Ids, spaced: bool = False) -> str:
        """The words as text; `spaced` varies case and white space."""
        words = [self.words[i] for i in ids.tolist()]
        if not spaced:
            return " ".join(words).capitalize()
        separator = SEPARATORS[int(self.random.integers(len(SEPARATORS)))]
        return separator.join(words).upper() + separator

    def _row(self, index: int, turns: Turns, spaced: bool) -> Row:
        messages = [
            Message("user" if i % 2 == 0 else "assistant", self.text(turn, spaced))
            for i, turn in enumerate(turns)
        ]
        return Row(file="chats.jsonl", index=index, line=index + 1, format="messages",
                   shape="chat", messages=messages)  # fmt: skip

    def _chat(self, index: int) -> tuple[Turns, Truth, bool]:
        random = self.random
        kind = random.random()
        if kind < NEAR + EXACT and self._pool:
            turns, root = self._pool[int(random.integers(len(self._pool)))]
            if kind < NEAR:
                return self.edited(turns, random.uniform(0.01, 0.15)), Truth("near", root), False
            return turns, Truth("exact", root), bool(random.random() < 0.5)
        topic = int(random.integers(TOPICS))
        if kind < NEAR + EXACT + FAMILY:
            opening, closing, own = self._family()
            body = self.draw(own, topic)
            cut = own // 2
            turns = [np.concatenate((opening, body[:cut])), np.concatenate((body[cut:], closing))]
            return turns, Truth("family", index), False
        size = min(500, max(40, int(random.normal(200, 55))))
        ids = self.draw(size, topic)
        count = 2 if random.random() < 0.7 else 4
        cuts = [0, *sorted(random.integers(8, size - 8, count - 1).tolist()), size]
        turns = [ids[a:b] for a, b in pairwise(cuts) if a < b]
        if len(self._pool) < POOL:
            self._pool.append((turns, index))
        else:
            self._pool[int(random.integers(POOL))] = (turns, index)
        return turns, Truth("own", index), False

    def _family(self) -> tuple[Ids, Ids, int]:
        """A family's opening and closing, and how many words are each row's own (24-60%)."""
        random = self.random
        if len(self._families) < FAMILIES or random.random() < 1 / FAMILY_LIFE:
            shared = int(random.uniform(0.4, 0.76) * 200)
            ids = self.draw(shared, int(random.integers(TOPICS)))
            cut = int(random.integers(shared // 4, shared))
            family = (ids[:cut], ids[cut:], 200 - shared)
            if len(self._families) < FAMILIES:
                self._families.append(family)
            else:
                self._families[int(random.integers(FAMILIES))] = family
        return self._families[int(random.integers(len(self._families)))]


class Leaks(NamedTuple):
    """Held-out rows and training rows; `planted` maps a training row to the prompt it leaks."""

    held_out: list[Row]
    train: list[Row]
    planted: dict[int, int]
    kinds: dict[int, str]


def leaks(documents: int = 100_000, prompts: int = 1_750, seed: int = 11) -> Leaks:
    """Three in seven prompts leak: verbatim, edited by 1-15% of their words, or in longer text.

    A third of the others share an opening with training rows: some with many, some with few.
    """
    chats = Chats(seed)
    random = chats.random
    openings = [chats.draw(int(random.integers(8, 30)), 0) for _ in range(12)]
    train: list[Row] = []
    for rows, _ in chats.blocks(documents):
        train.extend(rows)
    held: list[Row] = []
    planted: dict[int, int] = {}
    kinds: dict[int, str] = {}
    taken = iter(random.permutation(documents).tolist())
    for index in range(prompts):
        ids = chats.draw(int(np.clip(random.lognormal(3.7, 0.5), 12, 200)), index % TOPICS)
        kind = ("verbatim", "edited", "embedded", "own", "own", "own", "opening")[index % 7]
        if kind == "opening":
            opening = openings[index % len(openings)]
            ids = np.concatenate((opening, ids))
        held.append(_asked(index, "held.jsonl", chats.text(ids), "I do not know."))
        if kind in ("own", "opening"):
            continue
        for _ in range(int(random.integers(1, 4))):
            row = next(taken)
            asked, spaced = ids, False
            if kind == "verbatim":
                spaced = bool(random.random() < 0.5)
            elif kind == "edited":
                (asked,) = chats.edited([ids], random.uniform(0.01, 0.15))
            else:
                around = chats.draw(int(len(ids) * random.uniform(0.5, 3)), 1)
                cut = int(random.integers(0, len(around)))
                asked = np.concatenate((around[:cut], ids, around[cut:]))
            answer = train[row].messages
            assert answer is not None
            text = chats.text(asked, spaced)
            train[row] = _asked(row, "train.jsonl", text, answer[1].content)
            planted[row], kinds[row] = index, kind
    for row, _ in zip(taken, range(documents // 50), strict=False):
        body = chats.draw(int(random.integers(15, 90)), int(random.integers(TOPICS)))
        # The last openings are rare: ten rows or so in a hundred thousand hold one.
        which = int(random.integers(8)) if random.random() < 0.98 else int(random.integers(8, 12))
        text = chats.text(np.concatenate((openings[which], body)))
        train[row] = _asked(row, "train.jsonl", text, "Thank you for asking.")
    return Leaks(held, train, planted, kinds)


def _asked(index: int, file: str, question: str, answer: str) -> Row:
    messages = [Message("user", question), Message("assistant", answer)]
    return Row(file=file, index=index, line=index + 1, format="messages", shape="chat",
               messages=messages)  # fmt: skip


def _vocabulary(random: np.random.Generator) -> list[str]:
    """Invented words, shorter ones first as in real text; then each with a full stop."""
    syllables = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"] + ["st", "an", "er", "in"]
    words: dict[str, None] = {}
    drawn = iter(random.integers(0, len(syllables), (4 * VOCABULARY, 6)).tolist())
    while len(words) < VOCABULARY:
        parts = next(drawn)
        count = 1 + min(4, len(words) * 6 // VOCABULARY + parts[5] % 2)
        words["".join(syllables[i] for i in parts[:count])] = None
    plain = list(words)
    return plain + [word + "." for word in plain]
