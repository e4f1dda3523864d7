"""The tolerance model's log density and its gradient, compiled once for all designs.

The same model as `tolerance.model.pymc_model` states in PyMC, written out by hand: PyTensor compiles each design anew
(40-60 s of CPU when cold), this compiles once a machine and is read from disk afterwards. Tests hold both to the same
values.

Everything but the position is packed into one array (`LogDensity`), which a sampler hands back at each call. Loops over
cells hold nothing but arithmetic, so that the compiler vectorises them.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import numba
import numpy as np
from numba import carray  # type: ignore[attr-defined]
from numpy.typing import NDArray
from scipy.special import xlogy

from tolerance.model.covariance import Covariance
from tolerance.model.curve import ANCHOR, STEEPEST
from tolerance.model.numba_math import exp, log
from tolerance.model.parameters import DEPARTURE, SCALED, Parameters
from tolerance.model.priors import Priors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LOG_ANCHOR = -float(np.log(ANCHOR))
LEAST = 1e-12
LEAST_ABOVE = 1e-6
# What is packed, in this order: four parts of the coordinates, then floats and integers of the design.
COORDINATES, FLOATS, INTS = 4, 20, 17
N_PARTS = COORDINATES + FLOATS + INTS
_DOUBLES = ctypes.POINTER(ctypes.c_double)
_SIGNATURE = "int64(uint64, CPointer(float64), CPointer(float64), CPointer(float64), voidptr)"
_COPY_SIGNATURE = "int64(uint64, uint64, CPointer(float64), CPointer(float64), voidptr)"
LEAST_LEFT = -575.0  # log of what is taken to be left of a curve that has lost everything
TAIL_ENDS = (-4.0, 2.0)
NEAR = 1e-3
# No reassociation: it would undo the rounding tricks of `elementary`.
_inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
# Sums of what is computed already may be taken in any order, which lets them be vectorised.
_summing = numba.njit(nogil=True, fastmath={"contract", "reassoc"}, error_model="numpy")
# Places of the effects in `SCALED`.
DENSE_TASK, DENSE_CONFIG, LOC_METHOD, LOC_TASK, LOC_CROSSED, LOC_CONFIG, LOC_CURVE = range(7)
SHAPE_METHOD, SHAPE_TASK, SHAPE_CURVE, INCREMENT = range(7, 11)


@dataclass(frozen=True)
class Design:
    """Everything but the position. Places are starts in the vector; -1 where a variable is absent."""

    parts: list[NDArray[np.generic]]
    lambdas: Floats  # shares of centring (size,)


def design(parameters: Parameters, blocks: Covariance, shares: dict[str, Floats] | None = None) -> Design:
    """The arrays of one design; ``shares`` are shares of centring by effect."""
    lambdas = parameters.lambdas(shares)
    floats = [np.ravel(part).astype(np.float64) for part in _floats(parameters, blocks, lambdas)]
    ints = [np.ravel(part).astype(np.int64) for part in _ints(parameters, blocks)]
    return Design([*floats, *ints], lambdas)


def _floats(parameters: Parameters, blocks: Covariance, lambdas: Floats) -> list[NDArray[np.generic]]:
    """In the order in which `log_density` takes them."""
    cells, priors, knots = parameters.cells, parameters.priors, parameters.knots
    scale_priors = np.array([(np.log(m), s) for m, s in (parameters.scale(name) for name in _scale_names())])
    chance = np.asarray(cells.chance, dtype=np.float64)
    guessed = chance[parameters.guessable]
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        log_halvings = np.log(cells.halvings)
    return [
        np.array([priors.dense, priors.loc, priors.shape, priors.log_tail]),
        _fixed_scales(priors),
        scale_priors,
        lambdas,
        *(parameters.contrasts[factor] for factor in ("type", "sparsifier", "task", "config")),
        cells.covariates.to_numpy(dtype=np.float64),
        np.log(guessed / (1 - guessed)),
        chance,
        knots.step,
        knots.part,
        log_halvings,
        share,
        xlogy(share, share) + xlogy(1 - share, 1 - share),
        cells.weight,
        blocks.whitening,
        blocks.spread,
        blocks.centre,
    ]


def _ints(parameters: Parameters, blocks: Covariance) -> list[NDArray[np.generic]]:
    """In the order in which `log_density` takes them."""
    cells, knots = parameters.cells, parameters.knots
    sparse = slice(cells.n_dense, None)
    curve = np.zeros(len(cells.frame), dtype=np.int64)
    curve[sparse] = cells.sparsifier * len(cells.tasks) + cells.task[sparse]
    sizes = (len(cells.sparsifiers), len(cells.tasks), len(cells.configs), len(cells.task_types))

    def places(names: tuple[str, ...]) -> Ints:
        return np.array([parameters.where[n].start if n in parameters.where else -1 for n in names], dtype=np.int64)

    return [
        places(("dense_mean", "loc_mean", "shape_mean", "log_tail")),
        places(("dense_type_z", "loc_type_z", "shape_type_z", "floor_z", "dense_slope_z", "loc_slope_z")),
        places(tuple(f"{name}_z" for name in SCALED)),
        places(tuple(f"{name}_z" for name in _scale_names())),
        _groups(parameters),
        cells.types(),
        parameters.guessable.astype(np.int64),
        cells.task,
        cells.config,
        curve,
        cells.task * len(cells.configs) + cells.config,
        np.isin(np.arange(len(knots.step)), knots.start).astype(np.int64),
        knots.cell,
        blocks.starts,
        blocks.order,
        _runs(curve[sparse], cells.config[sparse]),
        np.array([*sizes, cells.covariates.shape[1], cells.n_dense]),
    ]


def _runs(*keys: Ints) -> Ints:
    """Where cells that follow each other stop having the same keys, from 0 to their number."""
    changed = np.any([np.diff(key) != 0 for key in keys], axis=0)
    return np.array([0, *np.flatnonzero(changed) + 1, len(keys[0])], dtype=np.int64)


def _scale_names() -> tuple[str, ...]:
    return (*(f"sd_{name}" for name in SCALED), DEPARTURE)


def _groups(parameters: Parameters) -> Ints:
    """Which scale each element of the vector has; -1 for none ``(size,)``."""
    out = np.full(parameters.size, -1, dtype=np.int64)
    for g, name in enumerate(SCALED):
        if f"{name}_z" in parameters.where:
            out[parameters.where[f"{name}_z"]] = g
    return out


def _fixed_scales(priors: Priors) -> Floats:
    types = (priors.sd_dense_type, priors.sd_loc_type, priors.sd_shape_type)
    return np.array([*types, priors.sd_floor, priors.slope_dense, priors.slope_loc])


@dataclass(frozen=True)
class LogDensity:
    """Log posterior density up to a constant, and its gradient, in coordinates of a position.

    ``data`` is all that compiled code asks for beside the coordinates, in one array.
    """

    size: int
    data: Ints

    def __call__(self, z: Floats) -> tuple[float, Floats]:
        """Value and gradient at coordinates ``(size,)``."""
        z, gradient, value = np.ascontiguousarray(z, dtype=np.float64), np.empty(self.size), np.empty(1)
        places = (z.ctypes.data_as(_DOUBLES), gradient.ctypes.data_as(_DOUBLES), value.ctypes.data_as(_DOUBLES))
        compiled().ctypes(self.size, *places, self.data.ctypes.data)
        return float(value[0]), gradient


def log_density(
    design: Design,
    mean: Floats | None = None,
    scale: Floats | None = None,
    directions: Floats | None = None,
    squeeze: Floats | None = None,
) -> LogDensity:
    """The density of a design at mean + scale * (z + directions' (squeeze * (directions z))); at z if none is given.

    ``directions`` ``(direction, size)`` are orthonormal, ``squeeze`` has one number for each.
    """
    size = len(design.lambdas)
    parts = [
        np.zeros(size) if mean is None else mean,
        np.ones(size) if scale is None else scale,
        np.zeros(0) if squeeze is None else squeeze,
        np.zeros(0) if directions is None else directions,
        *design.parts,
    ]
    starts = N_PARTS + 1 + np.array([0, *accumulate(part.size for part in parts)], dtype=np.int64)
    return LogDensity(size, np.concatenate([starts, *(np.ravel(part).view(np.int64) for part in parts)]))


@cache
def compiled():  # type: ignore[no-untyped-def]
    """The density as a C function, for samplers that call it without the interpreter between.

    int64 f(uint64 size, double *z, double *gradient, double *value, void *data); 0 unless a value is not finite.
    """
    return numba.cfunc(_SIGNATURE, cache=True)(_at)


@cache
def copying():  # type: ignore[no-untyped-def]
    """What samplers keep of coordinates, as a C function: them all.

    int64 f(uint64 size, uint64 kept, double *z, double *out, void *data); 0.
    """
    return numba.cfunc(_COPY_SIGNATURE, cache=True)(_copy)


@_inline
def _integers(data, places, part):  # type: ignore[no-untyped-def]
    return data[places[part] : places[part + 1]]


@_inline
def _numbers(data, places, part):  # type: ignore[no-untyped-def]
    return _integers(data, places, part).view(np.float64)


@_inline
def _scales(x, places, priors):  # type: ignore[no-untyped-def]
    """Log scales of effects, the departure's last."""
    out = np.empty(len(places))
    for g in range(len(out)):
        out[g] = priors[2 * g]
        if places[g] >= 0:
            out[g] += priors[2 * g + 1] * x[places[g]]
    return out


@_inline
def _gains(log_scales, group, lambdas):  # type: ignore[no-untyped-def]
    """For each element: what a coordinate counts in its effect, and the precision of its prior."""
    n = len(group)
    own, gain, precision = np.zeros(n), np.empty(n), np.empty(n)
    for i in range(n):
        if group[i] >= 0:
            own[i] = log_scales[group[i]]
    for i in range(n):
        gain[i] = exp((1 - lambdas[i]) * own[i])
    for i in range(n):
        precision[i] = exp(-2 * lambdas[i] * own[i])
    return gain, precision


@_inline
def _around(x, start, mean, gain, lambdas):  # type: ignore[no-untyped-def]
    """Effects around their mean, from coordinates between centred and non-centred; the mean where there are none."""
    out = mean.copy()
    if start >= 0:
        for i in range(len(mean)):
            j = start + i
            out[i] += gain[j] * (x[j] - lambdas[j] * mean[i])
    return out


@_inline
def _around_back(x, start, mean, gain, precision, lambdas, log_scale, up, grad):  # type: ignore[no-untyped-def]
    """Prior of `_around` and the gradient through it: log prior, d/d log scale, d/d mean; adds to ``grad``."""
    if start < 0:
        return 0.0, 0.0, up
    prior, to_scale, up_mean = 0.0, 0.0, np.empty(len(mean))
    for i in range(len(mean)):
        j = start + i
        weight = lambdas[j]
        away = x[j] - weight * mean[i]
        pull = away * precision[j]
        through = up[i] * gain[j]
        prior -= 0.5 * away * pull + weight * log_scale
        grad[j] += through - pull
        up_mean[i] = up[i] + weight * (pull - through)
        to_scale += through * away * (1 - weight) + weight * (away * pull - 1)
    return prior, to_scale, up_mean


@_summing
def _product_into(matrix, vector, out):  # type: ignore[no-untyped-def]
    """Matrix, flat by row, times vector."""
    columns = len(vector)
    for i in range(len(out)):
        row = matrix[i * columns : (i + 1) * columns]
        total = 0.0
        for j in range(columns):
            total += row[j] * vector[j]
        out[i] = total


@_inline
def _product_back_into(matrix, up, out):  # type: ignore[no-untyped-def]
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
def _product(matrix, vector):  # type: ignore[no-untyped-def]
    out = np.zeros(0 if len(vector) == 0 else len(matrix) // len(vector))
    _product_into(matrix, vector, out)
    return out


@_inline
def _product_back(matrix, up, columns):  # type: ignore[no-untyped-def]
    out = np.zeros(columns)
    _product_back_into(matrix, up, out)
    return out


@_inline
def _fixed(x, start, scale, matrix, n):  # type: ignore[no-untyped-def]
    """Effects of known scale on the columns of a matrix with n rows; zeros where the variable is absent."""
    if start < 0:
        return np.zeros(n)
    return _product(matrix, scale * x[start : start + len(matrix) // n])


@_inline
def _fixed_back(start, scale, matrix, up, grad):  # type: ignore[no-untyped-def]
    if start >= 0:
        columns = len(matrix) // len(up)
        grad[start : start + columns] += scale * _product_back(matrix, up, columns)


@_inline
def _zero_sum(x, start, matrix, n, gain):  # type: ignore[no-untyped-def]
    """Effects of estimated scale on zero-sum contrasts; zeros where the variable is absent."""
    if start < 0:
        return np.zeros(n)
    columns = len(matrix) // n
    return _product(matrix, gain[start : start + columns] * x[start : start + columns])


@_inline
def _zero_sum_back(x, start, matrix, gain, precision, lambdas, log_scale, up, grad):  # type: ignore[no-untyped-def]
    if start < 0:
        return 0.0, 0.0
    columns = len(matrix) // len(up)
    inner = _product_back(matrix, up, columns)
    prior, to_scale, _ = _around_back(x, start, np.zeros(columns), gain, precision, lambdas, log_scale, inner, grad)
    return prior, to_scale


@_inline
def _crossed(x, start, methods, n_methods, types, n_types, gain):  # type: ignore[no-untyped-def]
    """Sparsifier x type effects of the location ``(sparsifier x type,)``."""
    out = np.zeros(n_methods * n_types)
    if start < 0:
        return out
    rows, columns = len(methods) // n_methods, len(types) // n_types
    half = np.zeros(n_methods * columns)
    for i in range(n_methods):
        for a in range(rows):
            for b in range(columns):
                j = start + a * columns + b
                half[i * columns + b] += methods[i * rows + a] * gain[j] * x[j]
        for k in range(n_types):
            for b in range(columns):
                out[i * n_types + k] += half[i * columns + b] * types[k * columns + b]
    return out


@_inline
def _crossed_back(x, start, methods, n_methods, types, n_types, gain, precision, lambdas, log_scale, up, grad):  # type: ignore[no-untyped-def]
    if start < 0:
        return 0.0, 0.0
    rows, columns = len(methods) // n_methods, len(types) // n_types
    inner, half = np.zeros(rows * columns), np.empty(columns)
    for i in range(n_methods):
        half[:] = 0.0
        for k in range(n_types):
            for b in range(columns):
                half[b] += up[i * n_types + k] * types[k * columns + b]
        for a in range(rows):
            for b in range(columns):
                inner[a * columns + b] += methods[i * rows + a] * half[b]
    prior, to_scale, _ = _around_back(
        x, start, np.zeros(rows * columns), gain, precision, lambdas, log_scale, inner, grad
    )
    return prior, to_scale


@_inline
def _curve_means(mean, types, methods, tasks, crossed, of_type):  # type: ignore[no-untyped-def]
    """Means of locations or shapes ``(sparsifier x task,)``."""
    n_tasks, n_types = len(of_type), len(types)
    out = np.empty(len(methods) * n_tasks)
    for m in range(len(methods)):
        for t in range(n_tasks):
            k = of_type[t]
            out[m * n_tasks + t] = mean + types[k] + methods[m] + tasks[t] + crossed[m * n_types + k]
    return out


@_inline
def _curve_means_back(up, of_type, n_methods, n_types):  # type: ignore[no-untyped-def]
    n_tasks = len(of_type)
    types, methods, tasks = np.zeros(n_types), np.zeros(n_methods), np.zeros(n_tasks)
    crossed, total = np.zeros(n_methods * n_types), 0.0
    for m in range(n_methods):
        for t in range(n_tasks):
            u, k = up[m * n_tasks + t], of_type[t]
            total += u
            types[k] += u
            methods[m] += u
            tasks[t] += u
            crossed[m * n_types + k] += u
    return total, types, methods, tasks, crossed


@_inline
def _odds(increments, knot_first, knot, part, n_dense):  # type: ignore[no-untyped-def]
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
def _left(log_hazard, log_above, odds, tail):  # type: ignore[no-untyped-def]
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
def _residuals(p, share, n, entropy):  # type: ignore[no-untyped-def]
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
def _sum(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(len(values)):  # over the values themselves nothing is vectorised
        total += values[i]
    return total


@_inline
def _normal(white, spread, departure):  # type: ignore[no-untyped-def]
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
    logp = 0.5 * (_sum(size) + _sum(log_precision))
    for i in range(n):
        size[i] = spread[i] * precision[i] * (size[i] + 1)
    return pull, logp, -0.5 * _sum(size)


@_inline
def _whitened(residual, starts, order, whitening):  # type: ignore[no-untyped-def]
    """Residuals in coordinates in which noise and departures are both independent ``(place in block order,)``."""
    ordered, out = residual[order], np.empty(len(residual))
    at = 0
    for b in range(len(starts) - 1):
        first, last = starts[b], starts[b + 1]
        size = (last - first) ** 2
        _product_into(whitening[at : at + size], ordered[first:last], out[first:last])
        at += size
    return out


@_inline
def _whitened_back(up, starts, order, whitening):  # type: ignore[no-untyped-def]
    inner, out = np.zeros(len(up)), np.empty(len(up))
    at = 0
    for b in range(len(starts) - 1):
        first, last = starts[b], starts[b + 1]
        size = (last - first) ** 2
        _product_back_into(whitening[at : at + size], up[first:last], inner[first:last])
        at += size
    for i in range(len(up)):
        out[order[i]] = inner[i]
    return out


@_inline
def _log_density(x, data, places):  # type: ignore[no-untyped-def]
    """`log_density` of a packed design, at a position."""
    floats, ints = places[COORDINATES:], places[COORDINATES + FLOATS :]
    mean_priors = _numbers(data, floats, 0)
    fixed_scales = _numbers(data, floats, 1)
    scale_priors = _numbers(data, floats, 2)
    lambdas = _numbers(data, floats, 3)
    by_type, by_method = _numbers(data, floats, 4), _numbers(data, floats, 5)
    by_task, by_config = _numbers(data, floats, 6), _numbers(data, floats, 7)
    covariates, rule, chance = (
        _numbers(data, floats, 8),
        _numbers(data, floats, 9),
        _numbers(data, floats, 10),
    )
    knot_step, knot_part = _numbers(data, floats, 11), _numbers(data, floats, 12)
    log_halvings, share = _numbers(data, floats, 13), _numbers(data, floats, 14)
    entropy, n_answers = _numbers(data, floats, 15), _numbers(data, floats, 16)
    whitening, spread = _numbers(data, floats, 17), _numbers(data, floats, 18)
    centre = _numbers(data, floats, 19)
    means, fixed = _integers(data, ints, 0), _integers(data, ints, 1)
    effects, scales = _integers(data, ints, 2), _integers(data, ints, 3)
    group, of_type, guessable = _integers(data, ints, 4), _integers(data, ints, 5), _integers(data, ints, 6)
    task, config = _integers(data, ints, 7), _integers(data, ints, 8)
    curve, answer = _integers(data, ints, 9), _integers(data, ints, 10)
    knot_first, knot = _integers(data, ints, 11), _integers(data, ints, 12)
    starts, order = _integers(data, ints, 13), _integers(data, ints, 14)
    runs, sizes = _integers(data, ints, 15), _integers(data, ints, 16)
    n_methods, n_tasks, n_configs, n_types, n_dense = sizes[0], sizes[1], sizes[2], sizes[3], sizes[5]
    n_cells = len(task)

    # the hierarchy
    log_scales = _scales(x, scales, scale_priors)
    gain, precision = _gains(log_scales, group, lambdas)
    types = _fixed(x, fixed[0], fixed_scales[0], by_type, n_types)
    task_means = np.empty(n_tasks)
    for t in range(n_tasks):
        task_means[t] = x[means[0]] + types[of_type[t]]
    task_dense = _around(x, effects[DENSE_TASK], task_means, gain, lambdas)
    slopes = _fixed(x, fixed[4], fixed_scales[4], covariates, n_configs)
    config_means = np.empty(n_tasks * n_configs)
    for t in range(n_tasks):
        for c in range(n_configs):
            config_means[t * n_configs + c] = task_dense[t] + slopes[c]
    dense = _around(x, effects[DENSE_CONFIG], config_means, gain, lambdas)
    loc_means = _curve_means(
        x[means[1]],
        _fixed(x, fixed[1], fixed_scales[1], by_type, n_types),
        _zero_sum(x, effects[LOC_METHOD], by_method, n_methods, gain),
        _zero_sum(x, effects[LOC_TASK], by_task, n_tasks, gain),
        _crossed(x, effects[LOC_CROSSED], by_method, n_methods, by_type, n_types, gain),
        of_type,
    )
    loc = _around(x, effects[LOC_CURVE], loc_means, gain, lambdas)
    slope_means, loc_config = np.zeros(n_configs - 1), np.zeros(n_configs)
    if effects[LOC_CONFIG] >= 0:
        slope_means = _product_back(
            by_config, _fixed(x, fixed[5], fixed_scales[5], covariates, n_configs), n_configs - 1
        )
        loc_config = _product(by_config, _around(x, effects[LOC_CONFIG], slope_means, gain, lambdas))
    shape_means = _curve_means(
        x[means[2]],
        _fixed(x, fixed[2], fixed_scales[2], by_type, n_types),
        _zero_sum(x, effects[SHAPE_METHOD], by_method, n_methods, gain),
        _zero_sum(x, effects[SHAPE_TASK], by_task, n_tasks, gain),
        np.zeros(n_methods * n_types),
        of_type,
    )
    shape = _around(x, effects[SHAPE_CURVE], shape_means, gain, lambdas)
    no_increments = np.zeros(len(knot_step))
    increments = _around(x, effects[INCREMENT], no_increments, gain, lambdas) * knot_step
    tail = np.exp(min(max(x[means[3]], TAIL_ENDS[0]), TAIL_ENDS[1]))
    floor = np.zeros(n_tasks)
    for i in range(len(guessable)):
        floor[guessable[i]] = 1 / (1 + np.exp(-(rule[i] + fixed_scales[3] * x[fixed[3] + i])))

    # accuracy of cells
    log_above, above = np.empty(len(dense)), np.empty(len(dense))
    part, floor_part = np.zeros(len(dense)), np.zeros(len(dense))
    for t in range(n_tasks):
        ground = 1 - floor[t]
        for i in range(t * n_configs, (t + 1) * n_configs):
            wrong = (1 - chance[t]) / (1 + exp(dense[i]))
            rest = (ground - wrong) / ground
            above[i] = max(rest, LEAST_ABOVE)
            log_above[i] = log(above[i])
            if rest > LEAST_ABOVE:
                part[i] = wrong / (1 + exp(-dense[i])) / (ground * rest)
                floor_part[i] = -wrong / (ground * ground * rest)
    grown = np.expm1(tail * LOG_ANCHOR)
    bend, bend_slope = LOG_ANCHOR * tail * (1 + grown) / grown, 1 / tail - LOG_ANCHOR / grown
    hazard, hazard_slope = np.log(grown), LOG_ANCHOR * (1 + grown) / grown
    steep, steep_slope = np.empty(len(shape)), np.empty(len(shape))
    for i in range(len(shape)):
        beyond = exp(2 * (shape[i] - STEEPEST))
        steep[i] = bend * exp(shape[i]) / np.sqrt(1 + beyond)
        steep_slope[i] = 1 / (1 + beyond)
    n_sparse = n_cells - n_dense
    steepness, away, start_log = np.empty(n_sparse), np.empty(n_sparse), np.empty(n_sparse)
    for i in range(n_sparse):
        c = n_dense + i
        steepness[i] = steep[curve[c]]
        away[i] = steepness[i] * (log_halvings[c] - loc[curve[c]] - loc_config[config[c]])
        start_log[i] = log_above[answer[c]]
    odds = _odds(increments, knot_first, knot, knot_part, n_dense)
    kept, gone, broken, moved = _left(away + hazard, start_log, odds, tail)
    p = np.empty(n_cells)
    for c in range(n_dense):
        p[c] = floor[task[c]] + (1 - floor[task[c]]) * above[answer[c]]
    for i in range(n_sparse):
        ground = floor[task[n_dense + i]]
        p[n_dense + i] = ground + (1 - ground) * kept[i]
    residual, slope = _residuals(p, share, n_answers, entropy)

    # the likelihood
    white = _whitened(residual - centre, starts, order, whitening)
    departure = np.exp(2 * log_scales[-1])
    pull, logp, to_departure = _normal(white, spread, departure)
    to_scales = np.zeros(len(log_scales))
    to_scales[-1] = 2 * departure * to_departure
    up = _whitened_back(pull, starts, order, whitening) * slope

    # back through the cells
    up_dense, up_loc, up_shape = np.zeros(len(dense)), np.zeros(len(loc)), np.zeros(len(shape))
    up_config, up_floor = np.zeros(n_configs), np.zeros(n_tasks)
    by_answer, by_knot, up_increments = np.zeros(len(dense)), np.zeros(len(knot_step)), np.zeros(len(knot_step))
    for c in range(n_dense):
        up_floor[task[c]] += up[c] * (1 - above[answer[c]])
        by_answer[answer[c]] += up[c] * (1 - floor[task[c]]) * above[answer[c]]
    to_odds, to_log = np.empty(n_sparse), np.empty(n_sparse)
    for i in range(n_sparse):
        to_odds[i] = up[n_dense + i] * (1 - floor[task[n_dense + i]]) * kept[i]
    for i in range(n_sparse):
        to_log[i] = to_odds[i] * moved[i]
    to_hazard = -to_log * broken / tail
    to_shift = -to_hazard * steepness
    to_shape = to_hazard * away
    to_shared = to_odds * (1 - kept)
    to_floor = up[n_dense:] * (1 - kept)
    up_tail = _sum(to_log * gone) / (tail * tail) + hazard_slope * _sum(to_hazard) + bend_slope * _sum(to_shape)
    for r in range(len(runs) - 1):
        # a sum that is carried from cell to cell in memory costs more than all else in this loop
        floored, answered, shifted, shaped = 0.0, 0.0, 0.0, 0.0
        for i in range(runs[r], runs[r + 1]):
            floored += to_floor[i]
            answered += to_log[i]
            shifted += to_shift[i]
            shaped += to_shape[i]
            k = knot[n_dense + i]
            up_increments[k] += knot_part[n_dense + i] * to_shared[i]
            by_knot[k] += to_shared[i]
        c = n_dense + runs[r]
        up_floor[task[c]] += floored
        by_answer[answer[c]] += answered
        up_loc[curve[c]] += shifted
        up_shape[curve[c]] += shaped
        up_config[config[c]] += shifted
    up_shape *= steep_slope
    for t in range(n_tasks):
        for i in range(t * n_configs, (t + 1) * n_configs):
            up_floor[t] += by_answer[i] * floor_part[i]
            up_dense[i] = by_answer[i] * part[i]

    # back through the hierarchy
    grad = np.zeros(len(x))
    running = 0.0
    for j in range(len(knot_step) - 1, -1, -1):
        # a knot's departures go on to those after it
        up_increments[j] = (up_increments[j] + running) * knot_step[j]
        running = 0.0 if knot_first[j] else running + by_knot[j]
    prior, to_scales[INCREMENT], _ = _around_back(
        x, effects[INCREMENT], no_increments, gain, precision, lambdas, log_scales[INCREMENT], up_increments, grad
    )
    logp += prior
    prior, to_scales[SHAPE_CURVE], up_means = _around_back(
        x, effects[SHAPE_CURVE], shape_means, gain, precision, lambdas, log_scales[SHAPE_CURVE], up_shape, grad
    )
    logp += prior
    total, types, methods, tasks, _ = _curve_means_back(up_means, of_type, n_methods, n_types)
    grad[means[2]] += total
    _fixed_back(fixed[2], fixed_scales[2], by_type, types, grad)
    prior, to_scales[SHAPE_METHOD] = _zero_sum_back(
        x, effects[SHAPE_METHOD], by_method, gain, precision, lambdas, log_scales[SHAPE_METHOD], methods, grad
    )
    logp += prior
    prior, to_scales[SHAPE_TASK] = _zero_sum_back(
        x, effects[SHAPE_TASK], by_task, gain, precision, lambdas, log_scales[SHAPE_TASK], tasks, grad
    )
    logp += prior
    if effects[LOC_CONFIG] >= 0:
        up_inner = _product_back(by_config, up_config, n_configs - 1)
        prior, to_scales[LOC_CONFIG], up_means = _around_back(
            x, effects[LOC_CONFIG], slope_means, gain, precision, lambdas, log_scales[LOC_CONFIG], up_inner, grad
        )
        logp += prior
        _fixed_back(fixed[5], fixed_scales[5], covariates, _product(by_config, up_means), grad)
    prior, to_scales[LOC_CURVE], up_means = _around_back(
        x, effects[LOC_CURVE], loc_means, gain, precision, lambdas, log_scales[LOC_CURVE], up_loc, grad
    )
    logp += prior
    total, types, methods, tasks, crossed = _curve_means_back(up_means, of_type, n_methods, n_types)
    grad[means[1]] += total
    _fixed_back(fixed[1], fixed_scales[1], by_type, types, grad)
    prior, to_scales[LOC_METHOD] = _zero_sum_back(
        x, effects[LOC_METHOD], by_method, gain, precision, lambdas, log_scales[LOC_METHOD], methods, grad
    )
    logp += prior
    prior, to_scales[LOC_TASK] = _zero_sum_back(
        x, effects[LOC_TASK], by_task, gain, precision, lambdas, log_scales[LOC_TASK], tasks, grad
    )
    logp += prior
    prior, to_scales[LOC_CROSSED] = _crossed_back(
        x, effects[LOC_CROSSED], by_method, n_methods, by_type, n_types, gain, precision, lambdas,
        log_scales[LOC_CROSSED], crossed, grad,
    )  # fmt: skip
    logp += prior
    prior, to_scales[DENSE_CONFIG], up_means = _around_back(
        x, effects[DENSE_CONFIG], config_means, gain, precision, lambdas, log_scales[DENSE_CONFIG], up_dense, grad
    )
    logp += prior
    up_task, up_slopes = np.zeros(n_tasks), np.zeros(n_configs)
    for t in range(n_tasks):
        for c in range(n_configs):
            up_task[t] += up_means[t * n_configs + c]
            up_slopes[c] += up_means[t * n_configs + c]
    _fixed_back(fixed[4], fixed_scales[4], covariates, up_slopes, grad)
    prior, to_scales[DENSE_TASK], up_means = _around_back(
        x, effects[DENSE_TASK], task_means, gain, precision, lambdas, log_scales[DENSE_TASK], up_task, grad
    )
    logp += prior
    up_types = np.zeros(n_types)
    for t in range(n_tasks):
        grad[means[0]] += up_means[t]
        up_types[of_type[t]] += up_means[t]
    _fixed_back(fixed[0], fixed_scales[0], by_type, up_types, grad)
    for i in range(len(guessable)):
        f = floor[guessable[i]]
        grad[fixed[3] + i] += up_floor[guessable[i]] * f * (1 - f) * fixed_scales[3]
    if TAIL_ENDS[0] < x[means[3]] < TAIL_ENDS[1]:
        grad[means[3]] += up_tail * tail

    # priors of means, scales and effects of known scale
    for i in range(len(means)):
        z = (x[means[i]] - mean_priors[2 * i]) / mean_priors[2 * i + 1]
        logp -= 0.5 * z * z
        grad[means[i]] -= z / mean_priors[2 * i + 1]
    for g in range(len(scales)):
        if scales[g] >= 0:
            z = x[scales[g]]
            logp -= 0.5 * z * z
            grad[scales[g]] += to_scales[g] * scale_priors[2 * g + 1] - z
    columns = (n_types - 1, n_types - 1, n_types - 1, len(guessable), sizes[4], sizes[4])
    for g in range(len(fixed)):
        if fixed[g] >= 0:
            for i in range(fixed[g], fixed[g] + columns[g]):
                logp -= 0.5 * x[i] * x[i]
                grad[i] -= x[i]
    return logp, grad


@_inline
def _stretched(z, directions, squeeze):  # type: ignore[no-untyped-def]
    """Compiled, because BLAS would start threads of its own for each product."""
    out, along = z.copy(), np.empty(len(squeeze))
    _product_into(directions, z, along)
    _product_back_into(directions, along * squeeze, out)
    return out


def _at(size, z_at, gradient_at, value_at, data_at):  # type: ignore[no-untyped-def]
    z, gradient, value = carray(z_at, size), carray(gradient_at, size), carray(value_at, 1)
    places = carray(data_at, N_PARTS + 1, np.int64)
    data = carray(data_at, places[N_PARTS], np.int64)
    mean, scale = _numbers(data, places, 0), _numbers(data, places, 1)
    squeeze, directions = _numbers(data, places, 2), _numbers(data, places, 3)
    position = mean + scale * _stretched(z, directions, squeeze)
    value[0], to_position = _log_density(position, data, places)
    gradient[:] = _stretched(scale * to_position, directions, squeeze)
    return 0 if np.isfinite(value[0]) and np.all(np.isfinite(gradient)) else 1


def _copy(size, kept, z_at, out_at, data_at):  # type: ignore[no-untyped-def]
    z, out = carray(z_at, size), carray(out_at, kept)
    out[:] = z
    return 0
