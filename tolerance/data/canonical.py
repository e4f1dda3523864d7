"""Outcomes whatever their rows' order: one order that follows from the rows, and one hash of what they hold."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.conditions import KEY
from tolerance.data.levels import placed

Hashes = NDArray[np.uint64]
# Knuth's multiplier of 64 bits: columns that swap values must not give the same sum.
_MIX = np.uint64(6364136223846793005)


def canonical(outcomes: pd.DataFrame) -> pd.DataFrame:
    """The same rows in the order of what they hold, so that sums of floats are the same however the file was sorted.

    Rows go by `conditions.KEY`; published means, which have no items, by as much of it as they have.
    """
    outcomes = placed(outcomes)
    keys = [_ranks(outcomes[name]) for name in KEY if name in outcomes]
    order = np.lexsort([*keys[::-1]])
    return outcomes.take(order).reset_index(drop=True)


def table_hash(outcomes: pd.DataFrame) -> str:
    """SHA-256 of validated outcomes: the same for any order of rows or columns, and with or without empty columns."""
    outcomes = placed(outcomes)
    rows = np.zeros(len(outcomes), dtype=np.uint64)
    names = sorted(name for name in outcomes.columns if outcomes[name].notna().any())
    for name in names:
        rows = rows * _MIX + _hashes(outcomes[name])
    return hashlib.sha256(repr(names).encode() + np.sort(rows).tobytes()).hexdigest()


def _ranks(values: pd.Series) -> NDArray[np.int64]:
    """Places of values in their sorted order, nulls last."""
    codes, uniques = pd.factorize(values, sort=True)
    return np.where(codes < 0, len(uniques), codes).astype(np.int64)


def _hashes(values: pd.Series) -> Hashes:
    """A hash of each value by what it is, not by the type that holds it: 1, 1.0 and True are one value."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.asarray(pd.util.hash_array(numbers + 0.0))  # -0.0 is 0.0
    codes, uniques = pd.factorize(values)
    each = pd.util.hash_array(np.array([*map(str, uniques), ""], dtype=object))
    return np.asarray(each[codes])  # -1, a null, is the last
