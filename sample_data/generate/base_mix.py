"""The base model's own training mix: facts, small talk, copying, finding things, shop prose.

Copying and finding are what a later fine-tune builds on: a small model copies an order number it
has never seen only if it has copied thousands of others. Every symbol a JSON answer needs occurs
here as text to be repeated, never as an answer to a customer.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable

from generate.sources import Chat, Fact, assistant, facts, load, sums, system, user

SYLLABLES = [c + v for c in "bdfgklmnprstvwz" for v in "aeiou"]
REPEAT = [
    "Repeat: {x}",
    "Repeat this: {x}",
    "Say: {x}",
    "Copy: {x}",
    "Write this again: {x}",
    "{x}\nRepeat the line above.",
]
QUOTE = ["Put this in quotes: {x}", "Quote: {x}", "Write {x} in quotes."]
FIND = [
    "What is the {key} in this text? {x}",
    "Find the {key}: {x}",
    "{x} Which {key} is named here?",
    "{x}\nWhat is the {key}?",
    "Read this and tell me the {key}. {x}",
]
FIND_QUOTED = [
    "Quote the {key}: {x}",
    "{x} Give the {key} in quotes.",
    "Put the {key} in quotes. {x}",
]
LIST = ["List the {keys}: {x}", "{x} List the {keys}.", "Note the {keys} of this. {x}"]


WANTED = [
    "What does this customer want? {x}",
    "{x} What is the intent?",
    "{x}\nWhat is this about?",
    "Name the intent: {x}",
    "Read this and tell me the intent. {x}",
]


def pick(rng: random.Random, items: list[str]) -> str:
    """Return one of the items."""
    return items[int(rng.random() * len(items))]


def code(rng: random.Random) -> str:
    """Return an order number such as FH-4821, with letters and length varied."""
    letters = "".join(rng.choices(string.ascii_uppercase, k=rng.choice((1, 2, 2, 2, 3))))
    digits = "".join(rng.choices(string.digits, k=rng.choice((3, 4, 4, 4, 4, 5, 6))))
    return f"{letters}{'-' if rng.random() < 0.85 else ''}{digits}"


def invented(rng: random.Random) -> str:
    """Return a made-up word of two to four syllables, sometimes with a capital."""
    word = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 4)))
    return word.capitalize() if rng.random() < 0.5 else word


def product(rng: random.Random) -> str:
    """Return a product of the shop, or two loose words that could be one."""
    if rng.random() < 0.6:
        return pick(rng, load("support")["products"])
    words = load("talk")["words"]
    return f"{pick(rng, words)} {pick(rng, words)}"


def city(rng: random.Random) -> str:
    """Return a town of the invented map, or a made-up one."""
    if rng.random() < 0.6:
        return pick(rng, load("support")["cities"])
    return invented(rng).capitalize()


def sentence(rng: random.Random) -> tuple[str, dict[str, str]]:
    """Return a filled sentence and the facts in it that may be asked for."""
    source = load("talk")
    template = pick(rng, source["sentences"] + load("shopping")["asks"])
    values = {
        "w1": pick(rng, source["words"]),
        "w2": pick(rng, source["words"]),
        "w3": pick(rng, source["words"]),
        "name": pick(rng, source["names"]),
        "day": pick(rng, source["days"]),
        "n": str(rng.randint(2, 999)),
        "code": code(rng),
        "product": product(rng),
        "city": city(rng),
        "city2": city(rng),
    }
    named = {k: v for k, v in values.items() if "{" + k + "}" in template}
    text = template.format(**values)
    if "city2" in named:
        named = {"code": values["code"]}
    asked = {k: v for k, v in named.items() if k in ("name", "day", "code", "product", "city")}
    if "code" in asked and rng.random() < 0.7:
        asked["order"] = asked.pop("code")
    return text, asked


def wish(rng: random.Random) -> tuple[str, dict[str, str]]:
    """Return what a customer of some shop wants, in a sentence or two, and the facts in it."""
    source = load("shopping")
    intent = pick(rng, list(source["wishes"]))
    template = pick(rng, source["wishes"][intent])
    if rng.random() < 0.6:
        more = pick(rng, source["particulars"])
        template = f"{template} {more}" if rng.random() < 0.7 else f"{more} {template}"
    values = {"product": product(rng), "order": code(rng), "city": city(rng)}
    named = {key: value for key, value in values.items() if "{" + key + "}" in template}
    return template.format(**values), {"intent": intent} | named


def snippet(rng: random.Random) -> str:
    """Return a small JSON object as text, its keys in any order."""
    source = load("talk")
    values: dict[str, Callable[[], object]] = {
        "code": lambda: code(rng),
        "order": lambda: code(rng),
        "product": lambda: product(rng),
        "city": lambda: city(rng),
        "name": lambda: pick(rng, source["names"]),
        "count": lambda: rng.randint(0, 99),
        "price": lambda: rng.randint(1, 500),
        "intent": lambda: pick(rng, list(load("support")["intents"])),
    }
    keys = rng.sample(source["keys"], k=rng.randint(1, 3))
    word: Callable[[], object] = lambda: rng.choice((pick(rng, source["words"]), None, True))  # noqa: E731
    return json.dumps({k: values.get(k, word)() for k in keys})


def repeat(rng: random.Random) -> Chat:
    """Return a chat that copies a text exactly."""
    words = load("talk")["words"]
    kind = rng.random()
    if kind < 0.25:
        text = " ".join(code(rng) for _ in range(rng.randint(1, 3)))
    elif kind < 0.45:
        text = " ".join(invented(rng) for _ in range(rng.randint(1, 5)))
    elif kind < 0.6:
        text = " ".join(pick(rng, words) for _ in range(rng.randint(1, 6)))
    elif kind < 0.75:
        text = sentence(rng)[0]
    elif kind < 0.82:
        text = rng.choice((product, city))(rng)
    elif kind < 0.86:
        text = "".join(rng.choices(string.printable[:94], k=rng.randint(2, 8)))
    else:
        text = snippet(rng)
    if rng.random() < 0.25 and '"' not in text:
        return [user(pick(rng, QUOTE).format(x=text)), assistant(f'"{text}"')]
    return [user(pick(rng, REPEAT).replace("{x}", text)), assistant(text)]


def ends(rng: random.Random) -> Chat:
    """Return a chat that names the first or last of some words."""
    words = [
        rng.choice(
            (lambda: pick(rng, load("talk")["words"]), lambda: invented(rng), lambda: code(rng))
        )()
        for _ in range(rng.randint(2, 5))
    ]
    if rng.random() < 0.5:
        return [user(f"Say the last word: {' '.join(words)}"), assistant(words[-1])]
    return [user(f"Say the first word: {' '.join(words)}"), assistant(words[0])]


def find(rng: random.Random) -> Chat:
    """Return a chat that finds one or several facts in one or two sentences."""
    text, asked = sentence(rng)
    while not asked:
        text, asked = sentence(rng)
    if rng.random() < 0.4:
        other, more = sentence(rng)
        if not set(more) & (set(asked) | {"order", "code"}):
            text, asked = rng.choice((f"{text} {other}", f"{other} {text}")), asked | more
    kind = rng.random()
    if kind < 0.35 and len(asked) > 1:
        keys = rng.sample(sorted(asked), k=min(len(asked), rng.randint(2, 3)))
        question = pick(rng, LIST).replace("{keys}", ", ".join(keys)).replace("{x}", text)
        return [user(question), assistant(", ".join(f"{key}: {asked[key]}" for key in keys))]
    key = rng.choice(sorted(asked))
    if kind < 0.65:
        question = pick(rng, FIND_QUOTED).replace("{key}", key).replace("{x}", text)
        return [user(question), assistant(f'"{asked[key]}"')]
    question = pick(rng, FIND).replace("{key}", key).replace("{x}", text)
    return [user(question), assistant(f"The {key} is {asked[key]}.")]


def understand(rng: random.Random) -> Chat:
    """Return a chat that says what a customer wants, alone or beside the facts named."""
    text, asked = wish(rng)
    if rng.random() < 0.5:
        question = pick(rng, WANTED).replace("{x}", text)
        return [user(question), assistant(f"The intent is {asked['intent']}.")]
    keys = rng.sample(sorted(asked), k=rng.randint(2, min(len(asked), 3))) if len(asked) > 1 else []
    if not keys:
        question = pick(rng, FIND_QUOTED).replace("{key}", "intent").replace("{x}", text)
        return [user(question), assistant(f'"{asked["intent"]}"')]
    question = pick(rng, LIST).replace("{keys}", ", ".join(keys)).replace("{x}", text)
    return [user(question), assistant(", ".join(f"{key}: {asked[key]}" for key in keys))]


def ask_fact(rng: random.Random, fact: Fact) -> Chat:
    """Return a question for a fact, its wording loosened now and then, and the answer."""
    question = pick(rng, list(fact.asks))
    if rng.random() < 0.1:
        question = question.lower()
    if rng.random() < 0.1:
        question = question.rstrip("?.")
    if rng.random() < 0.12:
        question = pick(rng, load("talk")["openers"]) + question
    return [user(question), assistant(fact.answer)]


def fact(rng: random.Random) -> Chat:
    """Return a chat about any fact that is no sum."""
    known = facts()[: -len(sums())]
    return ask_fact(rng, known[int(rng.random() * len(known))])


def arithmetic(rng: random.Random) -> Chat:
    """Return a chat about a small sum."""
    return ask_fact(rng, rng.choice(sums()))


def talk(rng: random.Random) -> Chat:
    """Return a turn of small talk."""
    one = rng.choice(load("talk")["talk"])
    return [user(pick(rng, one["user"])), assistant(pick(rng, one["reply"]))]


def shop(rng: random.Random) -> Chat:
    """Return a customer's message to some other shop and a reply in prose."""
    source = load("shopping")
    ask = pick(rng, source["asks"])
    values = {
        "code": code(rng),
        "product": product(rng),
        "city": city(rng),
        "name": pick(rng, load("talk")["names"]),
    }
    named = [key for key in source["replies"] if "{" + key + "}" in ask]
    return [
        user(ask.format(**values)),
        assistant(pick(rng, source["replies"][named[0]]).format(**values)),
    ]


Mix = list[tuple[float, Callable[[random.Random], Chat]]]
FIRST: Mix = [
    (0.22, repeat),
    (0.03, ends),
    (0.22, find),
    (0.33, fact),
    (0.05, arithmetic),
    (0.07, talk),
    (0.08, shop),
]
SECOND: Mix = [
    (0.1, repeat),
    (0.02, ends),
    (0.11, find),
    (0.34, understand),
    (0.29, fact),
    (0.06, arithmetic),
    (0.04, talk),
    (0.04, shop),
]


def exchange(rng: random.Random, mix: Mix = FIRST) -> Chat:
    """Return one question and answer of any kind of the mix."""
    return rng.choices([kind for _, kind in mix], [weight for weight, _ in mix])[0](rng)


def chat(rng: random.Random, mix: Mix = FIRST, *, multi_turn: float = 0.03) -> Chat:
    """Return one chat of the mix; some have a neutral system prompt, some several turns."""
    turns = exchange(rng, mix)
    if rng.random() < multi_turn:
        for _ in range(rng.randint(1, 11)):
            turns += exchange(rng, mix)
    if rng.random() < 0.4:
        turns = [system(pick(rng, load("talk")["systems"])), *turns]
    return turns
