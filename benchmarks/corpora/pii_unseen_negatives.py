"""Hard negatives for the unseen corpus: text that resembles personal data or secrets and is not.

In: a random generator and a language. Out: text without a span. Also the values of the neutral
slots ([[date]], [[version]], [[sha1]], ...) that all texts share.
"""

import base64
import re
import string
from collections.abc import Callable

from benchmarks.corpora.pii_unseen_draw import Rng, chance, digits, grouped, text, vocabulary
from benchmarks.corpora.pii_unseen_numbers import (
    CARD_RANGES,
    broken_card,
    iban,
    luhn_digit,
)
from benchmarks.corpora.pii_unseen_secrets import CLASSES, armoured, base64_lines, uuid

SLOT = re.compile(r"\[\[(\w+)\]\]")
HEX = CLASSES["hex"]


def looks_like_card(number: str) -> bool:
    """Whether the digits are in a card scheme's range with a valid check digit."""
    if not 12 <= len(number) <= 19 or luhn_digit(number[:-1]) != number[-1]:
        return False
    return any(
        len(number) in lengths and low <= int(number[: len(str(low))]) <= high
        for _, ranges, lengths, _ in CARD_RANGES
        for low, high in ranges
    )


def reference(rng: Rng, length: int, prefix: str = "") -> str:
    """A reference number of `length` digits that is not a card number by chance."""
    while True:
        number = prefix + digits(rng, length - len(prefix))
        if not looks_like_card(number) and number[0] != "0":
            return number


def ean13(rng: Rng, prefix: str) -> str:
    """A GTIN-13 or ISBN-13 with its check digit, no card number by chance."""
    while True:
        body = prefix + digits(rng, 12 - len(prefix))
        total = sum(int(char) * (1 if place % 2 == 0 else 3) for place, char in enumerate(body))
        if not looks_like_card(number := body + str(-total % 10)):
            return number


def isbn10(rng: Rng) -> str:
    """An ISBN-10 with its mod 11 check character, with or without hyphens."""
    body = digits(rng, 9)
    check = sum(int(char) * (place + 1) for place, char in enumerate(body)) % 11
    number = body + ("X" if check == 10 else str(check))
    return grouped(number, [1, 4, 4, 1], rng.choice(["-", ""]))


def date(rng: Rng, lang: str) -> str:
    """A recent day as the language writes it."""
    year, month, day = rng.randint(2019, 2026), rng.randint(1, 12), rng.randint(1, 28)
    if lang == "de":
        return f"{day:02}.{month:02}.{year}"
    if lang != "en":
        return (
            f"{day:02}{'-' if lang == 'nl' else '/'}{month:02}{'-' if lang == 'nl' else '/'}{year}"
        )
    months: list[str] = vocabulary("filler")["slots"]["month"]
    name = months[month - 1]
    return rng.choice(
        [f"{day} {name}", f"{name} {day}", f"{month}/{day}/{year}", f"{name} {day}, {year}"]
    )


def money(rng: Rng, lang: str) -> str:
    """An amount as the language writes it."""
    units, cents = rng.randint(3, 4999), rng.randint(0, 99)
    if lang == "en":
        return f"{rng.choice('$£€')}{units:,}.{cents:02}"
    return f"{units},{cents:02} €"


def isotime(rng: Rng) -> str:
    """A time stamp in one of the forms that logs have."""
    day = f"{rng.randint(2021, 2026)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    time = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}:{rng.randint(0, 59):02}"
    return rng.choice(
        [f"{day}T{time}Z", f"{day} {time}", f"{day} {time},{digits(rng, 3)}", f"{day}T{time}+02:00"]
    )


def degrees(rng: Rng, limit: int) -> str:
    """A coordinate in decimal degrees."""
    return f"{rng.uniform(-limit, limit):.{rng.randint(4, 7)}f}"


def dms(rng: Rng) -> str:
    """A coordinate pair in degrees, minutes and seconds."""
    minutes = [rng.randint(0, 59) for _ in range(4)]
    north = f"{rng.randint(1, 89)}°{minutes[0]}'{minutes[1]}\"N"
    return f"{north} {rng.randint(1, 179)}°{minutes[2]}'{minutes[3]}\"E"


def certificate(rng: Rng) -> str:
    """Public material in PEM: a certificate or a public key."""
    label = rng.choice(["CERTIFICATE", "PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE REQUEST"])
    return armoured(label, base64_lines(rng, rng.choice([250, 550, 800]), b"\x30\x82\x03\x0a", 64))


def ssh_public(rng: Rng) -> str:
    """An OpenSSH public key without its comment."""
    head = b"\0\0\0\x0bssh-ed25519\0\0\0 "
    return "ssh-ed25519 " + base64.b64encode(head + rng.randbytes(32)).decode()


def mac(rng: Rng, separator: str) -> str:
    """A MAC address."""
    value = text(rng, HEX if separator == ":" else HEX.upper(), 12)
    return grouped(value, [2] * 6, separator)


def version(rng: Rng) -> str:
    """A semantic version."""
    return f"{rng.randint(0, 24)}.{rng.randint(0, 40)}.{rng.randint(0, 30)}"


def order_number(rng: Rng) -> str:
    """An order number as shops print it."""
    return rng.choice(
        [reference(rng, rng.randint(7, 14)), f"{text(rng, 'ABCDEFXY', 2)}{digits(rng, 8)}"]
    )


DRAWN: dict[str, Callable[[Rng], str]] = {
    "n": lambda rng: str(rng.randint(2, 99)),
    "year": lambda rng: str(rng.randint(2015, 2026)),
    "version": version,
    "version4": lambda rng: f"{version(rng)}.{rng.randint(0, 250)}",
    "chrome": lambda rng: (
        f"{rng.randint(90, 140)}.0.{rng.randint(4000, 7000)}.{rng.randint(30, 250)}"
    ),
    "isodate": lambda rng: isotime(rng)[:10],
    "isotime": isotime,
    "epoch": lambda rng: str(rng.randint(1_500_000_000, 1_780_000_000)),
    "epoch_ms": lambda rng: reference(rng, 13, "17"),
    "float": lambda rng: f"{rng.uniform(0, 9):.{rng.randint(2, 12)}f}",
    "isbn13": lambda rng: grouped(ean13(rng, "978"), [3, 1, 4, 4, 1], rng.choice(["-", ""])),
    "isbn10": isbn10,
    "issn": lambda rng: f"{digits(rng, 4)}-{digits(rng, 4)}",
    "range": lambda rng: f"{rng.randint(100, 400)}-{rng.randint(401, 900)}",
    "order": order_number,
    "order_dashed": lambda rng: f"{digits(rng, 3)}-{digits(rng, 7)}-{digits(rng, 7)}",
    "ups": lambda rng: f"1Z{text(rng, CLASSES['base36up'], 6)}{digits(rng, 10)}",
    "usps": lambda rng: grouped("94" + digits(rng, 20), [4] * 6, rng.choice([" ", ""])),
    "upu": lambda rng: (
        f"R{rng.choice('ABCR')}{digits(rng, 9)}{rng.choice(['DE', 'GB', 'US', 'CN'])}"
    ),
    "invoice": lambda rng: f"{rng.randint(2019, 2026)}-{digits(rng, 6)}",
    "caseref": lambda rng: (
        f"{text(rng, string.ascii_uppercase, 3)}-{digits(rng, 4)}-{digits(rng, 3)}"
    ),
    "sku": lambda rng: (
        f"{text(rng, string.ascii_uppercase, 3)}-{digits(rng, 4)}-{rng.choice('XSML')}"
    ),
    "ean": lambda rng: ean13(rng, rng.choice(["400", "50", "871", "00"])),
    "imei": lambda rng: (lambda body: body + luhn_digit(body))("86" + digits(rng, 12)),
    "vin": lambda rng: "WVW" + text(rng, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789", 14),
    "uuid": uuid,
    "sha1": lambda rng: text(rng, HEX, 40),
    "sha7": lambda rng: text(rng, HEX, rng.choice([7, 8, 10])),
    "b64_86": lambda rng: text(rng, CLASSES["b64"], 86),
    "b64_long": lambda rng: text(rng, CLASSES["b64"], rng.randint(200, 900)) + "=",
    "hexcolour": lambda rng: "#" + text(rng, HEX, rng.choice([3, 6, 8])),
    "lat": lambda rng: degrees(rng, 89),
    "lon": lambda rng: degrees(rng, 179),
    "dms": dms,
    "mac": lambda rng: mac(rng, ":"),
    "mac_dash": lambda rng: mac(rng, "-"),
    "port": lambda rng: str(rng.randint(1024, 65535)),
    "prefix": lambda rng: str(rng.choice([8, 16, 22, 24, 26, 28, 30, 32])),
    "pnr": lambda rng: text(rng, CLASSES["base32"], 6),
    "scheme": lambda rng: rng.choice(["http", "https", "ws"]),
    "bad_card": broken_card,
    "bad_card_plain": lambda rng: broken_card(rng).replace(" ", "").replace("-", ""),
    "bad_iban": lambda rng: iban(rng, right=False),
    "certificate": certificate,
    "ssh_public": ssh_public,
}


def neutral(rng: Rng, slot: str, lang: str) -> str:
    """The value of a slot that carries no span, in the language where it has one."""
    match slot:
        case "date":
            return date(rng, lang)
        case "money":
            return money(rng, lang)
        case "time":
            return f"{rng.randint(0, 23)}:{rng.choice(['00', '15', '30', '45'])}"
        case "weekday":
            return str(rng.choice(vocabulary("filler")["slots"][f"{lang}_weekday"]))
    if slot in DRAWN:
        return DRAWN[slot](rng)
    if match := re.fullmatch(r"(d|hex)(\d+)", slot):
        length = int(match[2])
        return reference(rng, length) if match[1] == "d" else text(rng, HEX, length)
    words = vocabulary("negatives")["words"]
    return str(rng.choice(words[slot] if slot in words else vocabulary("filler")["slots"][slot]))


def rendered(rng: Rng, template: str, lang: str) -> str:
    """The template with every neutral slot drawn."""
    return SLOT.sub(lambda match: neutral(rng, match[1], lang), template)


def negative(rng: Rng, lang: str) -> str:
    """A hard negative: a sentence of the language, or a block of code, log, table or config."""
    data = vocabulary("negatives")
    if lang != "en" and chance(rng, 0.7):
        return rendered(rng, rng.choice(data[f"plain_{lang}"]), lang)
    source = data["blocks"] if chance(rng, 0.15) else data["plain"]
    return rendered(rng, rng.choice(source), lang)
