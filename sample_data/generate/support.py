"""Chats of the invented support desk: a customer's message and its filing as JSON."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import dataclass

from generate.base_mix import pick
from generate.sources import Chat, assistant, load, system, user

MISSING_ORDER, MISSING_CITY = 0.05, 0.03
TOO_ALIKE = 0.62  # word-set Jaccard; what counts as a near-duplicate starts well above
RARE = 16  # a 5-gram in more questions than this is a stock phrase, no sign of a leak
CONTAINED = 0.2  # share of a held-out question's rare 5-grams found in one training question


@dataclass(frozen=True)
class Ticket:
    """A customer's message and the facts the desk files; None where the message has none."""

    message: str
    intent: str
    order: str | None
    product: str
    city: str | None

    @property
    def answer(self) -> str:
        """Return the desk's JSON filing."""
        filed = {
            "intent": self.intent,
            "order": self.order,
            "product": self.product,
            "city": self.city,
        }
        return json.dumps(filed)

    @property
    def prompt(self) -> Chat:
        """Return the system prompt and the customer's turn."""
        return [system(load("support")["system"]), user(self.message)]

    @property
    def chat(self) -> Chat:
        """Return the whole chat."""
        return [*self.prompt, assistant(self.answer)]


def words(text: str) -> list[str]:
    """Return the lower-case words and codes of a text."""
    return re.findall(r"\w+(?:-\w+)*", text.lower())


def alike(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard similarity of two word sets."""
    return len(a & b) / len(a | b)


def five_grams(text: str) -> set[tuple[str, ...]]:
    """Return the runs of five words in a text."""
    w = words(text)
    return {tuple(w[i : i + 5]) for i in range(len(w) - 4)}


def order_number(rng: random.Random) -> str:
    """Return an order number of the shop, two letters and four digits."""
    return f"{pick(rng, load('support')['prefixes'])}-{rng.randrange(1000, 10000)}"


def opened(opener: str, text: str) -> str:
    """Return the text after its opener, in lower case after a comma unless it starts with I."""
    if opener.endswith(", ") and not re.match(r"I\b|[A-Z]{2}", text):
        text = text[0].lower() + text[1:]
    return opener + text


def draw(rng: random.Random) -> Ticket:
    """Return one random ticket."""
    source = load("support")
    intent = pick(rng, list(source["intents"]))
    order: str | None = order_number(rng)
    product = pick(rng, source["products"])
    city: str | None = pick(rng, source["cities"])
    details, chance = "details", rng.random()
    if chance < MISSING_ORDER:
        details, order = "without_order", None
    elif chance < MISSING_ORDER + MISSING_CITY:
        details, city = "without_city", None
    parts = [
        pick(rng, source["intents"][intent]).format(product=product),
        pick(rng, source[details]).format(order=order, city=city),
    ]
    if rng.random() < 0.3:
        parts.reverse()
    message = opened(pick(rng, source["openers"]), " ".join(parts)) + pick(rng, source["closers"])
    return Ticket(message, intent, order, product, city)


def distinct_tickets(rng: random.Random, count: int) -> list[Ticket]:
    """Return tickets that share no order number and no two of which are alike."""
    kept: list[Ticket] = []
    orders: set[str] = set()
    by_phrase: dict[str, list[frozenset[str]]] = {}
    while len(kept) < count:
        ticket = draw(rng)
        seen = frozenset(words(ticket.message))
        neighbours = by_phrase.setdefault(ticket.intent, [])
        if ticket.order in orders or any(alike(seen, other) > TOO_ALIKE for other in neighbours):
            continue
        if ticket.order:
            orders.add(ticket.order)
        neighbours.append(seen)
        kept.append(ticket)
    return kept


def held_out_split(tickets: list[Ticket], count: int) -> tuple[list[Ticket], list[Ticket]]:
    """Return (training, held-out): a held-out ticket's product and city never meet in training.

    Held-out tickets name every fact, and share no long rare run of words with one training ticket.
    """
    grams = [five_grams(t.message) for t in tickets]
    common = Counter(gram for own in grams for gram in own)
    rare = [{gram for gram in own if common[gram] <= RARE} for own in grams]
    held: list[int] = []
    for i, ticket in enumerate(tickets):
        if len(held) == count:
            break
        if ticket.order is None or ticket.city is None:
            continue
        if all(
            len(rare[i] & rare[j]) < CONTAINED * len(rare[i])
            and (ticket.product, ticket.city) != (other.product, other.city)
            for j, other in enumerate(tickets)
            if j != i
        ):
            held.append(i)
    chosen = set(held)
    return [t for i, t in enumerate(tickets) if i not in chosen], [tickets[i] for i in held]
