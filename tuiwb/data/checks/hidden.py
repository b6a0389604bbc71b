"""Text that a reader does not see and a tokenizer does, and words in another coding.

Sources: Unicode Standard 16, 23.9 (tag characters), UTS 51 (flags of regions are written with
them), UAX 9 (bidirectional overrides), 23.4 (variation selectors); Boucher and Anderson, "Trojan
Source" (2021).
"""

import base64
import codecs
import re
from collections.abc import Iterator
from functools import cache

# Three in a row: one joiner or one soft hyphen is ordinary writing in many scripts. The groups are
# zero-width characters, tags, overrides, selectors; RE2 and re both read this syntax.
HIDDEN = (
    "([\u200b-\u200f\u2060-\u2064\ufeff\u00ad\u180e\u115f\u1160\u3164]{3,})"
    "|([\U000e0000-\U000e007f]+)|([\u202d\u202e])|([\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,})"
)
_HIDDEN = re.compile(HIDDEN)
BLACK_FLAG = "\U0001f3f4"
CANCEL_TAG = "\U000e007f"
WORDS = ("ignore", "Ignore", "IGNORE", "disregard", "instructions", "system prompt", "jailbreak")


def hidden(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(start, end, what it is, what it says where it can be read) of each hidden run."""
    for match in _HIDDEN.finditer(text):
        start, end = match.span()
        zero_width, tags, override, _selectors = match.groups()
        if zero_width:
            yield start, end, f"{end - start} zero-width characters in a row", ""
        elif tags:
            if start and text[start - 1] == BLACK_FLAG and tags.endswith(CANCEL_TAG):
                continue
            says = "".join(chr(ord(c) - 0xE0000) for c in tags if 0x20 <= ord(c) - 0xE0000 < 0x7F)
            yield start, end, "invisible tag characters", says
        elif override:
            yield start, end, "a character that turns the reading direction round", ""
        else:
            yield start, end, f"{end - start} variation selectors in a row", ""


@cache
def encoded_words() -> dict[str, tuple[str, str]]:
    """Each coding of a telling word, with the word and the coding's name.

    In base64 a word reads otherwise at each of three alignments; the characters that depend on
    its neighbours are cut off.
    """
    codes: dict[str, tuple[str, str]] = {}
    for word in WORDS:
        for shift in range(3):
            code = base64.b64encode(b"\0" * shift + word.encode()).decode().rstrip("=")
            # A character that holds bits of a neighbour is not the word's own.
            first = (shift * 8 + 5) // 6
            last = (shift + len(word)) * 8 // 6
            if last - first >= 7:
                codes[code[first:last]] = (word, "base64")
        codes[word.encode().hex()] = (word, "hexadecimal")
        codes[word.encode().hex(" ")] = (word, "hexadecimal")
        if len(word) > 6:
            codes[codecs.encode(word, "rot13")] = (word, "ROT13")
            codes[word[::-1]] = (word, "reverse")
    codes[codecs.encode("ignore all", "rot13")] = ("ignore all", "ROT13")
    codes["erongi"] = ("ignore", "reverse")
    return codes
