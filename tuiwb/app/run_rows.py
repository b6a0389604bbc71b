"""What the table of runs says of each run: columns that fit, cells, order. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuiwb.app.words import STATE_MARKS, number
from tuiwb.monitor.runs import RunSummary
from tuiwb.text import short_bytes, short_count, short_seconds

SLIM = 50  # cells below which the table is a list beside something else
SHORT_NAME = 8  # cells of the column of names at least


@dataclass(frozen=True)
class RunColumn:
    """A column: its title, how wide its cells may be, what they say.

    `worth` decides which stay when room is short; `down` whether large values come first.
    """

    name: str
    title: str
    most: int
    worth: int
    cell: Callable[[RunSummary, float], str]
    right: bool = False
    down: bool = False
    width: int = 0


def _loss(value: float | None) -> str:
    return "" if value is None else number(value)


def _best(run: RunSummary) -> str:
    """The lowest held-out loss; where there are no held-out data that of training, in a word."""
    if run.best_loss is None:
        return "" if run.loss is None else number(None)
    return number(run.best_loss) + (" training" if run.best_of == "loss" else "")


def _done(run: RunSummary) -> str:
    if run.share is not None:
        return "" if run.state == "finished" else f"{run.share:.0%}"
    return f"{run.step:,}" if run.step else ""


def _tags(run: RunSummary) -> str:
    return " ".join([*(f"#{tag}" for tag in run.tags), run.note.partition("\n")[0]])


def _state(run: RunSummary) -> str:
    words = "paused" if run.paused else run.phase if run.running and run.phase else run.word
    return ("archived, " if run.archived else "") + words


def _age(run: RunSummary, now: float) -> str:
    """Minutes, hours, days: seconds would be another word at each look."""
    seconds = max(0.0, now - run.created)
    if seconds < 60:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return "now"


def _mark(run: RunSummary) -> str:
    return "‖" if run.paused else STATE_MARKS.get(run.state, STATE_MARKS["queued"])[0]


COLUMNS: tuple[RunColumn, ...] = (
    RunColumn("*", "", 1, 100, lambda r, _: ""),
    RunColumn("", "", 1, 100, lambda r, _: _mark(r)),
    RunColumn("name", "run", 36, 99, lambda r, _: r.name),
    RunColumn("state", "state", 18, 95, lambda r, _: _state(r)),
    RunColumn("done", "done", 6, 80, lambda r, _: _done(r), right=True, down=True),
    RunColumn("!", "!", 2, 85, lambda r, _: str(r.alerts or ""), right=True, down=True),
    RunColumn("loss", "loss", 8, 92, lambda r, _: _loss(r.loss), right=True),
    RunColumn("held-out", "held-out", 8, 60, lambda r, _: _loss(r.eval_loss), right=True),
    RunColumn("best", "best", 17, 88, lambda r, _: _best(r), right=True),
    RunColumn(
        "tokens/s",
        "tokens/s",
        8,
        70,
        lambda r, _: short_count(r.tokens_per_second) if r.tokens_per_second else "",
        right=True,
        down=True,
    ),
    RunColumn(
        "memory",
        "memory",
        9,
        65,
        lambda r, _: short_bytes(r.peak_memory) if r.peak_memory else "",
        right=True,
        down=True,
    ),
    RunColumn(
        "took",
        "took",
        7,
        40,
        lambda r, n: short_seconds(r.took) if r.took and not r.running else "",
        right=True,
        down=True,
    ),
    RunColumn(
        "cost",
        "cost",
        8,
        50,
        lambda r, _: "" if r.cost is None else f"{r.cost:,.2f}",
        right=True,
        down=True,
    ),
    RunColumn("age", "age", 4, 90, _age, right=True),
    RunColumn("method", "method", 6, 45, lambda r, _: r.method or r.kind),
    RunColumn("base", "base", 24, 42, lambda r, _: Path(r.base).name),
    RunColumn("data", "data", 24, 35, lambda r, _: r.dataset_version or _files(r.dataset)),
    RunColumn("tags", "tags, note", 24, 44, lambda r, _: _tags(r)),
)
_BY_NAME = {column.name: column for column in COLUMNS}


def _files(dataset: str) -> str:
    return ", ".join(Path(part).name for part in dataset.split(", ")) if dataset else ""


def chosen_columns(runs: Sequence[RunSummary], width: int, now: float) -> list[RunColumn]:
    """The columns that fit `width` cells, each as wide as its longest cell, the last one filling.

    Columns that say nothing of any run are left out.
    """
    if width < SLIM:
        name = replace(_BY_NAME["name"], width=0)
        loss = replace(_BY_NAME["loss"], width=7)
        return [replace(_BY_NAME["*"], width=1), replace(_BY_NAME[""], width=1), name, loss]
    sized = []
    for column in COLUMNS:
        longest = max((len(column.cell(run, now)) for run in runs), default=0)
        if longest or column.worth >= 95:
            title = len(column.title) + (1 if column.title else 0)
            least = SHORT_NAME if column.name == "name" else max(1, title)
            sized.append(replace(column, width=max(least, min(column.most, longest))))
    sized = _that_fit(sized, width)
    if sized[-1].name == "tags":
        sized[-1] = replace(sized[-1], width=0)
    else:
        at = next(n for n, c in enumerate(sized) if c.name == "name")
        room = width - sum(c.width + 1 for c in sized)
        for n, column in enumerate(sized):
            if column.right and room > 0 and n > at:
                sized[n], room = replace(column, width=column.width + 1), room - 1
        sized[at] = replace(sized[at], width=sized[at].width + max(0, min(room, 8)))
    return sized


def _that_fit(columns: Sequence[RunColumn], width: int) -> list[RunColumn]:
    """The worthiest that fit, in their order; mark and name always."""
    kept: set[str] = set()
    room = width
    for column in sorted(columns, key=lambda c: -c.worth):
        if column.worth >= 99 or column.width < room:
            kept.add(column.name)
            room -= column.width + 1
    return [column for column in columns if column.name in kept]


def cells_of(
    run: RunSummary, columns: Sequence[RunColumn], now: float, *, marked: bool
) -> tuple[str, ...]:
    """One run's cells."""
    return tuple(
        ("◆" if marked else " ") if column.name == "*" else column.cell(run, now)
        for column in columns
    )


ORDERS = {
    "name": "name",
    "state": "state",
    "done": "progress",
    "!": "alerts",
    "loss": "loss",
    "held-out": "eval_loss",
    "best": "best",
    "tokens/s": "speed",
    "memory": "memory",
    "took": "took",
    "cost": "cost",
    "age": "age",
    "method": "method",
    "base": "base",
    "data": "dataset",
}


def order_of(name: str, down: bool) -> str:
    """What `run_query` calls the order by a column."""
    return ("-" if down else "") + ORDERS.get(name, "age")
