"""E-mail addresses: RFC 5322 and RFC 6531 addresses, RFC 5321 limits, and spelled-out ones."""

import re
from collections.abc import Iterator

from tuiwb.data.checks.pii.engine import keys
from tuiwb.data.checks.pii.span import Span

ANCHOR = r"[^\x00-\x20@]@[\[0-9A-Za-z\x80-\xff]"
SPELLED_ANCHOR = (
    r"(?i)[a-z0-9_\x80-\xff] ?(?:[\[({<] ?(?:at|@|arroba|ät|chez|a t) ?[\])}>]|[ _-]at[ _-]|"
    r" arroba | @ )[ ]?[a-z0-9.-]{1,60}? ?"
    r"(?:[\[({<] ?(?:dot|\.|punto|punkt|point|d o t) ?[\])}>]|[ _-]dot[ _-]| punto | point | \. |"
    r"\.[a-z])"
)
# RFC 6532 atoms; a dot stands only between atoms. The local part is looked for backwards from @.
_LOCAL = re.compile(
    r"(?:\"(?:[^\"\\\r\n]|\\.){1,62}\"|[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*)\Z"
)
_DOMAIN = re.compile(
    r"\[(?:IPv6:)?[0-9A-Fa-f:.]{3,45}\]|(?:xn--[\w-]{1,59}|\w(?:[\w-]{0,61}\w)?)"
    r"(?:[.。](?:xn--[\w-]{1,59}|\w(?:[\w-]{0,61}\w)?)){1,9}"
)
_AT = re.compile("@")
# The rest of an escape whose backslash stands before it: the letters are nobody's.
_ESCAPED = re.compile(r"u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[abfnrtv0]")
_BRACKETED = r"\s?[\[({<]\s?(?:at|@|arroba|ät|a t)\s?[\])}>]\s?"
_DOT = (
    r"(?:\s?[\[({<]\s?(?:dot|\.|punto|punkt|point|d o t)\s?[\])}>]\s?|[ _-](?:dot|punto)[ _-]|\.)"
)
_HOST = rf"[\w-]{{2,63}}(?:{_DOT}[\w-]{{2,63}}){{0,4}}{_DOT}[a-z]{{2,24}}"
_SIGN = r"[ _-](?:plus|underscore|dash|hyphen)[ _-]"
_WORD = rf"[\w+-]{{1,64}}(?:{_DOT}[\w+-]{{1,64}}|{_SIGN}\w{{1,32}}){{0,4}}"
_SPELLED = (
    re.compile(rf"(?<![\w@.])(?:{_WORD}){_BRACKETED}{_HOST}(?!\w)", re.IGNORECASE),
    re.compile(
        rf"(?<![\w@.])(?:{_WORD})(?: (?:at|arroba) |_at_|-at-){_HOST}(?![\w@])", re.IGNORECASE
    ),
    re.compile(rf"(?<![\w@.])[\w.+-]{{2,64}} ?@ ?{_HOST}(?![\w@])", re.IGNORECASE),
)
_AT_SPELLED = rf"(?i)(?:{_BRACKETED}|[ _-]at[ _-]| arroba | ?@ )"
_BACK, _AHEAD = 80, 140
_MAILED = re.compile(
    r"(?:e-?mail|mail|write|reach|contact|address|send|forward|inbox|correo|courriel|schreib)",
    re.IGNORECASE,
)
_NO_LOCAL = frozenset(
    (
        "looking",
        "look",
        "looked",
        "available",
        "based",
        "works",
        "working",
        "worked",
        "meet",
        "me",
        "us",
        "him",
        "her",
        "them",
        "is",
        "are",
        "was",
        "find",
        "found",
        "it",
        "that",
        "this",
        "one",
        "located",
        "arrived",
        "sold",
        "bought",
        "listed",
        "and",
        "or",
        "start",
        "the",
        "a",
    )
)
_FILES = frozenset(
    (
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "css",
        "js",
        "ts",
        "tsx",
        "jsx",
        "py",
        "json",
        "html",
        "txt",
        "md",
        "xml",
        "yml",
        "yaml",
        "toml",
        "java",
        "cpp",
        "class",
        "prototype",
        "length",
        "push",
        "call",
        "apply",
        "map",
    )
)
_LONGEST_LOCAL = 64


def emails(text: str) -> Iterator[Span]:
    """Addresses with an @, in order."""
    for at in _AT.finditer(text):
        here = at.start()
        window = text[max(0, here - _LONGEST_LOCAL - 2) : here]
        local = _LOCAL.search(window)
        domain = _DOMAIN.match(text, here + 1, here + 256)
        if local is None or domain is None:
            continue
        name = local[0].lstrip("'`*{|/=~!#$%&?^")
        if name.startswith('"') is False and "=" in name:
            name = name.rpartition("=")[2]
        name = name[_escape(text, here - len(name)) :].lstrip(".")
        host = domain[0].rstrip("-_")
        end = here + 1 + len(host)
        if _is_address(name, host) and not _scp(text, end, name):
            yield Span(here - len(name), end, "email")


def _escape(text: str, start: int) -> int:
    """How many characters from `start` on end an escape such as \\n that begins before it."""
    if text[start - 1 : start] != "\\":
        return 0
    lead = text[max(0, start - _BACK) : start]
    escaped = (len(lead) - len(lead.rstrip("\\"))) % 2
    match = _ESCAPED.match(text, start) if escaped else None
    return match.end() - start if match else 0


def _scp(text: str, end: int, name: str) -> bool:
    """Whether host and path follow, as in git@host:path or in a URL's user part."""
    return name == "git" or (text[end : end + 1] == ":" and not text[end + 1 : end + 2].isspace())


def _is_address(local: str, domain: str) -> bool:
    if not 1 <= len(local) <= _LONGEST_LOCAL or len(local) + len(domain) > 253:
        return False
    if domain.startswith("["):
        return any(c.isdigit() for c in domain) and domain.endswith("]")
    labels = re.split("[.。]", domain.lower())
    last = labels[-1]
    if last in _FILES or any(c.isdigit() or c == "_" for c in last.removeprefix("xn--")[:1]):
        return False
    if not last.startswith("xn--") and (len(last) < 2 or not last.isalpha()):
        return False
    if any(label.startswith("-") or label.endswith("-") for label in labels):
        return False
    if local.lower().startswith("your") or labels[0].startswith("your"):
        return False
    return not labels[-2].startswith("example")


def spelled_emails(text: str) -> Iterator[Span]:
    """Addresses written so that no machine should read them."""
    done = 0
    for key in keys(_AT_SPELLED).finditer(text):
        begin, end = max(done, key.start() - _BACK), min(len(text), key.end() + _AHEAD)
        for number in _ways(key[0]):
            match = _SPELLED[number].search(text, begin, end)
            if match is None:
                continue
            if number == 0 or _meant(match[0], text[max(0, match.start() - 50) : match.start()]):
                done = match.end()
                yield Span(match.start() + _escape(text, match.start()), done, "email")
                break


def _ways(at: str) -> tuple[int, ...]:
    """Which of the shapes such an at can be in."""
    if at.strip()[:1] in tuple("[({<"):
        return (0,)
    return (2,) if "@" in at else (1,)


def _meant(found: str, lead: str) -> bool:
    """Words such as "sold at shop dot com" are no address: the local part must look like one."""
    if "example" in found:
        return False
    local = re.split(r"(?i)[ _-]at[ _-]| arroba |@", found)[0].strip()
    last = found.rpartition(".")[2].strip().lower()
    if local.lower().split(" ")[-1] in _NO_LOCAL or last in _FILES:
        return False
    if re.search(r"[\d._+]|(?i: dot | underscore )", local):
        return "dot" in found.lower() or "@" in found or _MAILED.search(lead) is not None
    spelled = re.search(r"(?i)[ _-](?:dot|punto)[ _-]|[\[({<]", found) is not None
    return (spelled or " @ " in found) and (_MAILED.search(lead) is not None or " @ " in found)
