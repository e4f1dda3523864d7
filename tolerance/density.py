"""The tolerance model's log density and its gradient, compiled once for all designs.

The same model as `tolerance.model` states in PyMC, written out by hand: PyTensor compiles each design anew (40-60 s of
CPU when cold), this compiles once a machine and is read from disk afterwards. Tests hold both to the same values.
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from tolerance.blocks import Blocks
from tolerance.curves import ANCHOR, STEEPEST
from tolerance.parameters import DEPARTURE, SCALED, Parameters
from tolerance.priors import Priors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LOG_ANCHOR = -float(np.log(ANCHOR))
LEAST = 1e-12
LEAST_ABOVE = 1e-6
TAIL_ENDS = (-4.0, 2.0)
# Sums may be reordered, which vectorises them; not-a-number keeps its meaning.
_jit = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")


class Design(NamedTuple):
    """Everything but the position, as arrays. Places are starts in the vector; -1 where a variable is absent."""

    means: Ints  # dense_mean, loc_mean, shape_mean, log_tail
    mean_priors: Floats  # (4, 2)
    fixed: Ints  # dense_type_z, loc_type_z, shape_type_z, floor_z, dense_slope_z, loc_slope_z
    fixed_scales: Floats
    effects: Ints  # in the order of SCALED
    scales: Ints  # of sd_<effect>_z, then of the departure's
    scale_priors: Floats  # (effect + 1, 2): log median, log-sd
    lambdas: Floats  # (size,)
    contrasts_type: Floats
    contrasts_sparsifier: Floats
    contrasts_task: Floats
    contrasts_config: Floats
    covariates: Floats  # (config, covariate)
    of_type: Ints
    guessable: Ints
    rule: Floats  # logit of chance of guessable tasks
    chance: Floats  # of every task
    task: Ints
    config: Ints
    sparsifier: Ints  # -1 for dense cells
    knot_first: Any  # whether an increment is the first of its sparsifier and type
    knot_step: Floats
    knot: Ints  # increment in which each cell lies
    knot_part: Floats
    log_halvings: Floats
    share: Floats
    entropy: Floats  # share log(share) + (1 - share) log(1 - share)
    n: Floats
    starts: Ints  # of blocks among the cells in block order
    order: Ints  # cell of each place in block order
    whitening: Floats  # flat, block after block
    spread: Floats  # eigenvalues of departures, in block order


def design(parameters: Parameters, blocks: Blocks, shares: dict[str, Floats] | None = None) -> Design:
    """The arrays of one design; ``shares`` are shares of centring by effect."""
    cells, priors = parameters.cells, parameters.priors

    def places(names: tuple[str, ...]) -> Ints:
        return np.array([parameters.where[n].start if n in parameters.where else -1 for n in names], dtype=np.int64)

    scale_names = (*(f"sd_{name}" for name in SCALED), DEPARTURE)
    chance = np.asarray(cells.chance)[parameters.guessable]
    with np.errstate(divide="ignore"):
        log_halvings = np.log(cells.halvings)
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    sparsifier = np.full(len(cells.frame), -1, dtype=np.int64)
    sparsifier[cells.n_dense :] = cells.sparsifier
    return Design(
        means=places(("dense_mean", "loc_mean", "shape_mean", "log_tail")),
        mean_priors=np.array([priors.dense, priors.loc, priors.shape, priors.log_tail]),
        fixed=places(("dense_type_z", "loc_type_z", "shape_type_z", "floor_z", "dense_slope_z", "loc_slope_z")),
        fixed_scales=_fixed_scales(priors),
        effects=places(tuple(f"{name}_z" for name in SCALED)),
        scales=places(tuple(f"{name}_z" for name in scale_names)),
        scale_priors=np.array([(np.log(m), s) for m, s in (parameters.scale(name) for name in scale_names)]),
        lambdas=parameters.lambdas(shares),
        contrasts_type=np.ascontiguousarray(parameters.contrasts["type"]),
        contrasts_sparsifier=np.ascontiguousarray(parameters.contrasts["sparsifier"]),
        contrasts_task=np.ascontiguousarray(parameters.contrasts["task"]),
        contrasts_config=np.ascontiguousarray(parameters.contrasts["config"]),
        covariates=np.ascontiguousarray(cells.covariates.to_numpy(dtype=np.float64).reshape(len(cells.configs), -1)),
        of_type=cells.types(),
        guessable=parameters.guessable.astype(np.int64),
        rule=np.log(chance / (1 - chance)),
        chance=np.asarray(cells.chance, dtype=np.float64),
        task=cells.task,
        config=cells.config,
        sparsifier=sparsifier,
        knot_first=np.isin(np.arange(len(parameters.knots.step)), parameters.knots.start),
        knot_step=parameters.knots.step,
        knot=parameters.knots.cell,
        knot_part=parameters.knots.part,
        log_halvings=log_halvings,
        share=share,
        entropy=xlogy(share, share) + xlogy(1 - share, 1 - share),
        n=cells.weight,
        starts=blocks.starts,
        order=blocks.order,
        whitening=blocks.whitening,
        spread=blocks.spread,
    )


def _fixed_scales(priors: Priors) -> Floats:
    return np.array(
        [
            priors.sd_dense_type,
            priors.sd_loc_type,
            priors.sd_shape_type,
            priors.sd_floor,
            priors.slope_dense,
            priors.slope_loc,
        ]
    )


class Values(NamedTuple):
    """What a position means. Arrays by sparsifier and task, or task and configuration, are flat."""

    dense: Any  # logit of dense accuracy above the rule's floor, (task x config,)
    loc: Any  # log halvings, (sparsifier x task,)
    loc_config: Any  # (config,), added to loc
    shape: Any  # log, (sparsifier x task,)
    tail: Any
    floor: Any  # (task,)
    log_scales: Any  # in the order of SCALED, the departure's last
    increments: Any  # of the logit departures that the tasks of a type share, knot by knot
    by_task: Any  # logit of dense accuracy before configurations, (task,)
    means: Any  # of by_task, dense, loc, shape and the contrasts of loc_config in the hierarchy


@_jit
def _log_scales(x, d):  # type: ignore[no-untyped-def]
    out = np.zeros(len(d.scales))
    for g in range(len(out)):
        out[g] = d.scale_priors[g, 0]
        if d.scales[g] >= 0:
            out[g] += d.scale_priors[g, 1] * x[d.scales[g]]
    return out


@_jit
def _around(x, start, mean, log_scale, lambdas):  # type: ignore[no-untyped-def]
    """Effects around their mean, from coordinates between centred and non-centred."""
    out = np.empty(len(mean))
    for i in range(len(mean)):
        weight = lambdas[start + i]
        out[i] = mean[i] + np.exp((1 - weight) * log_scale) * (x[start + i] - weight * mean[i])
    return out


@_jit
def _around_back(x, start, mean, log_scale, lambdas, up, grad, up_mean):  # type: ignore[no-untyped-def]
    """Prior of `_around` and the gradient through it; returns (log prior, d/d log scale), adds to grad and up_mean."""
    prior, to_scale = 0.0, 0.0
    for i in range(len(mean)):
        weight = lambdas[start + i]
        out = np.exp((1 - weight) * log_scale)
        precision = np.exp(-2 * weight * log_scale)
        away = x[start + i] - weight * mean[i]
        prior -= 0.5 * away * away * precision + weight * log_scale
        grad[start + i] += up[i] * out - away * precision
        up_mean[i] += up[i] * (1 - out * weight) + weight * away * precision
        to_scale += up[i] * out * away * (1 - weight) + weight * away * away * precision - weight
    return prior, to_scale


@_jit
def _product(matrix, vector):  # type: ignore[no-untyped-def]
    out = np.zeros(matrix.shape[0])
    for i in range(matrix.shape[0]):
        total = 0.0
        for j in range(matrix.shape[1]):
            total += matrix[i, j] * vector[j]
        out[i] = total
    return out


@_jit
def _product_back(matrix, up):  # type: ignore[no-untyped-def]
    out = np.zeros(matrix.shape[1])
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            out[j] += matrix[i, j] * up[i]
    return out


@_jit
def _fixed(x, d, which, matrix):  # type: ignore[no-untyped-def]
    """Effects of known scale on the columns of a matrix; zeros where the variable is absent."""
    if d.fixed[which] < 0:
        return np.zeros(matrix.shape[0])
    start = d.fixed[which]
    return _product(matrix, d.fixed_scales[which] * x[start : start + matrix.shape[1]])


@_jit
def _fixed_back(d, which, matrix, up, grad):  # type: ignore[no-untyped-def]
    if d.fixed[which] >= 0:
        start = d.fixed[which]
        grad[start : start + matrix.shape[1]] += d.fixed_scales[which] * _product_back(matrix, up)


@_jit
def _zero_sum(x, d, which, matrix, log_scales):  # type: ignore[no-untyped-def]
    """Effects of estimated scale on zero-sum contrasts; zeros where the variable is absent."""
    if d.effects[which] < 0:
        return np.zeros(matrix.shape[0])
    none = np.zeros(matrix.shape[1])
    return _product(matrix, _around(x, d.effects[which], none, log_scales[which], d.lambdas))


@_jit
def _zero_sum_back(x, d, which, matrix, log_scales, up, grad, to_scales):  # type: ignore[no-untyped-def]
    if d.effects[which] < 0:
        return 0.0
    none = np.zeros(matrix.shape[1])
    prior, to_scale = _around_back(
        x, d.effects[which], none, log_scales[which], d.lambdas, _product_back(matrix, up), grad, np.zeros(len(none))
    )
    to_scales[which] += to_scale
    return prior


@_jit
def _crossed(x, d, log_scales):  # type: ignore[no-untyped-def]
    """Sparsifier x type effects of the location ``(sparsifier, type)``."""
    methods, types = d.contrasts_sparsifier, d.contrasts_type
    if d.effects[4] < 0:
        return np.zeros((methods.shape[0], types.shape[0]))
    rows, columns = methods.shape[1], types.shape[1]
    inner = _around(x, d.effects[4], np.zeros(rows * columns), log_scales[4], d.lambdas).reshape((rows, columns))
    out = np.zeros((methods.shape[0], types.shape[0]))
    half = np.zeros((methods.shape[0], columns))
    for i in range(methods.shape[0]):
        for a in range(rows):
            for b in range(columns):
                half[i, b] += methods[i, a] * inner[a, b]
        for k in range(types.shape[0]):
            for b in range(columns):
                out[i, k] += half[i, b] * types[k, b]
    return out


@_jit
def _crossed_back(x, d, log_scales, up, grad, to_scales):  # type: ignore[no-untyped-def]
    if d.effects[4] < 0:
        return 0.0
    methods, types = d.contrasts_sparsifier, d.contrasts_type
    rows, columns = methods.shape[1], types.shape[1]
    half = np.zeros((methods.shape[0], columns))
    inner = np.zeros((rows, columns))
    for i in range(methods.shape[0]):
        for k in range(types.shape[0]):
            for b in range(columns):
                half[i, b] += up[i, k] * types[k, b]
        for a in range(rows):
            for b in range(columns):
                inner[a, b] += methods[i, a] * half[i, b]
    none = np.zeros(rows * columns)
    prior, to_scale = _around_back(
        x, d.effects[4], none, log_scales[4], d.lambdas, inner.ravel(), grad, np.zeros(len(none))
    )
    to_scales[4] += to_scale
    return prior


@_jit
def _dense_means(x, d):  # type: ignore[no-untyped-def]
    types = _fixed(x, d, 0, d.contrasts_type)
    out = np.empty(len(d.of_type))
    for t in range(len(out)):
        out[t] = x[d.means[0]] + types[d.of_type[t]]
    return out


@_jit
def _config_means(by_task, slopes):  # type: ignore[no-untyped-def]
    out = np.empty(len(by_task) * len(slopes))
    for t in range(len(by_task)):
        for c in range(len(slopes)):
            out[t * len(slopes) + c] = by_task[t] + slopes[c]
    return out


@_jit
def _curve_means(x, d, log_scales, which_mean, which_type, which_method, which_task, crossed):  # type: ignore[no-untyped-def]
    """Means of locations or shapes by sparsifier and task, flat."""
    types = _fixed(x, d, which_type, d.contrasts_type)
    methods = _zero_sum(x, d, which_method, d.contrasts_sparsifier, log_scales)
    tasks = _zero_sum(x, d, which_task, d.contrasts_task, log_scales)
    n_tasks = len(d.of_type)
    out = np.empty(len(methods) * n_tasks)
    for m in range(len(methods)):
        for t in range(n_tasks):
            k = d.of_type[t]
            out[m * n_tasks + t] = x[d.means[which_mean]] + types[k] + methods[m] + tasks[t] + crossed[m, k]
    return out


@_jit
def _curve_means_back(x, d, log_scales, which_mean, which_type, which_method, which_task, up, grad, to_scales):  # type: ignore[no-untyped-def]
    n_tasks, n_methods = len(d.of_type), d.contrasts_sparsifier.shape[0]
    n_types = d.contrasts_type.shape[0]
    types, methods, tasks = np.zeros(n_types), np.zeros(n_methods), np.zeros(n_tasks)
    crossed = np.zeros((n_methods, n_types))
    for m in range(n_methods):
        for t in range(n_tasks):
            u, k = up[m * n_tasks + t], d.of_type[t]
            grad[d.means[which_mean]] += u
            types[k] += u
            methods[m] += u
            tasks[t] += u
            crossed[m, k] += u
    _fixed_back(d, which_type, d.contrasts_type, types, grad)
    prior = _zero_sum_back(x, d, which_method, d.contrasts_sparsifier, log_scales, methods, grad, to_scales)
    prior += _zero_sum_back(x, d, which_task, d.contrasts_task, log_scales, tasks, grad, to_scales)
    return prior, crossed


@_jit
def _clipped(value, low, high):  # type: ignore[no-untyped-def]
    return min(max(value, low), high)


@_jit
def _steepness(shape):  # type: ignore[no-untyped-def]
    return np.exp(shape) / np.sqrt(1 + np.exp(2 * (shape - STEEPEST)))


@_jit
def _tail(x, d):  # type: ignore[no-untyped-def]
    return np.exp(_clipped(x[d.means[3]], TAIL_ENDS[0], TAIL_ENDS[1]))


@_jit
def _floors(x, d):  # type: ignore[no-untyped-def]
    out = np.zeros(len(d.of_type))
    for i in range(len(d.guessable)):
        out[d.guessable[i]] = 1 / (1 + np.exp(-(d.rule[i] + d.fixed_scales[3] * x[d.fixed[3] + i])))
    return out


@_jit
def values(x, d):  # type: ignore[no-untyped-def]
    """The meaning of one position: `Values` of one draw."""
    scales = _log_scales(x, d)
    task_means = _dense_means(x, d)
    by_task = _around(x, d.effects[0], task_means, scales[0], d.lambdas)
    config_means = _config_means(by_task, _fixed(x, d, 4, d.covariates))
    dense = config_means
    if d.effects[1] >= 0:
        dense = _around(x, d.effects[1], config_means, scales[1], d.lambdas)
    loc_means = _curve_means(x, d, scales, 1, 1, 2, 3, _crossed(x, d, scales))
    loc = _around(x, d.effects[6], loc_means, scales[6], d.lambdas)
    slope_means = _product_back(d.contrasts_config, _fixed(x, d, 5, d.covariates))
    loc_config = np.zeros(d.covariates.shape[0])
    if d.effects[5] >= 0:
        loc_config = _product(d.contrasts_config, _around(x, d.effects[5], slope_means, scales[5], d.lambdas))
    no_cross = np.zeros((d.contrasts_sparsifier.shape[0], d.contrasts_type.shape[0]))
    shape_means = _curve_means(x, d, scales, 2, 2, 7, 8, no_cross)
    shape = _around(x, d.effects[9], shape_means, scales[9], d.lambdas)
    increments = _around(x, d.effects[10], np.zeros(len(d.knot_step)), scales[10], d.lambdas) * d.knot_step
    means = (task_means, config_means, loc_means, shape_means, slope_means)
    return Values(dense, loc, loc_config, shape, _tail(x, d), _floors(x, d), scales, increments, by_task, means)


@_jit
def _shared_odds(increments, d):  # type: ignore[no-untyped-def]
    """Factor by which departures that the tasks of a type share divide the odds of each cell ``(cell,)``."""
    at_knot = np.empty(len(increments))
    before_knot = np.empty(len(increments))
    for j in range(len(increments)):
        before_knot[j] = 0.0 if d.knot_first[j] else before_knot[j - 1] + increments[j - 1]
        at_knot[j] = np.exp(-_clipped(before_knot[j] + increments[j], -50.0, 50.0))
    out = np.ones(len(d.task))
    for i in range(len(out)):
        if d.sparsifier[i] >= 0:
            j = d.knot[i]
            if d.knot_part[i] == 1.0:
                out[i] = at_knot[j]
            else:
                out[i] = np.exp(-_clipped(before_knot[j] + d.knot_part[i] * increments[j], -50.0, 50.0))
    return out


@_jit
def accuracies(v, d):  # type: ignore[no-untyped-def]
    """Accuracy that the curves give each cell ``(cell,)``."""
    n_tasks, n_configs = len(d.of_type), d.covariates.shape[0]
    out = np.empty(len(d.task))
    hazard, bend = np.log(np.expm1(v.tail * LOG_ANCHOR)), -LOG_ANCHOR * v.tail / np.expm1(-v.tail * LOG_ANCHOR)
    odds = _shared_odds(v.increments, d)
    for i in range(len(out)):
        t, c, m = d.task[i], d.config[i], d.sparsifier[i]
        wrong = (1 - d.chance[t]) / (1 + np.exp(v.dense[t * n_configs + c]))
        above = max((1 - wrong - v.floor[t]) / (1 - v.floor[t]), LEAST_ABOVE)
        if m >= 0:
            steep = bend * _steepness(v.shape[m * n_tasks + t])
            log_hazard = steep * (d.log_halvings[i] - v.loc[m * n_tasks + t] - v.loc_config[c]) + hazard
            above *= np.exp(-np.logaddexp(0.0, log_hazard) / v.tail)
            above = max(above, 1e-250)
            above = above / (above + (1 - above) * odds[i])
        out[i] = v.floor[t] + (1 - v.floor[t]) * above
    return out


@_jit
def _residual(share, n, entropy, p):  # type: ignore[no-untyped-def]
    """Signed root of the binomial deviance and its slope in p; ``entropy`` is that part of it which p is not in."""
    deviance = entropy
    if share > 0:
        deviance -= share * np.log(p)
    if share < 1:
        deviance -= (1 - share) * np.log(1 - p)
    size = np.sqrt(2 * n * max(deviance, 0.0))
    # near its root the deviance is lost in rounding: there the residual is linear
    if size < 1e-3:
        curvature = np.sqrt(n / (p * (1 - p)))
        return (share - p) * curvature, -curvature
    root = size if share > p else -size
    return root, n * (p - share) / (p * (1 - p) * root)


@_jit
def whitened(residual, d):  # type: ignore[no-untyped-def]
    """Residuals in coordinates in which noise and departures are both independent ``(place in block order,)``."""
    out = np.zeros(len(residual))
    at = 0
    for b in range(len(d.starts) - 1):
        first, size = d.starts[b], d.starts[b + 1] - d.starts[b]
        for i in range(size):
            total = 0.0
            for j in range(size):
                total += d.whitening[at + i * size + j] * residual[d.order[first + j]]
            out[first + i] = total
        at += size * size
    return out


@_jit
def _whitened_back(up, d):  # type: ignore[no-untyped-def]
    out = np.zeros(len(up))
    at = 0
    for b in range(len(d.starts) - 1):
        first, size = d.starts[b], d.starts[b + 1] - d.starts[b]
        inner = np.zeros(size)
        for i in range(size):
            u = up[first + i]
            for j in range(size):
                inner[j] += d.whitening[at + i * size + j] * u
        for j in range(size):
            out[d.order[first + j]] = inner[j]
        at += size * size
    return out


@_jit
def log_density(x, d):  # type: ignore[no-untyped-def]
    """Log posterior density up to a constant, and its gradient ``(size,)``."""
    n_tasks, n_configs = len(d.of_type), d.covariates.shape[0]
    n_cells = len(d.task)
    grad = np.zeros(len(x))
    v = values(x, d)
    dense, loc, loc_config, shape, tail, floor, scales = (
        v.dense,
        v.loc,
        v.loc_config,
        v.shape,
        v.tail,
        v.floor,
        v.log_scales,
    )
    task_means, config_means, loc_means, shape_means, slope_means = v.means
    to_scales = np.zeros(len(scales))
    # the cells
    log_above, part, floor_part = np.empty(len(dense)), np.zeros(len(dense)), np.zeros(len(dense))
    for t in range(n_tasks):
        for i in range(t * n_configs, (t + 1) * n_configs):
            wrong = (1 - d.chance[t]) / (1 + np.exp(dense[i]))
            above = (1 - wrong - floor[t]) / (1 - floor[t])
            log_above[i] = np.log(max(above, LEAST_ABOVE))
            if above > LEAST_ABOVE:
                part[i] = wrong / (1 + np.exp(-dense[i])) / ((1 - floor[t]) * above)
                floor_part[i] = -wrong / ((1 - floor[t]) ** 2 * above)
    grown = np.expm1(tail * LOG_ANCHOR)
    bend, bend_slope = LOG_ANCHOR * tail * (1 + grown) / grown, 1 / tail - LOG_ANCHOR / grown
    steep, steep_slope = np.empty(len(shape)), np.empty(len(shape))
    for i in range(len(shape)):
        beyond = np.exp(2 * (shape[i] - STEEPEST))
        steep[i] = bend * np.exp(shape[i]) / np.sqrt(1 + beyond)
        steep_slope[i] = 1 / (1 + beyond)
    hazard, hazard_slope = np.log(grown), LOG_ANCHOR * (1 + grown) / grown
    odds = _shared_odds(v.increments, d)
    residual, slope = np.empty(n_cells), np.empty(n_cells)
    kept, broken, gone, moved = np.empty(n_cells), np.zeros(n_cells), np.zeros(n_cells), np.ones(n_cells)
    for i in range(n_cells):
        t, c, m = d.task[i], d.config[i], d.sparsifier[i]
        log_kept = log_above[t * n_configs + c]
        if m >= 0:
            j = m * n_tasks + t
            log_hazard = steep[j] * (d.log_halvings[i] - loc[j] - loc_config[c]) + hazard
            small = np.exp(-abs(log_hazard))
            gone[i] = max(log_hazard, 0.0) + np.log1p(small)
            broken[i] = 1 / (1 + small) if log_hazard > 0 else small / (1 + small)
            log_kept -= gone[i] / tail
        kept[i] = max(np.exp(log_kept), 1e-250)
        if m >= 0:
            before = kept[i]
            total = before + (1 - before) * odds[i]
            kept[i] = before / total
            moved[i] = odds[i] / total
        p = floor[t] + (1 - floor[t]) * kept[i]
        residual[i], slope[i] = _residual(d.share[i], d.n[i], d.entropy[i], _clipped(p, LEAST, 1 - LEAST))
        if p < LEAST or p > 1 - LEAST:
            slope[i] = 0.0
    # the likelihood
    white = whitened(residual, d)
    departure = np.exp(2 * scales[-1])
    logp, to_departure = 0.0, 0.0
    for i in range(n_cells):
        variance = 1 + departure * d.spread[i]
        logp -= 0.5 * (white[i] * white[i] / variance + np.log(variance))
        to_departure += 0.5 * d.spread[i] * (white[i] * white[i] / variance - 1) / variance
        white[i] = -white[i] / variance
    to_scales[-1] += 2 * departure * to_departure
    up = _whitened_back(white, d)
    # back through the cells
    up_dense, up_loc, up_shape = np.zeros(len(dense)), np.zeros(len(loc)), np.zeros(len(shape))
    up_config, up_floor, up_tail = np.zeros(n_configs), np.zeros(n_tasks), 0.0
    up_increments, up_before = np.zeros(len(d.knot_step)), np.zeros(len(d.knot_step))
    for i in range(n_cells):
        t, c, m = d.task[i], d.config[i], d.sparsifier[i]
        to_p = up[i] * slope[i]
        to_log = to_p * (1 - floor[t]) * kept[i] * moved[i]
        up_floor[t] += to_p * (1 - kept[i]) + to_log * floor_part[t * n_configs + c]
        up_dense[t * n_configs + c] += to_log * part[t * n_configs + c]
        if m >= 0:
            to_shared = to_p * (1 - floor[t]) * kept[i] * (1 - kept[i])
            up_increments[d.knot[i]] += d.knot_part[i] * to_shared
            if not d.knot_first[d.knot[i]]:
                up_before[d.knot[i] - 1] += to_shared
            j = m * n_tasks + t
            to_hazard = -to_log * broken[i] / tail
            away = steep[j] * (d.log_halvings[i] - loc[j] - loc_config[c])
            up_tail += to_log * gone[i] / (tail * tail) + to_hazard * (hazard_slope + away * bend_slope)
            up_loc[j] -= to_hazard * steep[j]
            up_config[c] -= to_hazard * steep[j]
            up_shape[j] += to_hazard * away * steep_slope[j]
    # back through the hierarchy
    running = 0.0
    for j in range(len(d.knot_step) - 1, -1, -1):
        # what comes after a knot moves with every increment up to it
        running += up_before[j]
        up_increments[j] += running
        if d.knot_first[j]:
            running = 0.0
    none = np.zeros(len(d.knot_step))
    prior, to_scale = _around_back(
        x, d.effects[10], none, scales[10], d.lambdas, up_increments * d.knot_step, grad, np.zeros(len(none))
    )
    to_scales[10] += to_scale
    logp += prior
    up_means = np.zeros(len(shape))
    prior, to_scale = _around_back(x, d.effects[9], shape_means, scales[9], d.lambdas, up_shape, grad, up_means)
    to_scales[9] += to_scale
    logp += prior
    logp += _curve_means_back(x, d, scales, 2, 2, 7, 8, up_means, grad, to_scales)[0]
    if d.effects[5] >= 0:
        up_means = np.zeros(len(slope_means))
        up_inner = _product_back(d.contrasts_config, up_config)
        prior, to_scale = _around_back(x, d.effects[5], slope_means, scales[5], d.lambdas, up_inner, grad, up_means)
        to_scales[5] += to_scale
        logp += prior
        _fixed_back(d, 5, d.covariates, _product(d.contrasts_config, up_means), grad)
    up_means = np.zeros(len(loc))
    prior, to_scale = _around_back(x, d.effects[6], loc_means, scales[6], d.lambdas, up_loc, grad, up_means)
    to_scales[6] += to_scale
    logp += prior
    prior, up_crossed = _curve_means_back(x, d, scales, 1, 1, 2, 3, up_means, grad, to_scales)
    logp += prior + _crossed_back(x, d, scales, up_crossed, grad, to_scales)
    if d.effects[1] >= 0:
        up_means = np.zeros(len(dense))
        prior, to_scale = _around_back(x, d.effects[1], config_means, scales[1], d.lambdas, up_dense, grad, up_means)
        to_scales[1] += to_scale
        logp += prior
        up_dense = up_means
    up_task, up_slopes = np.zeros(n_tasks), np.zeros(n_configs)
    for t in range(n_tasks):
        for c in range(n_configs):
            up_task[t] += up_dense[t * n_configs + c]
            up_slopes[c] += up_dense[t * n_configs + c]
    _fixed_back(d, 4, d.covariates, up_slopes, grad)
    up_means = np.zeros(n_tasks)
    prior, to_scale = _around_back(x, d.effects[0], task_means, scales[0], d.lambdas, up_task, grad, up_means)
    to_scales[0] += to_scale
    logp += prior
    up_types = np.zeros(d.contrasts_type.shape[0])
    for t in range(n_tasks):
        grad[d.means[0]] += up_means[t]
        up_types[d.of_type[t]] += up_means[t]
    _fixed_back(d, 0, d.contrasts_type, up_types, grad)
    for i in range(len(d.guessable)):
        f = floor[d.guessable[i]]
        grad[d.fixed[3] + i] += up_floor[d.guessable[i]] * f * (1 - f) * d.fixed_scales[3]
    if TAIL_ENDS[0] < x[d.means[3]] < TAIL_ENDS[1]:
        grad[d.means[3]] += up_tail * tail
    return logp + _hyperpriors(x, d, to_scales, grad), grad


@_jit
def _hyperpriors(x, d, to_scales, grad):  # type: ignore[no-untyped-def]
    """Priors of means, scales and effects of known scale; gradients of the log scales end here."""
    logp = 0.0
    for i in range(len(d.means)):
        z = (x[d.means[i]] - d.mean_priors[i, 0]) / d.mean_priors[i, 1]
        logp -= 0.5 * z * z
        grad[d.means[i]] -= z / d.mean_priors[i, 1]
    for g in range(len(d.scales)):
        if d.scales[g] >= 0:
            z = x[d.scales[g]]
            logp -= 0.5 * z * z
            grad[d.scales[g]] += to_scales[g] * d.scale_priors[g, 1] - z
    n_types, n_covariates = d.contrasts_type.shape[1], d.covariates.shape[1]
    sizes = (n_types, n_types, n_types, len(d.guessable), n_covariates, n_covariates)
    for g in range(len(d.fixed)):
        if d.fixed[g] >= 0:
            for i in range(d.fixed[g], d.fixed[g] + sizes[g]):
                logp -= 0.5 * x[i] * x[i]
                grad[i] -= x[i]
    return logp


@_jit
def explained(positions, d, unwhitening, normals):  # type: ignore[no-untyped-def]
    """Accuracy that the curves give each cell, and a draw of its departure from there ``(draw, cell)`` both.

    The departure is drawn from its distribution given the answers, in units of arcsin(sqrt(accuracy)), where residuals
    are linear. ``normals`` are standard normal ``(draw, cell)``.
    """
    n_draws, n_cells = normals.shape
    accuracy, departure = np.empty((n_draws, n_cells)), np.empty((n_draws, n_cells))
    residual = np.empty(n_cells)
    for s in range(n_draws):
        v = values(positions[s], d)
        p = accuracies(v, d)
        for i in range(n_cells):
            residual[i] = _residual(d.share[i], d.n[i], d.entropy[i], _clipped(p[i], LEAST, 1 - LEAST))[0]
        white = whitened(residual, d)
        variance = np.exp(2 * v.log_scales[-1])
        at = 0
        for b in range(len(d.starts) - 1):
            first, size = d.starts[b], d.starts[b + 1] - d.starts[b]
            for i in range(size):
                part = variance * d.spread[first + i] / (1 + variance * d.spread[first + i])
                white[first + i] = part * white[first + i] + np.sqrt(part) * normals[s, first + i]
            for i in range(size):
                total = 0.0
                for j in range(size):
                    total += unwhitening[at + i * size + j] * white[first + j]
                cell = d.order[first + i]
                departure[s, cell] = total / (2 * np.sqrt(d.n[cell]))
            at += size * size
        accuracy[s] = p
    return accuracy, departure


@_jit
def location_slopes(v, d):  # type: ignore[no-untyped-def]
    """Change of each cell's accuracy with its log location ``(cell,)``; 0 for dense cells."""
    n_tasks = len(d.of_type)
    out = np.zeros(len(d.task))
    p = accuracies(v, d)
    hazard, bend = np.log(np.expm1(v.tail * LOG_ANCHOR)), -LOG_ANCHOR * v.tail / np.expm1(-v.tail * LOG_ANCHOR)
    for i in range(len(out)):
        t, c, m = d.task[i], d.config[i], d.sparsifier[i]
        if m >= 0:
            steep = bend * _steepness(v.shape[m * n_tasks + t])
            log_hazard = steep * (d.log_halvings[i] - v.loc[m * n_tasks + t] - v.loc_config[c]) + hazard
            out[i] = (p[i] - v.floor[t]) * steep / (1 + np.exp(-log_hazard)) / v.tail
    return out
