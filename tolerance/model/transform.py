"""What positions of the sampler mean: effects, curves, accuracy of cells. All draws at once; nothing is compiled."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tolerance.model.covariance import Covariance
from tolerance.model.curve import log_anchor_hazard, signed_root, steepness, survival
from tolerance.model.density import LEAST, LEAST_ABOVE, TAIL_ENDS, Design
from tolerance.model.factors import EACH, Placed
from tolerance.model.parameters import DEPARTURE, Parameters
from tolerance.model.terms import BEFORE, PREDICTORS, Predictor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Meaning:
    """Effects of each draw. ``log_scales``, ``effects`` and ``means`` go by term of estimated scale.

    ``effects`` are in the term's coordinates, before its bases ``(draw, coordinate)``; ``means`` are what coordinates
    between centred and non-centred are centred on.
    """

    dense: Floats  # logit of dense accuracy above the rule's floor (draw, task, config)
    loc: Floats  # log halvings at which 60% is left (draw, sparsifier, task, config)
    shape: Floats  # log (draw, sparsifier, task, config)
    tail: Floats  # (draw,)
    floor: Floats  # (draw, task)
    increments: Floats  # of logit departures that curves share, along their paths (draw, increment)
    log_scales: dict[str, Floats]  # (draw,) each
    effects: dict[str, Floats]
    means: dict[str, Floats]


def meaning(positions: Floats, parameters: Parameters, design: Design) -> Meaning:
    """Positions ``(draw, size)`` by what they mean."""
    return _Reader(positions, parameters, design).read()


class _Reader:
    """What the parts of a reading share."""

    def __init__(self, positions: Floats, parameters: Parameters, design: Design) -> None:
        self.parameters, self.positions, self.lambdas = parameters, positions, design.lambdas
        self.values = parameters.named(positions)
        names = {name: f"sd_{name}" for name in parameters.scaled} | {"departure": DEPARTURE}
        self.log_scales = {
            name: np.log(parameters.scale(scale)[0]) + parameters.scale(scale)[1] * self.values[f"{scale}_z"]
            for name, scale in names.items()
        }
        self.effects: dict[str, Floats] = {}
        self.means: dict[str, Floats] = {}

    def read(self) -> Meaning:
        cells, knots = self.parameters.cells, self.parameters.knots
        grid = len(cells.sparsifiers), len(cells.tasks), len(cells.configs)
        found = {predictor: self.predicted(predictor) for predictor in PREDICTORS}
        n = len(self.positions)
        return Meaning(
            dense=found["dense"].reshape(n, *grid[1:]),
            loc=found["loc"].reshape(n, *grid),
            shape=found["shape"].reshape(n, *grid),
            tail=np.exp(np.clip(self.values["log_tail"], *TAIL_ENDS)),
            floor=self.floor(),
            increments=found["departure"] * knots.step[knots.knot],
            log_scales=self.log_scales,
            effects=self.effects,
            means=self.means,
        )

    def predicted(self, predictor: Predictor) -> Floats:
        """A linear predictor ``(draw, element)``, term by term."""
        placed = self.parameters.terms[predictor]
        out = np.zeros((len(self.positions), len(placed[0].level)))
        levels: dict[str, Floats] = {}
        for one in placed:
            effect = self.coordinates(one, out, levels)
            levels[one.term.name] = spread(one, effect)
            values = np.concatenate([levels[one.term.name], np.zeros((len(out), 1))], axis=1)
            out += values[:, one.level]
        return out

    def coordinates(self, placed: Placed, before: Floats, levels: Mapping[str, Floats]) -> Floats:
        """Effects of a term around 0, in its coordinates ``(draw, coordinate)``."""
        term, place = placed.term, self.parameters.where[placed.term.variable]
        values = self.positions[:, place]
        if not term.estimated:
            return values if term.is_mean else self.parameters.known_scale(term) * values
        weight, centre = self.lambdas[place], self.parameters.around(term.name)
        mean = np.zeros_like(values)
        if term.around == BEFORE:
            mean = np.where(placed.first >= 0, before[:, placed.first], 0.0)
        elif centre is not None:
            mean = gathered(placed, levels[centre.term.name])
        effect = np.exp((1 - weight) * self.log_scales[term.name][:, None]) * (values - weight * mean)
        self.effects[term.name], self.means[term.name] = effect, mean
        return np.asarray(effect)

    def floor(self) -> Floats:
        """Accuracy of a model that has lost everything ``(draw, task)``."""
        chance, guessable = np.asarray(self.parameters.cells.chance), self.parameters.guessable
        out = np.zeros((len(self.positions), len(chance)))
        if len(guessable):
            rule = np.log(chance[guessable] / (1 - chance[guessable]))
            out[:, guessable] = expit(rule + self.parameters.priors.sd_floor * self.values["floor_z"])
        return out


def spread(placed: Placed, effects: Floats) -> Floats:
    """What effects in coordinates ``(draw, coordinate)`` count in each level ``(draw, level)``."""
    if len(placed.bases) == 1:
        basis = placed.bases[0]
        return effects if basis.kind == EACH else np.asarray(effects @ basis.matrix.T)
    one, other = (basis.matrix for basis in placed.bases)
    return np.asarray(one @ effects.reshape(-1, *placed.shape) @ other.T).reshape(len(effects), -1)


def gathered(placed: Placed, levels: Floats) -> Floats:
    """The transposed of `spread`."""
    if len(placed.bases) == 1:
        return np.asarray(levels @ placed.bases[0].matrix)
    one, other = (basis.matrix for basis in placed.bases)
    return np.asarray(one.T @ levels.reshape(-1, len(one), len(other)) @ other).reshape(len(levels), -1)


def accuracies(m: Meaning, parameters: Parameters) -> Floats:
    """Accuracy that the curves, with what departures a type shares, give each cell ``(draw, cell)``."""
    cells, knots = parameters.cells, parameters.knots
    sparse = slice(cells.n_dense, None)
    task, config, method = cells.task, cells.config, cells.sparsifier
    chance, floor = np.asarray(cells.chance)[task], m.floor[:, task]
    whole = chance + (1 - chance) * expit(m.dense[:, task, config])
    above = np.maximum((whole - floor) / (1 - floor), LEAST_ABOVE)
    left = survival(
        cells.halvings[sparse],
        m.loc[:, method, task[sparse], config[sparse]],
        m.shape[:, method, task[sparse], config[sparse]],
        m.tail[:, None],
    )
    family = np.maximum(above[:, sparse] * left, 1e-250)
    before = np.concatenate([np.zeros((len(m.tail), 1)), np.cumsum(m.increments, axis=1)], axis=1)
    start, at = knots.path[method, cells.types()[task[sparse]], config[sparse]], knots.cell[sparse]
    shared = before[:, at] - before[:, start] + knots.part[sparse] * m.increments[:, at]
    above[:, sparse] = family / (family + (1 - family) * np.exp(-np.clip(shared, -50, 50)))
    return np.asarray(floor + (1 - floor) * above)


def location_slopes(m: Meaning, accuracy: Floats, parameters: Parameters) -> Floats:
    """Change of each cell's accuracy with its log location ``(draw, cell)``; 0 for dense cells."""
    cells = parameters.cells
    sparse = slice(cells.n_dense, None)
    task, method, config, tail = cells.task[sparse], cells.sparsifier, cells.config[sparse], m.tail[:, None]
    steep = steepness(m.shape[:, method, task, config], tail)
    away = np.log(cells.halvings[sparse]) - m.loc[:, method, task, config]
    broken = expit(steep * away + log_anchor_hazard(tail) + np.log(tail))
    out = np.zeros_like(accuracy)
    out[:, sparse] = (accuracy[:, sparse] - m.floor[:, task]) * steep * broken / tail
    return out


def departures(
    m: Meaning, accuracy: Floats, parameters: Parameters, blocks: Covariance, rng: np.random.Generator
) -> Floats:
    """A draw of each cell's departure from its accuracy, given the answers, in arcsin(sqrt(accuracy)) ``(draw, cell)``.

    In those units residuals are linear, and noise and departures are normal.
    """
    cells = parameters.cells
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    residual = signed_root(share, cells.weight, np.clip(accuracy, LEAST, 1 - LEAST)) - blocks.centre
    variance = np.exp(2 * m.log_scales["departure"])[:, None]
    out = np.empty_like(accuracy)
    for (group, whitening, spread), unwhitening in zip(blocks.matrices, blocks.inverses, strict=True):
        part = variance * spread / (1 + variance * spread)
        white = part * (residual[:, group] @ whitening.T) + np.sqrt(part) * rng.standard_normal(part.shape)
        out[:, group] = white @ unwhitening.T
    return np.asarray(out / (2 * np.sqrt(cells.weight)))
