"""What a huge event log's end says: enough to tell where a job stands before the rest is read."""

import os
from io import FileIO
from pathlib import Path

from tuiwb.jobs.events import AnyEvent, Artifact, Metrics, State, decode
from tuiwb.jobs.log_file import LONGEST

END = 256 << 10  # bytes at the end that are read whole
FAR = 48 << 20  # bytes before the end in which the last of the rarer events is looked for
_PIECE = 1 << 20
# Quotes inside a JSON string are escaped, so that these stand in no text.
_RARE: dict[bytes, type[AnyEvent]] = {
    b'"type":"state"': State,
    b'"eval_loss":': Metrics,
    b'"type":"artifact"': Artifact,
}


def end_of(log: Path, start: int = 0) -> tuple[list[AnyEvent], int]:
    """The last events after byte `start`, in order, and where the last whole line ends.

    They are led by the last state, evaluation and artifact where those lie further back.
    """
    try:
        with log.open("rb", buffering=0) as file:
            begin, data = _last_lines(file, start)
            rare = _rare_before(
                file, start, begin, {n: k for n, k in _RARE.items() if n not in data}
            )
    except OSError:
        return [], start
    events = [e for line in data.split(b"\n") if line and (e := decode(line)) is not None]
    return rare + events, begin + len(data)


def _last_lines(file: FileIO, start: int) -> tuple[int, bytes]:
    """Where the last whole lines begin, and they: `END` bytes or more, at least one line."""
    size = os.fstat(file.fileno()).st_size
    window = END
    while True:
        begin = max(start, size - window)
        file.seek(begin)
        data = file.read(size - begin)
        first = data.find(b"\n") + 1 if begin > start else 0
        whole = data.rfind(b"\n") + 1
        if begin == start or first < whole or window > LONGEST:
            return begin + first, data[first:whole]
        window *= 4


def _rare_before(
    file: FileIO, start: int, end: int, missing: dict[bytes, type[AnyEvent]]
) -> list[AnyEvent]:
    """The last event of each missing kind in the `FAR` bytes before `end`, in order."""
    found: list[tuple[int, AnyEvent]] = []
    furthest = max(start, end - FAR)
    while missing and end > furthest:
        begin = max(start, end - _PIECE)
        file.seek(begin)
        data = file.read(end - begin)
        # The line over the piece's beginning is whole in the next piece.
        cut = data.find(b"\n", 0, len(data) - 1) + 1 if begin > start else 0
        for needle in list(missing):
            at = data.rfind(needle, cut)
            if at < 0:
                continue
            line_at, line_end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            event = decode(data[line_at : line_end if line_end >= 0 else len(data)])
            if isinstance(event, missing[needle]):
                found.append((begin + line_at, event))
                del missing[needle]
        end = begin + cut
    found.sort(key=lambda each: each[0])
    # One line may be two of them.
    return [event for n, (at, event) in enumerate(found) if not n or at != found[n - 1][0]]
