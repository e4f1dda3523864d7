"""The tolerance curve: the share of above-floor accuracy that is left after a number of halvings of the density.

A Burr XII survival function S(x) = (1 + nu H(x))^(-1/nu), H(x) = H_a (x / e^loc)^(e^shape), H_a = (a^-nu - 1) / nu
with a = 0.6 (Burr 1942; nu -> 0 is Weibull, nu = 1 log-logistic). ``loc`` is the log of the halvings after which
60% is left, which makes location and shape nearly independent.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

ANCHOR = 0.6
STEEPEST = 3.0
# Below this much dense accuracy above the floor there is nothing whose retention could be measured.
LEAST_ABOVE_FLOOR = 0.05
# With so many answers of the rarer kind expected, means of residuals are right to order 1/sqrt(n).
EXPANDED_FROM = 30
Floats = NDArray[np.float64]


def survival(halvings: Floats, loc: Floats, shape: Floats, tail: Floats) -> Floats:
    """Share of above-floor accuracy that is left; arguments broadcast. ``shape`` is log, ``tail`` is nu > 0."""
    with np.errstate(divide="ignore"):
        log_hazard = steepness(shape, tail) * (np.log(halvings) - loc) + log_anchor_hazard(tail)
    return np.asarray(np.exp(-np.logaddexp(0.0, np.clip(log_hazard + np.log(tail), -700, 700)) / tail))


def steepness(shape: Floats, tail: Floats) -> Floats:
    """Exponent of the halvings: that of the Weibull which is as steep at the anchor, corrected for the tail.

    It saturates at e^`STEEPEST`: between levels that one measures, a steeper cliff looks the same.
    """
    exponent = np.exp(shape) / np.sqrt(1 + np.exp(2 * (shape - STEEPEST)))
    return np.asarray(exponent * np.log(ANCHOR) * tail / np.expm1(tail * np.log(ANCHOR)))


def departed(accuracy: Floats, departure: Floats) -> Floats:
    """Accuracy moved by departures in units of arcsin(sqrt(accuracy)); arguments broadcast."""
    return np.asarray(np.sin(np.clip(np.arcsin(np.sqrt(accuracy)) + departure, 0.0, np.pi / 2)) ** 2)


def signed_root(share: Floats, n: Floats, accuracy: Floats) -> Floats:
    """Signed-root binomial deviance residuals of shares; arguments broadcast (McCullagh & Nelder 1989, 2.4)."""
    inside = np.clip(accuracy, 1e-12, 1 - 1e-12)
    deviance = 2 * n * (xlogy(share, share / inside) + xlogy(1 - share, (1 - share) / (1 - inside)))
    return np.asarray(np.sign(share - inside) * np.sqrt(np.maximum(deviance, 0.0)))


def signed_root_mean(n: Floats, accuracy: Floats) -> Floats:
    """Mean of signed-root binomial deviance residuals ``(cell,)``, of n answers rounded to whole ones.

    A sum over the binomial where few of the rarer answer are expected, else to order 1/sqrt(n) (McCullagh & Nelder
    1989, C): with three mistakes expected that order is a fifth too small.
    """
    answers, inside = np.maximum(np.rint(n), 1.0), np.clip(accuracy, 1e-12, 1 - 1e-12)
    mean = (2 * inside - 1) / (6 * np.sqrt(answers * inside * (1 - inside)))
    few = np.flatnonzero(answers * np.minimum(inside, 1 - inside) < EXPANDED_FROM)
    rare, whole = np.minimum(inside, 1 - inside)[few, None], answers[few, None]
    counts = np.arange(3 * EXPANDED_FROM)
    others = np.maximum(whole - counts, 0.0)
    mass = np.exp(-betaln(counts + 1, others + 1) + xlogy(counts, rare) + others * np.log1p(-rare)) / (whole + 1)
    residual = signed_root(np.minimum(counts / whole, 1.0), whole, rare)
    summed = np.where(counts <= whole, mass * residual, 0.0).sum(1)
    mean[few] = np.where(inside[few] > 0.5, -summed, summed)
    return np.asarray(mean)


def log_anchor_hazard(tail: Floats) -> Floats:
    """Logarithm of H_a: the log hazard at which the share `ANCHOR` is left."""
    return np.asarray(np.log(np.expm1(-np.asarray(tail) * np.log(ANCHOR)) / tail))


def crossing(share: Floats, halvings: Floats, least: float) -> Floats:
    """Halvings at which each curve ``(..., grid point)`` first falls below ``least``; infinite where it never does.

    Linear interpolation between grid points; ``halvings`` ``(grid point,)`` ascends from 0.
    """
    below = share < least
    first = np.maximum(below.argmax(-1), 1)
    after = np.take_along_axis(share, first[..., None], -1)[..., 0]
    before = np.take_along_axis(share, first[..., None] - 1, -1)[..., 0]
    part = np.clip((before - least) / np.maximum(before - after, 1e-12), 0, 1)
    at = halvings[first - 1] + part * (halvings[first] - halvings[first - 1])
    return np.where(below.any(-1), at, np.inf)
