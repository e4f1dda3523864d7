"""Isotonic regression of many curves at once."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def isotonic(values: Floats) -> Floats:
    """The nearest curves that never rise, of ``values`` ``(curve, level)``, by least squares with equal weights.

    The minimum over starts of the maximum over ends of means (Barlow & al. 1972), which needs no loop over curves.
    """
    n = values.shape[1]
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    out = np.empty_like(values)
    for k in range(n):
        # the least mean from any start up to k, over the largest mean to any end from k on
        starts, ends = np.arange(k + 1), np.arange(k, n)
        means = (sums[:, ends + 1][:, None, :] - sums[:, starts][:, :, None]) / (ends[None] - starts[:, None] + 1)
        out[:, k] = means.max(axis=2).min(axis=1)
    return out
