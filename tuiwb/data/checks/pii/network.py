"""IP addresses: RFC 791 dotted quads, RFC 4291 and 5952 IPv6 with zones, ports and prefixes."""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import before, context, table

ANCHOR = r"\d\.\d{1,3}\.\d{1,3}\.\d"
ANCHOR6 = r"[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]"
_V4 = re.compile(
    r"(?<![\w.%-])(?<!\w/)\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2}(?![\d./]))?(?![\w-]|\.\d)"
)
_V6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4})"
    r"(?:%[\w.-]{1,16})?(?:/\d{1,3})?(?![\w:])"
)


@cache
def _no_hosts() -> dict[int, list[ipaddress.IPv4Network | ipaddress.IPv6Network]]:
    networks = [ipaddress.ip_network(network) for network in table("numbers")["networks"]]
    return {version: [n for n in networks if n.version == version] for version in (4, 6)}


def ips(text: str) -> Iterator[Span]:
    """IPv4 addresses of hosts and networks."""
    for match in _V4.finditer(text):
        lead = before(text, match.start(), 30)
        if context("version").search(lead) and not context("ip").search(lead):
            continue
        if _is_host(match[0]):
            yield Span(match.start(), match.end(), "ip")


def ips6(text: str) -> Iterator[Span]:
    """IPv6 addresses of hosts and networks."""
    for match in _V6.finditer(text):
        if _is_host(match[0]):
            yield Span(match.start(), match.end(), "ip")


def _is_host(value: str) -> bool:
    """Valid, and neither loopback, multicast, a mask nor a documentation range."""
    plain = value.partition("/")[0].partition("%")[0]
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if sum(bool(part) for part in plain.split(":")) < 2:
            return False
        if not any(c.isdigit() for c in plain):
            return False
        if address.ipv4_mapped is not None:
            return _is_host(str(address.ipv4_mapped))
    return not any(address in network for network in _no_hosts()[address.version])
