"""Persons' names, email addresses, phone numbers and postal addresses for the unseen corpus.

In: a random generator and a country. Out: strings. Email follows RFC 5321, 5322 and 6531; phones
the national plans (each number is checked with the phonenumbers package); addresses the posts'
rules.
"""

import unicodedata
from functools import cache
from typing import NamedTuple

from benchmarks.corpora.pii_unseen_draw import Rng, chance, digits, fill, grouped, text, vocabulary

HOME_CULTURES = {
    "US": ["english", "spanish", "english", "irish"], "GB": ["english", "english", "pakistani"],
    "CA": ["english", "french"], "AU": ["english", "greek"], "IE": ["irish"], "IN": ["indian"],
    "ZA": ["southern_african", "english"], "DE": ["german", "turkish", "german"], "AT": ["german"],
    "CH": ["german", "french", "italian"], "FR": ["french", "arabic", "french"], "BE": ["dutch"],
    "ES": ["spanish"], "MX": ["spanish"], "IT": ["italian"], "NL": ["dutch"], "PT": ["portuguese"],
    "BR": ["portuguese", "japanese"], "JP": ["japanese"], "PL": ["polish"], "SE": ["swedish"],
}  # fmt: skip
ADDRESS_FALLBACK = {"IE": "GB", "IN": "GB", "ZA": "AU", "BE": "FR", "MX": "ES", "JP": "US"}


class Person(NamedTuple):
    """A person: given and family name, and how the culture orders and writes them."""

    given: str
    family: str
    order: str
    romanised: bool


@cache
def cultures() -> tuple[list[str], list[str]]:
    """The names of the cultures written in Latin letters, and of those in their own script."""
    names = vocabulary("names")
    own = [name for name, entry in names.items() if not entry.get("romanised", True)]
    return [name for name in names if name not in own], own


def person(rng: Rng, country: str) -> Person:
    """A person, more often of the country's main cultures; 3% in a script of their own."""
    latin, own = cultures()
    if chance(rng, 0.03):
        culture = rng.choice(own)
    elif country in HOME_CULTURES and chance(rng, 0.5):
        culture = rng.choice(HOME_CULTURES[country])
    else:
        culture = rng.choice(latin)
    entry = vocabulary("names")[culture]
    return Person(
        rng.choice(entry["given"]),
        rng.choice(entry["family"]),
        entry.get("order", "western"),
        entry.get("romanised", True),
    )


def ordered(who: Person, given: str, family: str) -> str:
    """Given and family name in the culture's order."""
    if who.order == "joined":
        return family + given
    return f"{family} {given}" if who.order == "eastern" else f"{given} {family}"


def name(rng: Rng, who: Person, form: str, country: str) -> str:
    """The person's name. Forms: full, form, given, family, other, safe (see carriers)."""
    given, family = who.given, who.family
    if form == "given":
        return given
    if form == "family":
        return family
    full = ordered(who, given, family)
    if not who.romanised or form == "safe":
        return full.replace("'", "").replace("’", "") if form == "safe" else full
    if form == "other":
        return full.lower() if chance(rng, 0.7) else full.upper()
    styles = ["plain", "middle", "initial", "second", "capitals", "suffix", "double", "dots"]
    style = rng.choices(styles, [64, 8, 5, 6, 4, 2, 5, 2])[0]
    if form == "form" and chance(rng, 0.25):
        style = rng.choice(["comma", "upper", "comma_upper", "comma_initial"])
    letter = rng.choice("ABCDEFGHJKLMNPRSTW")
    other = person(rng, country)
    if not other.romanised:
        other = who
    match style:
        case "middle":
            return ordered(who, f"{given} {letter}.", family)
        case "initial":
            return f"{given[0]}. {family}"
        case "dots":
            return f"{given[0]}.{letter}. {family}"
        case "second":
            return ordered(who, f"{given} {other.given}", family)
        case "capitals":
            return ordered(who, given, family.upper())
        case "suffix":
            return ordered(who, given, family) + rng.choice([" Jr.", " III", " Sr."])
        case "double":
            return ordered(who, given, f"{family}-{other.family}")
        case "comma":
            return f"{family}, {given}"
        case "upper":
            return full.upper()
        case "comma_upper":
            return f"{family.upper()}, {given.upper()}"
        case "comma_initial":
            return f"{family}, {given} {letter}."
        case _:
            return full


EMAIL_LABELS = [
    "gmail", "outlook", "proton", "fastmail", "northpeak", "bluewave", "kestrel-labs", "ironbridge",
    "greenfield", "3dprintworks", "stadtwerke-ost", "maple-clinic", "uni-heidelhof", "orchard",
    "bakerandsons", "cloudnine", "lumen8", "quickfix24", "hotel-adria", "tax-advice",
]  # fmt: skip
EMAIL_SUBDOMAINS = ["mail", "hr", "dept.physics", "eu-west", "lists", "it", "x1", "students"]
EMAIL_TLDS = [
    "com", "com", "com", "org", "net", "de", "co.uk", "fr", "io", "ac.uk", "edu", "com.br", "nl",
    "it", "es", "gov.au", "museum", "photography", "technology", "cloud", "dev", "app", "xyz",
    "berlin", "amsterdam", "travel", "health", "bank", "email", "ai", "co.jp", "swiss", "cat",
]  # fmt: skip
IDN_DOMAINS = [
    "bücher-köln.de", "café-lumière.fr", "señor-taco.mx", "blåbærhuset.no", "żółw.pl", "почта.рф",
    "straßenbahn.wien", "пошта.укр", "电子邮件.中国", "メール.jp", "smörgås.se", "δοκιμές.gr",
]  # fmt: skip
ROLE_LOCALS = ["info", "billing", "no-reply", "hr", "postmaster", "sales.emea", "a", "kontakt"]
ATOM_SPECIALS = "!#$%&'*+/=?^_`{|}~-"
UNICODE_LOCALS = ["jörg", "用户", "почта", "δοκιμή", "andré.muñoz", "संपर्क", "łukasz", "björn.åk"]


def plain_ascii(value: str) -> str:
    """The letters of the value as ASCII, lower case: ø and others by hand, accents dropped."""
    for char, plain in {"ß": "ss", "ø": "o", "ł": "l", "ı": "i", "đ": "d", "þ": "th"}.items():
        value = value.lower().replace(char, plain)
    parts = unicodedata.normalize("NFKD", value)
    return "".join(char for char in parts if char.isascii() and (char.isalnum() or char in " -"))


def local_part(rng: Rng, who: Person) -> str:
    """What people have before the @: names, initials, roles, tags."""
    given = plain_ascii(who.given).replace(" ", "") or text(rng, "bcdfgklmnprst", 6)
    family = plain_ascii(who.family).replace(" ", "") or text(rng, "aeioubdgklmnprst", 7)
    n = rng.randint(1, 2009)
    forms = [
        f"{given}.{family}", f"{given[0]}{family}", f"{given}_{family}", f"{family}{n}",
        f"{given}-{family}", f"{family}.{given[0]}", f"{given}{n}", f"{given[0]}.{family}",
        rng.choice(ROLE_LOCALS),
        f"{given}.{family}+{rng.choice(['news', 'shop', 'amazon', 'test-1'])}", f"{n}{given}",
        f"{given.title()}.{family.title()}", f"x.{given}_{n}", f"__{given}__", f"{n}",
    ]  # fmt: skip
    return rng.choices(forms, [14, 12, 6, 8, 4, 4, 8, 8, 8, 8, 2, 6, 2, 1, 2])[0]


def domain(rng: Rng) -> str:
    """A domain with now and then a subdomain, a new top-level domain or punycode."""
    if chance(rng, 0.03):
        return rng.choice(IDN_DOMAINS).encode("idna").decode("ascii")
    label = rng.choice(EMAIL_LABELS)
    label = label if chance(rng, 0.7) else f"{label}{rng.choice(['', '-', ''])}{rng.randint(1, 99)}"
    sub = f"{rng.choice(EMAIL_SUBDOMAINS)}." if chance(rng, 0.2) else ""
    return f"{sub}{label}.{rng.choice(EMAIL_TLDS)}"


def email(rng: Rng, who: Person, form: str) -> tuple[str, str, str]:
    """An address as (before, address, after); form "plain" is one ASCII token, unwrapped."""
    local, host = local_part(rng, who), domain(rng)
    if form == "plain":
        value = f"{local}@{host}"
        return "", value.upper() if chance(rng, 0.03) else value, ""
    styles = ["usual", "angle", "mailto", "upper", "atom", "quoted", "idn", "unicode", "brackets"]
    style = rng.choices([*styles, "at"], [46, 7, 5, 5, 9, 5, 6, 3, 9, 5])[0]
    words = host.replace(".", " dot ")
    match style:
        case "angle":
            return "<", f"{local}@{host}", ">"
        case "mailto":
            return "mailto:", f"{local}@{host}", ""
        case "upper":
            return "", f"{local}@{host}".upper(), ""
        case "atom":
            special = rng.choice(ATOM_SPECIALS)
            place = rng.randint(1, len(local) - 1) if len(local) > 2 else 1
            return "", f"{local[:place]}{special}{local[place:]}@{host}", ""
        case "quoted":
            inner = rng.choice(
                [local.replace(".", " "), f"{local}..x", f"{local}@home", f".{local}"]
            )
            return "", f'"{inner}"@{host}', ""
        case "idn":
            return "", f"{local}@{rng.choice(IDN_DOMAINS)}", ""
        case "unicode":
            chosen = rng.choice([host, rng.choice(IDN_DOMAINS)])
            return "", f"{rng.choice(UNICODE_LOCALS)}@{chosen}", ""
        case "brackets":
            left, right = rng.choice([("[", "]"), ("(", ")"), ("{", "}")])
            dotted = host.replace(".", f" {left}dot{right} ")
            spelled = f"{local} {left}at{right} {rng.choice([dotted, dotted, host])}"
            return "", spelled if chance(rng, 0.8) else spelled.replace(" ", ""), ""
        case "at":
            return (
                "",
                f"{local} AT {rng.choice([words, words.replace(' dot ', ' DOT '), host])}",
                "",
            )
        case _:
            return "", f"{local}@{host}", ""


def phone(rng: Rng, country: str, form: str) -> str:
    """A valid number of the country. Forms: "", intl (with + and country code), uri."""
    import phonenumbers

    plans = vocabulary("phones")
    if country not in plans or chance(rng, 0.15):
        country = rng.choice(list(plans))
    plan = plans[country]
    while True:
        area, rest = rng.choice(plan["plan"]).split()
        area = "".join(rng.choice("0123456789") if char == "#" else char for char in area)
        subscriber = fill(rng, rest if "#" in rest else "#" * int(rest))
        code = int(plan["code"])
        parsed = phonenumbers.parse(f"+{code}{area}{subscriber}", None)
        # Reserved for fiction, so nobody's: 555-01xx (NANPA), 7946 0xxx and 496 0xxx (Ofcom).
        fiction = subscriber.startswith(("555", "7946", "4960"))
        if phonenumbers.is_valid_number(parsed) and not fiction:
            break
    if form == "uri":
        tail = f";ext={rng.randint(10, 999)}" if chance(rng, 0.2) else ""
        joined = rng.choice([f"{area}{subscriber}", f"-{area}-{grouped(subscriber, [3, 4], '-')}"])
        return f"+{code}{joined}{tail}"
    national = form != "intl" and chance(rng, 0.6)
    sizes = [int(size) for size in rng.choice(plan["groups"][str(len(subscriber))]).split()]
    formats = plan["national" if national else "international"]
    if form == "intl":
        formats = [line for line in formats if "+" in line]
    written: str = rng.choice(formats).format(
        a=area,
        s=subscriber,
        g=grouped(subscriber, sizes, " "),
        h=grouped(subscriber, sizes, "-"),
        d=grouped(subscriber, sizes, "."),
        t="" if area in {"1800", "1300"} else "0",
    )
    if chance(rng, 0.07):
        written += rng.choice([" ext. {}", " x{}", " ext {}", ", ext. {}", " extension {}"]).format(
            rng.randint(10, 9999)
        )
    if chance(rng, 0.05):
        written = written.replace(" ", rng.choice(["\u00a0", "\u00a0", "\u202f"]))
    elif chance(rng, 0.02):
        written = written.replace("-", rng.choice(["\u2011", "\u2013"]))
    return written


def address(rng: Rng, country: str, form: str) -> str:
    """A postal address of the country; form "line" is on one line."""
    places = vocabulary("places")
    country = ADDRESS_FALLBACK.get(country, country)
    if country not in places or chance(rng, 0.15):
        country = rng.choice(list(places))
    entry = places[country]
    city, *states, code = rng.choice(entry["cities"]).split("|")
    state = states[0] if states else ""
    unit = rng.choice(entry["units"]) if chance(rng, entry["unit_share"]) else ""
    formats = entry["formats"]
    if form == "line":
        formats = [line for line in formats if "\n" not in line]
        unit = unit.replace("\n", " ")
    written: str = rng.choice(formats).format(
        no=fill(rng, rng.choice(entry["numbers"])),
        street=rng.choice(entry["streets"]),
        unit=unit,
        city=city,
        CITY=city.upper(),
        state=state,
        state_nl=f"{state}\n" if state else "",
        fullstate=states[1] if len(states) > 1 else state,
        zip=fill(rng, code),
        country=rng.choice(entry["countries"]),
        district=rng.choice(entry.get("districts", [""])),
        box=str(rng.randint(2, 9999)),
        n=rng.randint(1, 12),
    )
    if country == "US" and chance(rng, 0.1) and written[-5:].isdigit():
        written += f"-{digits(rng, 4)}"
    if chance(rng, 0.04):
        written = written.upper()
    elif chance(rng, 0.03):
        written = written.lower()
    return written
