"""The hierarchical tolerance model in PyMC: one Burr curve per sparsifier and task, pooled over tasks, types, methods.

Accuracy of a cell is floor + (1 - floor) * expit(dense) * survival(halvings; loc, shape, tail). Dense accuracy is
hierarchical over task within type and over configuration; location over type, sparsifier, sparsifier x type, task,
curve and configuration; shape over type, sparsifier, task and curve. Type, sparsifier and task-in-type effects live on
fixed orthonormal zero-sum contrasts.

Effects with an estimated scale are sampled between centred and non-centred, theta~ ~ N(lambda mu, s^lambda), with
lambda as data that a pilot run sets (Papaspiliopoulos et al. 2007, Stat. Sci. 22:59): both ends fail on real designs.

The likelihood of a sparse cell is the binomial deviance with extra variance tau = (n - 1) rho, so that a cell off the
curve family widens the intervals instead of bending the curve; rho -> 0 is the binomial. Dense cells are binomial.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from scipy.linalg import block_diag, helmert

from tolerance.cells import Cells
from tolerance.curves import ANCHOR
from tolerance.priors import PRIORS, LogNormal, Priors

Floats = NDArray[np.float64]
Tensor = Any  # PyTensor has no types to speak of
# Effects sampled between centred and non-centred; each has the scale ``sd_<name>``.
PARTIAL = (
    *("dense_task", "dense_config"),
    *("loc_sparsifier", "loc_task", "loc_sparsifier_type", "loc_curve", "loc_config"),
    *("shape_sparsifier", "shape_task", "shape_curve"),
)


@dataclass
class _Build:
    """What the parts of a model share while it is put together."""

    cells: Cells
    priors: Priors
    lambdas: dict[str, Floats] = field(default_factory=dict)

    def log_scale(self, name: str) -> Tensor:
        """A log-normal scale, as its log."""
        median, spread = _log_normal(self.priors, name)
        return pm.Deterministic(f"log_{name}", np.log(median) + spread * pm.Normal(f"{name}_z", 0.0, 1.0))

    def partial(self, name: str, mean: Tensor, shape: tuple[int, ...]) -> Tensor:
        """Effects around ``mean``, sampled between centred (lambda 1) and non-centred (lambda 0)."""
        log_sd = self.log_scale(f"sd_{name}")
        start = np.full(shape, 0.5)
        weight = pm.Data(f"lambda_{name}", self.lambdas.get(name, start))
        sampled = pm.Normal(f"{name}_z", weight * mean, pt.exp(weight * log_sd), shape=shape)
        away = sampled - weight * mean
        pm.Deterministic(f"{name}_away", away * pt.exp(-weight * log_sd))
        return pm.Deterministic(name, mean + pt.exp((1 - weight) * log_sd) * away)

    def zero_sum(self, name: str, contrasts: Floats, scale: float) -> Tensor:
        """Effects of known scale on zero-sum contrasts ``(group, contrast)``; none where there is one group."""
        if contrasts.shape[1] == 0:
            return pt.zeros(contrasts.shape[0])
        return pt.dot(contrasts, scale * pm.Normal(f"{name}_z", 0.0, 1.0, shape=contrasts.shape[1]))

    def scaled(self, name: str, contrasts: Floats) -> Tensor:
        """Zero-sum effects with an estimated scale."""
        if contrasts.shape[1] == 0:
            return pt.zeros(contrasts.shape[0])
        return pt.dot(contrasts, self.partial(name, pt.zeros(contrasts.shape[1]), (contrasts.shape[1],)))


def build(cells: Cells, priors: Priors = PRIORS, lambdas: dict[str, Floats] | None = None) -> pm.Model:
    """The PyMC model of these cells; coordinates are named, none of them ``method``."""
    make = _Build(cells, priors, lambdas or {})
    coords = {
        "task": list(cells.tasks),
        "task_type": list(cells.task_types),
        "sparsifier": list(cells.sparsifiers),
        "config": [f"{model} @ {context}" for model, context in cells.configs],
    }
    with pm.Model(coords=coords) as model:
        dense = _dense(make)
        loc = _location(make)
        shape = _shape(make)
        tail = _tail(make)
        floor = _floor(make)
        accuracy = _cell_accuracy(cells, dense, loc, shape, tail, floor)
        pm.Deterministic("accuracy", accuracy)
        _likelihood(make, accuracy)
    return model


def _dense(make: _Build) -> Tensor:
    """Logit of dense accuracy above the floor ``(task, config)``."""
    cells, priors = make.cells, make.priors
    types = make.zero_sum("dense_type", _contrasts(len(cells.task_types)), priors.sd_dense_type)
    mean = pm.Normal("dense_mean", *priors.dense) + types[cells.types()]
    by_task = make.partial("dense_task", mean, (len(cells.tasks),))[:, None] + _slopes(make, "dense")[None, :]
    if len(cells.configs) > 1:
        by_task = make.partial("dense_config", by_task, (len(cells.tasks), len(cells.configs)))
    return pm.Deterministic("dense", by_task, dims=("task", "config"))


def _location(make: _Build) -> Tensor:
    """Log halvings at which 80% is left ``(sparsifier, task, config)``."""
    cells, priors = make.cells, make.priors
    of_type, n_types, n_methods = cells.types(), len(cells.task_types), len(cells.sparsifiers)
    types = make.zero_sum("loc_type", _contrasts(n_types), priors.sd_loc_type)
    methods = make.scaled("loc_sparsifier", _contrasts(n_methods))
    tasks = make.scaled("loc_task", _within_types(of_type))
    mean = pm.Normal("loc_mean", *priors.loc) + methods[:, None] + (types[of_type] + tasks)[None, :]
    if n_types > 1 and n_methods > 1:
        both = np.kron(_contrasts(n_methods), _contrasts(n_types)).astype(np.float64)
        crossed = make.scaled("loc_sparsifier_type", both)
        mean = mean + crossed.reshape((n_methods, n_types))[:, of_type]
    curve = make.partial("loc_curve", mean, (n_methods, len(cells.tasks)))
    whole = curve[:, :, None] + _slopes(make, "loc")[None, None, :]
    if len(cells.configs) > 1:
        whole = make.partial("loc_config", whole, (n_methods, len(cells.tasks), len(cells.configs)))
    return pm.Deterministic("loc", whole, dims=("sparsifier", "task", "config"))


def _shape(make: _Build) -> Tensor:
    """Log shape ``(sparsifier, task)``."""
    cells, priors = make.cells, make.priors
    of_type = cells.types()
    types = make.zero_sum("shape_type", _contrasts(len(cells.task_types)), priors.sd_shape_type)
    methods = make.scaled("shape_sparsifier", _contrasts(len(cells.sparsifiers)))
    tasks = make.scaled("shape_task", _within_types(of_type))
    mean = pm.Normal("shape_mean", *priors.shape) + methods[:, None] + (types[of_type] + tasks)[None, :]
    whole = make.partial("shape_curve", mean, (len(cells.sparsifiers), len(cells.tasks)))
    return pm.Deterministic("shape", pt.clip(whole, -3.0, 4.0), dims=("sparsifier", "task"))


def _tail(make: _Build) -> Tensor:
    """Tail nu ``(sparsifier,)``."""
    log_tail = pm.Normal("log_tail", *make.priors.log_tail) + pt.zeros(len(make.cells.sparsifiers))
    if len(make.cells.sparsifiers) > 1:
        log_tail += make.priors.sd_log_tail_sparsifier * pm.Normal("log_tail_z", 0.0, 1.0, dims="sparsifier")
    return pm.Deterministic("tail", pt.exp(pt.clip(log_tail, -4.0, 2.0)), dims="sparsifier")


def _floor(make: _Build) -> Tensor:
    """Accuracy of a model that has lost everything ``(task,)``; 0 where the rule gives no chance to guess."""
    chance = np.asarray(make.cells.chance)
    guessable = np.flatnonzero(chance > 0)
    floor = pt.zeros(len(chance))
    if len(guessable):
        rule = np.log(chance[guessable] / (1 - chance[guessable]))
        moved = rule + make.priors.sd_floor * pm.Normal("floor_z", 0.0, 1.0, shape=len(guessable))
        floor = pt.set_subtensor(floor[guessable], pt.sigmoid(moved))
    return pm.Deterministic("floor", floor, dims="task")


def _cell_accuracy(cells: Cells, dense: Tensor, loc: Tensor, shape: Tensor, tail: Tensor, floor: Tensor) -> Tensor:
    """Expected accuracy ``(cell,)``."""
    sparse = slice(cells.n_dense, None)
    task, config, method = cells.task[sparse], cells.config[sparse], cells.sparsifier
    nu = tail[method]
    log_hazard = (
        pt.exp(shape)[method, task] * (np.log(cells.halvings[sparse]) - loc[method, task, config])
        + pt.log(pt.expm1(-nu * np.log(ANCHOR)) / nu)
        + pt.log(nu)
    )
    log_left = pt.concatenate([pt.zeros(cells.n_dense), -pt.softplus(pt.clip(log_hazard, -60.0, 60.0)) / nu])
    above = pt.exp(log_left - pt.softplus(-dense[cells.task, cells.config]))
    return floor[cells.task] + (1 - floor[cells.task]) * above


def _likelihood(make: _Build, accuracy: Tensor) -> None:
    """Binomial deviance with extra variance for sparse cells; the saturated part is constant and left in for LOO."""
    cells = make.cells
    right, n = pm.Data("right", cells.right), pm.Data("n", cells.n)
    rho = pm.Deterministic("rho", pt.minimum(pt.exp(2 * make.log_scale("sd_departure")), 0.5))
    inside = pt.clip(accuracy, 1e-9, 1 - 1e-9)
    share = right / n
    deviance = 2 * n * (_xlogx(share) + _xlogx(1 - share) - share * pt.log(inside) - (1 - share) * pt.log1p(-inside))
    extra = np.r_[np.zeros(cells.n_dense), np.ones(len(cells.frame) - cells.n_dense)] * (n - 1) * rho
    pm.Potential("log_likelihood", (-0.5 * (deviance / (1 + extra) + pt.log1p(extra))).sum())


def _slopes(make: _Build, of: str) -> Tensor:
    """What log parameters and log context add ``(config,)``."""
    covariates = make.cells.covariates.to_numpy(dtype=np.float64)
    if covariates.shape[1] == 0:
        return pt.zeros(len(make.cells.configs))
    sd = make.priors.slope_dense if of == "dense" else make.priors.slope_loc
    return pt.dot(covariates, pm.Normal(f"{of}_slope", 0.0, sd, shape=covariates.shape[1]))


def _contrasts(n: int) -> Floats:
    """Orthonormal zero-sum contrasts ``(n, n - 1)``."""
    return np.asarray(helmert(n).T, dtype=np.float64) if n > 1 else np.zeros((n, 0))


def _within_types(of_type: NDArray[np.int64]) -> Floats:
    """Zero-sum contrasts of tasks within each type ``(task, contrast)``; a type with one task has none."""
    order = np.argsort(of_type, kind="stable")
    blocks = block_diag(*[_contrasts(int((of_type == t).sum())) for t in np.unique(of_type)])
    return np.asarray(blocks[np.argsort(order)])


def _xlogx(x: Tensor) -> Tensor:
    return pt.switch(pt.gt(x, 0), x * pt.log(pt.maximum(x, 1e-12)), 0.0)


def _log_normal(priors: Priors, name: str) -> LogNormal:
    value: LogNormal = getattr(priors, name)
    return value
