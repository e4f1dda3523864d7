"""The tolerance model's log density and its gradient, compiled once for all designs.

The same model as `tolerance.model.pymc_model` states in PyMC, with a gradient in three pieces: linear predictors
(`tolerance.model.predictor`), curves and residuals of cells (`tolerance.model.cell_kernels`), and the normal density of
whitened residuals. PyTensor compiles each design anew (40-60 s of CPU when cold), this compiles once a machine and is
read from disk afterwards. Tests hold both to the same values.

Everything but the position is packed into one array (`LogDensity`), which a sampler hands back at each call.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path

import numba
import numpy as np
from numba import carray  # type: ignore[attr-defined]
from numpy.typing import NDArray
from scipy.special import xlogy

from tolerance.data.manifest import digest
from tolerance.model import cell_kernels, numba_math, predictor
from tolerance.model.cell_kernels import (
    LEAST,
    left,
    normal,
    product_back_into,
    product_into,
    residuals,
    shared_odds,
    total_of,
    whitened,
    whitened_back,
)
from tolerance.model.covariance import Covariance
from tolerance.model.curve import ANCHOR, STEEPEST
from tolerance.model.numba_math import exp, log
from tolerance.model.parameters import DEPARTURE, Parameters
from tolerance.model.predictor import backward, forward, packed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LOG_ANCHOR = -float(np.log(ANCHOR))
LEAST_ABOVE = 1e-6
# What is packed, in this order: four parts of the coordinates, then floats and integers of the design.
COORDINATES, FLOATS, INTS = 4, 17, 16
N_PARTS = COORDINATES + FLOATS + INTS
_DOUBLES = ctypes.POINTER(ctypes.c_double)
_SIGNATURE = "int64(uint64, CPointer(float64), CPointer(float64), CPointer(float64), voidptr)"
_COPY_SIGNATURE = "int64(uint64, uint64, CPointer(float64), CPointer(float64), voidptr)"
TAIL_ENDS = (-4.0, 2.0)
_inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
__all__ = ["LEAST", "LEAST_ABOVE", "TAIL_ENDS", "Design", "LogDensity", "compiled", "copying", "design", "log_density"]


@dataclass(frozen=True)
class Design:
    """Everything but the position."""

    parts: list[NDArray[np.generic]]
    lambdas: Floats  # shares of centring (size,)


def design(parameters: Parameters, blocks: Covariance, shares: dict[str, Floats] | None = None) -> Design:
    """The arrays of one design; ``shares`` are shares of centring by effect."""
    lambdas, terms = parameters.lambdas(shares), packed(parameters)
    floats = [*_of_coordinates(parameters, lambdas), terms.numbers, *_of_cells(parameters, blocks)]
    ints = [*_places(parameters), terms.terms, terms.bases, terms.levels, terms.ends, *_indices(parameters, blocks)]
    made: list[NDArray[np.generic]] = [np.ravel(part).astype(np.float64) for part in floats]
    return Design([*made, *(np.ravel(part).astype(np.int64) for part in ints)], lambdas)


def _of_coordinates(parameters: Parameters, lambdas: Floats) -> list[NDArray[np.generic]]:
    """Priors of coordinates and scales, in the order in which `_log_density` takes them."""
    mean, precision, gain = np.zeros(parameters.size), np.ones(parameters.size), np.ones(parameters.size)
    for name, (centre, sd) in parameters.normals.items():
        mean[parameters.where[name]], precision[parameters.where[name]] = centre, sd**-2
    for one in parameters.by_name.values():
        if not one.term.estimated and not one.term.is_mean:
            gain[parameters.where[one.term.variable]] = parameters.known_scale(one.term)
    names = _scale_names(parameters)
    scales = np.array([(np.log(m), s) for m, s in (parameters.scale(name) for name in names)])
    return [lambdas, mean, precision, gain, scales]


def _of_cells(parameters: Parameters, blocks: Covariance) -> list[NDArray[np.generic]]:
    """Answers, levels and covariances, in the order in which `_log_density` takes them."""
    cells, knots = parameters.cells, parameters.knots
    chance = np.asarray(cells.chance, dtype=np.float64)
    guessed = chance[parameters.guessable]
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        log_halvings = np.log(cells.halvings)
    return [
        np.concatenate([np.log(guessed / (1 - guessed)), [parameters.priors.sd_floor]]),
        chance,
        knots.step[knots.knot],
        knots.part,
        log_halvings,
        share,
        xlogy(share, share) + xlogy(1 - share, 1 - share),
        cells.weight,
        blocks.whitening,
        blocks.spread,
        blocks.centre,
    ]


def _scale_names(parameters: Parameters) -> tuple[str, ...]:
    return (*(f"sd_{name}" for name in parameters.scaled), DEPARTURE)


def _places(parameters: Parameters) -> list[NDArray[np.generic]]:
    """Tail and floors in the vector, scales in it, and which scale each element of it has, -1 for none."""
    where, group = parameters.where, np.full(parameters.size, -1, dtype=np.int64)
    for g, name in enumerate(parameters.scaled):
        group[where[f"{name}_z"]] = g
    floor = where["floor_z"].start if "floor_z" in where else -1
    scales = [where[f"{name}_z"].start for name in _scale_names(parameters)]
    return [np.array([where["log_tail"].start, floor]), np.array(scales), group]


def _indices(parameters: Parameters, blocks: Covariance) -> list[NDArray[np.generic]]:
    """In the order in which `_log_density` takes them."""
    cells, knots = parameters.cells, parameters.knots
    sparse = slice(cells.n_dense, None)
    task, n = cells.task[sparse], len(cells.configs)
    curve = np.zeros(len(cells.frame), dtype=np.int64)
    every = (cells.sparsifier * len(cells.tasks) + task) * n + cells.config[sparse]
    curve[sparse] = np.searchsorted(parameters.factors.used, every)
    return [
        parameters.guessable,
        cells.task,
        curve,
        cells.task * n + cells.config,
        knots.first,
        knots.cell,
        blocks.starts,
        blocks.order,
        np.array([*_runs(curve[sparse]), len(cells.configs), cells.n_dense]),
    ]


def _runs(key: Ints) -> Ints:
    """Where cells that follow each other stop having the same key, from 0 to their number."""
    return np.array([0, *np.flatnonzero(np.diff(key) != 0) + 1, len(key)], dtype=np.int64)


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
    # numba keeps compiled code by the file of the function alone: what it calls lies in others
    sources = [Path(str(module.__file__)).read_text() for module in (cell_kernels, numba_math, predictor)]
    _at.__qualname__ = f"_at_{digest(sources)[:12]}"
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
def _gains(x, scales, scale_priors, group, lambdas, precision, gain):  # type: ignore[no-untyped-def]
    """Log scales, and for each coordinate the precision of its prior and what it counts in its effect."""
    log_scales = np.empty(len(scales))
    for g in range(len(scales)):
        log_scales[g] = scale_priors[2 * g] + scale_priors[2 * g + 1] * x[scales[g]]
    n = len(group)
    own, gains, precisions = np.zeros(n), np.empty(n), np.empty(n)
    for i in range(n):
        if group[i] >= 0:
            own[i] = log_scales[group[i]]
    for i in range(n):
        gains[i] = gain[i] * exp((1 - lambdas[i]) * own[i])
    for i in range(n):
        precisions[i] = precision[i] * exp(-2 * lambdas[i] * own[i])
    return log_scales, precisions, gains


@_inline
def _prior(x, mean, prior_mean, precision, lambdas, group, log_scales, to_scales):  # type: ignore[no-untyped-def]
    """Log prior of all coordinates and its slope in each; adds that in the log scales."""
    logp, pull = 0.0, np.empty(len(x))
    for j in range(len(x)):
        away = x[j] - lambdas[j] * mean[j] - prior_mean[j]
        pull[j] = -away * precision[j]
        logp += 0.5 * away * pull[j]
        if group[j] >= 0:
            logp -= lambdas[j] * log_scales[group[j]]
            to_scales[group[j]] -= lambdas[j] * (away * pull[j] + 1)
    return logp, pull


@_inline
def _whole(dense, floor, chance, n_configs):  # type: ignore[no-untyped-def]
    """Dense accuracy above the floor by task x configuration; slopes of its log in the logit and in the floor."""
    above, part, floor_part = np.empty(len(dense)), np.zeros(len(dense)), np.zeros(len(dense))
    for i in range(len(dense)):
        t = i // n_configs
        ground = 1 - floor[t]
        wrong = (1 - chance[t]) / (1 + exp(dense[i]))
        rest = (ground - wrong) / ground
        above[i] = max(rest, LEAST_ABOVE)
        if rest > LEAST_ABOVE:
            part[i] = wrong / (1 + exp(-dense[i])) / (ground * rest)
            floor_part[i] = -wrong / (ground * ground * rest)
    return above, part, floor_part


@_inline
def _log_density(x, data, places):  # type: ignore[no-untyped-def]
    """`log_density` of a packed design, at a position."""
    floats, ints = places[COORDINATES:], places[COORDINATES + FLOATS :]
    lambdas, prior_mean = _numbers(data, floats, 0), _numbers(data, floats, 1)
    known_precision, known_gain = _numbers(data, floats, 2), _numbers(data, floats, 3)
    scale_priors, covariates = _numbers(data, floats, 4), _numbers(data, floats, 5)
    rule, chance = _numbers(data, floats, 6), _numbers(data, floats, 7)
    step, knot_part = _numbers(data, floats, 8), _numbers(data, floats, 9)
    log_halvings, share = _numbers(data, floats, 10), _numbers(data, floats, 11)
    entropy, n_answers = _numbers(data, floats, 12), _numbers(data, floats, 13)
    whitening, spread, centre = _numbers(data, floats, 14), _numbers(data, floats, 15), _numbers(data, floats, 16)
    tail_at, floor_at = _integers(data, ints, 0)
    scales, group = _integers(data, ints, 1), _integers(data, ints, 2)
    terms, bases = _integers(data, ints, 3), _integers(data, ints, 4)
    levels, ends = _integers(data, ints, 5), _integers(data, ints, 6)
    guessable, task = _integers(data, ints, 7), _integers(data, ints, 8)
    curve, answer = _integers(data, ints, 9), _integers(data, ints, 10)
    knot_first, knot = _integers(data, ints, 11), _integers(data, ints, 12)
    starts, order = _integers(data, ints, 13), _integers(data, ints, 14)
    last = _integers(data, ints, 15)
    runs, n_configs, n_dense = last[:-2], last[-2], last[-1]
    n_cells, n_sparse = len(task), len(task) - n_dense

    # effects and their priors
    log_scales, precision, gain = _gains(x, scales, scale_priors, group, lambdas, known_precision, known_gain)
    predicted, mean = forward(x, gain, lambdas, terms, bases, levels, covariates, ends[3])
    to_scales = np.zeros(len(scales))
    logp, pull = _prior(x, mean, prior_mean, precision, lambdas, group, log_scales, to_scales)
    dense, loc = predicted[: ends[0]], predicted[ends[0] : ends[1]]
    shape, increments = predicted[ends[1] : ends[2]], predicted[ends[2] :] * step
    tail = np.exp(min(max(x[tail_at], TAIL_ENDS[0]), TAIL_ENDS[1]))
    floor = np.zeros(len(chance))
    for i in range(len(guessable)):
        floor[guessable[i]] = 1 / (1 + np.exp(-(rule[i] + rule[-1] * x[floor_at + i])))

    # accuracy of cells
    above, part, floor_part = _whole(dense, floor, chance, n_configs)
    log_above = np.empty(len(above))
    for i in range(len(above)):
        log_above[i] = log(above[i])
    grown = np.expm1(tail * LOG_ANCHOR)
    bend, bend_slope = LOG_ANCHOR * tail * (1 + grown) / grown, 1 / tail - LOG_ANCHOR / grown
    hazard, hazard_slope = np.log(grown), LOG_ANCHOR * (1 + grown) / grown
    steep, steep_slope = np.empty(len(shape)), np.empty(len(shape))
    for i in range(len(shape)):
        beyond = exp(2 * (shape[i] - STEEPEST))
        steep[i] = bend * exp(shape[i]) / np.sqrt(1 + beyond)
        steep_slope[i] = 1 / (1 + beyond)
    steepness, away, start_log = np.empty(n_sparse), np.empty(n_sparse), np.empty(n_sparse)
    for i in range(n_sparse):
        c = n_dense + i
        steepness[i] = steep[curve[c]]
        away[i] = steepness[i] * (log_halvings[c] - loc[curve[c]])
        start_log[i] = log_above[answer[c]]
    odds = shared_odds(increments, knot_first, knot, knot_part, n_dense)
    kept, gone, broken, moved = left(away + hazard, start_log, odds, tail)
    p = np.empty(n_cells)
    for c in range(n_dense):
        p[c] = floor[task[c]] + (1 - floor[task[c]]) * above[answer[c]]
    for i in range(n_sparse):
        ground = floor[task[n_dense + i]]
        p[n_dense + i] = ground + (1 - ground) * kept[i]
    residual, slope = residuals(p, share, n_answers, entropy)

    # the likelihood
    white = whitened(residual - centre, starts, order, whitening)
    departure = np.exp(2 * log_scales[-1])
    pulled, likelihood, to_departure = normal(white, spread, departure)
    logp += likelihood
    to_scales[-1] += 2 * departure * to_departure
    up = whitened_back(pulled, starts, order, whitening) * slope

    # back through the cells
    back = np.zeros(len(predicted))
    up_loc, up_shape = back[ends[0] : ends[1]], back[ends[1] : ends[2]]
    up_increments, up_floor = back[ends[2] :], np.zeros(len(floor))
    by_answer, by_knot = np.zeros(len(dense)), np.zeros(len(step))
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
    up_tail = total_of(to_log * gone) / (tail * tail)
    up_tail += hazard_slope * total_of(to_hazard) + bend_slope * total_of(to_shape)
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
    for i in range(len(shape)):
        up_shape[i] *= steep_slope[i]
    for i in range(len(dense)):
        up_floor[i // n_configs] += by_answer[i] * floor_part[i]
        back[i] = by_answer[i] * part[i]
    running = 0.0
    for j in range(len(step) - 1, -1, -1):
        # a knot's departures go on to those after it
        up_increments[j] = (up_increments[j] + running) * step[j]
        running = 0.0 if knot_first[j] else running + by_knot[j]

    # back through the effects
    grad = pull.copy()
    backward(back, x, mean, pull, gain, lambdas, group, terms, bases, levels, covariates, grad, to_scales)
    for i in range(len(guessable)):
        f = floor[guessable[i]]
        grad[floor_at + i] += up_floor[guessable[i]] * f * (1 - f) * rule[-1]
    if TAIL_ENDS[0] < x[tail_at] < TAIL_ENDS[1]:
        grad[tail_at] += up_tail * tail
    for g in range(len(scales)):
        grad[scales[g]] += to_scales[g] * scale_priors[2 * g + 1]
    return logp, grad


@_inline
def _stretched(z, directions, squeeze):  # type: ignore[no-untyped-def]
    """Compiled, because BLAS would start threads of its own for each product."""
    out, along = z.copy(), np.empty(len(squeeze))
    product_into(directions, z, along)
    product_back_into(directions, along * squeeze, out)
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
