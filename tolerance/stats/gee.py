"""A trend by generalised estimating equations: scores against a covariate, answers to one item exchangeable.

The equations of Liang & Zeger (1986, doi:10.1093/biomet/73.1.13) for a binomial mean with logit link, an intercept for
each block and one slope, and their robust covariance. An exchangeable correlation has a closed inverse, so a step is
a handful of sums over answers and over items; statsmodels, which gives the same numbers (a test holds them together),
loops over the items in Python and would take minutes where this takes milliseconds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Failure = Literal[
    "every answer is right", "every answer is wrong", "no answer changes", "one level", "one item", "no convergence"
]
MOST_STEPS = 100
STILL = 1e-9
# Beyond this many logits a fitted share is 0 or 1: the answers are separated and the slope has no finite estimate.
SEPARATED = 15.0
MOST_CORRELATED = 0.99


@dataclass(frozen=True)
class Slope:
    """Change of log odds per unit of the covariate, its robust standard error, and the answers it rests on.

    ``correlation`` is the working correlation of two answers to one item; ``left_out`` counts blocks whose answers do
    not vary: their intercept is infinite and they say nothing about the slope.
    """

    slope: float
    se: float
    correlation: float
    n_answers: int
    n_items: int
    left_out: int


def slope(score: Floats, covariate: Floats, block: Ints, item: Ints, often: Floats | None = None) -> Slope | Failure:
    """The trend of scores in [0, 1] ``(answer,)``, or why there is none; items are coded by block or across blocks.

    ``often`` ``(item,)``: how many items with the same answers each stands for; None for one.
    """
    often = np.ones(int(item.max()) + 1) if often is None else often
    if np.ptp(score) == 0 or (not (_spread(score, item) > 0).any() and np.bincount(item)[item].min() > 1):
        return _unchanging(score)
    varies = np.flatnonzero(_spread(score, block) > 0)
    if not len(varies):
        return "no answer changes"
    keep = np.isin(block, varies)
    left_out = len(np.unique(block)) - len(varies)
    score, covariate = score[keep], covariate[keep]
    block = np.unique(block[keep], return_inverse=True)[1]
    left, item = np.unique(item[keep], return_inverse=True)
    often = often[left]
    if np.ptp(covariate) == 0:
        return "one level"
    if often.sum() == 1:
        return "one item"
    found = _Equations(score, covariate, block, item, often).solve()
    if found is None:
        return "no convergence"
    return Slope(*found, n_answers=int(often[item].sum()), n_items=int(often.sum()), left_out=left_out)


def _spread(score: Floats, block: Ints) -> Floats:
    high, low = np.full(block.max() + 1, -np.inf), np.full(block.max() + 1, np.inf)
    np.maximum.at(high, block, score)
    np.minimum.at(low, block, score)
    return np.asarray(high - low)


def _unchanging(score: Floats) -> Failure:
    if np.all(score == 1):
        return "every answer is right"
    return "every answer is wrong" if np.all(score == 0) else "no answer changes"


@dataclass(frozen=True)
class _Equations:
    """Answers ``(answer,)`` with the codes of their block and item; parameters: block intercepts, then the slope.

    ``often`` ``(item,)``: how many items each stands for.
    """

    score: Floats
    covariate: Floats
    block: Ints
    item: Ints
    often: Floats

    @cached_property
    def weight(self) -> Floats:
        """How many answers each stands for ``(answer,)``."""
        return self.often[self.item]

    def solve(self) -> tuple[float, float, float] | None:
        """Slope, robust standard error and working correlation; none where no finite solution is found.

        Near a correlation of 1 the moment estimate may never settle; the robust covariance is right for any working
        correlation, and independence always settles where there is a finite solution.
        """
        return self._solve() or self._solve(independent=True)

    def _solve(self, *, independent: bool = False) -> tuple[float, float, float] | None:
        share = np.bincount(self.block, self.weight * self.score) / np.bincount(self.block, self.weight)
        beta, rho = np.append(logit(share), 0.0), 0.0
        for _ in range(MOST_STEPS):
            bread, score, _ = self._terms(beta, rho)
            try:
                step = np.linalg.solve(bread, score)
            except np.linalg.LinAlgError:
                return None
            beta = beta + step
            if not np.all(np.isfinite(beta)) or np.abs(self._predictor(beta)).max() > SEPARATED:
                return None
            before, rho = rho, 0.0 if independent else self._correlation(beta)
            if np.abs(step).max() < STILL and abs(rho - before) < STILL:
                break
        else:
            return None
        bread, _, by_item = self._terms(beta, rho)
        half = np.linalg.solve(bread, by_item.T)
        return float(beta[-1]), float(np.sqrt((self.often * half[-1] ** 2).sum())), rho

    def _predictor(self, beta: Floats) -> Floats:
        return np.asarray(beta[self.block] + beta[-1] * self.covariate)

    def _correlation(self, beta: Floats) -> float:
        """Moment estimate of the correlation of two Pearson residuals of one item."""
        mean = expit(self._predictor(beta))
        residual = (self.score - mean) / np.sqrt(mean * (1 - mean))
        sizes = np.bincount(self.item)
        squares = float((self.weight * residual**2).sum())
        products = (float((self.often * np.bincount(self.item, residual) ** 2).sum()) - squares) / 2
        n, n_pairs = float(self.weight.sum()), float((self.often * sizes * (sizes - 1)).sum()) / 2
        if n <= len(beta) or n_pairs <= len(beta):
            return 0.0
        found = products / (n_pairs - len(beta)) / (squares / (n - len(beta)))
        return float(np.clip(found, -0.9 / max(int(sizes.max()) - 1, 1), MOST_CORRELATED))

    def _terms(self, beta: Floats, rho: float) -> tuple[Floats, Floats, Floats]:
        """Expected information, score, and each item's part of the score ``(item, parameter)``, all times 1 - rho.

        With R exchangeable, (1 - rho) R^-1 = I - c J, c = rho / (1 + (m - 1) rho), for an item with m answers.
        """
        n_blocks, n_items = len(beta) - 1, int(self.item.max()) + 1
        mean = expit(self._predictor(beta))
        variance = mean * (1 - mean)
        root, left = np.sqrt(variance), self.score - mean
        shrink = rho / (1 + (np.bincount(self.item) - 1) * rho)
        weight = self._by_item(root, n_blocks, n_items)
        residual = shrink * np.bincount(self.item, left / root)
        by_item = self._by_item(left, n_blocks, n_items) - residual[:, None] * weight
        bread = np.zeros((len(beta), len(beta)))
        each = self.weight * variance
        np.fill_diagonal(bread, np.append(np.bincount(self.block, each), (each * self.covariate**2).sum()))
        bread[:-1, -1] = bread[-1, :-1] = np.bincount(self.block, each * self.covariate)
        bread -= (weight * (shrink * self.often)[:, None]).T @ weight
        return bread, (self.often[:, None] * by_item).sum(axis=0), by_item

    def _by_item(self, values: Floats, n_blocks: int, n_items: int) -> Floats:
        """Sums over an item's answers of values times the design ``(item, parameter)``."""
        by_block = np.bincount(self.item * n_blocks + self.block, values, minlength=n_items * n_blocks)
        along = np.bincount(self.item, values * self.covariate)
        return np.column_stack([by_block.reshape(n_items, n_blocks), along])
