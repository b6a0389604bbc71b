"""How the parts of a pair share the room: prompt, both answers, reference, verdict. Pure.

In: texts, the room in cells, how far the answers are scrolled. Out: each part's size and the lines
of it that show. Both answers get the same size and show the same line numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from textual.content import Content

MUTED = "$foreground 60%"
ANSWERS_NEED = 8  # rows side by side; stacked, two panes of a title and five lines
STACKED_NEED = 12
PADDING = 2  # cells a line loses to the space at both sides
GAP = 1  # cells between two answers side by side


@dataclass(frozen=True)
class Room:
    """The cells there are, and whether one answer stands above the other."""

    width: int
    height: int
    stacked: bool


@dataclass(frozen=True)
class Part:
    """One part's size in cells, its title's row included, and what it shows."""

    width: int
    height: int
    text: Content


@dataclass
class Layout:
    """Every part that shows. `visible` of `total` lines of the longest answer show from `offset`
    on; parts named in `cut` have more lines than their place."""

    parts: dict[str, Part] = field(default_factory=dict)
    offset: int = 0
    visible: int = 0
    total: int = 0
    cut: set[str] = field(default_factory=set)


def laid_out(
    texts: Mapping[str, Content], room: Room, offset: int, verdict_least: int = 1
) -> Layout:
    """Share `room` among the texts by name (empty ones are left out). A `message` has it alone, a
    `single` text the place of both answers; the verdict keeps `verdict_least` lines; `asked` is
    the prompt's last turn, shown first where the prompt is cut."""
    layout = Layout()
    if texts["message"].plain:
        layout.parts["message"] = Part(room.width, room.height, texts["message"])
        _wrap_message(layout, room)
        return layout
    width = room.width - PADDING
    lines = {
        name: texts[name].wrap(width)
        for name in ("prompt", "reference", "verdict")
        if texts[name].plain
    }
    need = STACKED_NEED if room.stacked and not texts["single"].plain else ANSWERS_NEED
    wanted = {name: len(found) for name, found in lines.items()}
    rows = _rows_around(wanted, room.height, need, verdict_least)
    if rows != wanted:
        _take_spare(rows, wanted, room.height - _answer_rows(texts, room))
    for name, found in lines.items():
        title = name != "prompt"
        if name == "prompt" and len(found) > rows[name]:
            text = _some_prompt(found, texts["asked"].wrap(width), rows[name], width)
        else:
            text = _some_lines(found, rows[name], rows[name] - 1, width)
        layout.parts[name] = Part(room.width, rows[name] + title, text)
        if len(found) > rows[name]:
            layout.cut.add(name)
    left = room.height - sum(part.height for part in layout.parts.values())
    _place_answers(layout, texts, room, max(4, left), offset)
    return layout


def _wrap_message(layout: Layout, room: Room) -> None:
    lines = layout.parts["message"].text.wrap(room.width - PADDING)
    layout.parts["message"] = Part(room.width, room.height, Content("\n").join(lines))


def _rows_around(
    wanted: Mapping[str, int], height: int, need: int, verdict_least: int
) -> dict[str, int]:
    """Lines for each part around the answers: a share of the height, less where the answers would
    have fewer than `need` rows, what is least needed giving way first."""
    share = {"prompt": 0.3, "reference": 0.2, "verdict": 0.25}
    least = {"prompt": 3, "reference": 2, "verdict": max(2, verdict_least)}
    rows = {name: min(n, max(least[name], int(share[name] * height))) for name, n in wanted.items()}
    floors = (("verdict", verdict_least), ("prompt", 3), ("reference", 1), ("prompt", 1))
    for name, floor in floors:
        titles = len(rows) - ("prompt" in rows)
        missing = need - (height - sum(rows.values()) - titles)
        if missing > 0 and rows.get(name, 0) > floor:
            rows[name] = max(floor, rows[name] - missing)
    return rows


def _answer_rows(texts: Mapping[str, Content], room: Room) -> int:
    """Rows in which every line of the answers shows, titles included; the same whichever stands
    left."""
    if texts["single"].plain:
        return 1 + len(texts["single"].wrap(room.width - PADDING))
    names = [name for name in ("left", "right") if texts[name].plain]
    beside = len(names) == 2 and not room.stacked
    width = ((room.width - GAP) // 2 if beside else room.width) - PADDING
    longest = max((len(texts[name].wrap(width)) for name in names), default=0)
    return (1 + longest) * (1 if beside else len(names))


def _take_spare(rows: dict[str, int], wanted: Mapping[str, int], most: int) -> None:
    """Give lines that the answers leave empty to what is cut, of the `most` rows there are around
    them; two stay empty, so that the answers don't seem to be cut."""
    spare = most - 2 - sum(rows.values()) - (len(rows) - ("prompt" in rows))
    for name in ("prompt", "reference", "verdict"):
        if name in rows and spare > 0:
            more = min(spare, wanted[name] - rows[name])
            rows[name], spare = rows[name] + more, spare - more


def _some_prompt(lines: list[Content], asked: list[Content], rows: int, width: int) -> Content:
    """Of a prompt that is cut, what is asked last shows whole where it fits, after as much of the
    beginning as there is room for; it may begin with the question or end with it."""
    if asked and len(asked) < rows:
        head = lines[: rows - 1 - len(asked)]
        more = Content.styled(_more(len(lines) - len(head) - len(asked)), MUTED)
        return Content("\n").join([*head, more, *asked])
    return _some_lines(asked or lines, rows, rows // 2, width, len(lines))


def _some_lines(
    lines: list[Content], rows: int, head: int, width: int, of: int | None = None
) -> Content:
    """The lines where all fit; else the first `head` ones and the last, and how many are left out
    between them, of `of` there are."""
    count = len(lines) if of is None else of
    if count <= rows:
        return Content("\n").join(lines)
    if rows == 1:
        more = Content.styled(f" {_more(count - 1)}", MUTED)
        room = max(1, width - more.cell_length)
        return Content("").join([lines[0].truncate(room), more])
    more = Content.styled(_more(count - rows + 1), MUTED)
    tail = rows - 1 - head
    return Content("\n").join([*lines[:head], more, *lines[len(lines) - tail :]])


def _more(count: int) -> str:
    return f"… {count} more line{'s' * (count != 1)} (p)"


def _place_answers(
    layout: Layout, texts: Mapping[str, Content], room: Room, height: int, offset: int
) -> None:
    if texts["single"].plain:
        names, width, each = ["single"], room.width, height
    else:
        names = [name for name in ("left", "right") if texts[name].plain]
        beside = len(names) == 2 and not room.stacked
        width = (room.width - GAP) // 2 if beside else room.width
        each = height if beside or len(names) == 1 else height // 2
    if not names:
        return
    lines = {name: texts[name].wrap(width - PADDING) for name in names}
    layout.visible = max(1, each - 1)
    layout.total = max(map(len, lines.values()))
    layout.offset = max(0, min(offset, layout.total - layout.visible))
    for name, found in lines.items():
        shown = found[layout.offset : layout.offset + layout.visible]
        layout.parts[name] = Part(width, each, Content("\n").join(shown))
