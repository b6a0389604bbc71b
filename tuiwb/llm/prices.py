"""What calls cost: the price table, the cost of actual usage, tokens guessed from text."""

import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from tuiwb.errors import BadInput
from tuiwb.prepared import prepared

TABLE = Path(__file__).with_name("prices.yaml")
# English and JSON run near 3.5 characters a token; an estimate says "about". A letter outside ASCII
# is about one: Chinese has one to two, Cyrillic a half.
CHARACTERS_PER_TOKEN = 3.5


# A price below nothing would fill a budget instead of spending it.
Dollars = Annotated[float, msgspec.Meta(ge=0)]


class Price(msgspec.Struct, frozen=True):
    """US dollars per million tokens."""

    input: Dollars
    output: Dollars


class Usage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tokens the endpoint says a call took."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0

    @property
    def tokens(self) -> int:
        """All of them, in and out."""
        return self.input + self.output + self.cache_write + self.cache_read

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cache_write=self.cache_write + other.cache_write,
            cache_read=self.cache_read + other.cache_read,
        )


class Prices(msgspec.Struct, kw_only=True):
    """The table of a date; factors multiply the input price."""

    date: datetime.date | None = None
    cache_write_factor: Dollars = 1.25
    cache_read_factor: Dollars = 0.1
    batch_factor: Dollars = 0.5
    models: dict[str, Price] = {}

    def of(self, model: str) -> Price | None:
        """The price of a model, a dated id (NAME-20261123) taking its family's; None: unknown."""
        exact = self.models.get(model)
        if exact is not None:
            return exact
        family, _, stamp = model.rpartition("-")
        return self.models.get(family) if len(stamp) == 8 and stamp.isdigit() else None

    def cost(self, model: str, usage: Usage, *, batch: bool = False) -> float | None:
        """US dollars of actual usage, in a batch or not; None for a model without a price."""
        price = self.of(model)
        if price is None:
            return None
        read_in = (
            usage.input
            + usage.cache_write * self.cache_write_factor
            + usage.cache_read * self.cache_read_factor
        )
        factor = self.batch_factor if batch else 1.0
        return factor * (read_in * price.input + usage.output * price.output) / 1e6


def read_prices(own: Path | None = None) -> Prices:
    """The shipped table, entries of the project's own prices.yaml laid over it."""
    table = _read(TABLE)
    if own is not None and own.is_file():
        mine = _read(own)
        table.models = {**table.models, **mine.models}
        table.date = mine.date or table.date
    return table


def tokens_of(text: str) -> int:
    """About how many tokens a text is."""
    plain = len(text.encode("ascii", "ignore"))
    return max(1, round(plain / CHARACTERS_PER_TOKEN) + len(text) - plain)


def _read(path: Path) -> Prices:
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=prepared(Prices))
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(f"{path} is not a price table: {error}") from None
