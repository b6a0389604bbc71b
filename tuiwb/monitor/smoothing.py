"""Exponential moving average of a series, debiased as TensorBoard's, grown with the series."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
BLOCK = 1024


class Smoother:
    """Smoothing with `weight` in [0, 1): 0 is the series itself, near 1 is nearly flat.

    s_n = weight * s_(n-1) + (1 - weight) * y_n, shown as s_n / (1 - weight**n): the debiasing of
    TensorBoard's line chart (vz_line_chart). Not-finite values stay as they are and count for
    nothing.
    """

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._last = 0.0
        self._count = 0

    def extend(self, values: ArrayLike) -> Floats:
        """The next values, smoothed."""
        raw = np.asarray(values, np.float64)
        if self.weight <= 0 or not len(raw):
            return raw.copy()
        finite = np.isfinite(raw)
        if finite.all():
            return self._smooth(raw)
        out = raw.copy()
        out[finite] = self._smooth(raw[finite])
        return out

    def _smooth(self, y: Floats) -> Floats:
        """Blocks at once: within a block s_k = w**k (s_0 + (1 - w) sum_j y_j w**-j)."""
        weight, count = self.weight, len(y)
        if not count:
            return y
        # Longer blocks would take w**-j out of the range of a float.
        size = max(1, min(BLOCK, int(250 * math.log(10) / -math.log(weight))))
        scale = float(np.abs(y).max()) or 1.0
        padded = np.zeros(-(-count // size) * size)
        padded[:count] = y / scale if scale > 1e30 or scale < 1e-30 else y
        scale = scale if scale > 1e30 or scale < 1e-30 else 1.0
        decay = weight ** np.arange(1, size + 1)
        blocks = padded.reshape(-1, size)
        inner = np.cumsum(blocks / decay, axis=1) * decay * (1 - weight)
        last = self._last / scale
        carry = np.empty(len(blocks))
        for row, end in enumerate(inner[:, -1].tolist()):
            carry[row] = last
            last = last * float(decay[-1]) + end
        out: Floats = (inner + carry[:, None] * decay).reshape(-1)[:count]
        self._last = float(out[-1]) * scale
        exponents = np.arange(self._count + 1, self._count + count + 1, dtype=np.float64)
        self._count += count
        out = out / -np.expm1(exponents * math.log(weight))
        return out * scale


def smooth(values: ArrayLike, weight: float) -> Floats:
    """A whole series smoothed at once; see Smoother."""
    return Smoother(weight).extend(values)
