"""Payment cards, IBANs and IP addresses for the unseen corpus, in the forms people write.

In: a random generator. Out: strings. Cards follow ISO/IEC 7812 (ranges as the schemes publish
them), IBANs ISO 13616 and its registry, IPv6 text RFC 4291, 5952 and 4007.
"""

import ipaddress
import string

from benchmarks.corpora.pii_unseen_draw import Rng, chance, digits, grouped, text

# Scheme, prefixes (a range is inclusive), lengths, weight.
CARD_RANGES: list[tuple[str, list[tuple[int, int]], list[int], int]] = [
    ("visa", [(4, 4)], [16], 24),
    ("visa", [(4, 4)], [13, 19], 2),
    ("mastercard", [(51, 55)], [16], 14),
    ("mastercard", [(2221, 2720)], [16], 10),
    ("amex", [(34, 34), (37, 37)], [15], 14),
    ("discover", [(6011, 6011), (644, 649), (65, 65)], [16], 8),
    ("diners", [(300, 305), (36, 36), (38, 39)], [14], 7),
    ("jcb", [(3528, 3589)], [16], 7),
    ("unionpay", [(620, 628)], [16, 16, 17, 18, 19], 7),
    ("maestro", [(5018, 5018), (5020, 5020), (5038, 5038), (5893, 5893), (6304, 6304)], [16], 2),
    ("maestro", [(6759, 6759), (6761, 6763)], [12, 13, 14, 16, 18, 19], 4),
]

# BBAN structure by country, as in the SWIFT IBAN registry: n digits, a capitals, c both.
IBAN_STRUCTURES = {
    "AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n",
    "BE": "12n", "BG": "4a6n8c", "BH": "4a14c", "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c",
    "CR": "18n", "CY": "8n16c", "CZ": "20n", "DE": "18n", "DK": "14n", "DO": "4c20n",
    "EE": "16n", "EG": "25n", "ES": "20n", "FI": "14n", "FO": "14n", "FR": "10n11c2n",
    "GB": "4a14n", "GE": "2a16n", "GI": "4a15c", "GR": "7n16c", "GT": "4c20c", "HR": "17n",
    "HU": "24n", "IE": "4a14n", "IL": "19n", "IS": "22n", "IT": "1a10n12c", "JO": "4a4n18c",
    "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c", "LI": "5n12c", "LT": "16n", "LU": "3n13c",
    "LV": "4a13c", "MC": "10n11c2n", "MD": "2c18c", "MK": "3n10c2n", "MT": "4a5n18c",
    "MU": "4a19n3a", "NL": "4a10n", "NO": "11n", "PK": "4a16c", "PL": "24n", "PS": "4a21c",
    "PT": "21n", "QA": "4a21c", "RO": "4a16c", "RS": "18n", "SA": "2n18c", "SE": "20n",
    "SI": "15n", "SK": "20n", "SM": "1a10n12c", "TN": "20n", "TR": "6n16c", "UA": "6n19c",
    "VG": "4a16n", "XK": "16n",
}  # fmt: skip
COMMON_IBANS = ["DE", "FR", "GB", "ES", "IT", "NL", "BE", "AT", "CH", "PT", "PL", "IE", "SE"]
BELGIAN_BANKS = ["001", "063", "068", "210", "310", "363", "377", "435", "733", "737", "973"]


def luhn_digit(body: str) -> str:
    """The Luhn check digit of these digits (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, char in enumerate(reversed(body)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def card_digits(rng: Rng) -> str:
    """A card number without separators: a scheme's range and length, a valid check digit."""
    weights = [weight for *_, weight in CARD_RANGES]
    _, ranges, lengths, _ = rng.choices(CARD_RANGES, weights)[0]
    low, high = rng.choice(ranges)
    body = str(rng.randint(low, high))
    body += digits(rng, rng.choice(lengths) - len(body) - 1)
    # The sandbox numbers that payment providers document are nobody's.
    if body.startswith(("41111", "42424", "55555", "37828", "37144", "60111", "30569", "35301")):
        return card_digits(rng)
    return body + luhn_digit(body)


def card_sizes(number: str) -> list[int]:
    """How the digits are embossed: 4-6-5 for Amex, 4-6-4 for Diners, fours otherwise."""
    if len(number) == 15 and number[0] == "3":
        return [4, 6, 5]
    if len(number) == 14 and number[0] == "3":
        return [4, 6, 4]
    return [4, 4, 4, 4, 4]


def card(rng: Rng) -> str:
    """A card number as people write it: spaced, dashed, dotted or bare."""
    number = card_digits(rng)
    separator = rng.choices([" ", "-", "", ".", "\u00a0", "  "], [40, 18, 32, 5, 3, 2])[0]
    if len(number) == 19 and chance(rng, 0.3):
        return grouped(number, [6, 13], separator or " ")
    return grouped(number, card_sizes(number), separator)


def broken_card(rng: Rng) -> str:
    """Digits grouped like a card whose check digit is wrong."""
    number = card_digits(rng)
    wrong = number[:-1] + str((int(number[-1]) + rng.randint(1, 9)) % 10)
    return grouped(wrong, card_sizes(wrong), rng.choice([" ", "-", ""]))


def letters_as_digits(value: str) -> str:
    """The value with A..Z as 10..35, as ISO 7064 mod 97-10 counts them."""
    return "".join(str(int(char, 36)) for char in value)


def spanish_account(rng: Rng) -> str:
    """Bank, branch, two check digits and account of a Spanish CCC."""

    def check(part: str) -> str:
        rest = sum(int(char) * 2**place for place, char in enumerate(part)) % 11
        return str(rest if rest < 2 else 11 - rest)

    bank, account = digits(rng, 8), digits(rng, 10)
    return bank + check("00" + bank) + check(account) + account


def norwegian_account(rng: Rng) -> str:
    """Eleven digits with the mod 11 check digit of a Norwegian account number."""
    while True:
        body = digits(rng, 10)
        rest = sum(int(a) * b for a, b in zip(body, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True))
        check = -rest % 11
        if check < 10 and body[4:6] != "00":
            return body + str(check)


def bban(rng: Rng, country: str) -> str:
    """A basic bank account number of the country's structure, with its own check digits."""
    if country == "ES":
        return spanish_account(rng)
    if country == "NO":
        return norwegian_account(rng)
    if country == "BE":
        body = rng.choice(BELGIAN_BANKS) + digits(rng, 7)
        return f"{body}{int(body) % 97 or 97:02}"
    drawn = ""
    length = ""
    for char in IBAN_STRUCTURES[country]:
        if char.isdigit():
            length += char
            continue
        letters = {"n": string.digits, "a": string.ascii_uppercase}
        # Account numbers with letters allowed are still mostly digits.
        alphabet = letters.get(char, string.digits * 6 + string.ascii_uppercase)
        drawn += text(rng, alphabet, int(length))
        length = ""
    return drawn


def iban_compact(rng: Rng, right: bool = True) -> str:
    """An IBAN without separators; `right` False gives it wrong check digits."""
    common = chance(rng, 0.6)
    country = rng.choice(COMMON_IBANS if common else sorted(IBAN_STRUCTURES))
    account = bban(rng, country)
    check = 98 - int(letters_as_digits(account + country + "00")) % 97
    if not right:
        check = (check - 2 + rng.randint(1, 96)) % 97 + 2
    return f"{country}{check:02}{account}"


def iban(rng: Rng, right: bool = True) -> str:
    """An IBAN as people write it: in fours, compact, lower case, hyphens, odd groups."""
    number = iban_compact(rng, right)
    fours = [4] * 9
    form = rng.choices(
        ["print", "compact", "lower", "odd", "hyphen", "nbsp", "dots"], [45, 30, 8, 7, 5, 3, 2]
    )
    match form[0]:
        case "print":
            return grouped(number, fours, " ")
        case "lower":
            return grouped(number.lower(), fours, rng.choice(["", " "]))
        case "odd":
            return grouped(
                number, rng.choice([[2, 2, 8], [4, 8, 10], [4, 5, 5, 11], [2, 2, 4, 4, 4, 4]]), " "
            )
        case "hyphen":
            return grouped(number, fours, "-")
        case "nbsp":
            return grouped(number, fours, "\u00a0")
        case "dots":
            return grouped(number, fours, ".")
        case _:
            return number


PRIVATE_V4 = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"]
PUBLIC_V4 = "0.0.0.0/0"
PUBLIC_V6 = ["2a00::/12", "2600::/12", "2400::/12", "2001:470::/32", "2c0f::/16", "2a02:26f0::/32"]
LOCAL_V6 = ["fe80::/64", "fd00::/8"]


def ipv4(rng: Rng) -> str:
    """A public or private IPv4 address in dotted decimal; never a documentation or loopback one."""
    network = ipaddress.ip_network(rng.choice(PRIVATE_V4) if chance(rng, 0.45) else PUBLIC_V4)
    while True:
        address = network[rng.randrange(network.num_addresses)]
        if network.prefixlen == 0 and not address.is_global:
            continue
        # An address ending in 0 or 255 names a network or its broadcast.
        if str(address).endswith((".0", ".255")) or address.is_multicast:
            continue
        return str(address)


def ipv6(rng: Rng) -> str:
    """An IPv6 address as RFC 4291 allows: full, shortened, upper case, mapped, dotted tail."""
    form = rng.choices(
        ["short", "full", "unpadded", "upper", "mapped", "few", "nat64"], [30, 15, 12, 8, 10, 20, 5]
    )[0]
    if form == "mapped":
        return rng.choice(["::ffff:", "::FFFF:"]) + ipv4(rng)
    if form == "nat64":
        return "64:ff9b::" + ipv4(rng)
    network = ipaddress.IPv6Network(rng.choice(LOCAL_V6 if chance(rng, 0.3) else PUBLIC_V6))
    host = rng.randrange(1, 0xFFFF) if form == "few" else rng.getrandbits(64)
    subnet = rng.getrandbits(64 - network.prefixlen) << 64 if network.prefixlen < 64 else 0
    if form == "few" and chance(rng, 0.5):
        subnet &= ~(0xFFFF_FFFF << 64)
    address = network[subnet | host]
    if form == "full":
        return address.exploded
    if form == "unpadded":
        return ":".join(f"{int(group, 16):x}" for group in address.exploded.split(":"))
    return str(address).upper() if form == "upper" else str(address)


def ip(rng: Rng) -> str:
    """An address of either family; a link-local IPv6 one may carry its zone (RFC 4007)."""
    if chance(rng, 0.58):
        return ipv4(rng)
    address = ipv6(rng)
    if address.lower().startswith("fe80") and chance(rng, 0.6):
        address += rng.choice(["%eth0", "%en0", "%wlan0", "%3", "%ens160"])
    return address
