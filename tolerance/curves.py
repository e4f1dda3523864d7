"""The tolerance curve: the share of above-floor accuracy that is left after a number of halvings of the density.

A Burr XII survival function S(x) = (1 + nu H(x))^(-1/nu), H(x) = H_a (x / e^loc)^(e^shape), H_a = (a^-nu - 1) / nu
with a = 0.6 (Burr 1942; nu -> 0 is Weibull, nu = 1 log-logistic). ``loc`` is the log of the halvings after which
60% is left, which makes location and shape nearly independent.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

ANCHOR = 0.6
STEEPEST = 3.0
# Below this much dense accuracy above the floor there is nothing whose retention could be measured.
LEAST_ABOVE_FLOOR = 0.05
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
