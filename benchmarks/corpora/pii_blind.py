"""A corpus of personal data and secrets whose author has not read the rules that look for them.

In: a number of rows and a seed. Out: samples in seven languages, about half of them with one to
four planted spans, the rest look-alikes and plain talk. Values follow the public specifications
(RFC 5321/5322/6531, E.164/E.123, UPU S42, ISO/IEC 7812, ISO 13616, the issuers of national numbers,
RFC 4291/5952, the vendors' descriptions of their tokens), in usual forms and in rare valid ones.
"""

from collections import Counter
from itertools import pairwise
from random import Random

from benchmarks.corpora import Sample
from benchmarks.corpora import pii_blind_contact as contact
from benchmarks.corpora import pii_blind_numbers as numbers
from benchmarks.corpora.pii_blind_draw import Drawer, Pieces, State, expand, joined, load
from benchmarks.corpora.pii_blind_ids import SCHEMES
from benchmarks.corpora.pii_blind_negatives import draw
from benchmarks.corpora.pii_blind_secrets import secret

KINDS = ("email", "phone", "address", "card", "iban", "national_id", "ip", "name", "secret")
_WEIGHTS = (10, 12, 10, 9, 9, 12, 10, 16, 14)

_SENTENCES = load("pii_blind_sentences.toml")
_BLOCKS = load("pii_blind_blocks.toml")["block"]
_FILLERS = load("pii_blind_fillers.toml")
_LOOKALIKES = load("pii_blind_lookalikes.toml")
_LABELS = load("pii_blind_ids.toml")
_OTHERS = ("de", "fr", "es", "it", "nl", "pt")
_TECHNICAL = ("ip", "secret")
_MOST = 4
_LEAST = (20, 25, 35, 50, 75, 110, 150)
_SPEAKERS = (
    ("User: ", "Assistant: "),
    ("Customer: ", "Agent: "),
    ("Q: ", "A: "),
    ("### Input\n", ""),
)


def _scheme(state: State) -> str:
    if not state.scheme:
        state.scheme = state.rng.choice([s for s in SCHEMES if state.lang in _LABELS[s]])
    return state.scheme


def _label(state: State, variant: str) -> Pieces:
    del variant
    return [(state.rng.choice(_LABELS[_scheme(state)][state.lang]), None)]


def _national_id(state: State, variant: str) -> Pieces:
    del variant
    value, state.scheme = SCHEMES[_scheme(state)](state.rng), ""
    return [(value, "national_id")]


def _iban(state: State, variant: str) -> Pieces:
    value = numbers.iban(state.rng)
    if variant == "compact":
        value = "".join(c for c in value if c.isalnum()).upper()
    return [(value, "iban")]


_DRAWERS: dict[str, Drawer] = {
    "n": draw,
    "email": contact.email,
    "phone": contact.phone,
    "address": contact.address,
    "name": contact.name,
    "secret": secret,
    "iban": _iban,
    "id": _label,
    "national_id": _national_id,
    "card": lambda state, _: [(numbers.card(state.rng), "card")],
    "ip": lambda state, _: [(numbers.ipv4(state.rng), "ip")],
    "ip6": lambda state, _: [(numbers.ipv6(state.rng), "ip")],
}


def _planted(pieces: Pieces) -> int:
    return sum(kind is not None for _, kind in pieces)


def _words(parts: list[Pieces]) -> int:
    return sum(len("".join(text for text, _ in part).split()) for part in parts)


def _casual(parts: list[Pieces]) -> list[Pieces]:
    """The parts as somebody types them in a hurry; planted values keep their letters."""
    return [[(text if kind else text.lower(), kind) for text, kind in part] for part in parts]


def _pad(state: State, parts: list[Pieces], topic: str, least: int) -> None:
    """Add sentences without personal data, none twice, until there are `least` words."""
    fillers = _FILLERS[state.lang]
    others = [s for t, pool in fillers.items() if t not in (topic, "tech") for s in pool]
    state.rng.shuffle(others)
    pool = others * (topic != "tech") + state.rng.sample(fillers[topic], len(fillers[topic]))
    while pool and _words(parts) < least:
        sentence = expand(pool.pop(), state, _DRAWERS)
        parts.insert(state.rng.randrange(len(parts) + 1), sentence)


def _assembled(rng: Random, parts: list[Pieces], lang: str) -> Sample:
    """One text out of the parts: a paragraph, lines, a list, or a talk of two."""
    lines = any("\n" in text for part in parts for text, _ in part)
    shape = rng.choice(
        ["lines", "talk", "apart"] if lines else ["plain", "plain", "lines", "talk", "list"]
    )
    if lang == "en" and not lines and rng.random() < 0.12:
        parts = _casual(parts)
    whole: Pieces = []
    speakers, gap = rng.choice(_SPEAKERS), {"plain": " ", "apart": "\n\n"}.get(shape, "\n")
    for place, part in enumerate(parts):
        if shape == "talk" and place in (0, (len(parts) + 1) // 2):
            whole.append((speakers[place > 0], None))
        whole += [("- ", None)] * (shape == "list") + part
        if place + 1 < len(parts):
            # A line that ends without a full stop stays a line of its own.
            closed = part[-1][0].rstrip()[-1:] in ".?!"
            whole.append((gap if closed else gap.replace(" ", "\n"), None))
    text, spans = joined(whole)
    assert "«" not in text, f"a slot is left in {text!r}"
    planted = [piece for piece in whole if piece[1]]
    for (start, end, kind), piece in zip(spans, planted, strict=True):
        assert (text[start:end], kind) == piece, f"{kind}: {text[start:end]!r} is not {piece!r}"
    for left, right in pairwise(spans):
        assert left[1] <= right[0], f"{left} and {right} overlap"
    return Sample(text, spans)


def _positive(rng: Random, kind: str) -> Sample:
    """A text with one to four spans, the first drawn for `kind`."""
    lang = "en"
    if rng.random() < 0.3:
        lang = rng.choice([each for each in _OTHERS if kind in _SENTENCES[each]] or ["en"])
    state = State(rng, lang)
    blocks = [each["text"] for each in _BLOCKS if each["kind"] == kind]
    whole = lang == "en" and rng.random() < 0.35
    parts = [expand(rng.choice(blocks if whole else _SENTENCES[lang][kind]), state, _DRAWERS)]
    technical = kind in _TECHNICAL
    if rng.random() < 0.35:
        near = [k for k in _SENTENCES[lang] if (k in _TECHNICAL) == technical and k != kind]
        second = (
            expand(rng.choice(_SENTENCES[lang][rng.choice(near)]), state, _DRAWERS) if near else []
        )
        if second and _planted(parts[0]) + _planted(second) <= _MOST:
            parts.append(second)
    topics = [topic for topic in _FILLERS[lang] if (topic == "tech") == technical or lang != "en"]
    _pad(state, parts, rng.choice(topics), rng.choice(_LEAST))
    return _assembled(rng, parts, lang)


def _negative(rng: Random) -> Sample:
    """A text without spans: look-alikes among plain sentences, or plain sentences only."""
    lang = "en" if rng.random() < 0.75 else rng.choice(_OTHERS)
    state = State(rng, lang)
    topic = rng.choice(list(_FILLERS[lang]))
    parts: list[Pieces] = []
    if rng.random() < 0.75:
        pool = _LOOKALIKES[lang]
        chosen = rng.sample(pool["prose"], rng.randrange(1, 4))
        if "block" in pool and rng.random() < 0.4:
            chosen = [rng.choice(pool["block"]), *chosen[:1]]
        parts = [expand(each, state, _DRAWERS) for each in chosen]
        topic = "tech" if lang == "en" and rng.random() < 0.5 else topic
    _pad(state, parts, topic, rng.choice(_LEAST))
    return _assembled(rng, parts, lang)


def generate(rows: int, seed: int) -> list[Sample]:
    """`rows` samples, always the same for a seed; about half hold spans of `KINDS`."""
    rng = Random(seed)
    samples = []
    for _ in range(rows):
        if rng.random() < 0.5:
            samples.append(_positive(rng, rng.choices(KINDS, _WEIGHTS)[0]))
        else:
            samples.append(_negative(rng))
    return samples


if __name__ == "__main__":
    corpus = generate(5000, 1)
    counts = Counter(kind for sample in corpus for *_, kind in sample.spans)
    lengths = sorted(len(sample.text.split()) for sample in corpus)
    marked = sum(bool(sample.spans) for sample in corpus)
    most = max(len(sample.spans) for sample in corpus)
    print(dict(counts), f"{marked} of {len(corpus)} rows, at most {most} spans in one")
    print(f"words: {lengths[0]} to {lengths[-1]}, median {lengths[len(lengths) // 2]}")
    for sample in corpus[:12]:
        print("-" * 80, sample.text, sep="\n")
        for start, end, kind in sample.spans:
            print(f"  {kind}: {sample.text[start:end]!r}")
