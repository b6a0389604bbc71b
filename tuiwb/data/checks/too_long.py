"""What the trainer would make of each row: cut, untrained, refused; and the audit of its tokens."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from tuiwb.data.audit import TokenTally
from tuiwb.data.checks.finding import Finding, found
from tuiwb.data.render import Measured, ModelFacts, Sidecar
from tuiwb.data.rows import Row

SAMPLED = 2000  # rows tokenized at least, spread over the file
TOGETHER = 512  # rows of a request
CHARACTERS = 2_000_000  # of a request
TOO_BIG = 8_000_000  # characters of a row that is not tokenized: it needs gigabytes
DOUBLE_BOS = "begins with two BOS tokens: the text holds one and the tokenizer adds one"
WAITING = 2  # requests under way: the sidecar works while the next rows are read


class TooLong:
    """Renders every row in the sidecar and counts the tokens of all that could be too long.

    Counted are a sample of SAMPLED rows and every row that is not proved to be short, trained and
    without flaw by its text. `rows`: how many the dataset has. `as_chat`: it holds chats beside
    prompts and completions, which are then trained as chats.
    """

    def __init__(
        self,
        sidecar: Sidecar,
        model: str,
        max_length: int,
        rows: int,
        *,
        as_chat: bool = False,
        assistant_only_loss: bool = True,
    ) -> None:
        self._sidecar, self._model, self._max_length = sidecar, model, max_length
        self._options = {"as_chat": as_chat, "assistant_only_loss": assistant_only_loss}
        self._every = max(1, rows // SAMPLED)
        self._tally = TokenTally(max_length, self._every)
        self._thread = ThreadPoolExecutor(1, "tokens")
        self._asked: deque[tuple[list[Row], Future[list[Measured]]]] = deque()
        self._facts: ModelFacts | None = None
        self._seen: Row | None = None
        self._first_chat: Row | None = None
        # Rows that begin with two BOS, while every row does: file, index and line.
        self._all_double: list[tuple[str, int, int]] | None = []

    @property
    def facts(self) -> ModelFacts:
        """What the model's tokenizer and template do to every row."""
        if self._facts is None:
            self._facts = self._sidecar.describe(
                self._model, assistant_only_loss=self._options["assistant_only_loss"]
            )
        return self._facts

    def add(self, rows: Sequence[Row]) -> Iterator[Finding]:
        """Ask for these rows; findings of rows asked for before."""
        for batch in self._batches(rows):
            asked = self._thread.submit(
                self._sidecar.measure,
                self._model,
                batch,
                self._max_length,
                every=self._every,
                **self._options,
            )
            self._asked.append((batch, asked))
            if len(self._asked) > WAITING:
                yield from self._next()
        yield from self._unread(rows)

    def end(self) -> Iterator[Finding]:
        """Findings of the last rows, and those about the model's template."""
        try:
            while self._asked:
                yield from self._next()
        finally:
            self._thread.shutdown(wait=False, cancel_futures=True)
        yield from self._of_template()

    def audit(self) -> dict[str, Any]:
        """The report's `tokens`: `tuiwb.data.audit.TokenAudit` as plain values."""
        audit: dict[str, Any] = msgspec.to_builtins(self._tally.told(self._model, self.facts))
        return audit

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        batch: list[Row] = []
        size = 0
        for row in rows:
            if row.shape == "broken" or (characters := _characters(row)) > TOO_BIG:
                continue
            self._seen = self._seen or row
            if self._first_chat is None and row.shape == "chat":
                self._first_chat = row
            batch.append(row)
            size += characters
            if len(batch) == TOGETHER or size > CHARACTERS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _next(self) -> Iterator[Finding]:
        rows, asked = self._asked.popleft()
        for row, counts in zip(rows, asked.result(), strict=True):
            self._tally.add(row.index, counts)
            yield from self._of_row(row, counts)
            yield from self._double_bos(row, counts)

    def _of_row(self, row: Row, counts: Measured) -> Iterator[Finding]:
        if counts.problem is not None:
            sentence = f"can't be rendered: {counts.problem}"
            yield found(row, "template", sentence, severity="error", kind="refused")
            return
        if not counts.counted:
            return
        trained = counts.trained_within(None)
        if not trained:
            yield found(row, "untrained", "no token of it is trained", severity="error")
        elif counts.unmasked:
            sentence = (
                f"the loss misses {counts.unmasked} of its answers: the first of them begins with "
                "a blank that the tokenizer counts to no token"
            )
            yield found(row, "untrained", sentence, severity="error", kind="blank_start")
        if counts.total > self._max_length:
            left = counts.trained_within(self._max_length)
            if trained and not left:
                lost = "and with it every trained token, so the trainer drops the row"
            else:
                lost = f"{trained - left} of its {trained} trained tokens with them"
            yield found(
                row,
                "too_long",
                f"has {counts.total:,} tokens, {counts.total - self._max_length:,} beyond "
                f"max_length {self._max_length:,}: its end is lost, {lost}",
                score=float(counts.total),
            )
        if counts.stops is False and not (row.shape == "chat" and self._template_never_stops):
            sentence = "its last trained token is not one that ends a turn: it teaches no stop"
            yield found(row, "stop_token", sentence)

    def _double_bos(self, row: Row, counts: Measured) -> Iterator[Finding]:
        """Held back while every row has it: then it is the template's fault, and told once."""
        if counts.problem is not None:
            return
        held = self._all_double
        if counts.double_bos and held is not None:
            held.append((row.file, row.index, row.line))
        elif counts.double_bos:
            yield found(row, "double_bos", DOUBLE_BOS)
        elif held is not None:
            self._all_double = None
            for place in held:
                yield found(_at(row, *place), "double_bos", DOUBLE_BOS)

    @property
    def _template_never_stops(self) -> bool:
        return self.facts.masks and not self.facts.stop_token_trained

    def _of_template(self) -> Iterator[Finding]:
        """What is the template's fault is said once, at the first chat."""
        first, held = self._first_chat, self._all_double
        if held and self._seen is not None:
            others = f" So do all {len(held):,} rows" if len(held) > 1 else ""
            sentence = f"{DOUBLE_BOS}.{others}" if others else DOUBLE_BOS
            yield found(_at(self._seen, *held[0]), "double_bos", sentence)
        if first is None or not self.facts.chat_template:
            return
        if self._template_never_stops:
            sentence = (
                "the chat template leaves the token that ends the assistant's turn out of "
                "{% generation %}, in every row: the model may never learn to stop"
            )
            yield found(first, "stop_token", sentence, severity="error", kind="template")
        if self._options["assistant_only_loss"] and not self.facts.masks:
            yield found(
                first, "template", self.facts.notes[0], severity="error", kind="no_generation"
            )

    def _unread(self, rows: Sequence[Row]) -> Iterator[Finding]:
        for row in rows:
            if row.shape != "broken" and (characters := _characters(row)) > TOO_BIG:
                self._tally.unread(row.index)
                yield found(
                    row,
                    "too_long",
                    f"holds {characters:,} characters, too many to tokenize here: far beyond "
                    f"max_length {self._max_length:,}",
                    kind="unread",
                )


def _at(row: Row, file: str, index: int, line: int) -> Row:
    return msgspec.structs.replace(row, file=file, index=index, line=line)


def _characters(row: Row) -> int:
    return sum(len(text) for _, _, text in row.fields())
