"""Texts damaged on their way into the dataset: mojibake, lost characters, leftovers of HTML."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from tuiwb.data.checks.finding import Finding, found, quote
from tuiwb.data.checks.texts import Entry, texts_of
from tuiwb.data.rows import Row

if TYPE_CHECKING:
    from re2 import _Regexp as Regexp

# The bytes 0x80-0xBF, which continue a character in UTF-8, as Windows-1252 and Latin-1 read them.
_CONTINUES = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
# Of two-byte characters alone only those led by 0xC2 and 0xC3 are sure; the others come in runs.
_MOJIBAKE = re.compile(
    f"(?:[ÂÃ][{_CONTINUES}]|â[\x80-\x82€‚][{_CONTINUES}]"
    f"|[Ä-Åà-ï][{_CONTINUES}]{{2}}|ð[{_CONTINUES}]{{3}}|(?:[Ã-ß][{_CONTINUES}]){{2}})+"
)
_CONTROL = r"[\x00-\x08\x0b\x0e-\x1f\x7f]"
_ENTITY = r"&(?:amp|lt|gt|quot|nbsp|apos|[lr][sd]quo|hellip|[mn]dash|#\d{2,5}|#x[0-9A-Fa-f]{2,5});"
_TAG = (
    r"</?(?:p|br|div|span|a|b|i|u|strong|em|li|ul|ol|h[1-6]|table|tr|td|th|img|font|script"
    r"|blockquote)(?:\s[^<>\n]{0,300})?/?>"
)
_ESCAPED = r"\\n\\n|\\u(?:00|20)[0-9A-Fa-f]{2}"
_DAMAGE = re.compile(f"({_CONTROL})|({_ENTITY})|({_TAG})|({_ESCAPED})")
# Where code or markup is the matter, tags and entities are no leftovers.
_ABOUT_MARKUP = (
    r"html|xml|svg|css|markup|markdown|\btags?\b|javascript|\bjsx?\b|php|code|script"
    r"|web ?(?:page|site)|hyperlink|regex|json|python|entit(?:y|ies)|<!doctype|```|<\?|\{\{"
    r"|\bform\b|escape|\bquery\b"
)
KINDS = ("control", "html", "html", "escaped")
SAYS = {
    "control": "holds control characters",
    "html": "holds a leftover of HTML",
    "escaped": "holds escapes that were never undone",
}


@cache
def _gates() -> tuple["Regexp", "Regexp"]:
    """What holds no damage that ASCII can show, and none beyond it, passes these."""
    import re2

    options = re2.Options()
    options.never_capture = True
    plain = f"{_CONTROL}|{_ENTITY}|{_TAG}|{_ESCAPED}"
    lost = f"\ufffd|[Â-ô][{_CONTINUES}]"
    return re2.compile(plain.encode(), options), re2.compile(lost.encode(), options)


class Encoding:
    """The first damage of each kind in each text."""

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """What the texts of a batch show."""
        texts = texts_of(rows)
        plain, lost = _gates()
        for group in texts.groups:
            for entry in group.holding(plain):
                yield from _ascii_damage(entry)
        for entry in texts.beyond_ascii.holding(lost):
            yield from _lost(entry)

    def end(self) -> Iterator[Finding]:
        """Nothing: each text was looked at by itself."""
        return iter(())


def encoding(row: Row) -> Iterator[Finding]:
    """The damage in one row's texts."""
    return Encoding().add([row])


def _ascii_damage(entry: Entry) -> Iterator[Finding]:
    row, field, _role, text = entry
    said: set[str] = set()
    for match in _DAMAGE.finditer(text):
        kind = KINDS[(match.lastindex or 1) - 1]
        if kind in said:
            continue
        said.add(kind)
        if kind == "escaped" and ("\n" in text or text.lstrip()[:1] in "{["):
            continue
        if kind != "control" and _is_markup(row):
            continue
        yield _finding(row, field, kind, SAYS[kind], match)


def _is_markup(row: Row) -> bool:
    about = _about_markup()
    texts = (text.encode("utf-8", "replace") for _, _, text in row.fields())
    return any(about.search(text) is not None for text in texts)


@cache
def _about_markup() -> "Regexp":
    import re2

    return re2.compile(f"(?i:{_ABOUT_MARKUP})".encode())


def _lost(entry: Entry) -> Iterator[Finding]:
    row, field, _role, text = entry
    if (at := text.find("\ufffd")) >= 0:
        words = f"{field} holds characters that were lost (U+FFFD)"
        yield found(
            row, "encoding", words,
            field=field, start=at, end=at + 1, kind="replacement", text="\ufffd",
        )  # fmt: skip
    for match in _MOJIBAKE.finditer(text):
        meant = undone(match[0])
        if meant is not None:
            words = f"holds UTF-8 that was read as Windows-1252 (“{quote(meant)}” was meant)"
            yield _finding(row, field, "mojibake", words, match)
            return


def undone(text: str) -> str | None:
    """What mojibake was before it was read wrongly; None if it is no UTF-8."""
    raw = bytearray()
    for character in text:
        try:
            raw += character.encode("cp1252")
        except UnicodeEncodeError:
            if ord(character) > 0xFF:
                return None
            raw.append(ord(character))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _finding(row: Row, field: str, kind: str, words: str, match: re.Match[str]) -> Finding:
    said = match[0]
    shown = "" if kind == "control" else f": “{quote(said)}”"
    return found(
        row, "encoding", f"{field} {words}{shown}",
        field=field, start=match.start(), end=match.end(), kind=kind, text=said,
    )  # fmt: skip
