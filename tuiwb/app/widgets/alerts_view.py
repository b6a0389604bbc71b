"""A run's alerts: each with what was seen, why it is likely so, the fix and what to look at.

In: the alerts in order, and how the run ended too early, if it did. Pure but for the widget.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from tuiwb.app.widgets.list_and_detail import Item, ListAndDetail
from tuiwb.app.widgets.run_head import MUTED, severity_style
from tuiwb.app.words import number
from tuiwb.jobs.events import Alert
from tuiwb.monitor.triage.rule import open_alerts
from tuiwb.text import inert

MARKS = {"critical": "✗", "note": "·", "info": "·"}
MOST_ROWS = 12
NO_ALERT = "no alert: nothing looks wrong"
NOT_CHECKED = "not checked: rules run on tuiwb's own runs only"

Piece = Content | str | tuple[str, str]


def alert_line(alert: Alert, past: str = "") -> Content:
    """Mark, step, rule in words; `past` says why it counts no more, and then it is dim."""
    style = MUTED if past else severity_style(alert.severity)
    step = f"{alert.step:>6,} " if alert.step is not None else " " * 7
    return Content.assemble(
        (f"{MARKS.get(alert.severity, '!')} ", style),
        (step, MUTED),
        (rule_words(alert), style if past or alert.severity == "critical" else ""),
        (f"  {past}" if past else "", MUTED),
    )


def in_order(alerts: Sequence[Alert]) -> list[tuple[Alert, str]]:
    """Those that stand, the newest first, then the others and why they count no more: the same
    rule fired again since, or what it saw is over."""
    standing = open_alerts(alerts)
    counted, rules = {id(alert) for alert in standing}, {alert.rule for alert in standing}
    past = [alert for alert in reversed(alerts) if id(alert) not in counted]
    return [
        *((alert, "") for alert in reversed(standing)),
        *((alert, "earlier" if alert.rule in rules else "over") for alert in past),
    ]


def alert_detail(alert: Alert) -> Content:
    """Everything an alert says, in the order one asks: what, why, what to do, where to look."""
    style = severity_style(alert.severity)
    at = f", step {alert.step:,}" if alert.step is not None else ""
    pieces: list[Piece] = [
        (inert(alert.severity, one_line=True), f"bold {style}"),
        (f"  {rule_words(alert)}{at}\n", "bold"),
        f"{inert(alert.evidence)}\n",
    ]
    if alert.numbers:
        words = "   ".join(
            f"{inert(name, one_line=True).replace('_', ' ')} {number(value)}"
            for name, value in alert.numbers.items()
        )
        pieces.append((f"{words}\n", MUTED))
    if alert.cause:
        pieces += [("why  ", "bold $accent"), f"{inert(alert.cause)}\n"]
    if alert.fix:
        pieces += [("fix  ", "bold $accent"), f"{inert(alert.fix)}\n"]
    pieces += change_lines(alert.change)
    if alert.look:
        pieces += [("look ", "bold $accent"), f"{inert(alert.look)}\n"]
    if alert.rows:
        more = len(alert.rows) - MOST_ROWS
        rows = "\n     ".join(inert(row, one_line=True) for row in alert.rows[:MOST_ROWS])
        pieces += [
            ("rows ", "bold $accent"),
            rows,
            f"\n     and {more} more\n" if more > 0 else "\n",
        ]
    return Content.assemble(*pieces)


def change_lines(change: dict[str, Any]) -> list[Piece]:
    """A fix as config keys and values, and the key that writes it."""
    if not change:
        return []
    lines = "\n     ".join(
        f"{inert(str(key), one_line=True)}: {_plain(value)}" for key, value in change.items()
    )
    return [
        ("     ", ""),
        (lines, "$text-success"),
        ("\n     f writes it into a new config\n", MUTED),
    ]


def rule_words(alert: Alert) -> str:
    """The rule's name as words."""
    return inert(alert.rule, one_line=True).replace("_", " ")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    return "null" if value is None else inert(str(value), one_line=True)


class AlertsView(ListAndDetail):
    """The newest alert first; `f` applies the fix, `v` opens the rows that had a part in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "fix", "Fix"),
        Binding("v", "rows", "Rows"),
    ]

    class FixWanted(Message):
        """The change of an alert is to be written into a new config."""

        def __init__(self, change: dict[str, Any], why: str) -> None:
            super().__init__()
            self.change, self.why = change, why

    class RowsWanted(Message):
        """The rows of an alert are to be shown."""

        def __init__(self, rows: list[str]) -> None:
            super().__init__()
            self.rows = rows

    def __init__(self, *, id: str | None = None, acts: bool = True) -> None:
        super().__init__(NO_ALERT, id=id)
        self.acts = acts  # whether there is a project to write a config into
        self.alerts: list[Alert] = []

    def checked(self, by_rules: bool) -> None:
        """Whether rules look at the run: no alert says nothing where none does."""
        self.say_nothing(NO_ALERT if by_rules else NOT_CHECKED)

    def show_alerts(self, alerts: Sequence[Alert], ended: Content | None = None) -> None:
        """Show a run's alerts; `ended` says how it ended, if it did so too early.

        Those that the head and the tab count come first, the others dim below them.
        """
        ordered = in_order(alerts)
        self.alerts = [alert for alert, _ in ordered]
        items = [
            Item(f"{a.rule}/{a.step}/{a.t}", alert_line(a, past), alert_detail(a))
            for a, past in ordered
        ]
        if ended is not None:
            first = ended.split("\n")[0]
            line = Content.assemble(("† ", "$text-error"), (first.plain, "$text-error"))
            items.insert(0, Item("ended", line, ended))
        self.show(items)

    @property
    def alert(self) -> Alert | None:
        """The alert under the cursor."""
        at = self.position
        if at is None:
            return None
        at -= len(self.items) - len(self.alerts)
        return self.alerts[at] if at >= 0 else None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key is there when the alert under the cursor has that to offer."""
        if action == "fix":
            return self.acts and self.alert is not None and bool(self.alert.change)
        if action == "rows":
            return self.acts and self.alert is not None and bool(self.alert.rows)
        return True

    def action_fix(self) -> None:
        """Ask for the fix to be written into a new config."""
        if self.alert is not None:
            self.post_message(self.FixWanted(self.alert.change, rule_words(self.alert)))

    def action_rows(self) -> None:
        """Ask for the rows to be shown."""
        if self.alert is not None:
            self.post_message(self.RowsWanted(self.alert.rows))
