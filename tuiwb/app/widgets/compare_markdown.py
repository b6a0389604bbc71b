"""An answer's Markdown as a reader would see it rendered, in terminal text.

Nothing in it acts: HTML stays text, a link is its words and its address, an image its words. Every
word of the answer stays to be read, and a code block keeps its lines.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from textual.content import Content

from tuiwb.text import inert

LONGEST = 20_000  # characters; longer answers are shown as they are
MOST_BRACKETS = 1000  # each open one is searched for its end: the time grows with their square
MUTED = "$foreground 60%"
HEADINGS = {"h1": "bold underline $text-accent", "h2": "bold $text-accent"}
INLINE = {
    "strong_open": "bold",
    "em_open": "italic",
    "s_open": "strike",
    "link_open": "underline",
}


@cache
def _parser() -> MarkdownIt:
    # Link definitions would vanish from the text, HTML would hide what it wraps.
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 100})
    return parser.enable(["table", "strikethrough"]).disable(["reference", "entity"])


@lru_cache(maxsize=64)
def markdown_content(text: str) -> Content:
    """Markdown rendered as text with weights, bullets and rules; inert."""
    if len(text) > LONGEST or text.count("[") > MOST_BRACKETS:
        return Content(inert(text))
    blocks = list(_blocks(_parser().parse(inert(text))))
    return Content("\n").join(blocks) if blocks else Content(inert(text))


def _blocks(tokens: Sequence[Token]) -> Iterator[Content]:
    """One line or more per block, a blank one between blocks of the outermost level."""
    prefixes: list[str] = []
    bullet = ""
    heading = ""
    at = 0
    while at < len(tokens):
        token = tokens[at]
        kind = token.type
        if token.level == 0 and token.nesting >= 0 and at:
            yield Content("")
        if kind == "table_open":
            end = next(i for i in range(at, len(tokens)) if tokens[i].type == "table_close")
            yield from _table(tokens[at:end], "".join(prefixes))
            at = end
        elif kind == "blockquote_open":
            prefixes.append("▎ ")
        elif kind == "list_item_open":
            bullet = f"{token.info}{token.markup} " if token.info else "• "
            prefixes.append(" " * len(bullet))
        elif kind in ("blockquote_close", "list_item_close"):
            prefixes.pop()
            bullet = ""
        elif kind == "heading_open":
            heading = HEADINGS.get(token.tag, "bold")
        elif kind == "heading_close":
            heading = ""
        elif kind == "inline":
            yield from _prefixed(_inline(token.children or [], heading), prefixes, bullet)
            bullet = ""
        elif kind in ("fence", "code_block"):
            yield from _code(token, prefixes, bullet)
            bullet = ""
        elif kind == "hr":
            yield Content.styled("".join(prefixes) + "─" * 20, MUTED)
        at += 1


def _prefixed(text: Content, prefixes: list[str], bullet: str) -> Iterator[Content]:
    before = "".join(prefixes)
    for i, line in enumerate(text.split("\n", allow_blank=True)):
        lead = before[: len(before) - len(bullet)] + bullet if bullet and i == 0 else before
        yield Content.assemble((lead, MUTED), line)


def _code(token: Token, prefixes: list[str], bullet: str) -> Iterator[Content]:
    before = "".join(prefixes)
    lead = before[: len(before) - len(bullet)] + bullet if bullet else before
    if token.info.strip():
        yield Content.assemble((f"{lead}┌ {token.info.strip()}", MUTED))
        lead = before
    for line in token.content.rstrip("\n").split("\n"):
        yield Content.assemble((f"{lead}│ ", MUTED), (line, "$text-secondary"))
        lead = before


def _inline(tokens: Sequence[Token], style: str = "") -> Content:
    parts: list[Content | tuple[str, str]] = []
    styles = [style] if style else []
    addresses: list[str] = []
    for token in tokens:
        if token.type in INLINE:
            styles.append(INLINE[token.type])
        elif token.type in ("strong_close", "em_close", "s_close", "link_close"):
            styles.pop()
            if token.type == "link_close":
                parts.append((f" <{addresses.pop()}>", MUTED))
        elif token.type in ("softbreak", "hardbreak"):
            parts.append(Content("\n"))
        elif token.type == "code_inline":
            parts.append((token.content, " ".join([*styles, "reverse"])))
        elif token.type == "image":
            parts.append((f"[image: {token.content}]", MUTED))
        else:
            parts.append((token.content, " ".join(styles)))
        if token.type == "link_open":
            addresses.append(str(token.attrs.get("href", "")))
    return Content.assemble(*parts)


def _table(tokens: Sequence[Token], before: str) -> Iterator[Content]:
    rows: list[list[Content]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(_inline(token.children or [], "bold" if len(rows) == 1 else ""))
    count = max(map(len, rows), default=0)
    widths = [max(r[i].cell_length for r in rows if i < len(r)) for i in range(count)]
    for number, row in enumerate(rows):
        cells = [cell.pad_right(widths[i] - cell.cell_length) for i, cell in enumerate(row)]
        yield Content.assemble((before, MUTED), Content(" │ ").join(cells))
        if number == 0:
            yield Content.styled(before + "─┼─".join("─" * width for width in widths), MUTED)
