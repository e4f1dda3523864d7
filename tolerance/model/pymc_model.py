"""The hierarchical tolerance model in PyMC: one Burr curve per sparsifier and task, pooled over tasks, types, methods.

Accuracy of a cell is floor + (whole - floor) * survival(halvings; loc, shape, tail), whole = chance + (1 - chance) *
expit(dense). Dense accuracy is hierarchical over task within type and over configuration; location over type,
sparsifier, sparsifier x type, task and curve, with an effect of each configuration; shape over type, sparsifier, task
and curve. Type, sparsifier, task-in-type and configuration effects live on orthonormal zero-sum contrasts.

The likelihood of a block (the cells that asked the same items) is that of its signed-root deviance residuals:
independent they are exactly the binomial; `tolerance.model.covariance` says how they are correlated and how they
depart.

This is the model as one reads it. `tolerance.model.density` is the same by hand, and what is sampled unless asked
otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from tolerance.data.cells import Cells
from tolerance.model.covariance import Covariance
from tolerance.model.curve import ANCHOR, STEEPEST
from tolerance.model.density import LEAST, LEAST_ABOVE, TAIL_ENDS
from tolerance.model.parameters import DEPARTURE, Parameters

Floats = NDArray[np.float64]
Tensor = Any  # PyTensor has no types to speak of


@dataclass
class _Build:
    """What the parts of a model share while it is put together."""

    parameters: Parameters
    shares: dict[str, Floats]

    def normal(self, name: str, mean: float = 0.0, sd: float = 1.0) -> Tensor:
        """A normal variable, or nothing where the design has none of its elements."""
        if name not in self.parameters.shapes:
            return None
        return pm.Normal(name, mean, sd, shape=self.parameters.shapes[name])

    def scale(self, name: str) -> Tensor:
        """The log of a log-normal scale."""
        median, spread = self.parameters.scale(name)
        return np.log(median) + spread * self.normal(f"{name}_z")

    def around(self, name: str, mean: Tensor) -> Tensor:
        """Effects around ``mean``, sampled between centred (lambda 1) and non-centred (lambda 0)."""
        if name not in self.parameters.scaled:
            return mean
        shape = self.parameters.shapes[f"{name}_z"]
        log_sd = self.scale(f"sd_{name}")
        weight = pm.Data(f"lambda_{name}", self.shares.get(name, np.full(shape, 0.5)).reshape(shape))
        mean = mean + pt.zeros(shape)
        sampled = pm.Normal(f"{name}_z", weight * mean, pt.exp(weight * log_sd), shape=shape)
        return mean + pt.exp((1 - weight) * log_sd) * (sampled - weight * mean)

    def fixed(self, name: str, columns: Floats, scale: float) -> Tensor:
        """Effects of known scale on the columns of a matrix."""
        effects = self.normal(name)
        return pt.zeros(columns.shape[0]) if effects is None else pt.dot(columns, scale * effects)

    def zero_sum(self, name: str, contrasts: Floats) -> Tensor:
        """Effects of estimated scale on zero-sum contrasts."""
        if name not in self.parameters.scaled:
            return pt.zeros(contrasts.shape[0])
        return pt.dot(contrasts, self.around(name, pt.zeros(contrasts.shape[1])))


def build(parameters: Parameters, blocks: Covariance, shares: dict[str, Floats] | None = None) -> pm.Model:
    """The PyMC model of these cells; coordinates are named, none of them ``method``."""
    cells, make = parameters.cells, _Build(parameters, shares or {})
    with pm.Model() as model:
        accuracy = accuracy_of_cells(make)
        departure = pm.Deterministic("sd_departure", pt.exp(make.scale(DEPARTURE)))
        pm.Potential("log_likelihood", _log_likelihood(cells, blocks, accuracy, departure))
    return model


def accuracy_of_cells(make: _Build) -> Tensor:
    """The hierarchy and its curves as variables of the model at hand, and the accuracy of each cell ``(cell,)``."""
    cells = make.parameters.cells
    pm.modelcontext(None).add_coords(
        {
            "task": list(cells.tasks),
            "sparsifier": list(cells.sparsifiers),
            "config": [f"{model} @ {context}" for model, context in cells.configs],
        }
    )
    dense = pm.Deterministic("dense", _dense(make), dims=("task", "config"))
    loc = pm.Deterministic("loc", _location(make), dims=("sparsifier", "task", "config"))
    shape = pm.Deterministic("shape", _shape(make), dims=("sparsifier", "task"))
    tail = pm.Deterministic(
        "tail", pt.exp(pt.clip(make.normal("log_tail", *make.parameters.priors.log_tail), *TAIL_ENDS))
    )
    floor = pm.Deterministic("floor", _floor(make), dims="task")
    increments = pm.Deterministic(
        "departure_type", pt.as_tensor(make.around("departure_type", 0.0) * make.parameters.knots.step)
    )
    shared = _shared(make.parameters, increments)
    return _cell_accuracy(cells, dense, loc, shape, tail, floor, shared)


def _dense(make: _Build) -> Tensor:
    """Logit of dense accuracy above the rule's floor ``(task, config)``."""
    cells, priors = make.parameters.cells, make.parameters.priors
    types = make.fixed("dense_type_z", make.parameters.contrasts["type"], priors.sd_dense_type)
    by_task = make.around("dense_task", make.normal("dense_mean", *priors.dense) + types[cells.types()])
    slopes = make.fixed("dense_slope_z", _covariates(cells), priors.slope_dense)
    return make.around("dense_config", by_task[:, None] + slopes[None, :])


def _location(make: _Build) -> Tensor:
    """Log halvings at which 60% is left ``(sparsifier, task, config)``."""
    cells, priors, contrasts = make.parameters.cells, make.parameters.priors, make.parameters.contrasts
    of_type = cells.types()
    types = make.fixed("loc_type_z", contrasts["type"], priors.sd_loc_type)
    methods = make.zero_sum("loc_sparsifier", contrasts["sparsifier"])
    tasks = make.zero_sum("loc_task", contrasts["task"])
    mean = make.normal("loc_mean", *priors.loc) + methods[:, None] + (types[of_type] + tasks)[None, :]
    if "loc_sparsifier_type" in make.parameters.scaled:
        inner = make.around("loc_sparsifier_type", 0.0)
        crossed = pt.dot(pt.dot(contrasts["sparsifier"], inner), contrasts["type"].T)
        mean = mean + crossed[:, of_type]
    curve = make.around("loc_curve", mean)
    slopes = make.fixed("loc_slope_z", _covariates(cells), priors.slope_loc)
    # covariates are centred, so the contrasts hold all of what they say
    configs = pt.dot(contrasts["config"], make.around("loc_config", pt.dot(contrasts["config"].T, slopes)))
    return curve[:, :, None] + configs[None, None, :]


def _shape(make: _Build) -> Tensor:
    """Log shape ``(sparsifier, task)``."""
    cells, priors, contrasts = make.parameters.cells, make.parameters.priors, make.parameters.contrasts
    types = make.fixed("shape_type_z", contrasts["type"], priors.sd_shape_type)
    methods = make.zero_sum("shape_sparsifier", contrasts["sparsifier"])
    tasks = make.zero_sum("shape_task", contrasts["task"])
    mean = make.normal("shape_mean", *priors.shape) + methods[:, None] + (types[cells.types()] + tasks)[None, :]
    return make.around("shape_curve", mean)


def _floor(make: _Build) -> Tensor:
    """Accuracy of a model that has lost everything ``(task,)``; 0 where the rule gives no chance to guess."""
    chance = np.asarray(make.parameters.cells.chance)
    guessable = make.parameters.guessable
    floor = pt.zeros(len(chance))
    moved = make.normal("floor_z")
    if moved is None:
        return floor
    rule = np.log(chance[guessable] / (1 - chance[guessable]))
    return pt.set_subtensor(floor[guessable], pt.sigmoid(rule + make.parameters.priors.sd_floor * moved))


def _shared(parameters: Parameters, increments: Tensor) -> Tensor:
    """Departures that the tasks of a type share, in logits of above-floor accuracy ``(sparse cell,)``."""
    knots, cells = parameters.knots, parameters.cells
    before = pt.concatenate([[0.0], pt.cumsum(increments)])
    sparse = slice(cells.n_dense, None)
    start = knots.start[cells.sparsifier, cells.types()[cells.task[sparse]]]
    at = knots.cell[sparse]
    return before[at] - before[start] + knots.part[sparse] * increments[at]


def _cell_accuracy(
    cells: Cells, dense: Tensor, loc: Tensor, shape: Tensor, tail: Tensor, floor: Tensor, shared: Tensor
) -> Tensor:
    """Accuracy that the curves and the departures of types give each cell ``(cell,)``."""
    sparse = slice(cells.n_dense, None)
    task, config, method = cells.task[sparse], cells.config[sparse], cells.sparsifier
    exponent = pt.exp(shape) / pt.sqrt(1 + pt.exp(2 * (shape - STEEPEST)))
    steep = exponent[method, task] * np.log(ANCHOR) * tail / pt.expm1(tail * np.log(ANCHOR))
    log_hazard = steep * (np.log(cells.halvings[sparse]) - loc[method, task, config]) + pt.log(
        pt.expm1(-tail * np.log(ANCHOR))
    )
    log_left = pt.concatenate([pt.zeros(cells.n_dense), -pt.softplus(log_hazard) / tail])
    # dense accuracy itself does not move with the floor, which only levels that reach it can tell
    chance, ground = np.asarray(cells.chance)[cells.task], floor[cells.task]
    whole = chance + (1 - chance) * pt.sigmoid(dense[cells.task, cells.config])
    family = pt.exp(log_left) * pt.maximum((whole - ground) / (1 - ground), LEAST_ABOVE)
    moved = pt.concatenate([pt.zeros(cells.n_dense), shared])
    above = 1 / (1 + (1 - family) / family * pt.exp(-moved))
    return floor[cells.task] + (1 - floor[cells.task]) * above


def _log_likelihood(cells: Cells, blocks: Covariance, accuracy: Tensor, departure: Tensor) -> Tensor:
    """Normal log density of whitened signed-root deviance residuals, up to a constant."""
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    inside = pt.clip(accuracy, LEAST, 1 - LEAST)
    deviance = 2 * cells.weight * (_xlogy(share, share / inside) + _xlogy(1 - share, (1 - share) / (1 - inside)))
    residual = pt.sign(share - inside) * pt.sqrt(pt.maximum(deviance, 1e-300)) - blocks.centre
    white = pt.concatenate([pt.dot(matrix, residual[group]) for group, matrix, _ in blocks.matrices])
    variance = 1 + departure**2 * blocks.spread
    return -0.5 * (white**2 / variance + pt.log(variance)).sum()


def _covariates(cells: Cells) -> Floats:
    return cells.covariates.to_numpy(dtype=np.float64).reshape(len(cells.configs), -1)


def _xlogy(x: Floats, y: Tensor) -> Tensor:
    return pt.switch(x > 0, x * pt.log(pt.maximum(y, 1e-300)), 0.0)
