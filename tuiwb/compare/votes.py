"""Blind votes: which side is better, sides hidden, every vote saved at once to votes.jsonl.

The file is an append-only record: a session (which pairs, which side is left), votes, undos, and
the reveal that locks it all. What stands is the fold of these lines, so a killed terminal loses
nothing and the next one goes on at the first pair without a vote.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.stats import PairedCounts
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines, decode_lines

VOTES = "votes.jsonl"
REPEATS = 5

Choice = Literal["left", "right", "tie", "both_bad", "skip"]
SideName = Literal["base", "adapter"]
Outcome = Literal["adapter", "base", "tie"]


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
    """The pairs in the order they are asked, and a fingerprint of the texts they stand for."""

    seed: int
    pairs: list[Pair]
    texts: str
    identical: list[str] = []
    v: int = 1
    t: float = 0.0


class Vote(msgspec.Struct, kw_only=True, tag_field="type", tag="vote"):
    """One choice, as made (left or right); which model that was follows from the session."""

    pair: str
    choice: Choice
    rater: str = ""
    v: int = 1
    t: float = 0.0


class Undo(msgspec.Struct, kw_only=True, tag_field="type", tag="undo"):
    """The last standing vote is taken back."""

    pair: str
    v: int = 1
    t: float = 0.0


class Reveal(msgspec.Struct, kw_only=True, tag_field="type", tag="reveal"):
    """Sides and tally were shown: no vote is taken after this."""

    v: int = 1
    t: float = 0.0


Record = Session | Vote | Undo | Reveal


class VoteTally(msgspec.Struct, kw_only=True):
    """What the votes say once revealed, from the adapter's side.

    `ties` holds `identical` pairs (never asked) and `both_bad`; skipped and open pairs are left
    out. `consistent` of `repeated` pairs got the same answer with sides swapped. `left_share` is
    how often the left side won among decisive votes.
    """

    counts: PairedCounts
    identical: int
    both_bad: int
    skipped: int
    open: int
    repeated: int
    consistent: int
    left_share: float | None


def side_of(seed: int, completion_id: str) -> SideName:
    """Which model stands left: one bit of sha256(seed, id), so nothing else can hint at it."""
    digest = hashlib.sha256(f"sides:{seed}:{completion_id}".encode()).digest()
    return "adapter" if digest[0] & 1 else "base"


def make_session(completions: Sequence[Completion], seed: int = 0) -> Session:
    """Pairs of all completions that differ, in seeded order, five of them asked again swapped."""

    def order(salt: str) -> list[str]:
        return sorted(
            different, key=lambda i: hashlib.sha256(f"{salt}:{seed}:{i}".encode()).digest()
        )

    different = [c.id for c in completions if not c.identical]
    first = [Pair(id=i, left=side_of(seed, i)) for i in order("order")]
    left = {pair.id: pair.left for pair in first}
    repeats = min(REPEATS, len(different) // 2)
    again = [
        Pair(id=i, left="base" if left[i] == "adapter" else "adapter", repeat=True)
        for i in order("repeat")[:repeats]
    ]
    return Session(
        seed=seed,
        pairs=first + again,
        texts=fingerprint(completions),
        identical=[c.id for c in completions if c.identical],
    )


def fingerprint(completions: Sequence[Completion]) -> str:
    """sha256 over every text that is compared: votes belong to these and no others."""
    digest = hashlib.sha256()
    for c in sorted(completions, key=lambda c: c.id):
        digest.update(msgspec.json.encode([c.id, c.base, c.adapter]))
    return digest.hexdigest()


def outcome(pair: Pair, choice: Choice) -> Outcome | None:
    """Who won a vote; None for a skip."""
    if choice == "skip":
        return None
    if choice in ("tie", "both_bad"):
        return "tie"
    right: SideName = "base" if pair.left == "adapter" else "adapter"
    return pair.left if choice == "left" else right


class Ballot:
    """A rater's session on the completions of one compare folder."""

    def __init__(
        self, folder: Path, completions: Sequence[Completion], *, seed: int | None = None
    ) -> None:
        """Take up the session in votes.jsonl, or begin one with `seed` (None: a fresh one, so that
        sides learned from one comparison tell nothing in the next); BadInput when the votes there
        are on other texts."""
        if not completions or any(c.adapter is None for c in completions):
            raise BadInput(f"{folder} holds no pairs to vote on: compare a run with an adapter")
        self.path = folder / VOTES
        self.revealed = False
        self._votes: dict[str, Vote] = {}
        self._order: list[str] = []
        records = read_records(self.path)
        session = next((r for r in records if isinstance(r, Session)), None)
        if session is None:
            session = make_session(completions, secrets.randbits(32) if seed is None else seed)
            session.t = time.time()
            self._append(session)
        elif session.texts != fingerprint(completions):
            raise BadInput(
                f"the votes in {self.path} are on other answers than those there now: "
                "rename the file to keep them, then vote anew"
            )
        self.session = session
        self._pairs = {pair.key: pair for pair in session.pairs}
        for record in records:
            self._apply(record)

    @property
    def pairs(self) -> list[Pair]:
        """The pairs in the order they are asked."""
        return self.session.pairs

    @property
    def voted(self) -> int:
        """How many pairs have a vote, skips included."""
        return len(self._votes)

    def choice(self, pair: Pair) -> Choice | None:
        """The standing vote on a pair."""
        vote = self._votes.get(pair.key)
        return None if vote is None else vote.choice

    def next_open(self, after: int = -1) -> int | None:
        """Place of the first pair without a vote after place `after`, going round; None if all
        have one."""
        count = len(self.pairs)
        places = ((after + 1 + i) % count for i in range(count))
        return next((i for i in places if self.choice(self.pairs[i]) is None), None)

    def vote(self, pair: Pair, choice: Choice, rater: str = "") -> None:
        """Save a vote, replacing the one that stood; BadInput once revealed."""
        if self.revealed:
            raise BadInput("the sides were revealed, which locks the votes: no more can be cast")
        record = Vote(pair=pair.key, choice=choice, rater=rater, t=time.time())
        self._append(record)
        self._apply(record)

    def undo(self) -> Pair | None:
        """Take back the latest standing vote; returns its pair, None when there is none."""
        if self.revealed:
            raise BadInput("the sides were revealed, which locks the votes: none can be undone")
        if not self._order:
            return None
        pair = self._pairs[self._order[-1]]
        record = Undo(pair=pair.key, t=time.time())
        self._append(record)
        self._apply(record)
        return pair

    def reveal(self) -> VoteTally:
        """Lock the votes and say what they were."""
        if not self.revealed:
            self._append(Reveal(t=time.time()))
            self.revealed = True
        return self._tally()

    def tally(self) -> VoteTally | None:
        """The tally; None until revealed, so that nothing can leak to the rater."""
        return self._tally() if self.revealed else None

    def winners(self) -> dict[str, Outcome]:
        """Who won each completion, identical ones included; empty until revealed."""
        if not self.revealed:
            return {}
        won: dict[str, Outcome] = dict.fromkeys(self.session.identical, "tie")
        for pair in self.pairs:
            choice = self.choice(pair)
            who = None if choice is None else outcome(pair, choice)
            if who is not None and not pair.repeat:
                won[pair.id] = who
        return won

    def _tally(self) -> VoteTally:
        won = list(self.winners().values())
        first = [pair for pair in self.pairs if not pair.repeat]
        choices = [self.choice(pair) for pair in first]
        decisive = [choice for choice in choices if choice in ("left", "right")]
        repeated, consistent = self._consistency()
        return VoteTally(
            counts=PairedCounts(
                wins=won.count("adapter"), losses=won.count("base"), ties=won.count("tie")
            ),
            identical=len(self.session.identical),
            both_bad=choices.count("both_bad"),
            skipped=choices.count("skip"),
            open=choices.count(None),
            repeated=repeated,
            consistent=consistent,
            left_share=decisive.count("left") / len(decisive) if decisive else None,
        )

    def _consistency(self) -> tuple[int, int]:
        """(pairs answered both times, those answered alike); ties of either kind are alike."""
        repeated = consistent = 0
        for again in (pair for pair in self.pairs if pair.repeat):
            first = self._pairs[again.id]
            one, two = self.choice(first), self.choice(again)
            if one is None or two is None or "skip" in (one, two):
                continue
            repeated += 1
            consistent += outcome(first, one) == outcome(again, two)
        return repeated, consistent

    def _apply(self, record: Record) -> None:
        match record:
            case Vote() if record.pair in self._pairs:
                self._votes[record.pair] = record
                self._order = [key for key in self._order if key != record.pair] + [record.pair]
            case Undo() if record.pair in self._votes:
                del self._votes[record.pair]
                self._order.remove(record.pair)
            case Reveal():
                self.revealed = True
            case _:
                pass

    def _append(self, record: Record) -> None:
        try:
            append_lines(self.path, [record])
        except OSError as error:
            raise BadInput(
                f"the vote could not be saved to {self.path} ({error.strerror}): make room, "
                "then vote again"
            ) from None


def read_records(path: Path) -> list[Record]:
    """The lines of votes.jsonl; torn and foreign ones are passed over."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    records: list[Record] = decode_lines(data, Record)  # type: ignore[arg-type]
    return records
