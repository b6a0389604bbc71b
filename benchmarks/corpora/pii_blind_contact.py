"""People, e-mail addresses, telephone numbers and postal addresses.

In: the state of one text. Out: pieces with the planted value. Telephone numbers are valid by
libphonenumber; e-mail addresses follow RFC 5321, 5322 and 6531; postal addresses each country's
own addressing guide.
"""

import re
import unicodedata
from functools import cache
from random import Random
from typing import Any

import phonenumbers

from benchmarks.corpora.pii_blind_draw import Pieces, State, load

_PEOPLE = load("pii_blind_people.toml")
_PHONES = load("pii_blind_phones.toml")
_PLACES = load("pii_blind_places.toml")
_HOSTS = [
    *("gmail.com", "outlook.com", "yahoo.co.uk", "icloud.com", "proton.me", "hotmail.com"),
    *("fastmail.com", "aol.com", "gmx.net", "web.de", "orange.fr", "libero.it", "uol.com.br"),
]
_STEMS = [
    *(
        "northgate",
        "kestrel-labs",
        "brightwater",
        "ostermann",
        "casaverde",
        "tallpines",
        "velomart",
    ),
    *("quayside", "lumenworks", "hafenkontor", "bluefin", "silverbirch", "montclair", "redoak"),
]
_ENDINGS = [
    *("com", "org", "net", "io", "dev", "co.uk", "de", "fr", "es", "it", "nl", "com.br", "ch"),
    *("photography", "solutions", "berlin", "xyz", "museum", "technology", "ai", "app", "edu.au"),
]
_IDN = ["bücherwurm-köln.de", "café-médina.fr", "señal.es", "smørrebrød.dk", "żółw.pl"]
_PUNYCODE = ["xn--bcher-kva.de", "xn--mgbh0fb.com", "xn--caf-dma.fr"]
# Kept for drama and manuals by NANPA (and 555), Ofcom (and 4960), ACMA, ARCEP, the BNetzA and PTS.
_FICTION = (
    *("2079460", "7700900", "491570", "63998", "3023125", "8999998", "4066969"),
    *("1713920", "2214710", "701740"),
)
_SUBS = ["mail", "eng", "hr", "dept.physics", "eu-west", "students", "lists"]


def _ascii(word: str) -> str:
    plain = unicodedata.normalize("NFKD", word).replace("ø", "o").replace("Ø", "O")
    return re.sub(r"[^A-Za-z]", "", plain).lower()


def new_person(state: State) -> tuple[str, str]:
    """A given and a family name, of an origin at home in the language of the text."""
    rng = state.rng
    home = [group for group in _PEOPLE.values() for lang in group["langs"] if lang == state.lang]
    group = rng.choice(home if rng.random() < 0.85 else list(_PEOPLE.values()))
    state.person = rng.choice(group["given"]), rng.choice(group["family"])
    return state.person


def name(state: State, variant: str) -> Pieces:
    """A name: full (the default), `first`, `last`, `sorted`, `upper`, `initial` or `same`."""
    rng = state.rng
    if variant == "same" and state.person:
        return [(" ".join(state.person), "name")]
    given, family = new_person(state)
    whole = f"{given} {family}"
    if variant in ("first", "last"):
        whole = given if variant == "first" else family
    elif variant == "sorted":
        whole = f"{family}, {given}"
    elif variant == "upper":
        whole = whole.upper()
    elif variant == "initial":
        whole = f"{given[0]}. {family}"
    elif state.lang == "en" and rng.random() < 0.12:
        whole = f"{given} {rng.choice('ABCDEFGHJKLMRST')}. {family}"
    return [(whole, "name")]


def _local(rng: Random, given: str, family: str) -> str:
    first, last = _ascii(given) or "kim", _ascii(family) or "lee"
    year, digit = rng.randrange(60, 100), rng.randrange(1, 1000)
    form = rng.random()
    if form < 0.72:
        plain = [f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}", f"{first}{year}"]
        plain += [f"{last}.{first}", f"{first[0]}.{last}", f"{first}-{last}", f"{last}{digit}"]
        return rng.choice(plain)
    if form < 0.86:
        tag = rng.choice(["newsletter", "bank", "2024", "gh-issues", "shop.de"])
        return f"{first}.{last}+{tag}"
    odd = [f"{first[0]}'{last}", f"{first}&{last}", f"{first}.{last}.{digit}", f"_{first}_", "q"]
    odd += [f"{first}={digit}", f"{first}/{last}", f"{last}%home", f"{first}!{digit}", f"{digit}"]
    return rng.choice(odd)


def email(state: State, variant: str) -> Pieces:
    """An e-mail address; `plain` leaves out forms with spaces; `spelled` asks for one."""
    rng = state.rng
    known = state.person if state.person and rng.random() < 0.7 else None
    given, family = known or new_person(State(rng, state.lang))
    local, host = _local(rng, given, family), rng.choice(_HOSTS)
    if rng.random() < 0.6:
        host = f"{rng.choice(_STEMS)}.{rng.choice(_ENDINGS)}"
        if rng.random() < 0.25:
            host = f"{rng.choice(_SUBS)}.{host}"
    if variant == "spelled" or (not variant and rng.random() < 0.05):
        marks = [(" [at] ", " [dot] "), ("(at)", "(dot)"), (" AT ", " DOT "), (" at ", " dot ")]
        marks += [(" (at) ", "."), ("[at]", "."), (" {at} ", " {dot} ")]
        at, dot = rng.choice(marks)
        return [(f"{_ascii(given)}{at}{host.replace('.', dot)}", "email")]
    special = rng.random()
    if special < 0.05:
        host = rng.choice(_IDN)
        if rng.random() < 0.5:
            local = re.sub(r"\s", "", given).lower()
    elif special < 0.07:
        host = rng.choice(_PUNYCODE)
    elif special < 0.10 and variant != "plain":
        local = f'"{given.lower()} {rng.choice(["x", "work", family.lower()])}"'
    elif special < 0.15:
        local, host = local.upper(), host.upper()
    elif special < 0.20:
        local = local.title()
    address = f"{local}@{host}"
    if variant or rng.random() < 0.85:
        return [(address, "email")]
    before, after = rng.choice([("<", ">"), ("mailto:", ""), ("(", ")"), ("`", "`")])
    return [(before, None), (address, "email"), (after, None)]


def _fill(rng: Random, pattern: str) -> str:
    def one(found: re.Match[str]) -> str:
        return rng.choice("0123456789" if found[0] == "#" else "23456789")

    return re.sub("[#N]", one, pattern)


def _lay_out(form: str, area: str, rest: str) -> str:
    place = 0

    def take(found: re.Match[str]) -> str:
        nonlocal place
        if found[1] == "a":
            return area
        if found[1] == "g":
            return f"{rest[:-4]} {rest[-4:]}" if len(rest) > 6 else f"{rest[:3]} {rest[3:]}"
        size = {"r": len(rest) - place, "k": len(rest) - 4}.get(found[1]) or int(found[1])
        place += size
        return rest[place - size : place]

    return re.sub(r"\{([argk\d])\}", take, form)


@cache
def _regions(lang: str) -> list[str]:
    return [region for region, plan in _PHONES.items() if lang in plan["langs"]]


def _number(rng: Random, region: str) -> tuple[dict[str, Any], str, str]:
    """A valid number of the region that no authority keeps for fiction."""
    plan = _PHONES[region]
    while True:
        area, rest = _fill(rng, rng.choice(plan["numbers"])).split("/")
        fictional = (area + rest).startswith(_FICTION) or rest.startswith(("555", "4960"))
        trunk = f"+{plan['cc']}{area}{rest}"
        if not fictional and phonenumbers.is_valid_number(phonenumbers.parse(trunk)):
            return plan, area, rest


def phone(state: State, variant: str) -> Pieces:
    """A telephone number; `intl` for one with a plus sign, which needs no word near it."""
    rng = state.rng
    home = _regions(state.lang)
    international = variant == "intl" or rng.random() < 0.35
    abroad = not home or rng.random() < (0.4 if international else 0.15)
    plan, area, rest = _number(rng, rng.choice(list(_PHONES) if abroad else home))
    forms = plan["international" if international else "national"]
    if variant == "intl":
        forms = [form for form in forms if form.startswith("+")]
    text = _lay_out(rng.choice(forms), area, rest)
    if not international and "regroup" in plan and rng.random() < 0.8:
        text = _lay_out(rng.choice(plan["regroup"]), "", text)
    if international and not variant and rng.random() < 0.12:
        visual = rng.choice(["-", ".", ""])
        body = visual.join(part for part in (area, rest[:3], rest[3:]) if part)
        return [("tel:", None), (f"+{plan['cc']}{visual}{body}", "phone")]
    if plan.get("extension") and not variant and rng.random() < 0.1:
        text += rng.choice([" ext. {}", " x{}", " ext {}", ", ext. {}", " extension {}"]).format(
            rng.randrange(100, 9999)
        )
    if " " in text and rng.random() < 0.03:
        text = text.replace(" ", "\u00a0")
    return [(text, "phone")]


def _post_code(rng: Random, pattern: str) -> str:
    head, gap, tail = pattern.rpartition(" ")
    letters = "ABDEFGHJLNPQRSTUWXYZ" if gap else ""
    tail = "".join(rng.choice(letters) if c == "A" and letters else c for c in tail)
    return _fill(rng, (head + gap + tail).replace("N", "\0")).replace("\0", "N")


def address(state: State, variant: str) -> Pieces:
    """A postal address: one line, a `block` of lines, or a line in `upper` case."""
    rng = state.rng
    home = [land for land, plan in _PLACES.items() if state.lang in plan["langs"]]
    if state.lang == "en":
        home += ["US", "US", "GB"]
    land = rng.choice(home if rng.random() < 0.85 else list(_PLACES))
    plan = _PLACES[land]
    town, region, code = rng.choice(plan["towns"]).split(", ")
    number = rng.choice([rng.randrange(1, 100), rng.randrange(1, 300), rng.randrange(100, 9999)])
    if land not in ("US", "CA"):
        number = number % 180 + 1
    form = rng.choice(plan["forms"])
    if "Box" in form or "Post" in form:
        number += 100
    filled = form.format(
        n=number, s=rng.choice(plan["streets"]), u=rng.choice(plan["units"]), c=town, st=region,
        z=_post_code(rng, code), p=f"{rng.randrange(1000, 9999)}",
    )  # fmt: skip
    lines = [line for line in filled.replace(" ()", "").split("|") if line.strip()]
    block = variant == "block"
    if variant == "upper":
        return [(", ".join(lines).upper(), "address")]
    return [(("\n" if block else ", ").join(lines), "address")]
