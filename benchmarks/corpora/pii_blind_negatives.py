"""Values that look like personal data or secrets and are none.

In: the state of one text and the variant asked for. Out: pieces without a planted span.
"""

import base64
import datetime
import string
import uuid
from random import Random

from benchmarks.corpora.pii_blind_draw import Pieces, State
from benchmarks.corpora.pii_blind_ids import SCHEMES, digits, luhn_digit
from benchmarks.corpora.pii_blind_numbers import grouped, iban

_HEX = "0123456789abcdef"
# Addresses kept for documentation (RFC 2606, 5737, 3849) and the loopback and unspecified ones.
_DOC_IPS = (
    *("127.0.0.1", "0.0.0.0", "192.0.2.1", "192.0.2.146", "198.51.100.7", "203.0.113.9"),
    *("::1", "::", "2001:db8::1", "2001:db8:85a3::8a2e:370:7334", "255.255.255.0"),
)
_DOC_EMAILS = (
    *("user@example.com", "jane.doe@example.org", "someone@example.net", "test@test.example"),
    *("you@yourdomain.invalid", "name@mail.example.com", "foo@localhost", "admin@host.test"),
)
_HOLDERS = (
    *("YOUR_API_KEY", "<your-token-here>", "xxxxxxxxxxxxxxxxxxxx", "REPLACE_ME", "sk-...", "****"),
    *(
        "${API_TOKEN}",
        "{{ secrets.DEPLOY_TOKEN }}",
        "$DB_PASSWORD",
        "<redacted>",
        "INSERT_KEY_HERE",
    ),
    *("your-secret-key", "%(password)s", "os.getenv('TOKEN')", "[REDACTED]", "ghp_xxxxxxxxxxxx"),
)
_TEST_CARDS = ("4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111")
# Nine bare digits would read as another country's number; these schemes have a form of their own.
_SPOILED = ("br_cpf", "es_dni", "in_aadhaar", "fr_nir", "pl_pesel", "de_tax")


def hexadecimal(rng: Random, count: int) -> str:
    """`count` lower-case hex digits."""
    return "".join(rng.choice(_HEX) for _ in range(count))


def day(rng: Random) -> datetime.datetime:
    """A moment between 2015 and 2026."""
    return datetime.datetime(2015, 1, 1) + datetime.timedelta(seconds=rng.randrange(345_000_000))


def date(rng: Random) -> str:
    """A date without a name in it."""
    return (
        f"{day(rng):{rng.choice(['%Y-%m-%d', '%d/%m/%Y', '%d.%m.%Y', '%B %-d, %Y', '%d %b %Y'])}}"
    )


def timestamp(rng: Random) -> str:
    """A moment as logs write it."""
    forms = [
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%d %H:%M:%S,123",
        "%d/%b/%Y:%H:%M:%S +0000",
        "%Y%m%d%H%M%S",
    ]
    return f"{day(rng):{rng.choice(forms)}}"


def not_luhn(rng: Random, count: int, first: str = "0123456789") -> str:
    """`count` digits that are no card number."""
    body = digits(rng, count - 1, first)
    return body + str((int(luhn_digit(body)) + rng.randrange(1, 10)) % 10)


def isbn(rng: Random) -> str:
    """An ISBN-13 or ISBN-10 with its check digit."""
    if rng.random() < 0.3:
        body = digits(rng, 9)
        check = -sum(int(c) * n for c, n in zip(body, range(10, 1, -1), strict=True)) % 11
        return f"{body[0]}-{body[1:5]}-{body[5:]}-{'X' if check == 10 else check}"
    body = "978" + digits(rng, 9)
    check = -sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(body)) % 10
    return rng.choice([f"978-{body[3]}-{body[4:8]}-{body[8:]}-{check}", f"{body}{check}"])


def order(rng: Random) -> str:
    """An order, invoice, ticket, tracking or part number."""
    return rng.choice(
        [
            f"#{rng.randrange(10_000, 999_999)}",
            f"ORD-{day(rng):%Y}-{rng.randrange(10_000, 99_999)}",
            f"INV{rng.randrange(10**6, 10**7)}",
            f"{digits(rng, 3)}-{digits(rng, 7)}-{digits(rng, 7)}",
            f"1Z{hexadecimal(rng, 6).upper()}03{digits(rng, 8)}",
            f"94{not_luhn(rng, 20)}",
            f"RMA/{rng.randrange(100, 999)}/{rng.randrange(20, 27)}",
            f"SKU {digits(rng, 4)}-{digits(rng, 3)}-{rng.choice('ABCX')}",
            not_luhn(rng, 16, "1789"),
            f"PO{digits(rng, 8, '1234567')}",
            f"{rng.choice(['JIRA', 'OPS', 'CORE'])}-{rng.randrange(10, 9999)}",
        ]
    )


def version(rng: Random) -> str:
    """A version, four parts among them."""
    parts = [rng.randrange(10), rng.randrange(40), rng.randrange(30)]
    forms = ["{}.{}.{}", "v{}.{}.{}", "{}.{}.{}-rc1", "^{}.{}.{}", "{}.{}.{}.0", "{}.{}.{}.1742"]
    return rng.choice(forms).format(*parts)


def bad_iban(rng: Random) -> str:
    """An IBAN whose check digits are off by one."""
    whole = iban(rng, ("DE", "FR", "GB", "NL", "CH")).replace("\u00a0", " ")
    pair = (int(whole[2:4]) + rng.randrange(1, 90)) % 97
    return f"{whole[:2]}{pair:02d}{whole[4:]}"


def bad_card(rng: Random) -> str:
    """A card-like number that fails Luhn."""
    body = not_luhn(rng, 16, "45")
    return grouped(body, (4, 4, 4, 4), rng.choice([" ", "-", ""]))


def bad_id(rng: Random) -> str:
    """A national number in the right form whose check character is wrong."""
    whole = SCHEMES[rng.choice(_SPOILED)](rng)
    last = whole[-1]
    alphabet = string.digits if last.isdigit() else string.ascii_uppercase
    return whole[:-1] + alphabet[(alphabet.index(last) + 1) % len(alphabet)]


def number(rng: Random) -> str:
    """A float, an amount, an epoch, a coordinate pair or a percentage."""
    return rng.choice(
        [
            f"{rng.uniform(-5, 5):.12f}",
            f"{rng.uniform(0, 1):.6f}",
            f"{rng.uniform(1, 9):.3f}e-{rng.randrange(2, 12):02d}",
            f"{rng.randrange(1_300_000_000, 1_790_000_000)}",
            f"{rng.randrange(1_300_000_000_000, 1_790_000_000_000)}",
            f"{rng.uniform(-60, 70):.5f}, {rng.uniform(-170, 170):.5f}",
            f"{rng.randrange(10, 100)}.{rng.randrange(100, 999)}.{rng.randrange(100, 999)},00",
            f"{rng.randrange(10**9, 10**10):,}",
        ]
    )


def digest(rng: Random) -> str:
    """A hash, commit, UUID or other opaque identifier that grants nothing."""
    blob = base64.b64encode(rng.randbytes(rng.choice([32, 48]))).decode()
    return rng.choice(
        [
            hexadecimal(rng, 40),
            hexadecimal(rng, 7),
            f"sha256:{hexadecimal(rng, 64)}",
            f"sha512-{base64.b64encode(rng.randbytes(64)).decode()}",
            f"md5 {hexadecimal(rng, 32)}",
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            f"data:image/png;base64,iVBORw0KGgo{blob.rstrip('=')}",
            f'etag "{hexadecimal(rng, 32)}"',
        ]
    )


def public_key(rng: Random) -> str:
    """A public key or certificate, which is no secret."""
    blob = "".join(rng.choice(string.ascii_letters + string.digits + "+/") for _ in range(182))
    kind = rng.choice(["PUBLIC KEY", "CERTIFICATE"])
    lines = "\n".join(blob[i : i + 64] for i in range(0, len(blob), 64))
    return f"-----BEGIN {kind}-----\nMIIB{lines[4:]}==\n-----END {kind}-----"


def draw(state: State, variant: str) -> Pieces:
    """The look-alike called `variant`; KeyError for one that is not known."""
    rng = state.rng
    match variant:
        case "date":
            text = date(rng)
        case "ts":
            text = timestamp(rng)
        case "order":
            text = order(rng)
        case "isbn":
            text = isbn(rng)
        case "version":
            text = version(rng)
        case "num":
            text = number(rng)
        case "digest":
            text = digest(rng)
        case "pub":
            text = public_key(rng)
        case "iban":
            text = bad_iban(rng)
        case "card":
            text = bad_card(rng)
        case "id":
            text = bad_id(rng)
        case "mac":
            text = rng.choice(":-").join(hexadecimal(rng, 2) for _ in range(6))
        case "hex":
            text = f"#{hexadecimal(rng, 6)}"
        case "int":
            text = str(rng.randrange(2, 60))
        case "port":
            text = str(rng.choice([22, 443, 3000, 5432, 8080, 8443, 9090, 27017]))
        case "time":
            text = f"{rng.randrange(24):02d}:{rng.randrange(0, 60, 5):02d}"
        case "holder":
            text = rng.choice(_HOLDERS)
        case "ip":
            text = rng.choice(_DOC_IPS)
        case "email":
            text = rng.choice(_DOC_EMAILS)
        case "testcard":
            text = rng.choice(_TEST_CARDS)
        case "awsdoc":
            # Amazon's documentation key, put together so that no scanner takes it for a real one.
            text = "AKIA" + "IOSFODNN7" + "EXAMPLE"
        case _:
            raise KeyError(variant)
    return [(text, None)]
