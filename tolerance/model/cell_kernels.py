"""Accuracy of cells, their residuals and the likelihood, compiled, with what gradients need of each.

Loops over cells hold nothing but arithmetic, so that the compiler vectorises them.
"""

import numba
import numpy as np

from tolerance.model.numba_math import exp, log

LEAST = 1e-12
LEAST_LEFT = -575.0  # log of what is taken to be left of a curve that has lost everything
NEAR = 1e-3
# No reassociation: it would undo the rounding tricks of `numba_math`.
_inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
# Sums of what is computed already may be taken in any order, which lets them be vectorised.
_summing = numba.njit(nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")


@_summing
def product_into(matrix, vector, out):  # type: ignore[no-untyped-def]
    """Matrix, flat by row, times vector."""
    columns = len(vector)
    for i in range(len(out)):
        row = matrix[i * columns : (i + 1) * columns]
        total = 0.0
        for j in range(columns):
            total += row[j] * vector[j]
        out[i] = total


@_inline
def product_back_into(matrix, up, out):  # type: ignore[no-untyped-def]
    """Adds the transposed matrix, flat by row, times vector."""
    columns = len(out)
    # four rows at once: what they add up to is read and written once
    whole = len(up) - len(up) % 4
    for i in range(0, whole, 4):
        rows = matrix[i * columns : (i + 4) * columns]
        a, b, c, d = up[i], up[i + 1], up[i + 2], up[i + 3]
        for j in range(columns):
            out[j] += (rows[j] * a + rows[j + columns] * b) + (rows[j + 2 * columns] * c + rows[j + 3 * columns] * d)
    for i in range(whole, len(up)):
        row = matrix[i * columns : (i + 1) * columns]
        for j in range(columns):
            out[j] += row[j] * up[i]


@_inline
def shared_odds(increments, knot_first, knot, part, n_dense):  # type: ignore[no-untyped-def]
    """Factor by which departures that the tasks of a type share divide the odds of each sparse cell."""
    before = np.zeros(len(increments))
    for j in range(1, len(increments)):
        before[j] = 0.0 if knot_first[j] else before[j - 1] + increments[j - 1]
    n = len(knot) - n_dense
    out = np.empty(n)
    for i in range(n):
        j = knot[n_dense + i]
        out[i] = before[j] + part[n_dense + i] * increments[j]
    for i in range(n):
        out[i] = exp(-min(max(out[i], -50.0), 50.0))
    return out


@_inline
def left(log_hazard, log_above, odds, tail):  # type: ignore[no-untyped-def]
    """Above-floor accuracy of sparse cells, and what its gradient needs: log(1 + hazard), its slope, that of odds.

    A loop writes one array: with more, the compiler can't tell that they don't overlap, and vectorises nothing.
    """
    n = len(log_hazard)
    small, gone, broken = np.empty(n), np.empty(n), np.empty(n)
    family, kept, moved = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        small[i] = exp(-abs(log_hazard[i]))
    for i in range(n):
        gone[i] = max(log_hazard[i], 0.0) + log(1 + small[i])
    for i in range(n):
        broken[i] = (1.0 if log_hazard[i] > 0 else small[i]) / (1 + small[i])
    for i in range(n):
        family[i] = exp(max(log_above[i] - gone[i] / tail, LEAST_LEFT))
    for i in range(n):
        kept[i] = family[i] / (family[i] + (1 - family[i]) * odds[i])
    for i in range(n):
        moved[i] = odds[i] / (family[i] + (1 - family[i]) * odds[i])
    return kept, gone, broken, moved


@_inline
def residuals(p, share, n, entropy):  # type: ignore[no-untyped-def]
    """Signed roots of binomial deviances and their slopes in p; ``entropy`` is the part of it which p is not in."""
    size, residual, slope = np.empty(len(p)), np.empty(len(p)), np.empty(len(p))
    for i in range(len(p)):
        size[i] = entropy[i] - share[i] * log(min(max(p[i], LEAST), 1 - LEAST))
    for i in range(len(p)):
        size[i] -= (1 - share[i]) * log(1 - min(max(p[i], LEAST), 1 - LEAST))
    for i in range(len(p)):
        size[i] = np.sqrt(2 * n[i] * max(size[i], 0.0))
    # near its root the deviance is lost in rounding: there the residual is linear
    for i in range(len(p)):
        inside = min(max(p[i], LEAST), 1 - LEAST)
        linear = (share[i] - inside) * np.sqrt(n[i] / (inside * (1 - inside)))
        residual[i] = linear if size[i] < NEAR else (size[i] if share[i] > inside else -size[i])
    for i in range(len(p)):
        inside = min(max(p[i], LEAST), 1 - LEAST)
        variance = inside * (1 - inside)
        linear = -np.sqrt(n[i] / variance)
        steep = n[i] * (inside - share[i]) / (variance * (residual[i] + (1.0 if size[i] < NEAR else 0.0)))
        slope[i] = (linear if size[i] < NEAR else steep) if inside == p[i] else 0.0
    return residual, slope


@_summing
def total_of(values):  # type: ignore[no-untyped-def]
    """The sum."""
    total = 0.0
    for i in range(len(values)):  # over the values themselves nothing is vectorised
        total += values[i]
    return total


@_inline
def normal(white, spread, departure):  # type: ignore[no-untyped-def]
    """Log density of N(0, 1 + departure * spread) up to a constant; its slopes in the values and in ``departure``."""
    n = len(white)
    precision, log_precision, size, pull = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        precision[i] = 1 / (1 + departure * spread[i])
    for i in range(n):
        log_precision[i] = log(precision[i])
    for i in range(n):
        pull[i] = -white[i] * precision[i]
    for i in range(n):
        size[i] = white[i] * pull[i]
    logp = 0.5 * (total_of(size) + total_of(log_precision))
    for i in range(n):
        size[i] = spread[i] * precision[i] * (size[i] + 1)
    return pull, logp, -0.5 * total_of(size)


@_inline
def whitened(residual, starts, order, whitening):  # type: ignore[no-untyped-def]
    """Residuals in coordinates in which noise and departures are both independent ``(place in block order,)``."""
    ordered, out = residual[order], np.empty(len(residual))
    at = 0
    for b in range(len(starts) - 1):
        first, last = starts[b], starts[b + 1]
        size = (last - first) ** 2
        product_into(whitening[at : at + size], ordered[first:last], out[first:last])
        at += size
    return out


@_inline
def whitened_back(up, starts, order, whitening):  # type: ignore[no-untyped-def]
    """The transposed of `whitened`."""
    inner, out = np.zeros(len(up)), np.empty(len(up))
    at = 0
    for b in range(len(starts) - 1):
        first, last = starts[b], starts[b + 1]
        size = (last - first) ** 2
        product_back_into(whitening[at : at + size], up[first:last], inner[first:last])
        at += size
    for i in range(len(up)):
        out[order[i]] = inner[i]
    return out
