"""Right and wrong under two conditions on the same items: the exact McNemar test and a paired interval."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, erfc, ndtri

Floats = NDArray[np.float64]
# All ways of turning so many clusters round are tried.
MOST_TURNED = 14


def wilson_limits(share: Floats, n: Floats, prob: float) -> tuple[Floats, Floats]:
    """Wilson's score interval of shares (1927); ``n`` need not be whole.

    The same numbers as statsmodels' (a test holds them together), whose import takes longer than everything else here.
    """
    z = ndtri(0.5 + prob / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return np.clip(middle - half, 0.0, 1.0), np.clip(middle + half, 0.0, 1.0)


def mcnemar(only_first: NDArray[np.int64], only_second: NDArray[np.int64]) -> Floats:
    """Two-sided exact probability of so uneven a split of the discordant items, were both conditions equally hard.

    Binomial with share one half (McNemar 1947, doi:10.1007/BF02295996); 1 where no item is discordant.
    """
    total = only_first + only_second
    return np.asarray(np.minimum(1.0, 2 * bdtr(np.minimum(only_first, only_second).astype(float), total, 0.5)))


def clustered_mcnemar(differences: Floats) -> float:
    """The same of items in clusters; ``differences`` ``(cluster,)`` is only-first less only-second of each.

    The statistic of Yang, Sun & Hardin (2010, doi:10.1002/bimj.201000035), exactly where there are few clusters: each
    turns round with probability one half. 1 where no cluster has a difference.
    """
    found = differences[differences != 0]
    if not len(found):
        return 1.0
    if len(found) <= MOST_TURNED:
        turns = (np.arange(2 ** len(found))[:, None] >> np.arange(len(found))) & 1
        sums = np.abs((1 - 2 * turns) @ found)
        return float(np.mean(sums >= abs(found.sum()) - 1e-9))
    return float(erfc(abs(found.sum()) / np.sqrt(2 * (found**2).sum())))


def newcombe(tables: NDArray[np.int64], prob: float) -> tuple[Floats, Floats]:
    """Interval of the difference of two shares of the same items; ``tables`` ``(..., 4)`` counts items.

    The four counts: right under both, under the first alone, under the second alone, under neither. Wilson limits of
    both shares, squared and added with their correlation: method 10 of Newcombe (1998,
    doi:10.1002/(SICI)1097-0258(19981130)17:22<2635::AID-SIM954>3.0.CO;2-C).
    """
    both, first, second, neither = np.moveaxis(np.asarray(tables, dtype=np.float64), -1, 0)
    n = both + first + second + neither
    p, q = (both + first) / n, (both + second) / n
    (low_p, high_p), (low_q, high_q) = wilson_limits(p, n, prob), wilson_limits(q, n, prob)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    agreement = both * neither - first * second
    corrected = np.where(agreement > 0, np.maximum(agreement - n / 2, 0.0), agreement)
    phi = np.where(margins > 0, corrected / np.sqrt(np.maximum(margins, 1.0)), 0.0)
    down, up = (p - low_p, high_q - q), (high_p - p, q - low_q)
    below, above = (np.sqrt(np.maximum(a**2 - 2 * phi * a * b + b**2, 0.0)) for a, b in (down, up))
    return np.maximum(p - q - below, -1.0), np.minimum(p - q + above, 1.0)
