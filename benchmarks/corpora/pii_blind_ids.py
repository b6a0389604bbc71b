"""National identifiers of 22 schemes, with the check digits their issuers publish.

In: a random generator. Out: one number in a form in which people write it.
"""

import datetime
import string
from collections.abc import Callable
from random import Random

Drawer = Callable[[Random], str]

# Values of the odd places, A to Z (0 to 9 count as A to J).
_ODD_VALUES = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22]
CIN_ODD = dict(zip(string.ascii_uppercase, [*_ODD_VALUES, 25, 24, 23], strict=True))
_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_CONSONANTS = "BCDFGLMNPRSTVZ"


def digits(rng: Random, count: int, first: str = "0123456789") -> str:
    """`count` random digits, the first one out of `first`."""
    return rng.choice(first) + "".join(rng.choice(string.digits) for _ in range(count - 1))


def luhn_digit(body: str) -> str:
    """The Luhn check digit of `body` (ISO/IEC 7812-1 annex B)."""
    total = 0
    for place, char in enumerate(reversed(body)):
        doubled = int(char) * (2 - place % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


def weighted(body: str, weights: tuple[int, ...]) -> int:
    """The sum of the digits of `body`, each times its weight."""
    return sum(int(char) * weight for char, weight in zip(body, weights, strict=True))


def birth(rng: Random) -> datetime.date:
    """A day of birth of somebody between about 18 and 85."""
    return datetime.date(1940, 1, 1) + datetime.timedelta(days=rng.randrange(24_000))


def us_ssn(rng: Random) -> str:
    """Social Security number: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    area = rng.choice([n for n in range(1, 900) if n != 666])
    group, serial = rng.randrange(1, 100), rng.randrange(1, 10_000)
    mark = rng.choices(["-", " ", ""], [8, 1, 1])[0]
    return f"{area:03d}{mark}{group:02d}{mark}{serial:04d}"


def uk_nino(rng: Random) -> str:
    """National Insurance number (HMRC NIM39110)."""
    while True:
        prefix = rng.choice("ABCEGHJKLMNOPRSTWXYZ") + rng.choice("ABCEGHJKLMNPRSTWXYZ")
        if prefix not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ"):
            break
    body, last = digits(rng, 6), rng.choice("ABCD")
    spaced = f"{prefix} {body[:2]} {body[2:4]} {body[4:]} {last}"
    return rng.choice([spaced, spaced.replace(" ", ""), f"{prefix} {body} {last}"])


def uk_nhs(rng: Random) -> str:
    """NHS number: modulus 11 over weights 10 to 2."""
    while True:
        body = digits(rng, 9, "467")
        check = -weighted(body, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
        if check != 10:
            break
    whole = body + str(check)
    mark = rng.choices([" ", "", "-"], [6, 3, 1])[0]
    return mark.join((whole[:3], whole[3:6], whole[6:]))


def es_dni(rng: Random) -> str:
    """Spanish identity card: eight digits and the letter of their remainder by 23."""
    body = digits(rng, 8, "1234567")
    letter = _DNI[int(body) % 23]
    dotted = f"{body[:2]}.{body[2:5]}.{body[5:]}-{letter}"
    return rng.choice([body + letter, body + letter, f"{body}-{letter}", dotted])


def es_nie(rng: Random) -> str:
    """Spanish foreigner's number: X, Y or Z stands for 0, 1 or 2 in front of seven digits."""
    first, body = rng.randrange(3), digits(rng, 7)
    letter = _DNI[int(f"{first}{body}") % 23]
    return rng.choice(["{}{}{}", "{}-{}-{}", "{}{}-{}"]).format("XYZ"[first], body, letter)


def it_fiscal(rng: Random) -> str:
    """Codice fiscale of a natural person (D.M. 23/12/1976)."""
    day, female = birth(rng), rng.random() < 0.5
    letters = "".join(rng.choice(_CONSONANTS) for _ in range(6))
    place = rng.choice(["H501", "F205", "L219", "D612", "A944", "F839", "G273", "A662", "Z129"])
    month = "ABCDEHLMPRST"[day.month - 1]
    body = f"{letters}{day:%y}{month}{day.day + 40 * female:02d}{place}"
    total = 0
    for index, char in enumerate(body):
        value = string.ascii_uppercase[int(char)] if char.isdigit() else char
        total += CIN_ODD[value] if index % 2 == 0 else string.ascii_uppercase.index(value)
    whole = body + string.ascii_uppercase[total % 26]
    spaced = f"{whole[:3]} {whole[3:6]} {whole[6:11]} {whole[11:]}"
    return rng.choices([whole, whole.lower(), spaced], [7, 1, 2])[0]


def fr_nir(rng: Random) -> str:
    """French social security number with its key, 97 minus the number modulo 97."""
    department = rng.choice([f"{n:02d}" for n in range(1, 96) if n != 20] + ["2A", "2B"])
    parts = [rng.choice("12"), f"{rng.randrange(40, 100):02d}", f"{rng.randrange(1, 13):02d}"]
    parts += [department, f"{rng.randrange(1, 600):03d}", f"{rng.randrange(1, 999):03d}"]
    numeric = {"2A": "19", "2B": "18"}.get(department, department)
    value = int("".join((*parts[:3], numeric, *parts[4:])))
    parts.append(f"{97 - value % 97:02d}")
    return rng.choice([" ".join(parts), " ".join(parts), "".join(parts)])


def de_tax(rng: Random) -> str:
    """German tax id: one digit twice among the first ten; check digit ISO 7064 MOD 11,10."""
    while True:
        chosen = rng.sample(string.digits, 9)
        chosen.append(rng.choice(chosen))
        rng.shuffle(chosen)
        if chosen[0] != "0":
            break
    product = 10
    for char in chosen:
        product = ((product + int(char)) % 10 or 10) * 2 % 11
    whole = "".join(chosen) + str((11 - product) % 10)
    return rng.choice([whole, f"{whole[:2]} {whole[2:5]} {whole[5:8]} {whole[8:]}"])


def pl_pesel(rng: Random) -> str:
    """PESEL: months of births since 2000 are raised by 20."""
    day = birth(rng)
    body = f"{day:%y}{day.month + 20 * (day.year >= 2000):02d}{day:%d}{digits(rng, 4)}"
    return body + str(-weighted(body, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10)


def nl_bsn(rng: Random) -> str:
    """Burgerservicenummer: the eleven test with weight -1 for the last digit."""
    while True:
        body = digits(rng, 8, "123456789")
        check = weighted(body, (9, 8, 7, 6, 5, 4, 3, 2)) % 11
        if check != 10:
            break
    whole = body + str(check)
    dotted, spaced = (
        f"{whole[:4]}.{whole[4:6]}.{whole[6:]}",
        f"{whole[:3]} {whole[3:6]} {whole[6:]}",
    )
    return rng.choices([whole, dotted, spaced], [6, 3, 1])[0]


def se_person(rng: Random) -> str:
    """Personnummer: Luhn over the ten-digit form; eight-digit dates are usual too."""
    day, serial = birth(rng), digits(rng, 3)
    check = luhn_digit(f"{day:%y%m%d}{serial}")
    return rng.choice([f"{day:%y%m%d}-", f"{day:%Y%m%d}-", f"{day:%Y%m%d}"]) + serial + check


def fi_hetu(rng: Random) -> str:
    """Henkilötunnus, with the separators added in 2023 among the usual ones."""
    day, serial = birth(rng), rng.randrange(2, 900)
    sign = rng.choices("ABC" if day.year >= 2000 else "-YX", [8, 1, 1])[0]
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{day:%d%m%y}{serial:03d}") % 31]
    return f"{day:%d%m%y}{sign}{serial:03d}{check}"


def be_national(rng: Random) -> str:
    """Rijksregisternummer: 97 minus the remainder; a 2 goes in front for births since 2000."""
    day, serial = birth(rng), f"{rng.randrange(1, 998):03d}"
    prefix = "2" if day.year >= 2000 else ""
    check = f"{97 - int(f'{prefix}{day:%y%m%d}{serial}') % 97:02d}"
    dotted = f"{day:%y.%m.%d}-{serial}.{check}"
    return rng.choices(
        [dotted, f"{day:%y%m%d}{serial}{check}", f"{day:%y%m%d}-{serial}-{check}"], [7, 2, 1]
    )[0]


def verhoeff_digit(body: str) -> str:
    """The Verhoeff check digit: the dihedral group of order ten, permuted by place."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 if b < 5 else (a + b) % 5 + 5
        return (a - b) % 5 + 5 if b < 5 else (a - b) % 5

    permute, check = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), 0
    for place, char in enumerate(reversed(body), start=1):
        value = int(char)
        for _ in range(place % 8):
            value = permute[value]
        check = times(check, value)
    return str(check if check >= 5 else -check % 5)


def in_aadhaar(rng: Random) -> str:
    """Aadhaar: twelve digits, never starting with 0 or 1, Verhoeff."""
    body = digits(rng, 11, "23456789")
    whole = body + verhoeff_digit(body)
    mark = rng.choices([" ", "", "-"], [7, 2, 1])[0]
    return mark.join((whole[:4], whole[4:8], whole[8:]))


def in_pan(rng: Random) -> str:
    """Permanent account number of an individual: the fourth letter is P."""
    letters = [rng.choice(string.ascii_uppercase) for _ in range(5)]
    return f"{letters[0]}{letters[1]}{letters[2]}P{letters[3]}{digits(rng, 4)}{letters[4]}"


def br_cpf(rng: Random) -> str:
    """CPF with its two check digits."""
    whole = digits(rng, 9)
    for length in (10, 11):
        rest = weighted(whole, tuple(range(length, 1, -1))) % 11
        whole += str(0 if rest < 2 else 11 - rest)
    dotted = f"{whole[:3]}.{whole[3:6]}.{whole[6:9]}-{whole[9:]}"
    return rng.choices([dotted, whole, f"{whole[:9]}-{whole[9:]}"], [7, 2, 1])[0]


def ca_sin(rng: Random) -> str:
    """Social insurance number: nine digits, Luhn."""
    body = digits(rng, 8, "1234567")
    whole = body + luhn_digit(body)
    mark = rng.choices([" ", "-", ""], [5, 4, 1])[0]
    return mark.join((whole[:3], whole[3:6], whole[6:]))


def au_tfn(rng: Random) -> str:
    """Tax file number: nine digits, modulus 11."""
    while True:
        whole = digits(rng, 9, "123456789")
        if weighted(whole, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0:
            mark = rng.choice([" ", " ", ""])
            return mark.join((whole[:3], whole[3:6], whole[6:]))


def sg_nric(rng: Random) -> str:
    """NRIC or FIN."""
    series, body = rng.choice("STFG"), digits(rng, 7)
    total = weighted(body, (2, 7, 6, 5, 4, 3, 2)) + (4 if series in "TG" else 0)
    return series + body + ("JZIHGFEDCBA" if series in "ST" else "XWUTRQPNMLK")[total % 11]


def mx_curp(rng: Random) -> str:
    """CURP (Instructivo normativo, DOF 2008)."""
    day = birth(rng)
    first = rng.choice(_CONSONANTS) + rng.choice("AEIOU") + "".join(rng.sample(_CONSONANTS, 2))
    state = rng.choice(["DF", "JC", "NL", "PL", "OC", "VZ", "YN", "BC", "GT", "MC"])
    inner = "".join(rng.choice(_CONSONANTS) for _ in range(3))
    turn = rng.choice("ABC") if day.year >= 2000 else rng.choice(string.digits)
    body = f"{first}{day:%y%m%d}{rng.choice('HM')}{state}{inner}{turn}"
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    total = sum(alphabet.index(char) * (18 - place) for place, char in enumerate(body))
    return body + str(-total % 10)


def kr_rrn(rng: Random) -> str:
    """Resident registration number."""
    day = birth(rng)
    sex = rng.choice("34" if day.year >= 2000 else "12")
    body = f"{day:%y%m%d}{sex}{rng.randrange(96):02d}{digits(rng, 3)}"
    check = (11 - weighted(body, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10
    return f"{body[:6]}-{body[6:]}{check}"


def za_id(rng: Random) -> str:
    """South African identity number: birth, serial, citizenship, 8, Luhn."""
    body = f"{birth(rng):%y%m%d}{digits(rng, 4)}08"
    whole = body + luhn_digit(body)
    return rng.choice([whole, whole, f"{whole[:6]} {whole[6:10]} {whole[10:]}"])


SCHEMES: dict[str, Drawer] = {
    each.__name__: each
    for each in (
        *(us_ssn, uk_nino, uk_nhs, es_dni, es_nie, it_fiscal, fr_nir, de_tax, pl_pesel, nl_bsn),
        *(se_person, fi_hetu, be_national, in_aadhaar, in_pan, br_cpf, ca_sin, au_tfn, sg_nric),
        *(mx_curp, kr_rrn, za_id),
    )
}
