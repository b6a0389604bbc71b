"""One row in two models' templates, side by side: what differs stands in ‹ › and is coloured."""

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from textual.content import Content

from tuiwb.app.widgets.row_view import Part, token_style
from tuiwb.data.render import Rendered
from tuiwb.data.rows import Row
from tuiwb.data.template_diff import Stretch, compare_rendered, summary_rows
from tuiwb.text import inert

SHOWN = 4_000
DIFFERS = "$text-warning on $warning 15%"


def compared_contents(
    row: Row, a: Rendered, b: Rendered, names: Sequence[str]
) -> tuple[Content, Content, Content]:
    """The summary above, and the two columns below it."""
    told = compare_rendered(row, a, b)
    short = [PurePath(name).name[:24] for name in names]
    parts: list[Part] = [f"{'template':22}{inert(short[0]):>24}  {inert(short[1]):>24}\n"]
    for label, left, right in summary_rows(told):
        differs = left != right
        line = f"{'≠' if differs else '='} {label:20}{left:>24}  {right:>24}\n"
        parts.append((line, "$text-warning" if differs else "$foreground 70%"))
    if told.alike:
        parts.append("the rendered text and what is trained of it are the same\n")
    for name, side in zip(short, (told.a, told.b), strict=True):
        for note in side.notes:
            parts += [("! ", "bold $text-warning"), f"{inert(name)}: {inert(note)}\n"]
    left_side = _column(short[0], a, [(s, s.a) for s in told.stretches])
    right_side = _column(short[1], b, [(s, s.b) for s in told.stretches])
    return Content.assemble(*parts), left_side, right_side


def _column(name: str, view: Rendered, spans: list[tuple[Stretch, tuple[int, int]]]) -> Content:
    parts: list[Part] = [(inert(name), "bold $primary"), "\n"]
    parts += _stretches(view, spans)
    return Content.assemble(*parts)


def _stretches(view: Rendered, spans: list[tuple[Stretch, tuple[int, int]]]) -> Iterator[Part]:
    for stretch, (start, end) in spans:
        differs = stretch.kind != "same"
        if start >= SHOWN:
            yield (f"\n… {view.total - SHOWN:,} more tokens", "$foreground 60%")
            return
        if differs:
            yield ("‹", DIFFERS)
        run, style = "", ""
        for token in view.tokens[start : min(end, SHOWN)]:
            now = token_style(token, cut=False) + (f" {DIFFERS}" if differs else "")
            if now != style and run:
                yield (run, style)
                run = ""
            style = now
            run += inert(token.text).replace("\n", "⏎\n")
        yield (run, style)
        if differs:
            yield ("›", DIFFERS)
