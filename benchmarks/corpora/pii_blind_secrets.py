"""Secrets: vendors' tokens, private keys, JWTs, passwords in URLs and assigned random values.

In: the state of one text. Out: pieces; in a URL or an assignment the value alone is planted.
"""

import base64
import json
import re
import string
from random import Random

from benchmarks.corpora.pii_blind_draw import Pieces, State, load

_SHAPES = load("pii_blind_secrets.toml")
_WORD = string.ascii_letters + string.digits
_CLASSES = {
    "w": _WORD,
    "W": _WORD + "_-",
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "d": string.digits,
    "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "t": string.ascii_uppercase + "234567",
    "B": "023456789ACDEFGHJKLMNPQRSTUVWXYZ",
    "b": _WORD + "+/",
    "p": _WORD + "!*_-.~",
}
_ASSIGNMENTS = (
    ("{}=", ""),
    ("export {}=", ""),
    ('{} = "', '"'),
    ("{}='", "'"),
    ("{}: ", ""),
    ('{}: "', '"'),
    ('"{}": "', '",'),
    ("const {} = '", "';"),
    ("ENV {} ", ""),
    ("{} := \"", '"'),
    ("    {}='", "',"),
    ("set {}=", ""),
    ("<add key=\"{}\" value=\"", '" />'),
    ("--set {}=", ""),
    ("os.environ['{}'] = '", "'"),
)  # fmt: skip
_URLS = (
    ("postgres://app_rw:", "@db-01.internal:5432/orders"),
    ("postgresql+psycopg2://reporting:", "@10-0-3-7.rds.local/warehouse?sslmode=require"),
    ("mysql://root:", "@mysql:3306/shop"),
    ("mongodb+srv://svc:", "@cluster0.ab1cd.mongodb.net/prod?retryWrites=true"),
    ("redis://:", "@cache:6379/0"),
    ("rediss://default:", "@redis-14.c9.cloud:6380"),
    ("amqp://worker:", "@rabbit:5672/%2f"),
    ("https://deploy:", "@git.internal/team/service.git"),
    ("ftp://backup:", "@files.intranet/nightly/"),
    ("jdbc:postgresql://db:5432/app?user=app&password=", "&ssl=true"),
    ("Server=tcp:sql01,1433;Database=crm;User ID=sa;Password=", ";Encrypt=true;"),
    ("smtp://mailer:", "@smtp.internal:587"),
    ("https://api.internal/v2/export?access_token=", "&format=csv"),
    ("pg-main:5432:billing:app:", ""),
    ("machine git.internal login ci password ", ""),
    ("curl -u admin:", " https://grafana.internal/api/health"),
    ("sshpass -p ", " ssh deploy@build-7"),
)


def shaped(rng: Random, shape: str) -> str:
    """`shape` with each `<c12>` drawn from its class."""

    def fill(found: re.Match[str]) -> str:
        return "".join(rng.choice(_CLASSES[found[1]]) for _ in range(int(found[2])))

    whole = re.sub(r"<(\w)(\d+)>", fill, shape)
    # A value ends in a letter or digit, so that no punctuation is at issue; base64 pads with "=".
    if shape.endswith(">") and not whole[-1].isalnum():
        whole = whole[:-1] + rng.choice("adefkmqr379")
    return rng.choice("123456789") + whole[1:] if shape.startswith("<d") else whole


def token(state: State, variant: str) -> Pieces:
    """A vendor's token that its shape gives away."""
    vendor = variant or state.rng.choice(list(_SHAPES["token"]))
    return [(shaped(state.rng, state.rng.choice(_SHAPES["token"][vendor])), "secret")]


def _password(rng: Random) -> str:
    while True:
        value = shaped(rng, "<w1><p14><w2>")
        if any(c.isdigit() for c in value) and not value.isalnum():
            return value


def assignment(state: State) -> Pieces:
    """A line that gives a name its secret value."""
    rng = state.rng
    if rng.random() < 0.3:
        vendor = rng.choice([v for v in _SHAPES["token"] if "webhook" not in v])
        value = token(state, vendor)[0][0]
        names = [f"{vendor.upper()}_TOKEN", f"{vendor}_api_key", f"{vendor.upper()}_SECRET"]
    else:
        what = rng.choice(list(_SHAPES["value"]))
        shape, names = _SHAPES["value"][what]["shape"], _SHAPES["value"][what]["names"]
        value = _password(rng) if what == "password" else shaped(rng, shape)
    before, after = rng.choice(_ASSIGNMENTS)
    return [(before.format(rng.choice(names)), None), (value, "secret"), (after, None)]


def url(state: State) -> Pieces:
    """A URL or connection string with a password in it."""
    before, after = state.rng.choice(_URLS)
    value = shaped(state.rng, state.rng.choice(["<w20>", "<w16>", "<W24>", "<w1><p12><w1>"]))
    return [(before, None), (value, "secret"), (after, None)]


def header(state: State) -> Pieces:
    """An HTTP header that authenticates."""
    rng = state.rng
    before, value = rng.choice(
        [
            ("Authorization: Bearer ", shaped(rng, "<W43>")),
            ("Authorization: token ", shaped(rng, "<h40>")),
            ("X-Api-Key: ", shaped(rng, "<w36>")),
            ("PRIVATE-TOKEN: ", shaped(rng, "<W20>")),
            ("Authorization: Basic ", base64.b64encode(shaped(rng, "svc:<w20>").encode()).decode()),
        ]
    )
    return [(before, None), (value, "secret")]


def _segment(value: dict[str, object]) -> str:
    packed = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def jwt(state: State) -> Pieces:
    """A signed JSON web token (RFC 7519) without personal claims."""
    rng = state.rng
    issued = rng.randrange(1_600_000_000, 1_790_000_000)
    claims: dict[str, object] = {"sub": str(rng.randrange(10**6)), "iat": issued}
    if rng.random() < 0.6:
        claims |= {"exp": issued + 3600, "scope": "read write"}
    algorithm = rng.choice(["HS256", "RS256", "ES256"])
    signature = shaped(rng, {"RS256": "<W342>", "HS256": "<W43>", "ES256": "<W86>"}[algorithm])
    head = {"alg": algorithm, "typ": "JWT"} if rng.random() < 0.7 else {"alg": algorithm}
    return [(f"{_segment({**head})}.{_segment(claims)}.{signature}", "secret")]


def private_key(state: State, escaped: bool = False) -> Pieces:
    """A PEM private key (RFC 7468, OpenSSH, OpenPGP), real in shape and random inside."""
    rng = state.rng
    kind, start, lines = rng.choice(
        [
            ("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEA", 25),
            ("EC PRIVATE KEY", "MHcCAQEEI", 3),
            ("PRIVATE KEY", "MIGHAgEAMBMGByqGSM49", 3),
            ("OPENSSH PRIVATE KEY", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU", 5),
            ("ENCRYPTED PRIVATE KEY", "MIIFHDBOBgkqhkiG9w0BBQ0w", 28),
            ("PGP PRIVATE KEY BLOCK", "lQOYBF", 12),
        ]
    )
    body = start + shaped(rng, f"<b{64 * lines - len(start) - 20}>") + "="
    rows = [f"-----BEGIN {kind}-----", *(body[i : i + 64] for i in range(0, len(body), 64))]
    if kind.startswith("PGP"):
        rows.insert(1, "")
    rows.append(f"-----END {kind}-----")
    return [(("\\n" if escaped else "\n").join(rows), "secret")]


def secret(state: State, variant: str) -> Pieces:
    """A secret: `token` (the default), `assign`, `url`, `header`, `jwt`, `pem`, `escaped`."""
    if variant == "line":
        variant = state.rng.choices(["assign", "url", "header"], [6, 3, 1])[0]
    if variant.startswith("token_"):
        return token(state, variant.removeprefix("token_"))
    match variant:
        case "assign":
            return assignment(state)
        case "url":
            return url(state)
        case "header":
            return header(state)
        case "jwt":
            return jwt(state)
        case "pem":
            return private_key(state)
        case "escaped":
            return private_key(state, escaped=True)
        case _:
            return token(state, "")
