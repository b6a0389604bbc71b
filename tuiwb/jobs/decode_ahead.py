"""`python -m tuiwb.jobs.decode_ahead`: decodes parts of a long log for the process that reads it.

In, on stdin: the log's path as a line, then for each part that is wanted its start and end, of
whole lines, as two times 8 bytes. Out, on stdout: a length of 0 once it is ready; then for each
part its length as 8 bytes and the packed block, of length 0 where it is no block.
"""

import os
import struct
import sys
from pathlib import Path

from tuiwb.jobs.blocks import PIECE, Block, BlockDecoder
from tuiwb.jobs.packed_block import pack

LENGTH = struct.Struct("<Q")
PART = struct.Struct("<QQ")


def main() -> int:
    """Decode what stdin asks for, until it ends; 1 when the log can't be read so far."""
    orders, decoder = sys.stdin.buffer, BlockDecoder()
    log = Path(os.fsdecode(orders.readline()[:-1]))
    try:
        with log.open("rb", buffering=0) as file:
            _send(b"")
            while len(order := orders.read(PART.size)) == PART.size:
                start, end = PART.unpack(order)
                file.seek(start)
                _send(_packed(decoder, file.read(end - start)))
    except OSError:
        return 1
    return 0


def _send(data: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(data)))
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _packed(decoder: BlockDecoder, lines: bytes) -> bytes:
    pieces, start = [], 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + PIECE) + 1 or lines.find(b"\n", start) + 1
        pieces.append(lines[start : end or len(lines)])
        start = end or len(lines)
    block = decoder.decode(*pieces)
    try:
        return pack(block) if isinstance(block, Block) else b""
    except (ValueError, TypeError, OverflowError):
        return b""


if __name__ == "__main__":
    sys.exit(main())
