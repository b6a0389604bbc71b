"""Personal data and secrets in the formats that the rules were written with, and clean texts.

`generate` gives dense texts: a chat message of some 60 to 150 words with one to three planted spans
and, in half of them, hard negatives that only look like one. `clean` gives texts without any, with
the numbers, capitals and punctuation that prose has. All persons, numbers and keys are random.
"""

import random
import string
from collections.abc import Callable
from typing import NamedTuple

from corpora import Sample

GIVEN = ("Anna", "Omar", "Zoë", "Lukas", "Priya", "Mateo", "Ingrid", "Chen", "Amara", "Jean-Luc",
         "Søren", "Ewa", "Kenji", "Fatima", "Liam", "Nora")  # fmt: skip
FAMILY = ("Kowalski", "van der Berg", "O'Brian", "García", "Lindqvist", "Haddad", "Nakamura",
          "Fernandes", "Müller", "Okafor", "Rossi", "Novák", "Tan", "Papadakis")  # fmt: skip
PROSE = (
    "The parcel came two days late and one of the poles was bent, so I would like to return it.",
    "We tested the new release on 3 machines and it ran 12.5% faster than the one from 2019.",
    "Could you explain how photosynthesis works in about 200 words for a class of children?",
    "She said the train leaves at 10:45, arrives at 14:02 and costs $39.50 in second class.",
    "In 1969 the first people walked on the Moon; the mission took 8 days and 3 hours.",
    "Please summarise the report in 5 points and keep every figure, such as 1,234,567 users.",
    "The recipe needs 250 g of flour, 3 eggs, 1/2 cup of milk and a pinch of salt.",
    "Our team at the office in Springfield meets every Tuesday from 9 to 10 to plan the week.",
    "To solve 3x + 7 = 22, subtract 7 from both sides and divide by 3, which gives x = 5.",
    "The museum on the old square opens at nine and the tower has a lovely view of the river.",
    "I think the best way to learn is to write a little every day and to read it aloud.",
    "def area(r): return 3.14159 * r ** 2  # the radius is in metres",
    "Many thanks for your help with the settings of my router, it works like a charm now.",
    "The company was founded by three friends and went public in the spring of 2004.",
)
NEGATIVES = (
    "The build id is 20240117.3 and the epoch was 1700000000.",
    "Order number 4000123412341235 was sent with tracking id 1Z999AA10123456784.",
    "It runs version 10.2.3.4 of the driver on 127.0.0.1:8080.",
    "Clone git@github.com:acme/tools.git and open logo@2x.png.",
    "The sha256 is 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08.",
    "Put your key here: AKIAIOSFODNN7EXAMPLE, or password=changeme.",
    "GB82 WEST 1234 5698 7654 33 is not valid, nor is 4929 1234 5678 9011.",
    "Write to user@example.com as the manual says.",
    "The uuid is 550e8400-e29b-41d4-a716-446655440000 and pi is 3.14159265358979.",
    "ISBN 978-3-16-148410-0 costs 1.299,00 EUR or 12 345 678 points.",
    "The netmask is 255.255.255.0 and the mac 00:1A:2B:3C:4D:5E.",
    "My name is not important, and the password is required.",
    "At 12:30:45 on 2024-05-06 we saw 36.7783, -119.4179 on the map.",
    "export TOKEN=${CI_TOKEN} and api_key = os.environ['API_KEY']",
    "Sold at booking dot com, 5 of 7 people look at page 12 345.",
)


class Maker(NamedTuple):
    """A kind, sentences that hold it, and what writes a value."""

    kind: str
    sentences: tuple[str, ...]
    write: Callable[[random.Random], str]


def _digits(r: random.Random, n: int, first: str = "123456789") -> str:
    return r.choice(first) + "".join(r.choices(string.digits, k=n - 1))


def _fill(r: random.Random, shape: str) -> str:
    """# a digit, % one from 2 to 9, $ a capital, * letter or digit, ~ hex, ^ capital or digit."""
    kinds = {
        "#": string.digits,
        "%": "23456789",
        "$": string.ascii_uppercase,
        "*": string.ascii_letters + string.digits,
        "~": "0123456789abcdef",
        "^": string.ascii_uppercase + string.digits,
    }
    return "".join(r.choice(kinds[c]) if c in kinds else c for c in shape)


def _luhn(body: str) -> str:
    total = 0
    for i, digit in enumerate(reversed(body)):
        n = int(digit) * (2 - i % 2)
        total += n - 9 if n > 9 else n
    return body + str(-total % 10)


def _grouped(digits: str, sizes: tuple[int, ...], separator: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return separator.join(part for part in parts if part)


def email(r: random.Random) -> str:
    """Dot-atoms, tags, quoted local parts, other alphabets, and ones spelled out."""
    given, family = r.choice(("anna", "omar", "li", "m.garcia")), r.choice(("kowalski", "haddad"))
    host = r.choice(("mail-host.co.uk", "shop.test", "letters.io", "uni-bonn.de", "fernmail.org"))
    name, _, last = host.rpartition(".")
    return r.choice((
        f"{given}.{family}{r.randint(1, 99)}@{host}", f"{given}+news@{host}",
        f"{given}_{family}@mail.{host}", f'"{given} {family}"@{host}', f"{given}.müller@bücher.de",
        f"{given}.{family} (at) {name.replace('.', ' (dot) ')} (dot) {last}",
        f"{given}.{family}[at]{host.replace('.', '[dot]')}",
    ))  # fmt: skip


def phone(r: random.Random) -> str:
    """E.164 and national forms of some fifteen plans."""
    return _fill(r, r.choice((
        "+1 (41%) 555-01##", "(20%) 55%-####", "20%-55%-####", "+44 20 794# ####", "07700 900###",
        "020 7946 0###", "+49 30 9018####", "0151 2345####", "+33 1 4# ## ## ##", "06 1# ## ## ##",
        "+34 61# ## ## ##", "+39 06 698# ####", "+31 20 62# ####", "+61 4## ### ###",
        "0412 ### ###", "+91 98### #####", "+81 3-3###-####", "+55 11 98###-####",
        "+46 70 123 ## ##", "+48 60# ### ###", "+41 44 668 ## ##", "0049 30 9018####",
    )))  # fmt: skip


def card(r: random.Random) -> str:
    """Numbers of five networks, bare or in printed groups."""
    first, size, groups = r.choice((
        ("4", 16, (4, 4, 4, 4)), ("53", 16, (4, 4, 4, 4)), ("2345", 16, (4, 4, 4, 4)),
        ("34", 15, (4, 6, 5)), ("37", 15, (4, 6, 5)), ("36", 14, (4, 6, 4)),
        ("6011", 16, (4, 4, 4, 4)), ("3540", 16, (4, 4, 4, 4)), ("6212", 19, (4, 4, 4, 4, 3)),
    ))  # fmt: skip
    number = _luhn(first + "".join(r.choices(string.digits, k=size - len(first) - 1)))
    return _grouped(number, groups, r.choice(("", " ", "-", ".", " ")))


def iban(r: random.Random) -> str:
    """Eight countries' structures, in fours, bare, lower case or odd groups."""
    country, shape = r.choice((
        ("DE", "#" * 18), ("GB", "$$$$" + "#" * 14), ("FR", "#" * 10 + "^" * 11 + "##"),
        ("NL", "$$$$" + "#" * 10), ("ES", "#" * 20), ("IT", "$" + "#" * 10 + "^" * 12),
        ("NO", "#" * 11), ("MT", "$$$$#####" + "^" * 18), ("CH", "#####" + "^" * 12),
    ))  # fmt: skip
    bban = _fill(r, shape)
    number = int("".join(str(int(c, 36)) for c in bban + country + "00"))
    whole = f"{country}{98 - number % 97:02d}{bban}"
    size, separator = r.choice(((4, " "), (40, ""), (4, "-"), (5, " "), (2, " ")))
    text = separator.join(whole[i : i + size] for i in range(0, len(whole), size))
    return text.lower() if r.random() < 0.2 else text


def ip(r: random.Random) -> str:
    """Dotted quads and IPv6, plain, with a prefix, mapped, with a zone."""
    h = [f"{r.randrange(1, 65536):x}" for _ in range(8)]
    quad = f"{r.randint(51, 120)}.{r.randint(0, 255)}.{r.randint(40, 255)}.{r.randint(1, 254)}"
    return r.choice((quad, quad, quad, f"{quad}/24", f"2a02:{':'.join(h[1:])}",
                     f"2a02:{h[1]}::{h[2]}",
                     f"::ffff:{quad}", f"fe80::{h[0]}:{h[1]}%eth0"))  # fmt: skip


def national_id(r: random.Random) -> str:
    """Ids of twelve countries with their words, check digits right."""
    import importlib

    words, shape, rule = r.choice((
        ("SSN", "5##-4#-1###", "us.ssn"), ("NHS number", "%%# ### ####", "gb.nhs"),
        ("SIN", "%%# ### ###", "ca.sin"), ("TFN", "### ### ###", "au.tfn"),
        ("PESEL", "8#051#####1", "pl.pesel"), ("DNI", "########$", "es.dni"),
        ("BSN", "1########", "nl.bsn"), ("CPF", "###.###.###-##", "br.cpf"),
        ("Aadhaar", "%%## #### ####", "in_.aadhaar"), ("AHV", "756.####.####.##", "ch.ssn"),
        ("codice fiscale", "RSSMRA8#T1#A56#$", "it.codicefiscale"),
        ("RUT", "1#.###.###-#", "cl.rut"),
    ))  # fmt: skip
    check = importlib.import_module(f"stdnum.{rule}").is_valid
    while not check(value := _fill(r, shape)):
        pass
    return f"{words}\0{value}"


def address(r: random.Random) -> str:
    """Street lines with their towns, as some thirty countries write them."""
    n = r.randint(2, 98)
    return r.choice((
        f"{n}4 Evergreen Terrace, Springfield, IL 62704", f"{n} N Main St Apt 4B, Austin, TX 78701",
        f"{n} Baker Street, London NW1 6XE", f"P.O. Box {n}12, Boise, ID 83701",
        f"Flat 3, {n} Abbey Road, London NW8 9AY", f"{n} Maple Ave, Toronto, ON M5V 2T6",
        f"Unit 5/{n} George St, Sydney NSW 2000", f"Musterstraße {n}, 10115 Berlin",
        f"Goethestr. {n}a, 60313 Frankfurt am Main", f"{n} rue de la Paix, 75002 Paris",
        f"{n} bis avenue Victor Hugo, 69003 Lyon", f"Calle Mayor {n}, 28013 Madrid",
        f"C/ Gran Vía, {n}, 3º B, 28013 Madrid", f"Via Roma {n}, 00184 Roma (RM)",
        f"Piazza del Duomo, {n}, 20121 Milano MI", f"Keizersgracht {n}, 1015 CJ Amsterdam",
        f"ul. Marszałkowska {n}/12, 00-590 Warszawa", f"Rua Augusta, {n}, 1100-053 Lisboa",
        f"Drottninggatan {n}, 111 60 Stockholm", f"Nørregade {n}, 1165 København K",
        f"Karl Johans gate {n}, 0154 Oslo", f"Bahnhofstrasse {n}, 8001 Zürich",
        f"Václavské náměstí {n}, 110 00 Praha 1", f"Mannerheimintie {n}, 00100 Helsinki",
        f"{n} West 23rd Street\nApt 12B\nNew York, NY 10011\nUSA",
        f"The Old Mill, {n} Church Lane, Cheltenham GL54 2JF, United Kingdom",
        f"{n} rue de la Paix, Bâtiment B, 75002 Paris Cedex 02, France",
        f"Rue de la Loi {n}, boîte 3, 1000 Bruxelles", f"Keizersgracht {n}-II, 1015 CJ Amsterdam",
        f"Meir {n} bus 3, 2000 Antwerpen, België", f"Mariahilfer Straße {n}/2/11, 1060 Wien",
        f"Nørregade {n}, 3. tv., 1165 København K", f"Andrássy út {n}, 1061 Budapest",
        f"Atatürk Cad. No: {n} D: 5, 34710 Kadıköy/İstanbul, Türkiye",
        f"Flat No. {n}, Sunshine Apartments, MG Road, Pune - 411001",
        f"Blk {n} Ang Mo Kio Avenue 3 #12-34, Singapore 560123",
        f"Av. Insurgentes Sur {n}, Col. Del Valle, 03100 Ciudad de México, CDMX, México",
        f"Carrera 7 # 12-{n}, Bogotá 110311, Colombia", f"{n} Long Street, Cape Town, 8001",
        f"Herzl Street {n}, Tel Aviv 6423806, Israel", f"P.O. Box 1{n}, Nairobi 00100, Kenya",
        f"{n} Adeola Odeku Street, Victoria Island, Lagos, Nigeria",
        f"Av. Paulista, {n} - Bela Vista, São Paulo - SP, 01310-200",
        f"{n} Queen's Road Central, Central, Hong Kong", f"{n} Willis Street, Wellington 6011",
    ))  # fmt: skip


def name(r: random.Random) -> str:
    """A first and a last name."""
    return f"{r.choice(GIVEN)} {r.choice(FAMILY)}"


def secret(r: random.Random) -> str:
    """Vendors' key shapes and passwords."""
    return _fill(r, r.choice((
        "AKIA" + "^" * 16, "ghp_" + "*" * 36, "glpat-" + "*" * 20, "hf_" + "*" * 34,
        "sk-ant-api03-" + "*" * 80, "sk-proj-" + "*" * 48, "AIza" + "*" * 35,
        "xoxb-" + "#" * 12 + "-" + "#" * 12 + "-" + "*" * 24, "sk_live_" + "*" * 24,
        "SG." + "*" * 22 + "." + "*" * 43, "npm_" + "*" * 36, "dop_v1_" + "~" * 64,
        "########:AA" + "*" * 33, "glc_" + "*" * 40, "dp.pt." + "*" * 43, "lin_api_" + "*" * 40,
        "pul-" + "~" * 40, "shpat_" + "~" * 32, "ntn_" + "#" * 11 + "*" * 35,
        "tskey-auth-" + "*" * 12 + "-" + "*" * 24, "hvs." + "*" * 24, "r8_" + "*" * 37,
    )))  # fmt: skip


MAKERS = (
    Maker("email", ("Write to {} today.", "My mail is {}, thanks.", "<{}> is mine."), email),
    Maker("phone", ("Call me on {}.", "My phone number is {}, ask for me.", "Tel: {}"), phone),
    Maker("card", ("I paid with my card {}.", "Card number: {}", "Charge {} please."), card),
    Maker("iban", ("Send it to {}.", "IBAN: {}", "The account {} is mine."), iban),
    Maker("ip", ("The request came from {} at noon.", "Host {} is down.", "ssh root {} fails"), ip),
    Maker("national_id", ("My {}.", "Here is the {} for the form."), national_id),
    Maker("address", ("Please deliver to {}.", "I live at {}.", "Address: {}"), address),
    Maker("name", ("Hello, my name is {}.", "Patient name: {}\n", "Kind regards,\n{}\n"), name),
    Maker(
        "secret", ("The key is {} for now.", "token: {}", "It fails with {} in the log."), secret
    ),
)


def generate(rows: int, seed: int) -> list[Sample]:
    """Dense texts with one to three planted spans each."""
    r = random.Random(seed)
    return [_sample(r) for _ in range(rows)]


def _sample(r: random.Random) -> Sample:
    text, spans = "", []
    parts: list[Maker | str] = [*r.choices(MAKERS, k=r.randint(1, 3)), *r.sample(PROSE, 4)]
    if r.random() < 0.5:
        parts += r.sample(NEGATIVES, 2)
    r.shuffle(parts)
    for part in parts:
        if isinstance(part, str):
            text += part + " "
            continue
        lead, _, tail = r.choice(part.sentences).partition("{}")
        value = part.write(r)
        if "\0" in value:
            words, _, value = value.partition("\0")
            lead += f"{words} is "
        spans.append((len(text) + len(lead), len(text) + len(lead) + len(value), part.kind))
        text += lead + value + tail + " "
    return Sample(text, spans)


def clean(rows: int, seed: int) -> list[Sample]:
    """Texts of five to nine sentences without personal data."""
    r = random.Random(seed)
    return [Sample(" ".join(r.sample(PROSE, r.randint(5, 9))), []) for _ in range(rows)]
