"""`python -m tuiwb.jobs.decode_ahead`: decodes parts of a long log for the process that reads it.

In, on stdin: a JSON object of the log's path and the parts (start, end), each of whole lines. Out,
on stdout: for each part its length as 8 bytes and the packed block; nothing where it is no block.
"""

import struct
import sys
from pathlib import Path

import msgspec

from tuiwb.jobs.blocks import PIECE, Block, BlockDecoder
from tuiwb.jobs.packed_block import pack

LENGTH = struct.Struct("<Q")


class Order(msgspec.Struct):
    """What is to be decoded, and of which file."""

    log: str
    inode: int
    parts: list[tuple[int, int]]


def main() -> int:
    """Decode what stdin asks for; 1 when the log can't be read so far or nobody wants it."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    decoder = BlockDecoder()
    try:
        with Path(order.log).open("rb", buffering=0) as file:
            for start, end in order.parts:
                file.seek(start)
                data = _packed(decoder, file.read(end - start))
                sys.stdout.buffer.write(LENGTH.pack(len(data)))
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
    except OSError:
        return 1
    return 0


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
