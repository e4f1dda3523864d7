"""The hierarchical tolerance model in PyMC: one Burr curve per sparsifier and task, pooled over tasks, types, methods.

Accuracy of a cell is floor + (whole - floor) * survival(halvings; loc, shape, tail), whole = chance + (1 - chance) *
expit(dense). Dense accuracy, location, shape and the departures that curves share are sums of the terms that
`tolerance.model.terms` lists.

The likelihood of a block (the cells that asked the same items) is that of its signed-root deviance residuals:
independent they are exactly the binomial; `tolerance.model.covariance` says how they are correlated and how they
depart.

This is the model as one reads it. `tolerance.model.density` is the same with its own gradient, and what is sampled.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from tolerance.data.cells import Cells
from tolerance.model.covariance import Covariance
from tolerance.model.curve import ANCHOR, STEEPEST
from tolerance.model.density import LEAST, LEAST_ABOVE, TAIL_ENDS
from tolerance.model.factors import Placed
from tolerance.model.parameters import DEPARTURE, Parameters
from tolerance.model.terms import BEFORE, Predictor

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

    def predictor(self, predictor: Predictor) -> Tensor:
        """A linear predictor over all its elements ``(element,)``, term by term."""
        placed = self.parameters.terms[predictor]
        out = pt.zeros(len(placed[0].level))
        levels: dict[str, Tensor] = {}
        for one in placed:
            levels[one.term.name] = self.levels(one, out, levels)
            there = one.level >= 0
            out = out + pt.switch(there, levels[one.term.name][np.where(there, one.level, 0)], 0.0)
        return out

    def levels(self, placed: Placed, before: Tensor, others: dict[str, Tensor]) -> Tensor:
        """What a term adds to each level of its factors ``(level,)``."""
        term, columns = placed.term, _columns(placed)
        if term.is_mean:
            return self.normal(term.variable, *getattr(self.parameters.priors, str(term.scale)))[None]
        if not term.estimated:
            return pt.dot(columns, self.parameters.known_scale(term) * self.normal(term.variable).ravel())
        mean = pt.zeros(columns.shape[1])
        centre = self.parameters.around(term.name)
        if term.around == BEFORE:
            mean = pt.switch(placed.first >= 0, before[placed.first], 0.0)
        elif centre is not None:
            mean = pt.dot(columns.T, others[centre.term.name])
        # sampled between centred (lambda 1) and non-centred (lambda 0)
        log_sd, shape = self.scale(f"sd_{term.name}"), placed.shape
        weight = pm.Data(f"lambda_{term.name}", self.shares.get(term.name, np.full(shape, 0.5)).reshape(shape)).ravel()
        place = (weight * mean).reshape(shape)
        sampled = pm.Normal(term.variable, place, pt.exp(weight * log_sd).reshape(shape), shape=shape).ravel()
        return pt.dot(columns, pt.exp((1 - weight) * log_sd) * (sampled - weight * mean))


def _columns(placed: Placed) -> Floats:
    """What each coordinate of a term counts in each level ``(level, coordinate)``."""
    first, *others = (basis.matrix for basis in placed.bases)
    return np.asarray(np.kron(first, others[0])) if others else first


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
    grid = tuple(len(names) for names in (cells.sparsifiers, cells.tasks, cells.configs))
    dense = pm.Deterministic("dense", make.predictor("dense").reshape(grid[1:]), dims=("task", "config"))
    curves = ("sparsifier", "task", "config")
    loc, shape = (
        pm.Deterministic(name, make.predictor(name).reshape(grid), dims=curves)
        for name in cast(tuple[Predictor, ...], ("loc", "shape"))
    )
    tail = pm.Deterministic(
        "tail", pt.exp(pt.clip(make.normal("log_tail", *make.parameters.priors.log_tail), *TAIL_ENDS))
    )
    floor = pm.Deterministic("floor", _floor(make), dims="task")
    knots = make.parameters.knots
    increments = pm.Deterministic("departure_type", make.predictor("departure") * knots.step[knots.knot])
    shared = _shared(make.parameters, increments)
    return _cell_accuracy(cells, dense, loc, shape, tail, floor, shared)


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
    start = knots.path[cells.sparsifier, cells.types()[cells.task[sparse]], cells.config[sparse]]
    at = knots.cell[sparse]
    return before[at] - before[start] + knots.part[sparse] * increments[at]


def _cell_accuracy(
    cells: Cells, dense: Tensor, loc: Tensor, shape: Tensor, tail: Tensor, floor: Tensor, shared: Tensor
) -> Tensor:
    """Accuracy that the curves and the departures of types give each cell ``(cell,)``."""
    sparse = slice(cells.n_dense, None)
    task, config, method = cells.task[sparse], cells.config[sparse], cells.sparsifier
    exponent = pt.exp(shape) / pt.sqrt(1 + pt.exp(2 * (shape - STEEPEST)))
    steep = exponent[method, task, config] * np.log(ANCHOR) * tail / pt.expm1(tail * np.log(ANCHOR))
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


def _xlogy(x: Floats, y: Tensor) -> Tensor:
    return pt.switch(x > 0, x * pt.log(pt.maximum(y, 1e-300)), 0.0)
