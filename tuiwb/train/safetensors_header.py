"""Read what a safetensors file says it holds, without reading or mapping its weights.

Format: an unsigned 64-bit little-endian length N, N bytes of JSON, then the data
(https://huggingface.co/docs/safetensors, "Format").
"""

from pathlib import Path

import msgspec

from tuiwb.errors import BadInput
from tuiwb.prepared import prepared

MOST_HEADER_BYTES = 100_000_000


class Tensor(msgspec.Struct):
    """One tensor of the header: its type's name, its sizes, its place in the data (bytes)."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(path: Path) -> dict[str, Tensor]:
    """Every tensor by name; BadInput when the file is no safetensors file or is cut short."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or not 0 < length <= min(MOST_HEADER_BYTES, size - 8):
                raise BadInput(
                    f"{path} is not a whole safetensors file: its header would be {length} bytes "
                    f"and the file has {size}; copy or save it again"
                )
            raw = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        tensors = {
            name: msgspec.json.decode(value, type=prepared(Tensor)) for name, value in raw.items()
        }
    except OSError as error:
        raise BadInput(f"can't read {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadInput(f"{path} is not a safetensors file: its header is not readable") from None
    wanted = 8 + length + max((t.data_offsets[1] for t in tensors.values()), default=0)
    if size < wanted:
        raise BadInput(
            f"{path} is cut short: its header asks for {wanted} bytes and it has {size}; "
            "copy or save it again"
        )
    return tensors


def read_model_headers(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a model folder, all its shards; BadInput when it has no safetensors."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BadInput(f"the model folder {folder} has no .safetensors file in it")
    return {name: tensor for file in files for name, tensor in read_header(file).items()}
