"""What a generation came to: kept and rejected rows with their provenance, and a summary.

A function of requests.jsonl, the seeds and what must not be repeated: after a kill the same files
come out again.
"""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from tuiwb.data.generate.parse import Candidate, Parsed, parse_rows
from tuiwb.data.generate.prompts import Request, prompt_sha256
from tuiwb.data.generate.requests import Answered, RequestLog
from tuiwb.data.generate.sift import Rows, sift
from tuiwb.data.generate.spec import GenerateSpec, Questions
from tuiwb.data.provenance import COLUMN, SYNTHETIC
from tuiwb.data.records import encode_line
from tuiwb.data.rows import Row
from tuiwb.jobs.folder import write_atomically
from tuiwb.prepared import prepared

GENERATED = "generated.jsonl"
REJECTED = "rejected.jsonl"
SUMMARY = "summary.json"


class GenerateSummary(msgspec.Struct, kw_only=True):
    """summary.json. `kept` of `received` rows; `rejected` counts rows and `problems` answers by
    reason (an answer with a problem may still have brought rows). `ended` is why it stopped before
    all rows were there: budget, max_requests, max_tokens, no_new_rows. `usd` is None where there
    is no price; `unanswered` tokens are guesses for calls whose answer never came, and count."""

    model: str
    rows: int
    kept: int = 0
    received: int = 0
    rejected: dict[str, int] = {}
    answers: int = 0
    calls: int = 0
    problems: dict[str, int] = {}
    axes: dict[str, list[str]] = {}
    ended: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    unanswered: int = 0
    usd: float | None = None
    human_share: float = 1.0
    mixed_rows: int = 0
    seeds_left_out: int = 0
    generated_sha256: str = ""
    dataset: str = ""
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether all rows that were asked for are there."""
        return self.kept >= self.rows

    @property
    def share_sentence(self) -> str:
        """The share of human rows when these are mixed with what they were made from."""
        return (
            f"mixed with the rows they were made from and compared with, {self.human_share:.0%} of "
            f"{self.mixed_rows:,} rows are people's"
        )


class Kept(msgspec.Struct, kw_only=True):
    """A row that is new: its typed form, and the record that is written, provenance included."""

    row: Row
    record: dict[str, Any]


class Results:
    """Reads the answers in the order they came, each once, and sifts all rows so far."""

    def __init__(self, spec: GenerateSpec, questions: Questions, log: RequestLog) -> None:
        self.spec, self.questions, self.log = spec, questions, log
        self.axes: dict[str, list[str]] = {}
        self.kept: list[Kept] = []
        self.rejected: list[dict[str, Any]] = []
        self.problems: Counter[str] = Counter()
        self.received = self.answers = 0
        self._parsed: dict[str, tuple[int, Request | None, Parsed]] = {}

    @property
    def worked(self) -> str:
        """How an answer that brought rows was asked for, '' before any."""
        for answer in reversed(self.log.in_order()):
            if answer.n >= 0 and any(c.row is not None for c in self._read(answer)[1].candidates):
                return answer.mode
        return ""

    def sift(self, known: list[tuple[str, Rows]], held_out: tuple[str, Rows] | None) -> None:
        """Work out from all answers so far which rows are kept."""
        found: list[tuple[Answered, Request, Candidate]] = []
        self.rejected, self.problems, self.answers = [], Counter(), 0
        for answer in self.log.in_order():
            asked, parsed = self._read(answer)
            if asked is None:
                continue
            self.answers += 1
            if parsed.problem:
                self.problems[parsed.problem] += 1
            found.extend((answer, asked, candidate) for candidate in parsed.candidates)
        for failure in self.log.failures.values():
            self.problems[failure.reason] += 1
        self.received = len(found)
        rows = [(answer, asked, c, c.row) for answer, asked, c in found if c.row is not None]
        verdicts = iter(sift([row for *_, row in rows], known, held_out))
        self.kept = []
        for answer, asked, candidate in found:
            verdict = next(verdicts) if candidate.row is not None else None
            if candidate.row is None:
                more: dict[str, Any] = {"reason": candidate.reason, "why": candidate.why}
            elif verdict is not None:
                more = msgspec.to_builtins(verdict)
            elif len(self.kept) >= self.spec.rows:
                more = {"reason": "surplus", "why": "more rows came than were asked for"}
            else:
                record = {**candidate.record, COLUMN: self._provenance(answer, asked)}
                self.kept.append(Kept(row=candidate.row, record=record))
                continue
            self.rejected.append({**more, "batch": asked.n, "row": candidate.record})

    def request_of(self, n: int) -> Request:
        """Request `n` on the axes of this generation."""
        return self.questions.number(n, self.axes)

    def write(self, folder: Path) -> bytes:
        """Write generated.jsonl and rejected.jsonl; the bytes of the first."""
        generated = b"".join(encode_line(kept.record) for kept in self.kept)
        write_atomically(folder / GENERATED, generated)
        write_atomically(folder / REJECTED, b"".join(map(encode_line, self.rejected)))
        return generated

    def _read(self, answer: Answered) -> tuple[Request | None, Parsed]:
        """The request an answer belongs to, None for one of another question, and its rows."""
        seen = self._parsed.get(answer.key)
        # Another answer to the same request takes the place of the first.
        if seen is None or seen[0] != id(answer):
            asked = self.request_of(answer.n) if answer.n >= 0 else None
            if asked is None or asked.key != answer.key:
                seen = (id(answer), None, Parsed(candidates=[]))
            else:
                parsed = parse_rows(answer.text, answer.stop, self.questions.seeds.form)
                seen = (id(answer), asked, parsed)
            self._parsed[answer.key] = seen
        return seen[1], seen[2]

    def _provenance(self, answer: Answered, asked: Request) -> dict[str, Any]:
        origin = {
            "kind": SYNTHETIC,
            "model": self.spec.model,
            "prompt_sha256": prompt_sha256(self.questions.system, asked.text),
            "seeds": asked.seeds,
            "created": datetime.fromtimestamp(answer.t, UTC).isoformat(timespec="seconds"),
            "batch": asked.n,
        }
        return {**origin, "varied": asked.varied} if asked.varied else origin


def readable(form: Any, redact: Callable[[str], str]) -> Callable[[str], Parsed]:
    """What tells an endpoint's good answer from one that another way of asking may mend."""

    def read(text: str) -> Parsed:
        parsed = parse_rows(redact(text), "", form)
        if all(candidate.reason == "schema" for candidate in parsed.candidates):
            raise ValueError(parsed.problem or "no content")
        return parsed

    return read


def read_generate_summary(folder: Path) -> GenerateSummary | None:
    """summary.json of a generate job; None before there is one."""
    try:
        return msgspec.json.decode((folder / SUMMARY).read_bytes(), type=prepared(GenerateSummary))
    except (OSError, msgspec.MsgspecError):
        return None
