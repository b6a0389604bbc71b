"""IP addresses: RFC 791 dotted quads, RFC 4291 and 5952 IPv6 with zones, ports and prefixes."""

import ipaddress
import re
from collections.abc import Iterator
from functools import cache

from tuiwb.data.checks.pii.context import context, words_after, words_before
from tuiwb.data.checks.pii.span import Span
from tuiwb.data.checks.pii.tables import table

ANCHOR = r"\d\.\d{1,3}\.\d{1,3}\.\d"
ANCHOR6 = r"[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]"
_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2}(?![0-9./]))?(?![\w-]|\.[0-9A-Za-z])")
_V4_LEAD = re.compile(r"[\w.%-]\Z|[A-Za-z0-9]/\Z|(?:[=<>~!]=|[<>~^])\s?\Z")
_V6 = re.compile(
    r"(?:[0-9A-Fa-f]{1,4}:|::?)[0-9A-Fa-f:]{1,40}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?"
    r"(?:%[\w.-]{1,16})?(?:/[0-9]{1,3})?(?![\w:]|\.[0-9])"
)
# A colon with another one a group behind it; the group before a colon.
_COLON = re.compile(r":(?=[0-9A-Fa-f]{0,4}:)")
_GROUP = re.compile(r"[0-9A-Fa-f]{1,4}\Z")
_EUI64 = re.compile(r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}")
# Where no word speaks of a network, a first part below this is a version's or a section's, but
# for RFC 1918's 10.
_LOW, _PRIVATE = 32, 10
# A slice of Python or a ratio has fewer digits than an IPv6 address.
_LEAST_HEX = 5


@cache
def _no_hosts() -> dict[int, list[tuple[int, int]]]:
    """First and last address of each network without hosts, by IP version."""
    made: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for written in table("numbers")["networks"]:
        network = ipaddress.ip_network(written)
        made[network.version].append((int(network[0]), int(network[-1])))
    return made


def ips(text: str) -> Iterator[Span]:
    """IPv4 addresses of hosts and networks."""
    for match in _V4.finditer(text):
        start = match.start()
        if _V4_LEAD.search(text, max(0, start - 3), start) or not _is_host(match[0]):
            continue
        if _network_of_low(match[0]):
            continue
        lead, tail = words_before(text, start, 60), words_after(text, match.end(), 30)
        address = context("ip").last(lead)
        if context("version").last(lead) > address:
            continue
        if address < 0 and context("ip").last(tail) < 0:
            parts = [int(part) for part in match[0].partition("/")[0].split(".")]
            private = parts[0] == _PRIVATE and max(parts) >= _LOW
            if context("version").last(tail) >= 0 or (parts[0] < _LOW and not private):
                continue
        yield Span(start, match.end(), "ip")


def _network_of_low(value: str) -> bool:
    """Whether it ends in 0 and begins low: a host part of zeros names a network (RFC 1122,
    3.2.1.3), which is written with its prefix; without one this is a version."""
    first, _, _, last = value.partition("/")[0].split(".")
    return "/" not in value and int(last) == 0 and int(first) < _LOW and int(first) != _PRIVATE


def ips6(text: str) -> Iterator[Span]:
    """IPv6 addresses of hosts and networks."""
    done = 0
    for colon in _COLON.finditer(text):
        if colon.start() < done:
            continue
        group = _GROUP.search(text, max(done, colon.start() - 4), colon.start())
        match = _V6.match(text, group.start() if group else colon.start())
        if match is None:
            continue
        done = match.end()
        before = text[match.start() - 1 : match.start()]
        if before.isalnum() or (before and before in ":._"):
            continue
        value = match[0] if match[0].endswith("::") else match[0].rstrip(":")
        if value.count(":") == 8 and "::" not in value:  # a port behind it, without brackets
            value = value.rpartition(":")[0]
        if _EUI64.fullmatch(value) is None and _is_host(value):
            yield Span(match.start(), match.start() + len(value), "ip")


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
        if not any(c.isdigit() for c in plain) or sum(c.isalnum() for c in plain) < _LEAST_HEX:
            return False
        if address.ipv4_mapped is not None:
            return _is_host(str(address.ipv4_mapped))
    number = int(address)
    return not any(first <= number <= last for first, last in _no_hosts()[address.version])
