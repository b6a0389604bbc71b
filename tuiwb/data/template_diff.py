"""Two renderings of one row side by side, and what a chat template left out of it.

Pure: rendered tokens in, plain values and lines of text out.
"""

import json
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

import msgspec

from tuiwb.data.render import Rendered, Token
from tuiwb.data.rows import Message, Row

NEAR = 24  # characters of what is alike that are shown at either side of a difference
LONGEST = 20_000  # stretches beyond which no alignment is worth its time


class Stretch(msgspec.Struct, array_like=True):
    """A part of the alignment: the token positions of A and of B, and whether they are alike.

    `a` and `b` are (start, end). `masked`: the texts are alike and the loss differs.
    """

    kind: Literal["same", "text", "masked"]
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


def dropped(row: Row, rendered: str) -> list[str]:
    """What of the row is not in its rendered text, as ends of sentences.

    A turn is missing when none of its lines is there, as it is or as JSON writes it.
    """
    missing: dict[str, int] = {}
    turns = [message for _, message in row.conversation() if row.shape != "text"]
    for message in turns:
        if message.content.strip() and not _kept(message.content, rendered):
            missing[message.role] = missing.get(message.role, 0) + 1
    said = [f"the text of {count} {role} turns" for role, count in missing.items()]
    called = [str(c.get("function", c).get("name")) for m in turns for c in m.tool_calls or []]
    offered = [str(tool.get("function", tool).get("name")) for tool in row.tools or []]
    for what, names in (("the tool calls", called), ("the offered tools", offered)):
        if names and not any(name in rendered for name in names):
            said.append(f"{what}: the model never sees them")
    return said


def compare_rendered(row: Row, a: Rendered, b: Rendered) -> Comparison:
    """How the renderings `a` and `b` of `row` by two models differ, in text and in mask.

    Aligned by runs of equal words, marks and mask; tokens are compared by their text, for two
    tokenizers share no ids.
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
    missing = " ".join(dropped(row, text))
    systems = [m for _, m in row.conversation() if m.role in ("system", "developer")]
    written = [m for m in systems if m.content.strip()]
    return Side(
        tokens=rendered.total,
        trained=rendered.trained,
        cut=0 if rendered.truncated_at is None else rendered.total - rendered.truncated_at,
        stop_token_trained=rendered.stop_token_trained,
        system_prompt_kept=all(_kept(m.content, text) for m in written) if written else None,
        tools_kept="offered tools" not in missing if row.tools else None,
        tool_calls_kept="tool calls" not in missing if _calls(row) else None,
        notes=rendered.notes,
    )


def _calls(row: Row) -> list[Message]:
    return [message for _, message in row.conversation() if message.tool_calls]


def _aligned(
    a: Sequence[Token], b: Sequence[Token]
) -> Iterator[tuple[Literal["same", "text", "masked"], int, int, int, int]]:
    """Stretches (kind, a0, a1, b0, b1) in token positions; neighbours of one kind are one.

    Aligned over pieces that both tokenizers agree on: a special token, or text up to the next
    blank. A piece that ends inside a token goes with that token.
    """
    left, right = _pieces(a), _pieces(b)
    texts = [piece.text for piece in left], [piece.text for piece in right]
    blocks: Sequence[tuple[str, int, int, int, int]]
    if texts[0] == texts[1]:
        blocks = [("equal", 0, len(left), 0, len(right))]
    elif len(left) + len(right) > LONGEST:
        blocks = [("replace", 0, len(left), 0, len(right))]
    else:
        blocks = SequenceMatcher(None, *texts, autojunk=False).get_opcodes()
    found: list[tuple[Literal["same", "text", "masked"], int, int, int, int]] = []
    for tag, i0, i1, j0, j1 in blocks:
        if tag != "equal":
            found.append(("text", *_span(left[i0:i1], left, i0), *_span(right[j0:j1], right, j0)))
            continue
        for i, j in zip(range(i0, i1), range(j0, j1), strict=True):
            kind: Literal["same", "masked"] = (
                "same" if left[i].trained == right[j].trained else "masked"
            )
            found.append((kind, left[i].start, left[i].end, right[j].start, right[j].end))
    for kind, run in groupby(found, key=lambda part: part[0]):
        parts = list(run)
        yield kind, parts[0][1], parts[-1][2], parts[0][3], parts[-1][4]


class _Piece(msgspec.Struct, array_like=True):
    text: str
    start: int
    end: int
    trained: tuple[bool, ...]


def _pieces(tokens: Sequence[Token]) -> list[_Piece]:
    """Special tokens by themselves; other tokens gathered into words with the blank before them."""
    pieces: list[_Piece] = []
    for at, token in enumerate(tokens):
        last = pieces[-1] if pieces else None
        if (
            last is None
            or token.special
            or tokens[at - 1].special
            or (token.text[:1].isspace() and not last.text.isspace())
            or (last.text[-1:].isspace() and not token.text[:1].isspace())
        ):
            pieces.append(_Piece(token.text, at, at + 1, (token.trained,)))
        else:
            last.text += token.text
            last.end = at + 1
            if token.trained not in last.trained:
                last.trained = (*last.trained, token.trained)
    return pieces


def _span(part: Sequence[_Piece], every: Sequence[_Piece], at: int) -> tuple[int, int]:
    """Token positions of `part`, which begins at piece `at`; an empty one's place, twice."""
    if part:
        return part[0].start, part[-1].end
    place = every[at].start if at < len(every) else (every[-1].end if every else 0)
    return place, place
