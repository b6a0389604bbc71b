"""Rows that belong on one side of a split, and which groups of them to hold out. Pure.

In: clusters of copies, hashes of prompts, a stratum per row, a seed. Out: groups, and the chosen.
"""

from array import array
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Groups:
    """`row_group` is each row's group (-1 for a broken row), `strata` each row's stratum.

    Two rows are in one group when they are in one cluster or ask the same, or both are grouped
    with a third.
    """

    def __init__(
        self,
        prompts: "array[int]",
        strata: "array[int]",
        clusters: Iterable[Sequence[int]],
        broken: Sequence[int],
    ) -> None:
        import numpy as np

        count = len(prompts)
        parents = list(range(count))

        def root(n: int) -> int:
            while parents[n] != n:
                parents[n] = parents[parents[n]]
                n = parents[n]
            return n

        for cluster in clusters:
            for row in cluster[1:]:
                a, b = root(cluster[0]), root(row)
                parents[max(a, b)] = min(a, b)
        asked = np.array(prompts, np.uint64)
        order = np.argsort(asked, kind="stable")
        same = (asked[order[1:]] == asked[order[:-1]]) & (asked[order[1:]] != 0)
        for at in np.flatnonzero(same).tolist():
            a, b = root(int(order[at])), root(int(order[at + 1]))
            parents[max(a, b)] = min(a, b)
        roots = np.array([root(n) for n in range(count)], np.int64)
        roots[np.array(broken, np.int64)] = -1
        self.strata: NDArray[np.int64] = np.array(strata, np.int64)
        self.row_group: NDArray[np.int64] = roots
        good = roots[roots >= 0]
        self.names, self.sizes = np.unique(good, return_counts=True)

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.names)

    def rows_in(self, names: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Which rows are in one of those groups."""
        import numpy as np

        mask: NDArray[np.bool_] = np.isin(self.row_group, names)
        return mask


def quotas(sizes: Sequence[int], wanted: int) -> list[int]:
    """`wanted` shared out over strata by their sizes: largest remainders (Hamilton), sum kept."""
    total = sum(sizes)
    exact = [wanted * size / total for size in sizes]
    whole = [int(part) for part in exact]
    order = sorted(range(len(sizes)), key=lambda n: (whole[n] - exact[n], n))
    for n in order[: wanted - sum(whole)]:
        whole[n] += 1
    return whole


def held_out_groups(
    groups: Groups, aims: Sequence[int], seed: int, banned: set[int]
) -> "NDArray[np.int64]":
    """Groups in an order drawn by `seed`, each taken while its stratum has room for all of it.

    A group's stratum is that of its first row. The same seed gives the same groups but for those
    that are banned and what takes their place.
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(groups.count)
    strata = groups.strata[groups.names]
    room = list(aims)
    chosen = []
    for at in order.tolist():
        name, size, stratum = int(groups.names[at]), int(groups.sizes[at]), int(strata[at])
        if size <= room[stratum] and name not in banned:
            room[stratum] -= size
            chosen.append(name)
            if not any(room):
                break
    return np.array(chosen, np.int64)
