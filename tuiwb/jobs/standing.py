"""Where a job stands, however long its log: at once from what is known, exactly as it is read on.

In: a job folder. Out: its state; blocks of events for whoever wants the curves too.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tuiwb.jobs.events import AnyEvent, decode
from tuiwb.jobs.folder import EVENTS, load
from tuiwb.jobs.log_end import end_of
from tuiwb.jobs.log_file import LogFile
from tuiwb.jobs.snapshot import WORTH, WORTH_ENDED, Snapshot, load_snapshot, save_snapshot
from tuiwb.jobs.state import ENDED, JobState, fold, settle

if TYPE_CHECKING:
    from tuiwb.jobs.blocks import Block, BlockDecoder
    from tuiwb.jobs.helper import Helper

    Decoded = Block | list[AnyEvent]
    Take = Callable[[Decoded], None]

READ = 256 << 10  # bytes read at a time, as many as are decoded fastest
AT_ONCE = 2 << 20  # bytes taken in at a time
FEW = 64 << 10  # bytes; so much is decoded event by event rather than load numpy for it
WORTH_HELP = 64 << 20  # bytes; from so many on a second process saves more than its start costs
CLOSE = 4 << 20  # bytes to the log's end that are read rather than guessed from its last lines


class Standing:
    """One job. `state` is the best that is known; `exact` says that all of the log is in it.

    `poll` reads on. `generation` rises when the log was replaced by another. Safe from several
    threads. It begins after what `start` has in it, else the snapshot beside the log; with `whole`
    at the log's beginning. Unless `alone`, a second process does part of the reading of a long log.
    """

    def __init__(
        self,
        folder: Path,
        start: Snapshot | None = None,
        *,
        whole: bool = False,
        alone: bool = True,
    ) -> None:
        self.folder = folder
        self.job = load(folder)
        self.log = LogFile(folder / EVENTS)
        self.generation = 0
        self.exact = True
        self._settled = False
        self._alone = alone
        self._helper: Helper | None = None
        self._lock = threading.RLock()
        self._decoder: BlockDecoder | None = None
        self._ahead: tuple[JobState, LogFile] | None = None
        if start is None and not whole:
            start = load_snapshot(self.log.path)
        self._folded = self._nothing_yet()
        if start is not None:
            self._folded = start.state
            self.log.resume(start.stand.offset, start.stand.inode)
        self._kept = self.log.offset
        self.state = copied(self._folded)

    @property
    def folded(self) -> JobState:
        """The state after just what has been read, without a look at the process."""
        return self._folded

    @property
    def quiet(self) -> bool:
        """Whether the job has ended and nothing was added since the last poll."""
        if self.state.state not in ENDED or not self.exact:
            return False
        try:
            about = self.log.path.stat()
        except OSError:
            return True
        return about.st_size == self.log.size and about.st_ino == self.log.inode

    def poll(self, seconds: float = 0.1, take: "Take | None" = None) -> bool:
        """Read on for about `seconds`; whether there was anything new.

        `take` is given each block of events before it is folded; where it is the first of another
        log, `generation` has risen by then. OSErrors are the caller's.
        """
        until = time.monotonic() + seconds
        with self._lock:
            new, self.exact = False, False
            while not self.exact:
                block: Decoded | None = None
                if self._helper is not None:
                    self._helper.order(self.log.offset)
                    if self._helper.next_part == self.log.offset:
                        block = self._helped(max(0.0, until - time.monotonic()))
                        if block is None and self._helper.next_part == self.log.offset:
                            break  # it comes with the next poll
                lines = self._lines() if block is None else []
                if self.log.generation != self.generation:
                    self.generation = self.log.generation
                    self._folded, self._ahead, self._kept, new = self._nothing_yet(), None, 0, True
                    self._helper = None
                if lines:
                    block = self._decode(*lines)
                if block is not None:
                    new = True
                    if take is not None:
                        take(block)
                    self._fold(self._folded, block)
                self.exact = block is None or self.log.offset == self.log.size
                self._get_help()
                if time.monotonic() >= until:
                    break
            if new or not self._settled or self.state.state not in ENDED:
                self._publish()
            return new

    def _lines(self) -> list[bytes]:
        """The next lines of one log, in pieces, up to where another process goes on."""
        pieces: list[bytes] = []
        length, generation = 0, self.log.generation
        part = self._helper.next_part if self._helper is not None else None
        while length < AT_ONCE:
            limit = min(READ, part - self.log.offset) if part is not None else READ
            lines = self.log.lines(limit)
            if self.log.generation != generation:
                return [lines] if lines else []  # those before were of another log
            if lines:
                pieces.append(lines)
                length += len(lines)
            if not lines or self.log.offset in (self.log.size, part):
                break
        return pieces

    def _helped(self, seconds: float) -> "Block | None":
        """The block that another process made of the next lines, if it comes within `seconds`."""
        assert self._helper is not None
        found = self._helper.take(seconds)
        if found is None:
            return None
        end, block = found
        self.log.skip(end)
        return block

    def _get_help(self) -> None:
        """Start the other process where so much is left that it pays."""
        left = self.log.size - self.log.offset
        if self._alone or left < WORTH_HELP or self.log.inode is None:
            return
        self._alone = True
        from tuiwb.jobs.helper import Helper, worth_it

        if worth_it():
            self._helper = Helper(self.log.path, self.log.inode, self.log.size)

    def _publish(self) -> None:
        self._settled = self.exact
        if self.exact:
            self._ahead = None
            self.state = settle(copied(self._folded), self.folder)
            self.keep()
        else:
            self.state = settle(copied(self._looked_ahead()), self.folder)

    def keep(self) -> None:
        """Leave the state beside the log, if enough was read since the last time."""
        with self._lock:
            worth = WORTH_ENDED if self.state.state in ENDED else WORTH
            if self.log.offset - self._kept >= worth:
                self._kept = self.log.offset
                save_snapshot(self.log.path, self.log.offset, self._folded)

    def _looked_ahead(self) -> JobState:
        """The state at the log's end: from a snapshot that is further, else from the last lines."""
        if self._ahead is None:
            state, offset = copied(self._folded), self.log.offset
            further = load_snapshot(self.log.path)
            if further is not None and further.stand.offset > offset:
                state, offset = further.state, further.stand.offset
            if self.log.size - offset > CLOSE:
                events, offset = end_of(self.log.path, offset)
                fold(state, events)
            self._ahead = state, LogFile(self.log.path, offset)
        state, log = self._ahead
        while lines := log.lines(READ):
            if log.generation:
                self._ahead = None  # replaced just now: the next poll starts over
                break
            self._fold(state, self._decode(lines))
        return state

    def _decode(self, *pieces: bytes) -> "Decoded":
        if self._decoder is None and sum(map(len, pieces)) < FEW:
            lines = (line for piece in pieces for line in piece.split(b"\n") if line)
            return [event for line in lines if (event := decode(line)) is not None]
        from tuiwb.jobs.blocks import BlockDecoder

        self._decoder = self._decoder or BlockDecoder()
        return self._decoder.decode(*pieces)

    def _fold(self, state: JobState, block: "Decoded") -> None:
        if isinstance(block, list):
            fold(state, block)
        else:
            from tuiwb.jobs.bulk_fold import fold_block

            fold_block(state, block)

    def _nothing_yet(self) -> JobState:
        return JobState.of(self.job)


def copied(state: JobState) -> JobState:
    """A state that further events folded into the other don't reach."""
    return msgspec.structs.replace(
        state,
        metrics=dict(state.metrics),
        alerts=list(state.alerts),
        artifacts=list(state.artifacts),
        tally=msgspec.structs.replace(state.tally),
    )


def glance(folder: Path, seconds: float = 0.2) -> JobState:
    """The state of the job in `folder` as far as it can be told quickly.

    Of a long log that nobody has read yet, earlier artifacts, alerts and the best losses may be
    missing; `status` has all.
    """
    standing = Standing(folder)
    standing.poll(seconds)
    return standing.state
