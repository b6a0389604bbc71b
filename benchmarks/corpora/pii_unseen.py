"""A corpus of personal data and secrets whose author has not read the detection rules.

In: a number of rows and a seed. Out: samples whose spans mark every planted value. Values are
written from public specifications (RFCs, ISO standards, issuing authorities, vendors' docs) in
the breadth people write them; see the pii_unseen_*.py modules for each kind. About half of the
rows carry one to four spans; the others are hard negatives and plain chat.

What a span covers: an address from house number or street to the last of postal code, city and
country given, line breaks included; a name without its title; an IP address without port and
prefix length but with its zone; of a URL or assignment with a password, the password alone; a
webhook's whole URL; a private key from BEGIN to END.

Run `python -m benchmarks.corpora.pii_unseen` for counts and samples per kind.
"""

import random
import re
import sys
import time
from collections import Counter, defaultdict
from typing import NamedTuple

from benchmarks.corpora import Sample
from benchmarks.corpora.pii_unseen_draw import Rng, chance, vocabulary
from benchmarks.corpora.pii_unseen_ids import NATIONAL_IDS
from benchmarks.corpora.pii_unseen_negatives import negative, neutral, rendered
from benchmarks.corpora.pii_unseen_numbers import (
    card,
    card_digits,
    iban,
    iban_compact,
    ip,
    ipv4,
    ipv6,
)
from benchmarks.corpora.pii_unseen_people import Person, address, email, name, person, phone
from benchmarks.corpora.pii_unseen_secrets import Placed, aws_pair, secret

KINDS = ["email", "phone", "address", "card", "iban", "national_id", "ip", "name", "secret"]
MAX_SPANS = 4

# Language, country, weight. A country of "" is drawn anew for each value: customers from all over.
LOCALES = [
    ("en", "US", 24), ("en", "GB", 12), ("en", "CA", 5), ("en", "AU", 5), ("en", "IE", 3),
    ("en", "IN", 6), ("en", "ZA", 3), ("en", "", 12), ("de", "DE", 5), ("de", "AT", 2),
    ("de", "CH", 2), ("fr", "FR", 5), ("fr", "CH", 1), ("fr", "BE", 1), ("fr", "CA", 1),
    ("es", "ES", 4), ("es", "MX", 2), ("it", "IT", 4), ("it", "CH", 1), ("nl", "NL", 4),
    ("nl", "BE", 1), ("pt", "PT", 3), ("pt", "BR", 3),
]  # fmt: skip
IDS_BY_COUNTRY = {
    "US": ["us_ssn", "us_ssn", "us_itin"], "GB": ["gb_nino", "gb_nhs"], "CA": ["ca_sin"],
    "AU": ["au_tfn"], "IN": ["in_aadhaar", "in_pan"], "ZA": ["za_id"], "DE": ["de_idnr"],
    "CH": ["ch_ahv"], "FR": ["fr_nir"], "BE": ["be_rrn"], "ES": ["es_dni", "es_nie"],
    "MX": ["mx_curp"], "IT": ["it_cf"], "NL": ["nl_bsn"], "PT": ["pt_nif"], "BR": ["br_cpf"],
}  # fmt: skip
TOPICS = {
    "card": ["banking", "support", "travel"], "iban": ["banking", "hr"], "secret": ["coding"],
    "ip": ["coding", "support"], "address": ["travel", "support", "hr"],
    "national_id": ["hr", "health", "banking"], "phone": ["support", "health", "travel"],
}  # fmt: skip
TOKEN = re.compile(r"<<(\w+)(?:\.(\w+))?>>|\[\[(\w+)\]\]")
TURNS = [
    ("User: ", "Assistant: "), ("### Human: ", "### Assistant: "), ("Q: ", "A: "),
    ("Customer: ", "Agent: "), ("[user] ", "[assistant] "), ("<|user|>\n", "<|assistant|>\n"),
]  # fmt: skip


class Draft:
    """Text under construction, with the spans planted so far."""

    def __init__(self) -> None:
        self.text = ""
        self.spans: list[tuple[int, int, str]] = []

    def add(self, text: str) -> "Draft":
        """Append text without a span."""
        self.text += text
        return self

    def plant(self, value: str, kind: str) -> None:
        """Append a value and mark it."""
        start = len(self.text)
        self.text += value
        self.spans.append((start, len(self.text), kind))

    def place(self, placed: Placed, kind: str) -> None:
        """Append a value with what stands around it."""
        before, value, after = placed
        self.add(before).plant(value, kind)
        self.add(after)

    def join(self, other: "Draft") -> None:
        """Append another draft, its spans moved along."""
        offset = len(self.text)
        self.text += other.text
        self.spans += [(start + offset, end + offset, kind) for start, end, kind in other.spans]


class Setting(NamedTuple):
    """What one row keeps: the generator, the language and the country ("" for any)."""

    rng: Rng
    lang: str
    country: str

    def somewhere(self) -> str:
        """The row's country, or any."""
        return self.country or self.rng.choice([country for _, country, _ in LOCALES if country])


def identifier_kind(setting: Setting) -> str:
    """Which national identifier a row of this setting names."""
    if setting.country in IDS_BY_COUNTRY and chance(setting.rng, 0.8):
        return setting.rng.choice(IDS_BY_COUNTRY[setting.country])
    return setting.rng.choice(list(NATIONAL_IDS))


def network_address(rng: Rng, form: str) -> Placed:
    """An IP address. Forms: v4, v6, cidr (no zone), host (IPv6 in brackets), "" (any)."""
    match form:
        case "v4":
            return "", ipv4(rng), ""
        case "v6":
            return "", ipv6(rng), ""
        case "cidr":
            return "", rng.choice([ipv4, ipv6])(rng), ""
        case "host":
            value = rng.choice([ipv4, ipv6])(rng)
            return ("[", value, "]") if ":" in value else ("", value, "")
        case _:
            return "", ip(rng), ""


def carried(setting: Setting, template: str) -> Draft:
    """The template with its values planted; a name and an email after it are one person's."""
    rng, draft = setting.rng, Draft()
    id_kind = identifier_kind(setting)
    who: Person | None = None
    at = 0
    for match in TOKEN.finditer(template):
        draft.add(template[at : match.start()])
        at = match.end()
        kind, form, slot = match[1], match[2] or "", match[3]
        country = setting.somewhere()
        match kind:
            case None if slot == "id_label":
                draft.add(rng.choice(vocabulary("carriers")["id_labels"][id_kind]))
            case None:
                draft.add(neutral(rng, slot, setting.lang))
            case "name":
                who = person(rng, country)
                draft.plant(name(rng, who, form, country), "name")
            case "email":
                draft.place(email(rng, who or person(rng, country), form), "email")
                who = None
            case "phone":
                draft.plant(phone(rng, country, form), "phone")
            case "address":
                draft.plant(address(rng, country, form), "address")
            case "card":
                draft.plant(card_digits(rng) if form == "bare" else card(rng), "card")
            case "iban":
                draft.plant(iban_compact(rng) if form == "plain" else iban(rng), "iban")
            case "id":
                draft.plant(NATIONAL_IDS[id_kind](rng), "national_id")
            case "ip":
                draft.place(network_address(rng, form), "ip")
            case _:
                raise ValueError(f"unknown slot {match[0]} in {template!r}")
    return draft.add(template[at:])


ENV_LINES = [
    "DEBUG=false",
    "PORT=8080",
    "LOG_LEVEL=info",
    "# staging",
    "REGION=eu-west-1",
    "WORKERS=4",
]


def secret_draft(setting: Setting) -> Draft:
    """A secret in its context; short ones may stand among a config's other lines."""
    rng, draft = setting.rng, Draft()
    if chance(rng, 0.04):
        for placed in aws_pair(rng):
            draft.place(placed, "secret")
        return draft
    draft.place(secret(rng, setting.lang), "secret")
    if "=" in draft.text.split("\n")[0] and chance(rng, 0.35):
        before, after = (rng.sample(ENV_LINES, rng.randint(1, 3)) for _ in "ab")
        whole = Draft().add("```\n" + "\n".join(before) + "\n")
        whole.join(draft)
        return whole.add("\n" + "\n".join(after) + "\n```")
    return draft


def draft_of(setting: Setting, kind: str) -> Draft:
    """A sentence or block that carries at least one value of the kind."""
    rng, data = setting.rng, vocabulary("carriers")
    if kind == "secret":
        return secret_draft(setting)
    slot = "<<id" if kind == "national_id" else f"<<{kind}"
    if chance(rng, 0.3):
        blocks = [block for block in data["blocks"]["any"] if re.search(rf"{slot}[.>]", block)]
        return carried(setting, rng.choice(blocks))
    return carried(setting, rng.choice(data[setting.lang][kind]["sentences"]))


def filler(setting: Setting, topic: str, words: int) -> list[str]:
    """Different sentences, first of the topic and then of any, with about this many words."""
    rng, by_topic = setting.rng, vocabulary("filler")[setting.lang]
    own = list(by_topic.get(topic, []))
    others = [line for key, lines in by_topic.items() if key != topic for line in lines]
    rng.shuffle(own)
    rng.shuffle(others)
    chosen: list[str] = []
    for sentence in own + others:
        if words <= 0:
            break
        chosen.append(rendered(rng, sentence, setting.lang))
        words -= len(sentence.split())
    return chosen


def separator(rng: Rng, before: str, after: str) -> str:
    """What stands between two pieces: a space after a sentence, a line break around a block."""
    if "\n" in before or "\n" in after or before[-1:] not in ".?!":
        return rng.choice(["\n", "\n\n"])
    return " " if chance(rng, 0.85) else "\n"


def assembled(setting: Setting, pieces: list[Draft]) -> Draft:
    """The pieces as one turn, or as alternating turns with role labels."""
    rng, whole = setting.rng, Draft()
    labels = rng.choice(TURNS) if chance(rng, 0.4) and len(pieces) > 2 else None
    breaks = (
        sorted(rng.sample(range(1, len(pieces)), min(len(pieces) - 1, rng.randint(1, 3))))
        if labels
        else []
    )
    turn = 0
    for place, piece in enumerate(pieces):
        if labels and (place == 0 or place in breaks):
            whole.add("\n" * (place > 0) + labels[turn % 2])
            turn += 1
        elif place:
            whole.add(separator(rng, pieces[place - 1].text, piece.text))
        whole.join(piece)
    return whole


def row(rng: Rng) -> Sample:
    """One row: with spans in half of the cases, among filler and hard negatives."""
    chosen = rng.choices(LOCALES, [weight for *_, weight in LOCALES])[0]
    setting = Setting(rng, chosen[0], chosen[1])
    topic = rng.choice(["support", "coding", "travel", "banking", "health", "hr", "general"])
    pieces: list[Draft] = []
    if chance(rng, 0.5):
        kind = rng.choice(KINDS)
        topic = rng.choice(TOPICS.get(kind, [topic]))
        pieces.append(draft_of(setting, kind))
        while chance(rng, 0.3):
            more = draft_of(setting, rng.choice(KINDS))
            if sum(len(piece.spans) for piece in [*pieces, more]) > MAX_SPANS:
                break
            pieces.append(more)
        negatives = rng.choices([0, 1, 2], [55, 30, 15])[0]
    else:
        negatives = rng.choices([0, 1, 2, 3, 4], [15, 30, 25, 20, 10])[0]
    pieces += [Draft().add(negative(rng, setting.lang)) for _ in range(negatives)]
    pieces += [Draft().add(sentence) for sentence in filler(setting, topic, rng.randint(20, 180))]
    rng.shuffle(pieces)
    # A greeting opens a letter and a signature closes it.
    pieces.sort(key=lambda piece: position(piece.text))
    whole = assembled(setting, pieces)
    return Sample(whole.text, whole.spans)


GREETING = re.compile(
    r"(Dear|Hello|Hi|Sehr|Liebe|Ch[eè]re?|Bonjour|Estimad|Hola|Gentile|Ciao|Geachte|Beste|Prezado"
    r"|Ol[aá]|Exma).*[,:]"
)
CLOSING = re.compile(
    r"(Kind |Best|Thanks|Cheers|Sincerely|Mit freundl|Viele Gr|Cordial|Bien à|Un saludo"
    r"|Atentamente|A presto|Met vriend|Groetjes|Com os mel|Abraço|--)[^.]*",
    re.DOTALL,
)


def position(text: str) -> int:
    """0 for a greeting, 2 for a closing, 1 for anything between."""
    if GREETING.fullmatch(text):
        return 0
    return 2 if CLOSING.fullmatch(text) else 1


def generate(rows: int, seed: int) -> list[Sample]:
    """`rows` samples, the same for the same seed."""
    rng = random.Random(seed)
    samples = [row(rng) for _ in range(rows)]
    for sample in samples:
        for start, end, kind in sample.spans:
            value = sample.text[start:end]
            assert kind in KINDS
            assert value == value.strip() != "", (kind, value)
        ends = [end for _, end, _ in sample.spans]
        assert all(start >= end for (start, *_), end in zip(sample.spans[1:], ends, strict=False))
    return samples


def main(rows: int, seed: int) -> None:
    """Print counts per kind and five samples of each."""
    began = time.perf_counter()
    samples = generate(rows, seed)
    print(f"{rows} rows in {time.perf_counter() - began:.1f} s")
    counts = Counter(kind for sample in samples for *_, kind in sample.spans)
    with_spans = sum(bool(sample.spans) for sample in samples)
    words = sorted(len(sample.text.split()) for sample in samples)
    print(f"with spans {with_spans}, words median {words[rows // 2]}, largest {words[-1]}")
    print("spans per row", sorted(Counter(len(sample.spans) for sample in samples).items()))
    seen: dict[str, list[str]] = defaultdict(list)
    for text, spans in samples:
        for start, end, kind in spans:
            before, after = text[max(0, start - 30) : start], text[end : end + 20]
            seen[kind].append(f"{before}⟦{text[start:end]}⟧{after}")
    for kind in KINDS:
        print(f"{kind}: {counts[kind]}")
        for around in random.Random(seed).sample(seen[kind], min(5, counts[kind])):
            print(f"    {around!r}")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3] or ("2000", "7")))
