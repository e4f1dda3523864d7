"""What positions of the sampler mean: effects, curves, accuracy of cells. All draws at once; nothing is compiled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tolerance.model.covariance import Covariance
from tolerance.model.curve import log_anchor_hazard, signed_root, steepness, survival
from tolerance.model.density import LEAST, LEAST_ABOVE, TAIL_ENDS, Design
from tolerance.model.parameters import DEPARTURE, Parameters

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Meaning:
    """Effects of each draw. ``log_scales`` go by effect; ``means`` are what effects with a mean lie around."""

    dense_task: Floats  # logit of dense accuracy before configurations (draw, task)
    dense: Floats  # logit of dense accuracy above the rule's floor (draw, task, config)
    loc: Floats  # log halvings at which 60% is left (draw, sparsifier, task)
    loc_config: Floats  # added to loc (draw, config)
    shape: Floats  # log (draw, sparsifier, task)
    tail: Floats  # (draw,)
    floor: Floats  # (draw, task)
    increments: Floats  # of logit departures that the tasks of a type share, knot by knot (draw, knot)
    log_scales: dict[str, Floats]  # (draw,) each
    means: dict[str, Floats]


def meaning(positions: Floats, parameters: Parameters, design: Design) -> Meaning:
    """Positions ``(draw, size)`` by what they mean."""
    return _Reader(positions, parameters, design).read()


class _Reader:
    """What the parts of a reading share."""

    def __init__(self, positions: Floats, parameters: Parameters, design: Design) -> None:
        self.parameters, self.cells = parameters, parameters.cells
        self.values = parameters.named(positions)
        self.lambdas = parameters.named(design.lambdas)
        self.n = len(positions)
        self.log_scales = {
            name: np.log(parameters.scale(f"sd_{name}")[0])
            + parameters.scale(f"sd_{name}")[1] * self.values[f"sd_{name}_z"]
            for name in parameters.scaled
        }
        median, spread = parameters.scale(DEPARTURE)
        self.log_scales["departure"] = np.log(median) + spread * self.values[f"{DEPARTURE}_z"]

    def read(self) -> Meaning:
        parameters, priors = self.parameters, self.parameters.priors
        of_type, contrasts = self.cells.types(), parameters.contrasts
        covariates = self.cells.covariates.to_numpy(dtype=np.float64)
        means = {
            "dense_task": self.values["dense_mean"][:, None]
            + self.fixed("dense_type_z", contrasts["type"], priors.sd_dense_type)[:, of_type]
        }
        dense_task = self.around("dense_task", means["dense_task"])
        slopes = self.fixed("dense_slope_z", covariates, priors.slope_dense)
        means["dense_config"] = dense_task[:, :, None] + slopes[:, None, :]
        means["loc_curve"] = self.curve_means("loc", priors.sd_loc_type) + self.crossed()[:, :, of_type]
        means["shape_curve"] = self.curve_means("shape", priors.sd_shape_type)
        means["loc_config"] = self.fixed("loc_slope_z", covariates, priors.slope_loc) @ contrasts["config"]
        loc_config = self.around("loc_config", means["loc_config"]) @ contrasts["config"].T
        return Meaning(
            dense_task=dense_task,
            dense=self.around("dense_config", means["dense_config"]),
            loc=self.around("loc_curve", means["loc_curve"]),
            loc_config=loc_config,
            shape=self.around("shape_curve", means["shape_curve"]),
            tail=np.exp(np.clip(self.values["log_tail"], *TAIL_ENDS)),
            floor=self.floor(),
            increments=self.effects("departure_type") * parameters.knots.step,
            log_scales=self.log_scales,
            means=means,
        )

    def effects(self, name: str) -> Floats:
        """Effects around 0, from coordinates between centred and non-centred."""
        return self.around(name, np.zeros(self.parameters.shapes[f"{name}_z"])[None])

    def around(self, name: str, mean: Floats) -> Floats:
        """Effects around their mean; the mean where the design has none."""
        if name not in self.log_scales:
            return mean
        sampled, weight = self.values[f"{name}_z"], self.lambdas[f"{name}_z"]
        log_scale = self.log_scales[name].reshape(-1, *[1] * weight.ndim)
        return np.asarray(mean + np.exp((1 - weight) * log_scale) * (sampled - weight * mean))

    def fixed(self, name: str, columns: Floats, scale: float) -> Floats:
        """Effects of known scale on the columns of a matrix ``(draw, row)``."""
        if name not in self.values:
            return np.zeros((self.n, len(columns)))
        return np.asarray(scale * self.values[name] @ columns.T)

    def zero_sum(self, name: str, contrasts: Floats) -> Floats:
        """Effects of estimated scale on zero-sum contrasts ``(draw, group)``."""
        if name not in self.log_scales:
            return np.zeros((self.n, len(contrasts)))
        return np.asarray(self.effects(name) @ contrasts.T)

    def curve_means(self, which: str, sd_type: float) -> Floats:
        """Means of locations or shapes before sparsifier x type effects ``(draw, sparsifier, task)``."""
        contrasts = self.parameters.contrasts
        types = self.fixed(f"{which}_type_z", contrasts["type"], sd_type)[:, self.cells.types()]
        tasks = types + self.zero_sum(f"{which}_task", contrasts["task"])
        methods = self.zero_sum(f"{which}_sparsifier", contrasts["sparsifier"])
        return np.asarray(self.values[f"{which}_mean"][:, None, None] + methods[:, :, None] + tasks[:, None, :])

    def crossed(self) -> Floats:
        """Sparsifier x type effects of the location ``(draw, sparsifier, type)``."""
        contrasts = self.parameters.contrasts
        if "loc_sparsifier_type" not in self.log_scales:
            return np.zeros((self.n, len(self.cells.sparsifiers), len(self.cells.task_types)))
        return np.asarray(contrasts["sparsifier"] @ self.effects("loc_sparsifier_type") @ contrasts["type"].T)

    def floor(self) -> Floats:
        """Accuracy of a model that has lost everything ``(draw, task)``."""
        chance, guessable = np.asarray(self.cells.chance), self.parameters.guessable
        out = np.zeros((self.n, len(chance)))
        if len(guessable):
            rule = np.log(chance[guessable] / (1 - chance[guessable]))
            out[:, guessable] = expit(rule + self.parameters.priors.sd_floor * self.values["floor_z"])
        return out


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
        m.loc[:, method, task[sparse]] + m.loc_config[:, config[sparse]],
        m.shape[:, method, task[sparse]],
        m.tail[:, None],
    )
    family = np.maximum(above[:, sparse] * left, 1e-250)
    before = np.concatenate([np.zeros((len(m.tail), 1)), np.cumsum(m.increments, axis=1)], axis=1)
    start, at = knots.start[method, cells.types()[task[sparse]]], knots.cell[sparse]
    shared = before[:, at] - before[:, start] + knots.part[sparse] * m.increments[:, at]
    above[:, sparse] = family / (family + (1 - family) * np.exp(-np.clip(shared, -50, 50)))
    return np.asarray(floor + (1 - floor) * above)


def location_slopes(m: Meaning, accuracy: Floats, parameters: Parameters) -> Floats:
    """Change of each cell's accuracy with its log location ``(draw, cell)``; 0 for dense cells."""
    cells = parameters.cells
    sparse = slice(cells.n_dense, None)
    task, method, tail = cells.task[sparse], cells.sparsifier, m.tail[:, None]
    steep = steepness(m.shape[:, method, task], tail)
    away = np.log(cells.halvings[sparse]) - m.loc[:, method, task] - m.loc_config[:, cells.config[sparse]]
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
