"""votes.jsonl: what raters did on the pairs of two sides, one line each, append-only.

Several raters share the file; every line names its rater, and each has a session of their own. A
line is written in one durable write, so that several terminals may append at once.
"""

import hashlib
import re
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.jobs.lines import decode_lines

VOTES = "votes.jsonl"
MAIN_PAIR = ("base", "adapter")

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
SideName = Literal["base", "adapter"]
Outcome = Literal["adapter", "base", "tie"]

_PLAIN = re.compile(r"[A-Za-z0-9._]{1,40}")


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One question to the rater: the completion's id and which side stands left.

    `repeat` pairs are asked a second time with sides swapped, to measure self-consistency.
    """

    id: str
    left: SideName
    repeat: bool = False

    @property
    def key(self) -> str:
        """What a vote refers to."""
        return f"{self.id}:again" if self.repeat else self.id


class Session(msgspec.Struct, kw_only=True, tag_field="type", tag="session"):
    """A rater's pairs in the order they are asked, and a fingerprint of the texts they stand for.

    `identical` completions are ties nobody is asked about; `sides` names what base and adapter are.
    """

    seed: int
    pairs: list[Pair]
    texts: str
    identical: list[str] = []
    sides: tuple[str, str] = MAIN_PAIR
    rater: str = ""
    v: int = 1
    t: float = 0.0


class Vote(msgspec.Struct, kw_only=True, tag_field="type", tag="vote"):
    """One choice, as made (left or right); which model that was follows from the session.

    `seconds` is how long the pair was in view before, 0 where that is unknown.
    """

    pair: str
    choice: Choice
    rater: str = ""
    seconds: float = 0.0
    v: int = 1
    t: float = 0.0


class Undo(msgspec.Struct, kw_only=True, tag_field="type", tag="undo"):
    """The last standing vote is taken back."""

    pair: str
    rater: str = ""
    v: int = 1
    t: float = 0.0


class Note(msgspec.Struct, kw_only=True, tag_field="type", tag="note"):
    """What the rater says of a completion in words; the last one stands, an empty one removes."""

    id: str
    text: str
    rater: str = ""
    v: int = 1
    t: float = 0.0


class Seen(msgspec.Struct, kw_only=True, tag_field="type", tag="seen"):
    """These completions were read with their sides named: later votes on them are not blind."""

    ids: list[str]
    rater: str = ""
    v: int = 1
    t: float = 0.0


class Reveal(msgspec.Struct, kw_only=True, tag_field="type", tag="reveal"):
    """Sides and tally were shown to the rater, who takes no vote after this."""

    rater: str = ""
    v: int = 1
    t: float = 0.0


Record = Session | Vote | Undo | Note | Seen | Reveal


def votes_name(one: str = "base", other: str = "adapter") -> str:
    """The votes file of two sides in a compare folder: votes.jsonl for the two in focus, else
    votes-ONE-OTHER.jsonl. Names that are no plain file name get a hash beside what is left."""
    if (one, other) == MAIN_PAIR:
        return VOTES
    name = f"votes-{_plain(one)}-{_plain(other)}"
    if not (_PLAIN.fullmatch(one) and _PLAIN.fullmatch(other)):
        digest = hashlib.sha256(f"{one}\0{other}".encode("utf-8", "surrogatepass")).hexdigest()
        name += f"-{digest[:8]}"
    return f"{name}.jsonl"


def decode_records(data: bytes) -> list[Record]:
    """Whole lines of a votes file; torn and foreign ones are passed over."""
    records: list[Record] = decode_lines(data, Record)  # type: ignore[arg-type]
    return records


def read_records(path: Path) -> list[Record]:
    """The lines of a votes file, none where there is no such file."""
    try:
        return decode_records(path.read_bytes())
    except FileNotFoundError:
        return []


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]", "_", name)[:40] or "_"
