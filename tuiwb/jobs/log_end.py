"""What a huge event log's end says: enough to tell where a job stands before the rest is read."""

import os
from pathlib import Path

from tuiwb.jobs.events import AnyEvent, Artifact, Metrics, State, decode

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
            size = os.fstat(file.fileno()).st_size
            begin = max(start, size - END)
            file.seek(begin)
            data = file.read(size - begin)
            if begin > start:
                data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            end = size - len(data)
            whole = data.rfind(b"\n") + 1
            ends_at = end + whole if whole else start
            data = data[:whole]
            events = [e for line in data.split(b"\n") if line and (e := decode(line)) is not None]
            missing = {needle: kind for needle, kind in _RARE.items() if needle not in data}
            found: list[tuple[int, AnyEvent]] = []
            while missing and end > max(start, size - FAR):
                begin = max(start, end - _PIECE)
                file.seek(begin)
                # A line over the piece's edge is whole in the next one: pieces overlap by it.
                data = file.read(end - begin)
                cut = data.find(b"\n") + 1 if begin > start else 0
                if begin > start and not cut:
                    end = begin
                    continue
                for needle in list(missing):
                    at = data.rfind(needle, cut)
                    if at < 0:
                        continue
                    line_at = data.rfind(b"\n", 0, at) + 1
                    line_end = data.find(b"\n", at)
                    event = decode(data[line_at : line_end if line_end >= 0 else len(data)])
                    if isinstance(event, missing[needle]):
                        found.append((begin + line_at, event))
                        del missing[needle]
                end = begin + cut
    except OSError:
        return [], start
    return [event for _, event in sorted(found, key=lambda each: each[0])] + events, ends_at
