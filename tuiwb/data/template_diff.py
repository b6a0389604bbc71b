"""Two renderings of one row side by side, and what a chat template left out of it.

Pure: rendered tokens in, plain values and lines of text out.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

import msgspec

from tuiwb.data.rendered import Rendered, Token
from tuiwb.data.rows import Message, Row

NEAR = 24  # characters of what is alike that are shown at either side of a difference
LONGEST = 8_000  # words beyond which no alignment is worth its time
WORD = re.compile(r"\s+|\S+")

Kind = Literal["same", "text", "masked"]


class Stretch(msgspec.Struct, array_like=True):
    """A part of the alignment: the token positions of A and of B, and whether they are alike.

    `a` and `b` are (start, end). `masked`: the texts are alike and the loss differs.
    """

    kind: Kind
    a: tuple[int, int]
    b: tuple[int, int]


class Side(msgspec.Struct, kw_only=True):
    """What one model's template makes of the row. None: the row has no such thing to keep."""

    tokens: int
    trained: int
    cut: int
    stop_token_trained: bool | None
    system_prompt_kept: bool | None
    tools_kept: bool | None
    tool_calls_kept: bool | None
    notes: list[str]


class Comparison(msgspec.Struct, kw_only=True):
    """Two renderings aligned; `alike`: same text and the loss on the same characters."""

    a: Side
    b: Side
    stretches: list[Stretch]

    @property
    def alike(self) -> bool:
        """Whether nothing differs but the tokens' boundaries."""
        return all(stretch.kind == "same" for stretch in self.stretches)


def dropped(row: Row, rendered: str, part: str = "") -> list[str]:
    """What of the row is not in its rendered text, as ends of sentences.

    A turn is missing when none of its lines is there, as it is or as JSON writes it. `part` is
    the answer of a pair that was rendered.
    """
    missing: dict[str, int] = {}
    turns = _turns(row, part)
    for message in turns:
        if message.content.strip() and not _kept(message.content, rendered):
            missing[message.role] = missing.get(message.role, 0) + 1
    said = [
        f"the text of {count} {role} turn{'s' if count > 1 else ''}"
        for role, count in missing.items()
    ]
    called = [str(c.get("function", c).get("name")) for m in turns for c in m.tool_calls or []]
    offered = [str(tool.get("function", tool).get("name")) for tool in row.tools or []]
    for what, names in (("the tool calls", called), ("the offered tools", offered)):
        if names and not any(name in rendered for name in names):
            said.append(f"{what}: the model never sees them")
    return said


def compare_rendered(row: Row, a: Rendered, b: Rendered) -> Comparison:
    """How the renderings `a` and `b` of `row` by two models differ, in text and in mask.

    Aligned by their words, for two tokenizers share no ids.
    """
    stretches = [
        Stretch(kind, (a0, a1), (b0, b1)) for kind, a0, a1, b0, b1 in _aligned(a.tokens, b.tokens)
    ]
    return Comparison(a=_side(row, a), b=_side(row, b), stretches=stretches)


def comparison_lines(
    row: Row, a: Rendered, b: Rendered, names: tuple[str, str] = ("A", "B")
) -> Iterator[str]:
    """The comparison as plain text, a line each; hostile text is the caller's to make inert."""
    told = compare_rendered(row, a, b)
    width = max(22, *(len(name) for name in names))
    yield f"{'':24}{names[0]:>{width}}  {names[1]:>{width}}"
    for label, left, right in summary_rows(told):
        mark = " " if left == right else "≠"
        yield f"{mark} {label:22}{left:>{width}}  {right:>{width}}"
    for name, side in zip(names, (told.a, told.b), strict=True):
        yield from (f"note on {name}: {note}" for note in side.notes)
    if told.alike:
        yield "the rendered text and the trained part of it are the same"
    for stretch in told.stretches:
        if stretch.kind == "same":
            continue
        before = "".join(token.text for token in a.tokens[: stretch.a[0]])[-NEAR:]
        what = "the loss differs" if stretch.kind == "masked" else "the text differs"
        yield f"{what} after {before!r}:"
        yield f"  - {marked(a.tokens[slice(*stretch.a)])}"
        yield f"  + {marked(b.tokens[slice(*stretch.b)])}"


def summary_rows(told: Comparison) -> list[tuple[str, str, str]]:
    """The two sides' figures in words: (what, of A, of B); '-' where the row has no such thing."""
    a, b = told.a, told.b
    pairs: list[tuple[str, bool | int | None, bool | int | None]] = [
        ("tokens", a.tokens, b.tokens),
        ("trained tokens", a.trained, b.trained),
        ("tokens cut", a.cut, b.cut),
        ("stop token trained", a.stop_token_trained, b.stop_token_trained),
        ("system prompt kept", a.system_prompt_kept, b.system_prompt_kept),
        ("tools kept", a.tools_kept, b.tools_kept),
        ("tool calls kept", a.tool_calls_kept, b.tool_calls_kept),
    ]
    return [(label, _said(left), _said(right)) for label, left, right in pairs]


def _said(value: bool | int | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if not isinstance(value, bool) else "yes" if value else "no"


def marked(tokens: Sequence[Token]) -> str:
    """Tokens as one line: ⟦special⟧, ▶trained◀, line breaks as ⏎."""
    pieces = []
    for trained, run in groupby(tokens, key=lambda token: token.trained):
        text = "".join(f"⟦{token.text}⟧" if token.special else token.text for token in run)
        pieces.append(f"▶{text}◀" if trained else text)
    return "".join(pieces).replace("\n", "⏎") or "(nothing)"


def _kept(content: str, rendered: str) -> bool:
    lines = [line.strip() for line in content.split("\n") if line.strip()]
    return any(
        line in rendered
        or json.dumps(line, ensure_ascii=False)[1:-1] in rendered
        or json.dumps(line)[1:-1] in rendered
        for line in lines
    )


def _side(row: Row, rendered: Rendered) -> Side:
    text = rendered.text
    turns = _turns(row, rendered.part)
    missing = " ".join(dropped(row, text, rendered.part))
    systems = [m for m in turns if m.role in ("system", "developer")]
    written = [m for m in systems if m.content.strip()]
    return Side(
        tokens=rendered.total,
        trained=rendered.trained,
        cut=0 if rendered.truncated_at is None else rendered.total - rendered.truncated_at,
        stop_token_trained=rendered.stop_token_trained,
        system_prompt_kept=all(_kept(m.content, text) for m in written) if written else None,
        tools_kept="offered tools" not in missing if row.tools else None,
        tool_calls_kept="tool calls" not in missing if any(m.tool_calls for m in turns) else None,
        notes=rendered.notes,
    )


def _turns(row: Row, part: str) -> list[Message]:
    """The turns a rendering should hold: not those of a pair's other answer, nor plain text."""
    if row.shape == "text":
        return []
    other = {"chosen": "rejected", "rejected": "chosen"}.get(part)
    return [message for name, message in row.conversation() if name != other]


def _aligned(a: Sequence[Token], b: Sequence[Token]) -> Iterator[tuple[Kind, int, int, int, int]]:
    """Stretches (kind, a0, a1, b0, b1) in token positions; neighbours of one kind are one.

    Aligned over words, blanks and special tokens, whatever tokens they are made of; a token that
    lies over the end of a stretch goes with the next.
    """
    left, right = _Text(a), _Text(b)
    found: list[tuple[Kind, int, int]] = []
    for tag, i0, i1, j0, j1 in _blocks(left.words, right.words):
        if tag != "equal":
            found.append(("text", left.ends[i1], right.ends[j1]))
            continue
        for i, j in zip(range(i0, i1), range(j0, j1), strict=True):
            alike = left.mask(i) == right.mask(j)
            found.append(("same" if alike else "masked", left.ends[i + 1], right.ends[j + 1]))
    a0 = b0 = 0
    for kind, run in groupby(found, key=lambda part: part[0]):
        *_, (_, a_end, b_end) = run
        a1, b1 = left.token_at(a_end), right.token_at(b_end)
        yield kind, a0, a1, b0, b1
        a0, b0 = a1, b1


def _blocks(
    left: Sequence[tuple[str, bool]], right: Sequence[tuple[str, bool]]
) -> Sequence[tuple[str, int, int, int, int]]:
    if left == right:
        return [("equal", 0, len(left), 0, len(right))]
    if len(left) + len(right) > LONGEST:
        return [("replace", 0, len(left), 0, len(right))]
    return SequenceMatcher(None, left, right, autojunk=False).get_opcodes()


class _Text:
    """Rendered tokens as words (text, special), `ends` in characters, and the loss on each."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.words: list[tuple[str, bool]] = []
        self.ends = [0]
        self._trained = bytearray()
        self._token_ends: list[int] = []
        for special, run in groupby(tokens, key=lambda token: token.special):
            for text in self._texts(run, special):
                self.words.append((text, special))
                self.ends.append(self.ends[-1] + len(text))

    def _texts(self, tokens: Iterable[Token], special: bool) -> list[str]:
        texts = []
        for token in tokens:
            texts.append(token.text)
            self._trained += bytes([token.trained]) * len(token.text)
            self._token_ends.append(len(self._trained))
        return texts if special else WORD.findall("".join(texts))

    def mask(self, word: int) -> bytes:
        """The loss on the word's characters."""
        return bytes(self._trained[self.ends[word] : self.ends[word + 1]])

    def token_at(self, character: int) -> int:
        """How many tokens end at `character` or before it."""
        return bisect_right(self._token_ends, character)
