"""The covariance of cells: the same items under every condition, and departures of cells from the curve family.

In a block (a task at one context length, all models together) signed-root deviance residuals are normal around c with
covariance R + sigma^2 A. R correlates the sampling noise of cells that asked the same items; sigma^2 A is that of
departures from the curve. One eigenproblem a block makes both diagonal, w = B (r - c) ~ N(0, 1 + sigma^2 spread),
whatever the number of items.

Signed-root residuals have a mean m that is not 0 off accuracy 1/2. In a cell's own likelihood that is as it should be,
but products of residuals with the slopes of other cells would pull accuracies towards 1/2. With c = (1 - R) m the
expected slope of the log likelihood is 0 at the true accuracies, to first order; c is 0 where cells are uncorrelated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from tolerance.data.cells import Cells
from tolerance.model.curve import signed_root_mean

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Whitening and unwhitening matrix of a block ``(cell, cell)``, and its spread ``(cell,)``.
type Parts = tuple[Floats, Floats, Floats]
# Latent correlations of two conditions are shrunk towards those of their kind, which counts as this many items.
SHRINK = 50.0
LATENT = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.97, 0.985])
# Answers' worth of the fitted accuracy in the accuracy at which a departure is scaled.
FITTED_ANSWERS = 4.0


@dataclass(frozen=True)
class Covariance:
    """Whitening of every block: cells in block order, matrices ``(cell, cell)`` and their inverses flat one by one.

    ``mean`` is m, the mean of each cell's residual ``(cell,)``.
    """

    starts: Ints
    order: Ints
    whitening: Floats
    unwhitening: Floats
    spread: Floats
    mean: Floats

    @cached_property
    def matrices(self) -> list[tuple[Ints, Floats, Floats]]:
        """Cells, whitening matrix and spread of each block."""
        cells = np.split(self.order, self.starts[1:-1])
        spreads = np.split(self.spread, self.starts[1:-1])
        return list(zip(cells, self._square(self.whitening), spreads, strict=True))

    @cached_property
    def inverses(self) -> list[Floats]:
        """Inverse of the whitening matrix of each block."""
        return self._square(self.unwhitening)

    @cached_property
    def centre(self) -> Floats:
        """What residuals lie around: (1 - R) m ``(cell,)``."""
        out = np.empty(len(self.mean))
        for (group, _, _), inverse in zip(self.matrices, self.inverses, strict=True):
            out[group] = self.mean[group] - inverse @ (inverse.T @ self.mean[group])
        return out

    @cached_property
    def departure(self) -> Floats:
        """Variance of each cell's departure over sigma^2, in units of its residual's ``(cell,)``."""
        out = np.zeros(len(self.order))
        for (group, _, spread), inverse in zip(self.matrices, self.inverses, strict=True):
            out[group] = inverse**2 @ spread
        return out

    def _square(self, flat: Floats) -> list[Floats]:
        sizes = np.diff(self.starts)
        parts = np.split(flat, np.cumsum(sizes**2)[:-1])
        return [part.reshape(size, size) for part, size in zip(parts, sizes, strict=True)]


def blocks(cells: Cells, accuracy: Floats, noise: list[Floats], departures: list[Floats]) -> Covariance:
    """Both covariances made diagonal, block by block; matrices in the order of ``cells.blocks``."""
    parts = [_diagonal(*both) for both in zip(noise, departures, strict=True)]
    return _flat(cells.blocks, parts, signed_root_mean(cells.weight, accuracy))


def _flat(groups: Sequence[Ints], parts: list[Parts], mean: Floats) -> Covariance:
    """Whitening, unwhitening and spread of each block, one after the other."""
    whitening, unwhitening, spread = zip(*parts, strict=True)
    return Covariance(
        starts=np.r_[0, np.cumsum([len(group) for group in groups])].astype(np.int64),
        order=np.concatenate(groups).astype(np.int64),
        whitening=np.concatenate([matrix.ravel() for matrix in whitening]),
        unwhitening=np.concatenate([matrix.ravel() for matrix in unwhitening]),
        spread=np.concatenate(spread),
        mean=mean,
    )


def _diagonal(correlation: Floats, departure: Floats) -> Parts:
    """Whitening and unwhitening of one block, and its spread."""
    root = np.linalg.cholesky(correlation)
    inverse = np.linalg.inv(root)
    values, vectors = np.linalg.eigh(inverse @ departure @ inverse.T)
    return vectors.T @ inverse, root @ vectors, np.maximum(values, 0.0)


def without(built: Covariance, cell: int) -> Covariance:
    """The same blocks for a likelihood that does not see one cell: its row of the whitening is nothing but zeros."""
    parts = []
    for (group, whitening, spread), unwhitening in zip(built.matrices, built.inverses, strict=True):
        one: Parts = whitening.copy(), unwhitening.copy(), spread.copy()
        if cell in group:
            rest = np.flatnonzero(group != cell)
            kept = unwhitening[rest]
            for part, smaller in zip(one, _diagonal(kept @ kept.T, (kept * spread) @ kept.T), strict=True):
                part[...] = 0.0
                part[np.ix_(*[rest] * part.ndim)] = smaller
        parts.append(one)
    mean = built.mean.copy()
    mean[cell] = 0.0
    return _flat([group for group, _, _ in built.matrices], parts, mean)


def independent(cells: Cells) -> list[Floats]:
    """No correlation between conditions, block by block."""
    return [np.eye(len(group)) for group in cells.blocks]


def paired(cells: Cells, accuracy: Floats) -> list[Floats]:
    """Correlation of the sampling noise of cells that asked the same items, block by block.

    Two conditions share a latent (tetrachoric) correlation, which carries over between accuracies where the correlation
    of right and wrong does not. It is pooled over the tasks and configurations that have both conditions and shrunk
    towards that of all conditions of one kind. Accuracies are the fitted ones: at observed ones, cells without a
    mistake would tell nothing.
    """
    if not cells.pairs:
        return independent(cells)
    accuracy = np.clip(accuracy, 1e-4, 1 - 1e-4)
    table = _pair_table(cells, accuracy)
    rho = _latent_correlations(table)
    covariance = _covariance(rho, table["first_p"].to_numpy(), table["second_p"].to_numpy())
    sizes = np.array([len(group) * (len(group) - 1) // 2 for group in cells.blocks])
    out = []
    for group, pair, mine in zip(cells.blocks, cells.pairs, np.split(covariance, np.cumsum(sizes)[:-1]), strict=True):
        i, j = np.triu_indices(len(group), 1)
        items, sd = np.diag(pair.common), np.sqrt(accuracy[group] * (1 - accuracy[group]))
        matrix = np.eye(len(group))
        matrix[i, j] = matrix[j, i] = mine / (sd[i] * sd[j]) * pair.common[i, j] / np.sqrt(items[i] * items[j])
        out.append(_positive(matrix))
    return out


def _pair_table(cells: Cells, accuracy: Floats) -> pd.DataFrame:
    """One row for each two cells of a block: which conditions, of what kind, their accuracies, items and covariance."""
    condition = cells.frame.groupby(["sparsifier", "sparsity_requested"], sort=True).ngroup().to_numpy()
    method = cells.frame["sparsifier"].astype("category").cat.codes.to_numpy()
    dense = np.arange(len(cells.frame)) < cells.n_dense
    parts: dict[str, list[Floats]] = {}
    for group, pair in zip(cells.blocks, cells.pairs, strict=True):
        i, j = np.triu_indices(len(group), 1)
        a, b = group[i], group[j]
        common = pair.common[i, j]
        # one model under two conditions, and two models, are alike in other ways
        apart = cells.config[a] != cells.config[b]
        kind = np.where(
            dense[a] & dense[b], 0, np.where(dense[a] | dense[b], 1, np.where(method[a] == method[b], 2, 3))
        )
        kind = np.where(apart, kind + 4, kind)
        both = np.minimum(condition[a], condition[b]) * len(cells.frame) + np.maximum(condition[a], condition[b])
        columns = {
            "condition": both + apart * len(cells.frame) ** 2,
            "kind": kind,
            "first_p": accuracy[a],
            "second_p": accuracy[b],
            "items": common,
            # both means are taken out of the products, which costs one item
            "covariance": pair.products[i, j] * common / np.maximum(common - 1, 1),
        }
        for name, values in columns.items():
            parts.setdefault(name, []).append(values)
    return pd.DataFrame({name: np.concatenate(values) for name, values in parts.items()})


def _latent_correlations(table: pd.DataFrame) -> Floats:
    """Latent correlation of the two conditions of each row."""
    p, q = table["first_p"].to_numpy(), table["second_p"].to_numpy()
    grid = pd.DataFrame({i: table["items"] * _covariance(np.full(len(p), r), p, q) for i, r in enumerate(LATENT)})
    usual = _matching(table["covariance"], grid, table["kind"])[0]
    own, information = _matching(table["covariance"], grid, table["condition"])
    return np.asarray((information * own + SHRINK * usual) / (information + SHRINK))


def _matching(covariance: "pd.Series[float]", grid: pd.DataFrame, keys: "pd.Series[int]") -> tuple[Floats, Floats]:
    """The latent correlation at which the covariances of a group sum to what they are, and how many items say so."""
    codes, _ = pd.factorize(keys)
    seen = np.bincount(codes, covariance)
    expected = np.stack([np.bincount(codes, grid[i]) for i in grid], axis=1)
    rho = np.array([np.interp(s, row, LATENT) for s, row in zip(seen, expected, strict=True)])
    # four times the covariance of even, fully correlated answers is 1
    return rho[codes], 4 * expected[codes, -1]


def _covariance(rho: Floats, p: Floats, q: Floats) -> Floats:
    """Covariance of two 0/1 answers with latent correlation rho and accuracies p, q (Drezner & Wesolowsky 1990)."""
    h, k = ndtri(p), ndtri(q)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    half = np.arcsin(rho) / 2
    angle = half[:, None] * (1 + nodes)
    exponent = ((h**2 + k**2)[:, None] - 2 * (h * k)[:, None] * np.sin(angle)) / (2 * np.cos(angle) ** 2)
    return np.asarray(half * (np.exp(-exponent) @ weights) / (2 * np.pi))


def _positive(matrix: Floats) -> Floats:
    """The nearest usable correlation matrix: negative eigenvalues are lifted, the diagonal stays 1."""
    values, vectors = np.linalg.eigh(matrix)
    if values[0] >= 0.02:
        return matrix
    lifted = (vectors * np.maximum(values, 0.02)) @ vectors.T
    root = np.sqrt(np.diag(lifted))
    return np.asarray(lifted / root[:, None] / root[None, :])


def departures(cells: Cells, accuracy: Floats, slope: Floats | None = None) -> list[Floats]:
    """Covariance of departures from the curve over sigma^2, block by block, in units of the residuals' noise.

    On the logit of accuracy a departure is a Wiener process in log2(1 + halvings), 0 at the dense end, on its own for
    each sparsifier and model: near each other levels depart alike. With ``slope``, the change of each cell's accuracy
    with its log location, the curve of a configuration may also be shifted as a whole. A logit counts sqrt(n p (1 - p))
    residuals.
    """
    scale = logit_scale(cells, accuracy)
    along = np.log2(1 + cells.halvings)
    method = np.full(len(cells.frame), -1)
    method[cells.n_dense :] = cells.sparsifier
    shift = np.zeros(len(cells.frame))
    if slope is not None:
        p = np.clip(accuracy, 1e-6, 1 - 1e-6)
        shift = slope * np.sqrt(cells.weight / (p * (1 - p)))
    out = []
    for group in cells.blocks:
        curve = method[group] * len(cells.configs) + np.where(method[group] < 0, -1, cells.config[group])
        same = curve[:, None] == curve[None, :]
        wiener = np.minimum(along[group][:, None], along[group][None, :])
        matrix = wiener * scale[group][:, None] * scale[group][None, :]
        matrix += shift[group][:, None] * shift[group][None, :]
        out.append(np.where(same, matrix, 0.0))
    return out


def logit_scale(cells: Cells, accuracy: Floats) -> Floats:
    """Residuals in one logit of accuracy ``(cell,)``: at observed accuracy, steadied by a few answers of the fitted."""
    n = cells.weight
    share = np.clip(cells.right / cells.n, 0.0, 1.0)
    p = (n * share + FITTED_ANSWERS * accuracy) / (n + FITTED_ANSWERS)
    return np.asarray(np.sqrt(n * p * (1 - p)))
