"""Where an endpoint is, checked before a key is sent there or the address is written down."""

import os
import re
import socket
import urllib.request
from urllib.parse import urlsplit, urlunsplit

from tuiwb.errors import BadInput, MissingHere

ANTHROPIC_URL = "https://api.anthropic.com"
ANTHROPIC_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_url(url: str, *, who: str, variable: str) -> str:
    """The endpoint without a trailing /v1, which its client adds.

    BadInput for what is no http URL or carries a password, which would reach the disk: `who`
    names the endpoint there and `variable` where the key belongs.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or not url.isprintable():
        raise BadInput(f"{url!r} is not an endpoint: give one like http://127.0.0.1:8000")
    if parts.username or parts.password or parts.query:
        raise BadInput(
            f"{who}'s endpoint on {host} carries a secret in its URL: put it into {variable} "
            "instead"
        )
    path = parts.path.rstrip("/").removesuffix("/v1")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def check_key_travels_safely(url: str) -> None:
    """BadInput where a key would go unencrypted to another machine."""
    if url.startswith("http://") and (urlsplit(url).hostname or "") not in LOOPBACK:
        raise BadInput(
            f"{url} would get your key unencrypted: use https, or unset the key for this endpoint"
        )


def direct(url: str) -> dict[str, None]:
    """Mounts for an HTTP client so that a loopback endpoint is reached past the environment's
    proxies: one would get the key unencrypted, and its loopback is another machine's."""
    host = urlsplit(url).hostname or ""
    if host not in LOOPBACK:
        return {}
    return {f"all://[{host}]" if ":" in host else f"all://{host}": None}


def check_answers(url: str, *, who: str, seconds: float = 5.0) -> None:
    """MissingHere where nothing takes a connection at the endpoint: asked before anything that
    stands is set aside for it. Not asked where a proxy stands between."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in LOOPBACK and (
        parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
    ):
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=seconds).close()
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        raise MissingHere(
            f"{who} does not answer at {url} ({why}): start it, or correct the address"
        ) from None


def check_variable(name: str, *, option: str) -> str:
    """The name of an environment variable; BadInput, which does not repeat it, for what is none:
    it may be the key itself, and names are written down."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise BadInput(
            f"{option} takes the name of an environment variable, such as OPENAI_API_KEY, never "
            "the key itself"
        )
    return name


def read_key(variable: str) -> str | None:
    """The key in an environment variable, without the blanks and line ends that `$(cat FILE)`
    and copying leave; None without one.

    BadInput, which never quotes it, for what no header can carry: HTTP libraries would put the
    whole header into their error.
    """
    key = os.environ.get(variable, "").strip()
    if not key.isascii() or not key.isprintable():
        raise BadInput(
            f"{variable} holds letters that no key has (line ends, accents or control characters): "
            "set it again"
        )
    return key or None


def has_key(variable: str) -> bool:
    """Whether the environment holds a key under this name; BadInput for one that is broken."""
    return read_key(variable) is not None


def has_anthropic_key() -> bool:
    """Whether the environment holds a key for the Messages API."""
    return any(has_key(name) for name in ANTHROPIC_KEYS)
