"""How a wall of charts fills its area: columns and the height of each row, in cells."""

from dataclasses import dataclass

# Below this a curve is a scribble: columns of a chart with its axis, rows with title and labels.
LEAST_WIDTH, LEAST_HEIGHT = 36, 8
# Two rows of this height are better than one that is nearly twice as high.
TWO_ROWS = 2 * 7
MOST_COLUMNS = 6


@dataclass(frozen=True)
class Grid:
    """`columns` charts a row; `heights` of the rows. `big_first`: the first row is one chart."""

    columns: int
    heights: tuple[int, ...]
    big_first: bool


def grid(charts: int, width: int, height: int, big_first: bool) -> Grid:
    """Lay out `charts` in an area: rows fill it if all fit, else they have their least height.

    The first chart gets a row of its own, twice as high where there is room, if there are at
    least two rows of others or one chart.
    """
    if charts < 1 or width < 1 or height < 1:
        return Grid(1, (max(1, height),) if charts else (), False)
    columns = max(1, min(MOST_COLUMNS, width // LEAST_WIDTH, charts))
    fit = max(2 if height >= TWO_ROWS else 1, height // LEAST_HEIGHT)
    big = big_first and charts > 1 and fit >= 2 and columns >= 2
    small = charts - big
    columns = min(columns, small)
    if not big:
        # No more columns than it takes to fill the rows there are.
        columns = max(1, min(columns, -(-charts // fit))) if charts <= fit * columns else columns
    rows = -(-small // columns)
    # As few columns as these rows need, so that the last one isn't nearly empty.
    columns = -(-small // rows)
    if rows + big <= fit:
        shares = ([2 if (fit >= rows + 2) else 1] if big else []) + [1] * rows
        return Grid(columns, _share(height, shares), big)
    visible = fit
    each = height // visible
    extra = height - each * visible
    heights = [each + (n < extra) for n in range(visible)]
    heights += [each] * (rows + big - visible)
    return Grid(columns, tuple(heights), big)


def _share(height: int, shares: list[int]) -> tuple[int, ...]:
    total = sum(shares)
    ends = [height * sum(shares[: n + 1]) // total for n in range(len(shares))]
    return tuple(b - a for a, b in zip([0, *ends], ends, strict=False))
