"""Payment cards and IBANs, and network addresses.

In: a random generator. Out: a value in a form in which people write it; cards pass Luhn, IBANs
pass ISO 7064 MOD 97-10 and, where the country has one, the national check.
"""

import ipaddress
import string
from random import Random

from benchmarks.corpora.pii_blind_ids import CIN_ODD, digits, luhn_digit, weighted

_NBSP = "\u00a0"

# Issuer ranges and lengths: ISO/IEC 7812 assignments as the networks publish them.
_CARDS: tuple[tuple[str, tuple[str, ...], int], ...] = (
    ("visa", ("4",), 16),
    ("visa19", ("4",), 19),
    ("mastercard", ("51", "52", "53", "54", "55"), 16),
    ("mastercard2", ("2221", "2300", "2451", "2588", "2690", "2720"), 16),
    ("amex", ("34", "37"), 15),
    ("discover", ("6011", "644", "649", "65"), 16),
    ("diners", ("300", "305", "36", "38"), 14),
    ("jcb", ("3528", "3550", "3589"), 16),
    ("unionpay", ("6221", "6250", "6282"), 16),
)
_CARD_WEIGHTS = (30, 2, 18, 10, 14, 9, 7, 6, 5)


def grouped(whole: str, sizes: tuple[int, ...], mark: str) -> str:
    """`whole` cut into groups of the given sizes, the last one taking the rest."""
    parts, start = [], 0
    for size in sizes:
        parts.append(whole[start : start + size])
        start += size
    return mark.join(part for part in (*parts, whole[start:]) if part)


def card(rng: Random, bare: bool = True) -> str:
    """A card number; `bare` allows one without separators."""
    _, prefixes, length = rng.choices(_CARDS, _CARD_WEIGHTS)[0]
    body = rng.choice(prefixes)
    body += digits(rng, length - 1 - len(body))
    whole = body + luhn_digit(body)
    marks = [" ", "-", ".", ""] if bare else [" ", "-"]
    mark = rng.choices(marks, [50, 20, 5, 25] if bare else [7, 3])[0]
    return grouped(whole, (4, 6) if length in (14, 15) else (4, 4, 4, 4), mark)


# BBAN structures of the SWIFT IBAN registry: n digits, a upper-case letters, c either.
_IBANS = {
    "AT": "16n", "BE": "be", "BG": "4a6n8c", "CH": "5n12c", "CY": "8n16c", "CZ": "20n",
    "DE": "18n", "DK": "14n", "EE": "16n", "ES": "es", "FI": "fi", "FR": "fr", "GB": "4a14n",
    "GI": "4a15c", "GR": "7n16c", "IE": "4a14n", "IT": "it", "KW": "4a22c", "LI": "5n12c",
    "LT": "16n", "LU": "3n13c", "LV": "4a13c", "MT": "4a5n18c", "NL": "4a10n", "NO": "no",
    "PK": "4a16c", "PT": "pt", "QA": "4a21c", "RO": "4a16c", "SA": "2n18c", "SE": "20n",
    "TR": "5n1z16c", "UA": "6n19c", "AE": "19n", "AD": "8n12c", "BR": "23n1a1c", "IL": "19n",
    "JO": "4a4n18c", "GE": "2a16n", "KZ": "3n13c",
}  # fmt: skip
_BANKS = {
    "NL": ("ABNA", "INGB", "RABO", "TRIO", "KNAB", "BUNQ", "ASNB"),
    "GB": ("NWBK", "BARC", "LOYD", "HBUK", "MIDL", "MONZ", "REVO"),
    "IE": ("AIBK", "BOFI", "IPBS"),
}
_FAVOURITES = ("DE", "DE", "FR", "ES", "IT", "NL", "GB", "BE", "AT", "CH", "PT")


def _mod_11(body: str, weights: tuple[int, ...]) -> int:
    return -weighted(body, weights) % 11


def _bban(rng: Random, country: str) -> str:
    structure = _IBANS[country]
    if structure == "be":
        body = rng.choice(["001", "063", "068", "363", "377", "734"]) + digits(rng, 7)
        return f"{body}{int(body) % 97 or 97:02d}"
    if structure == "es":
        bank, account = rng.choice(["0049", "0182", "2100", "0081", "1465"]), digits(rng, 10)
        branch, weights = digits(rng, 4), (1, 2, 4, 8, 5, 10, 9, 7, 3, 6)
        pair = (_mod_11("00" + bank + branch, weights), _mod_11(account, weights))
        return bank + branch + "".join(str(1 if n == 10 else n) for n in pair) + account
    if structure == "fr":
        body = digits(rng, 10, "123") + digits(rng, 11)
        value = 89 * int(body[:5]) + 15 * int(body[5:10]) + 3 * int(body[10:])
        return f"{body}{97 - value % 97:02d}"
    if structure == "it":
        body, total = digits(rng, 10, "0") + digits(rng, 12), 0
        for index, char in enumerate(body):
            total += int(char) if index % 2 else CIN_ODD[string.ascii_uppercase[int(char)]]
        return string.ascii_uppercase[total % 26] + body
    if structure == "no":
        while True:
            body = digits(rng, 10, "123456789")
            check = _mod_11(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
            if check != 10:
                return body + str(check)
    if structure == "pt":
        body = "00" + digits(rng, 17)
        return f"{body}{98 - int(body) * 100 % 97:02d}"
    if structure == "fi":
        body = digits(rng, 13, "123456789")
        return body + luhn_digit(body)
    text, count = "", ""
    for char in structure:
        if char.isdigit():
            count += char
            continue
        alphabet = {"n": string.digits, "a": string.ascii_uppercase, "z": "0"}.get(
            char, string.digits * 3 + string.ascii_uppercase
        )
        text += "".join(rng.choice(alphabet) for _ in range(int(count)))
        count = ""
    banks = _BANKS.get(country)
    return rng.choice(banks) + text[4:] if banks else text


def iban_check(country: str, bban: str) -> str:
    """The two check digits of ISO 13616: 98 minus the rearranged number modulo 97."""
    number = "".join(str(int(char, 36)) for char in f"{bban}{country}00")
    return f"{98 - int(number) % 97:02d}"


def iban(rng: Random, countries: tuple[str, ...] = ()) -> str:
    """An IBAN in print form (groups of four), compact, lower case, or with hyphens."""
    favourite = rng.random() < 0.5
    pool = countries or (_FAVOURITES if favourite else tuple(_IBANS))
    country = rng.choice(pool)
    bban = _bban(rng, country)
    whole = country + iban_check(country, bban) + bban
    form = rng.choices(["print", "compact", "lower", "hyphen", "nbsp"], [50, 33, 7, 7, 3])[0]
    if form == "compact":
        return whole
    if form == "lower":
        whole = whole.lower()
        if rng.random() < 0.5:
            return whole
    mark = {"hyphen": "-", "nbsp": _NBSP}.get(form, " ")
    return mark.join(whole[i : i + 4] for i in range(0, len(whole), 4))


def ipv4(rng: Random) -> str:
    """A public or a private host address; no loopback, link-local or documentation range."""
    if rng.random() < 0.45:
        host = f"{rng.randrange(256)}.{rng.randrange(1, 255)}"
        private = (f"10.{rng.randrange(256)}.", f"172.{rng.randrange(16, 32)}.", "192.168.")
        return rng.choice(private) + host
    while True:
        octets = [rng.randrange(11, 224), *(rng.randrange(256) for _ in range(2))]
        address = ipaddress.IPv4Address(bytes([*octets, rng.randrange(1, 255)]))
        # Only whole octets of two digits or more look unlike a version number.
        if address.is_global and not address.is_multicast and sum(o > 9 for o in octets) >= 2:
            return str(address)


def ipv6(rng: Random) -> str:
    """A global, unique-local, link-local or IPv4-mapped address, in one of its written forms."""
    if rng.random() < 0.12:
        return f"::{rng.choice(['ffff', 'FFFF'])}:{ipv4(rng)}"
    block = rng.choice(["2a00", "2a02", "2a01", "2600", "2607", "2400", "2804", "fd3a", "fe80"])
    groups = [int(block, 16), *(rng.randrange(65536) for _ in range(7))]
    if block == "fe80":
        groups[1:4] = [0, 0, 0]
    elif rng.random() < 0.6:
        start = rng.randrange(2, 6)
        for place in range(start, rng.randrange(start + 2, 8)):
            groups[place] = 0
    address = ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
    text = rng.choices([address.compressed, address.exploded], [75, 25])[0]
    return text.upper() if rng.random() < 0.2 else text
