"""Secrets for the unseen corpus: vendors' credentials, keys, tokens and passwords in context.

In: a random generator and a language. Out: (before, secret, after). Shapes and contexts are in
pii_unseen_secrets.toml; no credential stands in the source, every one is drawn at run time.
"""

import base64
import json
import re
import string
from typing import Any

from benchmarks.corpora.pii_unseen_draw import Rng, chance, digits, text, vocabulary

ALNUM = string.ascii_letters + string.digits
CLASSES = {
    "alnum": ALNUM,
    "letter": string.ascii_letters,
    "lower": string.ascii_lowercase,
    "digit": string.digits,
    "hex": "0123456789abcdef",
    "HEX": "0123456789ABCDEF",
    "b64": ALNUM + "+/",
    "url": ALNUM + "_-",
    "azure": ALNUM + "_.~-",
    "base32": string.ascii_uppercase + "234567",
    "lower32": string.ascii_lowercase + "234567",
    "base36": string.ascii_lowercase + string.digits,
    "base36up": string.ascii_uppercase + string.digits,
    "bech32up": "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
}
SHAPE = re.compile(r"\{(\w+)(?::(\d+)(?:-(\d+))?)?\}")
Placed = tuple[str, str, str]


def uuid(rng: Rng) -> str:
    """A version 4 UUID."""
    value = text(rng, CLASSES["hex"], 32)
    return (
        f"{value[:8]}-{value[8:12]}-4{value[13:16]}-{rng.choice('89ab')}{value[17:20]}-{value[20:]}"
    )


def shaped(rng: Rng, shape: str) -> str:
    """A credential of the shape: literals, {class:n}, {class:n-m} and {uuid}."""

    def drawn(match: re.Match[str]) -> str:
        kind, low, high = match.groups()
        if kind == "uuid":
            return uuid(rng)
        length = rng.randint(int(low), int(high or low))
        drawn = text(rng, CLASSES[kind], length)
        # Telegram's and Slack's numbers do not begin with zero.
        return "1" + drawn[1:] if kind == "digit" and drawn.startswith("0") else drawn

    return SHAPE.sub(drawn, shape)


def in_context(context: str, secret: str, **words: str) -> Placed:
    """The context's text before and after the secret, which stands at {s} or {p}."""
    marker = "\0"
    before, after = context.format(s=marker, p=marker, **words).split(marker)
    return before, secret, after


def vendor_secret(rng: Rng) -> Placed:
    """One of the vendors' credentials, named by its context unless its prefix gives it away."""
    data = vocabulary("secrets")
    entry = rng.choice(data["vendor"])
    secret = shaped(rng, rng.choice(entry["shapes"]))
    if entry.get("bare") and chance(rng, 0.45) and "://" not in secret:
        return in_context(rng.choice(data["unnamed"]), secret)
    return in_context(
        rng.choice(data["named"]), secret, var=rng.choice(entry["vars"]), vendor=entry["name"]
    )


def password(rng: Rng, in_url: bool = False) -> str:
    """A password: mostly random, some made of words as people make them; URL-safe on request."""
    data = vocabulary("secrets")
    word = rng.choice(data["words"])
    kind = rng.choices(["random", "alnum", "hex", "words", "human"], [40, 25, 13, 10, 12])[0]
    signs = "-_.~" if in_url else "!$^*-_.+?"
    match kind:
        case "alnum":
            return text(rng, ALNUM, rng.randint(12, 40))
        case "hex":
            return text(rng, CLASSES["hex"], rng.choice([16, 24, 32, 40, 64]))
        case "words":
            chosen = rng.sample(data["words"], 3)
            return rng.choice("-_.").join([*chosen, digits(rng, rng.randint(2, 4))])
        case "human":
            return f"{word.title()}{rng.randint(1950, 2025)}{rng.choice('!*$')}"
        case _:
            body = [
                rng.choice(pool) for pool in (ALNUM, signs, string.digits, string.ascii_uppercase)
            ]
            body += rng.choices(ALNUM * 2 + signs, k=rng.randint(6, 20))
            rng.shuffle(body)
            # Punctuation at the ends belongs to the sentence or the quoting, not to the password.
            return f"{rng.choice(string.ascii_letters)}{''.join(body)}{rng.choice(ALNUM)}"


def assigned_password(rng: Rng, lang: str) -> Placed:
    """A password or key in an assignment, a connection URL or a sentence of the language."""
    data = vocabulary("secrets")
    contexts = data["passwords"]
    if f"passwords_{lang}" in data and chance(rng, 0.5):
        contexts = data[f"passwords_{lang}"]
    context = rng.choice(contexts)
    words = {"host": "hosts", "user": "users", "db": "databases"}
    chosen = {slot: rng.choice(data[key]) for slot, key in words.items()}
    return in_context(context, password(rng, "://" in context), **chosen)


def base64_lines(rng: Rng, size: int, head: bytes, width: int) -> str:
    """`size` random bytes behind a DER head, in base64 lines of this width."""
    encoded = base64.b64encode(head + rng.randbytes(size)).decode()
    return "\n".join(encoded[at : at + width] for at in range(0, len(encoded), width))


def armoured(label: str, body: str) -> str:
    """A PEM text (RFC 7468) with this label."""
    dashes = "-" * 5
    return f"{dashes}BEGIN {label}{dashes}\n{body}\n{dashes}END {label}{dashes}"


def private_key(rng: Rng) -> str:
    """A private key in PEM or OpenPGP armour: RSA, EC, PKCS 8, OpenSSH, encrypted."""
    kind = rng.choice(["RSA ", "EC ", "", "OPENSSH ", "ENCRYPTED ", "DSA ", "PGP"])
    if kind == "PGP":
        body = base64_lines(rng, rng.randint(200, 500), b"\x95", 64)
        return armoured("PGP PRIVATE KEY BLOCK", f"\n{body}\n={text(rng, ALNUM, 4)}")
    head = {"OPENSSH ": b"openssh-key-v1\0\0\0\0\4none", "EC ": b"\x30\x77\x02\x01\x01\x04\x20"}
    size = 114 if kind == "EC " else rng.choice([150, 400, 600, 1190])
    body = base64_lines(rng, size, head.get(kind, b"\x30\x82\x04\xa4\x02\x01"), 64)
    if kind == "RSA " and chance(rng, 0.2):
        info = f"Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,{text(rng, CLASSES['HEX'], 32)}"
        body = f"{info}\n\n{body}"
    return armoured(f"{kind}PRIVATE KEY", body)


def placed_key(rng: Rng) -> Placed:
    """A private key pasted as a block, in an environment variable or in a service account file."""
    key = private_key(rng)
    form = rng.choices(["block", "fence", "json", "env", "yaml"], [35, 20, 20, 15, 10])[0]
    escaped = key.replace("\n", "\\n")
    match form:
        case "json":
            project = rng.choice(["prod-eu-1", "etl-dev", "shop-4411"])
            before = f'{{"type": "service_account", "project_id": "{project}", "private_key": "'
            return before, escaped, '"}'
        case "env":
            return 'PRIVATE_KEY="', escaped, '"'
        case "fence":
            return "```\n", key, "\n```"
        case "yaml":
            return "tls.key: |\n  ", key.replace("\n", "\n  "), ""
        case _:
            return rng.choice(["", "here is the key file:\n", "id_rsa\n"]), key, ""


def url64(value: bytes) -> str:
    """base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def jwt(rng: Rng) -> str:
    """A signed JSON Web Token (RFC 7519) with random claims."""
    algorithm, size = rng.choice([("HS256", 32), ("RS256", 256), ("ES256", 64), ("EdDSA", 64)])
    header: dict[str, Any] = {"alg": algorithm, "typ": "JWT"}
    if chance(rng, 0.4):
        header["kid"] = text(rng, CLASSES["hex"], 16)
    issued = rng.randint(1_600_000_000, 1_760_000_000)
    claims = {"sub": text(rng, ALNUM, 12), "iat": issued, "exp": issued + 3600}
    if chance(rng, 0.5):
        claims |= {"iss": "https://auth.acme-tools.dev", "scope": "read write"}
    compact = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    return ".".join([*map(url64, compact), url64(rng.randbytes(size))])


def placed_jwt(rng: Rng) -> Placed:
    """A JWT in a header, a cookie, a log line or on its own."""
    contexts = [
        "Authorization: Bearer {s}", "Cookie: session={s}; Path=/", "jwt: {s}", "{s}",
        "decode this token for me: {s}", 'localStorage.setItem("token", "{s}")',
        "https://app.acme-tools.dev/cb#id_token={s}", "INFO issued token {s} ttl=3600",
    ]  # fmt: skip
    return in_context(rng.choice(contexts), jwt(rng))


def aws_pair(rng: Rng) -> list[Placed]:
    """An AWS credentials file's two lines: key id and secret key."""
    key = shaped(rng, "AKIA{base32:16}")
    secret = shaped(rng, "{b64:40}")
    return [
        ("[default]\naws_access_key_id = ", key, "\n"),
        ("aws_secret_access_key = ", secret, "\n"),
    ]


def secret(rng: Rng, lang: str) -> Placed:
    """Any secret with its context."""
    kind = rng.choices(["vendor", "password", "key", "jwt"], [58, 27, 8, 7])[0]
    match kind:
        case "vendor":
            return vendor_secret(rng)
        case "key":
            return placed_key(rng)
        case "jwt":
            return placed_jwt(rng)
        case _:
            return assigned_password(rng, lang)
