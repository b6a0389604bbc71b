"""What the Data screen asks for: a row's number, a filter, an order, another model's template."""

from typing import ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.message import Message
from textual.worker import get_current_worker

from tuiwb.app import keys
from tuiwb.app.screens.data_checks import CheckActions
from tuiwb.app.screens.dialogs import Ask, Pick
from tuiwb.data.query import Query, parse
from tuiwb.data.read import Dataset
from tuiwb.data.render import check_tokenizer
from tuiwb.data.search import search
from tuiwb.errors import BadInput, TuiwbError

SORTS = (
    ("row", False, "file order"),
    ("found", False, "what was found, errors first"),
    ("chars", True, "longest first"),
    ("chars", False, "shortest first"),
    ("answer_chars", True, "longest answer first"),
    ("answer_chars", False, "shortest answer first"),
    ("turns", True, "most turns first"),
)
FILTER_HELP = (
    "text  /regex/  role:user text  check:pii  mark:drop\n"
    "turns>4  chars<200  topic=shipping  -word; empty shows all"
)


class RowPrompts(CheckActions):
    """Mixed into the Data screen; changes which rows are shown, and in which order."""

    BINDINGS: ClassVar[list[BindingType]] = [
        keys.shown("slash", "filter", "Filter", "only rows that pass a filter", display="/"),
        keys.known("s", "sort", "Sort", "another order of the rows"),
        keys.known("g", "go_to", "Go to", "to a row by its number"),
        keys.known(
            "t", "templates", "Templates", "the row in another model's chat template, or not"
        ),
    ]

    class Matched(Message):
        """The rows a filter found, so far or in all."""

        def __init__(
            self, dataset: Dataset, query: Query, found: list[int], done: bool, problem: str = ""
        ) -> None:
            super().__init__()
            self.dataset, self.query, self.found, self.done = dataset, query, found, done
            self.problem = problem

    # Prompts are pushed at once, not by a worker: keys typed after them must not run as commands.

    def action_go_to(self) -> None:
        """Ask for a row's number and put the cursor there."""
        if self._dataset is None:
            self.refuse()
        else:
            detail = f"0 to {self._view.total - 1:,}"
            prompt = Ask("Go to row", self._number_of, detail=detail)
            self.app.push_screen(prompt, self._go_said)

    def _number_of(self, said: str) -> int | None:
        """A row's number as it was typed, None for nothing; BadInput where there is no such row."""
        last = self._view.total - 1
        digits = said.strip().replace(",", "")
        if not digits:
            return None
        # As many digits as the last one has: more are no number worth reading.
        known = digits.isdecimal() and len(digits) <= len(str(max(0, last)))
        if not known or int(digits) > last:
            raise BadInput(f"there is no row {said.strip()}: give one from 0 to {last:,}")
        return int(digits)

    def _go_said(self, number: int | None) -> None:
        if number is not None and number < self._view.total:
            self._go(number)

    def _go(self, n: int) -> None:
        position = self._view.position_of(n)
        if position is not None:
            self._table.cursor = position
        else:
            self._view.clear()
            self._show_rows(n)

    def action_filter(self) -> None:
        """Ask for a filter; only rows that pass it stay."""
        if self._dataset is None:
            self.refuse()
        else:
            prompt = Ask("Filter rows", _query_of, self._view.query.text, FILTER_HELP)
            self.app.push_screen(prompt, self._filter_said)

    def _filter_said(self, query: Query | None) -> None:
        if query is not None and self._dataset is not None:
            self.filter_by(query)

    def filter_by(self, query: Query) -> None:
        """Show the rows that pass a filter."""
        row = self._current_number()
        self._view.filter(query)
        self._show_rows(row)
        self._show_facets()
        if query.tests and self._dataset is not None:
            self._match(self._dataset, query)

    @work(thread=True, exclusive=True, exit_on_error=False, group="filter")
    def _match(self, dataset: Dataset, query: Query) -> None:
        worker, found, told, problem = get_current_worker(), list[int](), 0, ""
        try:
            for some in search(dataset, query, self._view.found or {}, self.mark_of):
                if worker.is_cancelled:
                    return
                found.extend(some.rows)
                if len(found) >= max(200, 2 * told):
                    told = len(found)
                    self.post_message(self.Matched(dataset, query, list(found), False))
        except (TuiwbError, OSError) as error:
            problem = str(error)
        self.post_message(self.Matched(dataset, query, found, True, problem))

    @on(Matched)
    def _show_matches(self, message: Matched) -> None:
        if message.dataset is self._dataset and message.query is self._view.query:
            row = self._current_number()
            self._view.match(message.found, message.done)
            self._show_rows(row)
            if message.problem and message.found:
                self.notify(message.problem, severity="error", markup=False)
            elif message.problem:
                self._pane.say(f"{message.problem}; esc clears the filter", problem=True)

    @work
    async def action_sort(self) -> None:
        """Ask for an order of the rows."""
        if self._dataset is None:
            self.refuse()
            return
        now = next(i for i, (b, d, _) in enumerate(SORTS)
                   if (b, d) == (self._view.by, self._view.descending))  # fmt: skip
        picked = await self.app.push_screen_wait(Pick("Sort rows", [w for *_, w in SORTS], now))
        if picked is None:
            return
        by, descending, _words = SORTS[picked]
        if by not in ("row", "found") and self._view.columns is None:
            self.notify(f"sizes come with a check: {self._why_no_report()}", markup=False)
            return
        row = self._current_number()
        self._view.sort(by, descending)
        self._show_rows(row if by == "row" else None)

    def action_templates(self) -> None:
        """Set the row beside the same row in another model's template."""
        if self._pane.comparing:
            self._pane.compare_with(None)
            return
        if self._dataset is None:
            self.refuse()
            return
        prompt = Ask(
            "Beside which model's template?",
            self._model_of,
            self._pane.other_model or "",
            "a model folder, or a hub id whose tokenizer is cached",
        )
        self.app.push_screen(prompt, self._template_said)

    def _model_of(self, said: str) -> str | None:
        """The model as it was typed, None for nothing; BadInput for what can hold no tokenizer."""
        if not (name := said.strip()):
            return None
        folder = self.project.resolve(name)
        model = str(folder) if folder.exists() or name.count("/") != 1 else name
        check_tokenizer(model)
        return model

    def _template_said(self, model: str | None) -> None:
        if model is not None:
            self._pane.compare_with(model)


def _query_of(said: str) -> Query:
    return parse(said.strip())
