"""Blind votes: which side is better, sides hidden, every vote saved at once to votes.jsonl.

What stands is the fold of that file's lines: a session (which pairs, which side is left), votes,
undos, and the reveal that locks it all. A killed terminal loses nothing and the next one goes on at
the first pair without a vote; two terminals of one rater see each other's votes.
"""

import errno
import hashlib
import os
import secrets
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tuiwb.compare.completions import Completion
from tuiwb.compare.stats.counts import PairedCounts
from tuiwb.compare.vote.records import (
    MAIN_PAIR,
    VOTES,
    Choice,
    Note,
    Outcome,
    Pair,
    Record,
    Reveal,
    Seen,
    Session,
    SideName,
    Undo,
    Vote,
    decode_records,
    read_records,
    votes_name,
)
from tuiwb.errors import BadInput
from tuiwb.jobs.lines import append_lines

__all__ = [
    "VOTES", "Ballot", "Choice", "Outcome", "Pair", "Session", "VoteTally", "make_session",
    "outcome", "read_records", "votes_name",
]  # fmt: skip

REPEATS = 5


class VoteTally(msgspec.Struct, kw_only=True):
    """What one rater's votes say once revealed, from the adapter's side.

    `ties` holds `identical` pairs (never asked) and `both_bad`; skipped and open pairs are left
    out. `consistent` of `repeated` pairs got the same answer with sides swapped. `left_share` is
    how often the left side won among decisive votes, `not_blind` how many votes were on pairs read
    with names before, `seconds` the median time on a pair (None where it is unknown).
    """

    counts: PairedCounts
    identical: int
    both_bad: int
    skipped: int
    open: int
    repeated: int
    consistent: int
    left_share: float | None
    rater: str = ""
    not_blind: int = 0
    seconds: float | None = None


def side_of(seed: int, completion_id: str, rater: str = "") -> SideName:
    """Which side stands left: one bit of sha256 over seed, rater and id, so that nothing else can
    hint at it and no rater learns from another."""
    digest = hashlib.sha256(_encoded(f"sides:{seed}:{rater}:{completion_id}")).digest()
    return "adapter" if digest[0] & 1 else "base"


def looks_identical(completion: Completion) -> bool:
    """Whether a reader can't tell the two answers apart: space around them is not seen."""
    return completion.base.strip() == (completion.adapter or "").strip()


def make_session(
    completions: Sequence[Completion],
    seed: int = 0,
    *,
    rater: str = "",
    sides: tuple[str, str] = MAIN_PAIR,
) -> Session:
    """Pairs of all completions that differ, in seeded order, five of them asked again swapped."""

    def order(salt: str) -> list[str]:
        return sorted(
            different, key=lambda i: hashlib.sha256(_encoded(f"{salt}:{seed}:{rater}:{i}")).digest()
        )

    different = [c.id for c in completions if not looks_identical(c)]
    first = [Pair(id=i, left=side_of(seed, i, rater)) for i in order("order")]
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
        identical=[c.id for c in completions if looks_identical(c)],
        sides=sides,
        rater=rater,
    )


def fingerprint(completions: Sequence[Completion]) -> str:
    """sha256 over every text that is compared: votes belong to these and no others."""
    digest = hashlib.sha256()
    for c in sorted(completions, key=lambda c: c.id):
        digest.update(msgspec.json.encode([c.id, c.base, c.adapter]))
    return digest.hexdigest()


def asked_in(session: Session, completions: Sequence[Completion]) -> list[Completion]:
    """The completions that a session is on."""
    ids = {pair.id for pair in session.pairs}.union(session.identical)
    return [completion for completion in completions if completion.id in ids]


def still_stands(session: Session, completions: Sequence[Completion]) -> bool:
    """Whether a session's texts are all there as they were; others may have come since."""
    return fingerprint(asked_in(session, completions)) == session.texts


def outcome(pair: Pair, choice: Choice) -> Outcome | None:
    """Who won a vote; None for a skip."""
    if choice == "skip":
        return None
    if choice in ("tie", "both_bad"):
        return "tie"
    right: SideName = "base" if pair.left == "adapter" else "adapter"
    return pair.left if choice == "left" else right


class Ballot:
    """One rater's session on the completions of one compare folder.

    What it holds is what is on disk: its own votes too are taken from the file once they are there.
    """

    def __init__(
        self,
        folder: Path,
        completions: Sequence[Completion],
        *,
        rater: str = "",
        sides: tuple[str, str] = MAIN_PAIR,
        seed: int | None = None,
    ) -> None:
        """Take up the rater's session on two sides, or begin one with `seed` (None: a fresh one,
        so that sides learned from one comparison tell nothing in the next); `completions` hold the
        two sides as base and adapter. BadInput when the votes there are on other texts."""
        if not completions or any(c.adapter is None for c in completions):
            raise BadInput(f"{folder} holds no pairs to vote on: compare a run with an adapter")
        self.path = folder / votes_name(*sides)
        self.rater = rater
        self.revealed = False
        self._votes: dict[str, Vote] = {}
        self._order: list[str] = []
        self._notes: dict[str, str] = {}
        self._seen: set[str] = set()
        self._not_blind: set[str] = set()
        self._offset = 0
        self._inode: int | None = None
        session = self._kept_session()
        if session is None:
            chosen = secrets.randbits(32) if seed is None else seed
            session = make_session(completions, chosen, rater=rater, sides=sides)
            session.t = time.time()
            self._write(session)
            # Where two terminals begin at once, the first session in the file is that of both.
            session = self._kept_session() or session
        self.session = session
        # Prompts that a comparison answered when it went on, after the session had begun.
        self.not_asked = len(completions) - len(asked_in(session, completions))
        if not still_stands(session, completions):
            raise BadInput(
                f"the votes in {self.path} are on other answers than those there now: "
                "rename the file to keep them, then vote anew"
            )
        self._pairs = {pair.key: pair for pair in self.session.pairs}
        self.catch_up()

    @property
    def pairs(self) -> list[Pair]:
        """The pairs in the order they are asked."""
        return self.session.pairs

    @property
    def voted(self) -> int:
        """How many pairs have a vote, skips included."""
        return len(self._votes)

    @property
    def hides(self) -> bool:
        """Whether a vote is under way, so that names and verdicts must stay out of sight."""
        return self.voted > 0 and not self.revealed

    def choice(self, pair: Pair) -> Choice | None:
        """The standing vote on a pair."""
        vote = self._votes.get(pair.key)
        return None if vote is None else vote.choice

    def note(self, completion_id: str) -> str:
        """What the rater wrote on a completion, '' for nothing."""
        return self._notes.get(completion_id, "")

    def voted_at(self, completion_id: str) -> float:
        """When the standing vote on a completion was cast, in unix seconds; the session's begin
        for one that nobody was asked about."""
        vote = self._votes.get(completion_id)
        return self.session.t if vote is None else vote.t

    def next_open(self, after: int = -1) -> int | None:
        """Place of the first pair without a vote after place `after`, going round; None if all
        have one."""
        count = len(self.pairs)
        places = ((after + 1 + i) % count for i in range(count))
        return next((i for i in places if self.choice(self.pairs[i]) is None), None)

    def vote(self, pair: Pair, choice: Choice, seconds: float = 0.0) -> None:
        """Save a vote, replacing the one that stood; BadInput once revealed. It is on disk when
        this returns."""
        self._refuse_if_revealed("no more can be cast")
        now = time.time()
        self._append(
            Vote(pair=pair.key, choice=choice, rater=self.rater, seconds=round(seconds, 2), t=now)
        )

    def undo(self) -> Pair | None:
        """Take back the latest standing vote; returns its pair, None when there is none."""
        self._refuse_if_revealed("none can be undone")
        if not self._order:
            return None
        pair = self._pairs[self._order[-1]]
        self._append(Undo(pair=pair.key, rater=self.rater, t=time.time()))
        return pair

    def write_note(self, completion_id: str, text: str) -> None:
        """Keep some words on a completion; '' removes them. Allowed after the reveal too."""
        plain = text.strip().encode("utf-8", "replace").decode("utf-8")
        self._append(Note(id=completion_id, text=plain, rater=self.rater, t=time.time()))

    def saw(self, completion_ids: Sequence[str]) -> None:
        """Keep that these were read with names: votes cast on them from now on are not blind."""
        new = [i for i in completion_ids if i not in self._seen]
        if new and not self.revealed:
            self._append(Seen(ids=new, rater=self.rater, t=time.time()))

    def reveal(self) -> VoteTally:
        """Lock the rater's votes and say what they were."""
        self.catch_up()
        if not self.revealed:
            self._append(Reveal(rater=self.rater, t=time.time()))
        return self._tally()

    def tally(self) -> VoteTally | None:
        """The tally; None until revealed, so that nothing can leak to the rater."""
        return self._tally() if self.revealed else None

    def winners(self) -> dict[str, Outcome]:
        """Who won each completion, identical ones included; empty until revealed."""
        if not self.revealed:
            return {}
        won: dict[str, Outcome] = dict.fromkeys(self.session.identical, "tie")
        return won | self.decided()

    def decided(self) -> dict[str, Outcome]:
        """Who won each completion that the rater was asked about; empty until revealed."""
        won: dict[str, Outcome] = {}
        for pair in self.pairs if self.revealed else ():
            choice = self.choice(pair)
            who = None if choice is None else outcome(pair, choice)
            if who is not None and not pair.repeat:
                won[pair.id] = who
        return won

    def both_bad(self) -> set[str]:
        """Completions of which the rater said that both answers are bad; empty until revealed."""
        first = (pair for pair in self.pairs if self.revealed and not pair.repeat)
        return {pair.id for pair in first if self.choice(pair) == "both_bad"}

    def repeats(self) -> tuple[int, int]:
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

    def catch_up(self) -> None:
        """Take what was written to the file since the last look, by this terminal or another."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                if self._inode not in (None, status.st_ino) or status.st_size < self._offset:
                    raise _set_aside(self.path)
                self._inode = status.st_ino
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            if self._inode is not None:
                raise _set_aside(self.path) from None
            return
        except OSError as error:
            raise BadInput(
                f"{self.path} can't be read ({error.strerror}): make it readable, then go on"
            ) from None
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for record in decode_records(data[:whole]):
            if record.rater == self.rater:
                self._apply(record)

    def _refuse_if_revealed(self, what: str) -> None:
        self.catch_up()
        if self.revealed:
            raise BadInput(f"the sides were revealed, which locks the votes: {what}")

    def _tally(self) -> VoteTally:
        won = list(self.winners().values())
        first = [pair for pair in self.pairs if not pair.repeat]
        choices = [self.choice(pair) for pair in first]
        decisive = [choice for choice in choices if choice in ("left", "right")]
        repeated, consistent = self.repeats()
        times = [vote.seconds for vote in self._votes.values() if vote.seconds > 0]
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
            rater=self.rater,
            not_blind=len(self._not_blind),
            seconds=statistics.median(times) if times else None,
        )

    def _apply(self, record: Record) -> None:
        match record:
            case Vote() if record.pair in self._pairs and not self.revealed:
                self._votes[record.pair] = record
                self._order = [key for key in self._order if key != record.pair] + [record.pair]
                seen = self._pairs[record.pair].id in self._seen
                (self._not_blind.add if seen else self._not_blind.discard)(record.pair)
            case Undo() if record.pair in self._votes and not self.revealed:
                del self._votes[record.pair]
                self._order.remove(record.pair)
                self._not_blind.discard(record.pair)
            case Note():
                self._notes[record.id] = record.text
            case Seen():
                self._seen.update(record.ids)
            case Reveal():
                self.revealed = True
            case _:
                pass

    def _append(self, record: Record) -> None:
        self.catch_up()
        self._write(record)
        self.catch_up()

    def _write(self, record: Record) -> None:
        try:
            append_lines(self.path, [record])
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            remedy = "make room" if full else "make that writable"
            raise BadInput(
                f"the vote could not be saved to {self.path} ({error.strerror}): {remedy}, "
                "then vote again"
            ) from None

    def _kept_session(self) -> Session | None:
        """The rater's session in the file: the first one, whatever was begun after."""
        return next(
            (
                record
                for record in read_records(self.path)
                if isinstance(record, Session) and record.rater == self.rater
            ),
            None,
        )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _set_aside(path: Path) -> BadInput:
    return BadInput(
        f"{path} is not the file it was: the comparison was set aside or made anew meanwhile; "
        "leave the vote and begin again on what is there now"
    )
