"""National identifiers for the unseen corpus, each with its country's own check digits.

In: a random generator and a kind, such as us_ssn. Out: the identifier as people write it. Each
function follows the issuing authority's rule; none uses a library that detectors use.
"""

import string
from collections.abc import Callable, Sequence

from benchmarks.corpora.pii_unseen_draw import Rng, chance, digits, grouped, text
from benchmarks.corpora.pii_unseen_numbers import luhn_digit

ITIN_GROUPS = [*range(50, 66), *range(70, 89), 90, 91, 92, *range(94, 100)]


def weighted(body: str, weights: Sequence[int]) -> int:
    """The sum of the digits times their weights."""
    return sum(int(char) * weight for char, weight in zip(body, weights, strict=True))


def birth(rng: Rng, first: int = 1930, last: int = 2005) -> tuple[int, int, int]:
    """A year, month and day; the day exists in every month."""
    return rng.randint(first, last), rng.randint(1, 12), rng.randint(1, 28)


def us_ssn(rng: Rng) -> str:
    """Area not 000, 666 or 900-999; group not 00; serial not 0000 (SSA)."""
    area = rng.choice([rng.randint(1, 665), rng.randint(667, 899)])
    number = f"{area:03}{rng.randint(1, 99):02}{rng.randint(1, 9999):04}"
    if number in {"078051120", "219099999", "123456789"}:
        return us_ssn(rng)
    return grouped(number, [3, 2], rng.choices(["-", " ", ""], [70, 15, 15])[0])


def us_itin(rng: Rng) -> str:
    """Begins with 9; the group is in the ranges the IRS assigns."""
    number = f"9{digits(rng, 2)}{rng.choice(ITIN_GROUPS)}{digits(rng, 4)}"
    return grouped(number, [3, 2], rng.choices(["-", " "], [85, 15])[0])


def gb_nino(rng: Rng) -> str:
    """Two letters of the allowed ones, six digits, a suffix A to D (HMRC NIM39110)."""
    while True:
        prefix = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}:
            break
    number = prefix + digits(rng, 6) + rng.choice("ABCD")
    if number.startswith("AB123456"):
        return gb_nino(rng)
    form = rng.choices([" ", "", "-", "halves"], [50, 35, 7, 8])[0]
    if form == "halves":
        return grouped(number, [2, 6, 1], " ")
    written = grouped(number, [2, 2, 2, 2, 1], form)
    return written.lower() if chance(rng, 0.06) else written


def gb_nhs(rng: Rng) -> str:
    """Ten digits, the last a mod 11 check (NHS Data Dictionary)."""
    while True:
        body = rng.choice("4677") + digits(rng, 8)
        check = 11 - weighted(body, range(10, 1, -1)) % 11
        if check != 10:
            number = body + str(check % 11)
            return grouped(number, [3, 3], rng.choices([" ", "", "-"], [65, 25, 10])[0])


def dni_letter(number: int) -> str:
    """The control letter: the number mod 23 in the ministry's table."""
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


def es_dni(rng: Rng) -> str:
    """Eight digits and the control letter."""
    number = digits(rng, 8)
    if number in {"12345678", "00000000"}:
        return es_dni(rng)
    letter = dni_letter(int(number))
    form = rng.choices(
        ["{n}{x}", "{n}-{x}", "{n} {x}", "{d}-{x}", "{d}{x}", "{n}{y}"], [50, 20, 8, 10, 4, 8]
    )
    dotted = f"{number[:2]}.{number[2:5]}.{number[5:]}"
    return form[0].format(n=number, x=letter, y=letter.lower(), d=dotted)


def es_nie(rng: Rng) -> str:
    """X, Y or Z, seven digits and the control letter, the first counting as 0, 1, 2."""
    first = rng.choice("XYZ")
    number = digits(rng, 7)
    letter = dni_letter(int(str("XYZ".index(first)) + number))
    if first + number in {"X0000000", "X1234567"}:
        return es_nie(rng)
    return rng.choice(["{f}{n}{x}", "{f}{n}{x}", "{f}-{n}-{x}", "{f}{n}-{x}"]).format(
        f=first, n=number, x=letter
    )


CF_ODD = [
    1,
    0,
    5,
    7,
    9,
    13,
    15,
    17,
    19,
    21,
    2,
    4,
    18,
    20,
    11,
    3,
    6,
    8,
    12,
    14,
    16,
    10,
    22,
    25,
    24,
    23,
]
CF_TOWNS = ["H501", "F205", "L219", "F839", "D612", "A662", "G273", "Z404", "Z129", "L736"]


def it_cf(rng: Rng) -> str:
    """Codice fiscale: name consonants, date, town and control letter (D.M. 12/03/1974)."""
    consonants = "BCDFGLMNPRSTVZ"
    year, month, day = birth(rng)
    day += 40 if chance(rng, 0.5) else 0
    body = text(rng, consonants, 6) + f"{year % 100:02}{'ABCDEHLMPRST'[month - 1]}{day:02}"
    body += rng.choice(CF_TOWNS)
    total = 0
    for place, char in enumerate(body):
        value = int(char) if char.isdigit() else ord(char) - 65
        total += CF_ODD[value] if place % 2 == 0 else value
    code = body + string.ascii_uppercase[total % 26]
    form = rng.choices(["", " ", "lower"], [75, 15, 10])[0]
    return code.lower() if form == "lower" else grouped(code, [3, 3, 5, 5], form)


def fr_nir(rng: Rng) -> str:
    """Sex, year, month, department, commune, order and the key 97 - n mod 97 (INSEE)."""
    year, month, _ = birth(rng)
    department = rng.choice([*(f"{n:02}" for n in range(1, 96) if n != 20), "2A", "2B"])
    body = f"{rng.choice('12')}{year % 100:02}{month:02}{department}"
    body += f"{rng.randint(1, 600):03}{rng.randint(1, 999):03}"
    # Corsica counts as 19 and 18 in the key.
    value = int(body.replace("2A", "19").replace("2B", "18"))
    number = f"{body}{97 - value % 97:02}"
    return grouped(number, [1, 2, 2, 2, 3, 3, 2], rng.choices([" ", "", "."], [60, 35, 5])[0])


def de_idnr(rng: Rng) -> str:
    """Eleven digits: in the first ten one digit comes twice, one not at all; ISO 7064 mod 11,10."""
    while True:
        pool = rng.sample(string.digits, 9)
        body_list = [*pool, rng.choice(pool)]
        rng.shuffle(body_list)
        if body_list[0] != "0":
            break
    body = "".join(body_list)
    product = 10
    for char in body:
        total = (int(char) + product) % 10 or 10
        product = total * 2 % 11
    number = body + str((11 - product) % 10)
    return grouped(number, [2, 3, 3, 3], rng.choices([" ", "", "/"], [45, 50, 5])[0])


def pl_pesel(rng: Rng) -> str:
    """Date (month + 20 from 2000), serial with sex, check digit of weights 1 3 7 9."""
    year, month, day = birth(rng, 1930, 2015)
    body = f"{year % 100:02}{month + (20 if year >= 2000 else 0):02}{day:02}{digits(rng, 4)}"
    return body + str(-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def nl_bsn(rng: Rng) -> str:
    """Nine digits that pass the eleven test with the last weighing -1."""
    while True:
        body = rng.choice("12345678") + digits(rng, 7)
        check = weighted(body, range(9, 1, -1)) % 11
        if check < 10:
            number = body + str(check)
            if number not in {"123456782", "111222333"}:
                return grouped(number, [4, 2, 3], rng.choices(["", ".", " "], [75, 15, 10])[0])


def pt_nif(rng: Rng) -> str:
    """Nine digits of a person (first 1, 2 or 3) with a mod 11 check."""
    body = rng.choice("123") + digits(rng, 7)
    check = 11 - weighted(body, range(9, 1, -1)) % 11
    number = body + str(check if check < 10 else 0)
    return grouped(number, [3, 3, 3], rng.choices(["", " ", "."], [55, 40, 5])[0])


def se_pnr(rng: Rng) -> str:
    """Birth date, three digits and a Luhn digit over YYMMDDNNN; some with day + 60."""
    year, month, day = birth(rng, 1930, 2015)
    day += 60 if chance(rng, 0.1) else 0
    date, serial = f"{year % 100:02}{month:02}{day:02}", f"{rng.randint(1, 999):03}"
    check = luhn_digit(date + serial)
    century = str(year)[:2] if chance(rng, 0.5) else ""
    dash = "-" if chance(rng, 0.8) or not century else ""
    return f"{century}{date}{dash}{serial}{check}"


def fi_hetu(rng: Rng) -> str:
    """DDMMYY, century sign, serial and check character; the signs of 2023 now and then."""
    year, month, day = birth(rng, 1930, 2015)
    serial = rng.randint(2, 899)
    signs = ("-", "YXWVU") if year < 2000 else ("A", "BCDEF")
    sign = rng.choice(signs[1]) if chance(rng, 0.1) else signs[0]
    date = f"{day:02}{month:02}{year % 100:02}"
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{date}{serial:03}") % 31]
    return f"{date}{sign}{serial:03}{check}"


def be_rrn(rng: Rng) -> str:
    """Date, serial and 97 minus the rest mod 97, with a leading 2 from 2000 on."""
    year, month, day = birth(rng, 1930, 2015)
    body = f"{year % 100:02}{month:02}{day:02}{rng.randint(1, 997):03}"
    check = 97 - int(("2" if year >= 2000 else "") + body) % 97
    number = f"{body}{check:02}"
    if chance(rng, 0.65):
        return f"{number[:2]}.{number[2:4]}.{number[4:6]}-{number[6:9]}.{number[9:]}"
    return grouped(number, [6, 3, 2], rng.choice(["", " ", "-"]))


def ch_ahv(rng: Rng) -> str:
    """756, nine digits and the EAN-13 check digit."""
    body = "756" + digits(rng, 9)
    number = body + str(-weighted(body, (1, 3) * 6) % 10)
    return grouped(number, [3, 4, 4, 2], rng.choices([".", "", " "], [75, 15, 10])[0])


# Verhoeff's dihedral group D5 and its permutation (J. Verhoeff, 1969).
D5 = [
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
]
D5_PERMUTE = [
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
]


def verhoeff_digit(body: str) -> str:
    """The Verhoeff check digit of these digits."""
    state = 0
    for place, char in enumerate(reversed(body), start=1):
        state = int(D5[state][int(D5_PERMUTE[place % 8][int(char)])])
    return str(D5[state].index("0"))


def in_aadhaar(rng: Rng) -> str:
    """Twelve digits, first 2 to 9, the last a Verhoeff digit (UIDAI)."""
    body = rng.choice("23456789") + digits(rng, 10)
    number = body + verhoeff_digit(body)
    return grouped(number, [4, 4, 4], rng.choices([" ", "", "-"], [70, 22, 8])[0])


def in_pan(rng: Rng) -> str:
    """Three letters, P for a person, a letter, four digits and a letter."""
    letters = string.ascii_uppercase
    number = f"{text(rng, letters, 3)}P{rng.choice(letters)}{rng.randint(1, 9999):04}"
    number += rng.choice(letters)
    return number.lower() if chance(rng, 0.05) else number


def br_cpf(rng: Rng) -> str:
    """Nine digits and two mod 11 check digits (Receita Federal)."""
    body = digits(rng, 9)
    for first in (10, 11):
        rest = weighted(body, range(first, 1, -1)) * 10 % 11
        body += str(rest % 10)
    if len(set(body)) == 1 or body.startswith("123456789"):
        return br_cpf(rng)
    if chance(rng, 0.7):
        return f"{body[:3]}.{body[3:6]}.{body[6:9]}-{body[9:]}"
    return grouped(body, [9, 2], rng.choice(["", "-"]))


def ca_sin(rng: Rng) -> str:
    """Nine digits with a Luhn digit; the first is 1 to 7, or 9 for temporary residents."""
    body = rng.choice("12345679") + digits(rng, 7)
    return grouped(body + luhn_digit(body), [3, 3, 3], rng.choices([" ", "-", ""], [55, 35, 10])[0])


def au_tfn(rng: Rng) -> str:
    """Nine digits whose sum with weights 1 4 3 7 5 8 6 9 10 is a multiple of 11."""
    while True:
        number = rng.choice("12345678") + digits(rng, 8)
        if weighted(number, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and number != "123456782":
            return grouped(number, [3, 3, 3], rng.choices([" ", "", "-"], [65, 30, 5])[0])


def sg_nric(rng: Rng) -> str:
    """Letter of the series, seven digits, check letter (weights 2 7 6 5 4 3 2)."""
    series = rng.choice("SSTFG")
    body = (rng.choice("0123456789") if series != "S" else rng.choice("56789")) + digits(rng, 6)
    total = weighted(body, (2, 7, 6, 5, 4, 3, 2)) + (4 if series in "TG" else 0)
    letters = "JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK"
    return series + body + letters[total % 11]


CURP_STATES = ["DF", "JC", "NL", "MC", "PL", "VZ", "GT", "BC", "YN", "OC", "CH", "NE"]


def mx_curp(rng: Rng) -> str:
    """Initials, date, sex, state, consonants, a distinguishing character and a check digit."""
    year, month, day = birth(rng, 1940, 2015)
    consonants = "BCDFGHJLMNPRSTVZ"
    body = rng.choice(consonants) + rng.choice("AEIOU") + text(rng, consonants, 2)
    body += f"{year % 100:02}{month:02}{day:02}{rng.choice('HM')}{rng.choice(CURP_STATES)}"
    body += text(rng, consonants, 3) + (rng.choice("AB") if year >= 2000 else rng.choice("0123"))
    order = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(order.index(char) * (18 - place) for place, char in enumerate(body))
    return body + str(-total % 10)


def kr_rrn(rng: Rng) -> str:
    """Birth date, century and sex, five digits, mod 11 check digit (before October 2020)."""
    year, month, day = birth(rng, 1940, 2015)
    sex = rng.choice("12" if year < 2000 else "34")
    body = f"{year % 100:02}{month:02}{day:02}{sex}{rng.randint(0, 95):02}{digits(rng, 3)}"
    check = (11 - weighted(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return grouped(body + str(check), [6, 7], rng.choices(["-", ""], [90, 10])[0])


def za_id(rng: Rng) -> str:
    """YYMMDD, sequence with sex, citizenship, 8 or 9, Luhn digit."""
    year, month, day = birth(rng)
    body = f"{year % 100:02}{month:02}{day:02}{digits(rng, 4)}{rng.choice('01')}{rng.choice('89')}"
    return grouped(body + luhn_digit(body), [6, 4, 3], rng.choices(["", " "], [80, 20])[0])


NATIONAL_IDS: dict[str, Callable[[Rng], str]] = {
    made.__name__: made
    for made in (
        us_ssn, us_itin, gb_nino, gb_nhs, es_dni, es_nie, it_cf, fr_nir, de_idnr, pl_pesel, nl_bsn,
        pt_nif, se_pnr, fi_hetu, be_rrn, ch_ahv, in_aadhaar, in_pan, br_cpf, ca_sin, au_tfn,
        sg_nric, mx_curp, kr_rrn, za_id,
    )
}  # fmt: skip
