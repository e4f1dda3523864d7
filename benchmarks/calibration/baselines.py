"""What others would do with the same outcomes: the estimators that the calibration study compares ours with.

Every baseline takes outcomes and the measured levels and answers with `Estimates`. None uses anything of ``tolerance``,
so that the peers can run in an environment of their own; `_peer` says which. All are given the estimand that we use:
the mean over the tasks of a type, the guessing floor subtracted, dense = 1.
"""

import importlib
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

Floats = NDArray[np.float64]
Interval = tuple[float, float, float]
Shares = dict[float, Interval]


@dataclass(frozen=True)
class Estimates:
    """Estimate, low and high end of the 90% interval of every quantity; NaN where the method gives none.

    ``tolerated`` is a sparsity by (task type, sparsifier): the estimate lies in [0, last level], a low end of 0 says
    "below the first level", a high end of 1 "beyond the last". ``retention`` is the share of dense above-floor accuracy
    by (task type, sparsifier, level).
    """

    tolerated: dict[tuple[str, str], Interval]
    retention: dict[tuple[str, str, float], Interval]


@dataclass(frozen=True)
class Curve:
    """One task type under one sparsifier, averaged over tasks: dense at sparsity 0 first, then the measured levels.

    ``mean`` and ``n`` are ``(level,)``. Where a level lacks tasks, ``mean`` is what its own tasks keep of *their* dense
    accuracy, carried to the dense accuracy of all, so that the mix of tasks does not pass for an effect. ``n`` is the
    number of independent answers that would give the variance of the mean over tasks (Kish 1965): the count of answers
    where tasks have equally many, fewer where they have not.
    """

    sparsity: Floats
    mean: Floats
    n: Floats
    chance: float

    @property
    def halvings(self) -> Floats:
        """Halvings of the density."""
        return _halvings(self.sparsity)

    @property
    def right(self) -> Floats:
        """Right answers out of ``n``: not whole where tasks differ in size."""
        return self.mean * self.n

    def kept(self, accuracy: Floats) -> Floats:
        """Share of dense above-floor accuracy, dense as observed."""
        return np.asarray((accuracy - self.chance) / (self.mean[0] - self.chance))

    def censored(self, found: Interval) -> Interval:
        """A tolerated sparsity with nothing claimed outside the measured levels."""
        first, last = self.sparsity[1], self.sparsity[-1]
        middle, low, high = found
        return (
            float(np.clip(middle, 0.0, last)),
            0.0 if low < first else float(np.minimum(low, last)),
            1.0 if high > last else float(high),
        )


Baseline = Callable[[pd.DataFrame, Sequence[float]], Estimates]

DENSE = "dense"
LEAST = 0.95
PROB = 0.9
Z = float(norm.ppf(0.5 + PROB / 2))
RESAMPLES = 400
DRAWS = 2000
NONE: Interval = (np.nan, np.nan, np.nan)
# An interval is withheld where more than this share of its draws has no retention: dense not above the floor.
MOST_UNDEFINED = 0.05
MOST_RHAT = 1.05
SEPARATED = 1e-6
# What the packages raise where the data allow no fit.
FAILURES = (ValueError, ArithmeticError, RuntimeError, np.linalg.LinAlgError)


def _quietly(method: Baseline) -> Baseline:
    """A failed fit is NaN in the answer; its warnings are the study's noise."""

    @wraps(method)
    def quiet(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
        logging.disable(logging.WARNING)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return method(outcomes, levels)
        finally:
            logging.disable(logging.NOTSET)

    return quiet


# Light baselines.


@_quietly
def published_habit(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """The largest tested level whose observed retention is at least 95%; no interval."""

    def one(curve: Curve) -> tuple[Interval, Shares]:
        kept = curve.kept(curve.mean)
        held = float(curve.sparsity[kept >= LEAST].max(initial=0.0))
        return (held, np.nan, np.nan), {s: (k, np.nan, np.nan) for s, k in _by_level(curve, kept)}

    return _each_curve(outcomes, levels, one)


@_quietly
def wilson_interpolation(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """Type means with Wilson intervals, interpolated linearly in halvings.

    Dense accuracy is taken at its point estimate, without an interval of its own. The ends of the tolerated level are
    where the lower and the upper interval curve cross.
    """
    from statsmodels.stats.proportion import proportion_confint

    def one(curve: Curve) -> tuple[Interval, Shares]:
        low, high = proportion_confint(curve.right, curve.n, alpha=1 - PROB, method="wilson")
        kept = np.stack([curve.kept(np.asarray(accuracy)) for accuracy in (curve.mean, low, high)])
        kept[:, 0] = 1.0
        at = _sparsity(_crossing(kept, curve.halvings))
        return curve.censored(_triple(at)), {s: _triple(k) for s, k in _by_level(curve, kept.T)}

    return _each_curve(outcomes, levels, one)


@_quietly
def item_bootstrap(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """Items of each task resampled with all their answers (paired), type means interpolated linearly in halvings.

    Percentile intervals of 400 resamples; the estimate is that of the items as they came.
    """
    rows = _measured(outcomes, levels)
    rng = np.random.default_rng(0)
    drawn = {task: _resampled_accuracy(mine, rng) for task, mine in rows.groupby("task")}
    floors = _floors(rows)

    def one(kind: str, sparsifier: str, curve: Curve) -> tuple[Interval, Shares]:
        of_type = rows[(rows["task_type"] == kind) & (rows["sparsifier"] == sparsifier)]
        tasks = of_type["task"].unique()
        wanted = [(DENSE, 0.0), *((sparsifier, s) for s in curve.sparsity[1:].tolist())]
        accuracy = np.stack([drawn[task].reindex(columns=wanted).to_numpy() for task in tasks])
        kept = _matched(accuracy.reshape(len(tasks), 1 + RESAMPLES, -1), floors[tasks].to_numpy()[:, None, None])
        return _read_off(kept, curve.halvings, curve)

    return _each_pair(outcomes, levels, one)


@_quietly
def glm(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """A logistic regression of a type's answers on sparsity, dense included; intervals by parametric simulation."""
    import statsmodels.api as sm

    def one(curve: Curve) -> tuple[Interval, Shares]:
        counts = np.column_stack([curve.right, curve.n - curve.right])
        return _logistic(sm.GLM(counts, sm.add_constant(curve.sparsity), family=sm.families.Binomial()).fit(), curve)

    return _each_curve(outcomes, levels, one)


@_quietly
def gee(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """The same regression by estimating equations: answers to one item exchangeable, robust covariance.

    Tasks weigh the same whatever their number of items. Where cells are missing the mix of tasks is not corrected.
    """
    import statsmodels.api as sm

    rows = _measured(outcomes, levels)
    rows = rows.assign(item=rows.groupby(["task", "item_id"]).ngroup())

    def one(kind: str, sparsifier: str, curve: Curve) -> tuple[Interval, Shares]:
        of_type = rows[rows["task_type"] == kind]
        asked = of_type.loc[of_type["sparsifier"] == sparsifier, "task"].unique()
        mine = of_type[of_type["sparsifier"].isin((DENSE, sparsifier)) & of_type["task"].isin(asked)]
        per_task = mine.groupby("task")["score"].transform("size")
        model = sm.GEE(
            mine["score"].to_numpy(dtype=float),
            sm.add_constant(mine["level"].to_numpy(dtype=float)),
            groups=mine["item"].to_numpy(),
            family=sm.families.Binomial(),
            cov_struct=sm.cov_struct.Exchangeable(),
            weights=(per_task.mean() / per_task).to_numpy(),
        )
        return _logistic(model.fit(), curve)

    return _each_pair(outcomes, levels, one)


# Peers: each needs a package that this project does not depend on.


@_quietly
def robustmargin(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """The package robustmargin 0.2.1: a dose-response curve in halvings, its threshold with a profile interval.

    A Weibull curve (``cloglog`` on a log axis), the dense asymptote estimated, the lower one fixed at chance; 5% of the
    range between them lost (``Definition.relative``) is then our estimand exactly. It takes whole counts of one curve,
    so counts are rounded and items are not paired. Where it fits nothing, its exact bounds are asked for that target
    with dense as observed, which is what its own ``baseline_fraction`` does. "Held up to the last level" counts as an
    estimate at the last level, where every other estimate is clipped; a failed fit has no estimate and no retention.
    """
    rm = _peer("robustmargin")

    def one(curve: Curve) -> tuple[Interval, Shares]:
        right, n = _whole(curve)
        observed = rm.Observations.from_counts(
            rm.Axis(name="sparsity", unit="halvings of density", scale="log"),
            severity=curve.halvings.tolist(),
            successes=right.tolist(),
            trials=n.tolist(),
            outcome="right",
            direction="decreasing",
        )
        fit = rm.fit_dose_response(observed, model="binomial", link="cloglog", upper="estimate", lower=curve.chance)
        fitted = fit.status is rm.Status.OK
        shares = {s: _dose_response_share(fit, x) for s, x in _by_level(curve, curve.halvings)} if fitted else {}
        target = curve.chance + LEAST * (right[0] / n[0] - curve.chance)
        wanted = rm.Definition.relative(1 - LEAST) if fitted else rm.Definition.absolute(float(target))
        found = rm.threshold(fit, definition=wanted, interval_method="profile", level=PROB)
        if found.value is None and found.lo is None and found.hi is None:
            return NONE, shares
        held = found.censoring is rm.Censoring.RIGHT
        value = np.inf if held else np.nan if found.value is None else found.value
        ends = (0.0 if found.lo is None else found.lo, np.inf if found.hi is None else found.hi)
        return curve.censored(_triple(_sparsity(np.array([value, *ends])))), shares

    return _each_curve(outcomes, levels, one)


@_quietly
def psignifit(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """The package psignifit 4.3: a beta-binomial psychometric function of log2 density, guess rate fixed at chance.

    It has no "fraction of dense": tolerated level and retention are read off 2,000 draws from its posterior grid
    (default priors), the estimate off its maximum. The curve rises with density, since the decreasing sigmoids of
    4.3 exchange their asymptotes between evaluation and inverse. The default prior keeps the midpoint within half a
    range of the levels. It takes whole counts of one curve: they are rounded, and items are not paired.
    """
    ps = _peer("psignifit")
    rng = np.random.default_rng(0)

    def one(curve: Curve) -> tuple[Interval, Shares]:
        data = np.column_stack([-curve.halvings, *_whole(curve)])
        fit = ps.psignifit(data, sigmoid="norm", fixed_parameters={"gamma": curve.chance}, verbose=False, debug=True)
        best, draws = fit.get_parameter_estimate("MAP"), fit.posterior_samples(DRAWS, random_state=rng)
        threshold, width, lapse = (np.r_[best[p], draws[p]][:, None] for p in ("threshold", "width", "lambda"))
        grid = _grid(curve)
        above = fit.configuration.make_sigmoid()(-grid[None], threshold, width, curve.chance, lapse) - curve.chance
        return _read_off(_ratio(above, above[:, :1]), grid, curve)

    return _each_curve(outcomes, levels, one)


@_quietly
def bambi_glmm(outcomes: pd.DataFrame, levels: Sequence[float]) -> Estimates:
    """The package bambi 0.21: a binomial GLMM of cells, logit-linear in halvings, all tasks in one model.

    ``p(right, n) ~ task_type + halvings:sparsifier:task_type + (halvings|task)``, default priors: the full product
    would give every sparsifier an intercept of its own, hence a loss at zero halvings. Dense cells have zero halvings,
    so it does not matter which sparsifier they are filed under. The mean over the measured tasks of a type is taken
    draw by draw; the estimate is the median. Nothing is returned from a fit whose chains disagree (R-hat above 1.05).
    """
    bmb, az = _peer("bambi"), _peer("arviz")
    cells = _cells(_measured(outcomes, levels))
    nothing = _each_pair(outcomes, levels, lambda *_: (NONE, {}))
    sparse = cells["sparsifier"] != DENSE
    if sparse.all() or not sparse.any():
        return nothing
    cells = cells.assign(
        halvings=_halvings(cells["level"].to_numpy()),
        right=cells["right"].round().astype(int),
        filed=cells["sparsifier"].where(sparse, cells.loc[sparse, "sparsifier"].iloc[0]),
    )
    types = "task_type + " if cells["task_type"].nunique() > 1 else ""
    model = bmb.Model(f"p(right, n) ~ {types}halvings:filed:task_type + (halvings|task)", cells, family="binomial")
    try:
        posterior = model.fit(
            draws=500, tune=500, chains=4, random_seed=1, progressbar=False, inference_method="nutpie"
        )
    except FAILURES:
        return nothing
    if _largest(az.rhat(posterior)) > MOST_RHAT:
        return nothing

    def one(kind: str, sparsifier: str, curve: Curve) -> tuple[Interval, Shares]:
        grid = _grid(curve)
        tasks = cells[(cells["task_type"] == kind) & (cells["sparsifier"] == sparsifier)].drop_duplicates("task")
        asked = tasks[["task", "task_type", "filed", "right", "n"]].merge(pd.Series(grid, name="halvings"), how="cross")
        told = model.predict(posterior, kind="response_params", data=asked, inplace=False)
        accuracy = told.posterior["p"].to_numpy().reshape(-1, len(tasks), grid.size).mean(1)
        above = accuracy - curve.chance
        kept = _ratio(above, above[:, :1])
        return _read_off(np.vstack([np.nanmedian(kept, axis=0), kept]), grid, curve)

    return _each_pair(outcomes, levels, one)


BASELINES: dict[str, Baseline] = {
    method.__name__: method for method in (published_habit, wilson_interpolation, item_bootstrap, glm, gee)
}
PEERS: dict[str, Baseline] = {method.__name__: method for method in (robustmargin, psignifit, bambi_glmm)}


# From outcomes to curves.


def _each_pair(
    outcomes: pd.DataFrame,
    levels: Sequence[float],
    one: Callable[[str, str, Curve], tuple[Interval, Shares]],
) -> Estimates:
    """The estimates of every task type under every sparsifier, NaN where there is no curve or no fit."""
    tolerated, retention = {}, {}
    for (kind, sparsifier), curve in _curves(outcomes, levels).items():
        found, shares = NONE, {}
        if curve is not None:
            try:
                found, shares = one(kind, sparsifier, curve)
            except FAILURES:
                found, shares = NONE, {}
        tolerated[kind, sparsifier] = found
        for s in levels:
            if s > 0:
                retention[kind, sparsifier, s] = shares.get(s, NONE)
    return Estimates(tolerated, retention)


def _each_curve(
    outcomes: pd.DataFrame, levels: Sequence[float], one: Callable[[Curve], tuple[Interval, Shares]]
) -> Estimates:
    """The same for a method that looks at one averaged curve at a time."""
    return _each_pair(outcomes, levels, lambda kind, sparsifier, curve: one(curve))


def _measured(outcomes: pd.DataFrame, levels: Sequence[float]) -> pd.DataFrame:
    """Scored rows of dense and of the levels, with the sparsity in ``level``."""
    dense = outcomes["sparsifier"] == DENSE
    level = outcomes["sparsity_requested"].where(~dense, 0.0).astype(float)
    asked = dense | level.isin([s for s in levels if s > 0])
    return outcomes.assign(level=level)[asked & outcomes["score"].notna()]


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Right answers and answers by task type, task, sparsifier and level."""
    by = ["task_type", "task", "sparsifier", "level"]
    return rows.groupby(by)["score"].agg(right="sum", n="size").reset_index()


def _floors(rows: pd.DataFrame) -> pd.Series:
    """The guessing floor by task."""
    return rows.groupby("task")["chance"].mean().fillna(0.0)


def _curves(outcomes: pd.DataFrame, levels: Sequence[float]) -> dict[tuple[str, str], Curve | None]:
    """The averaged curve by task type and sparsifier; None without dense, or where dense is not above the floor."""
    rows = _measured(outcomes, levels)
    cells, floors = _cells(rows), _floors(rows)
    curves: dict[tuple[str, str], Curve | None] = {}
    for kind, of_type in cells.groupby("task_type"):
        for sparsifier, mine in of_type[of_type["sparsifier"] != DENSE].groupby("sparsifier"):
            dense = of_type[(of_type["sparsifier"] == DENSE) & of_type["task"].isin(mine["task"])]
            curves[kind, sparsifier] = _averaged(pd.concat([dense, mine]), floors) if len(dense) else None
    return curves


def _averaged(cells: pd.DataFrame, floors: pd.Series) -> Curve | None:
    wide = cells.pivot_table(index="task", columns="level", values=["right", "n"], aggfunc="sum")
    wide = wide[wide["n"][0.0] > 0]
    n, floor = wide["n"].to_numpy(dtype=float), floors[wide.index].to_numpy()
    accuracy = wide["right"].to_numpy(dtype=float) / n
    kept = _matched(accuracy[:, None], floor[:, None, None])[0]
    there = ~np.isnan(kept)
    if there.sum() < 2 or not there[0]:
        return None
    dense, chance = accuracy[:, 0].mean(), float(floor.mean())
    return Curve(
        sparsity=wide["n"].columns.to_numpy(dtype=float)[there],
        mean=np.clip(chance + kept * (dense - chance), 0.0, 1.0)[there],
        n=((~np.isnan(n)).sum(0) ** 2 / np.nansum(1 / n, axis=0))[there],
        chance=chance,
    )


def _matched(accuracy: Floats, floor: Floats) -> Floats:
    """Retention ``(draw, level)`` of ``(task, draw, level)``: each level against dense of its own tasks."""
    both = ~np.isnan(accuracy + accuracy[..., :1])
    above = np.where(both, accuracy - floor, 0.0).sum(0)
    dense = np.where(both, accuracy[..., :1] - floor, 0.0).sum(0)
    return _ratio(above, dense)


def _ratio(above: Floats, dense: Floats) -> Floats:
    """Retention; not defined where dense is not above the floor."""
    return np.asarray(np.where(dense > 0, above / np.where(dense > 0, dense, 1.0), np.nan))


def _whole(curve: Curve) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right answers and answers as whole numbers."""
    n = np.maximum(np.rint(curve.n), 1)
    return np.rint(curve.mean * n).astype(int), n.astype(int)


def _resampled_accuracy(rows: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Accuracy of one task by (sparsifier, level), one row a resample of its items; row 0 is the items as they came."""
    wide = rows.pivot_table(
        index="item_id", columns=["sparsifier", "level"], values="score", aggfunc=["sum", "count"], fill_value=0
    )
    right, n = wide["sum"], wide["count"].to_numpy(dtype=float)
    times = rng.multinomial(len(wide), np.full(len(wide), 1 / len(wide)), size=RESAMPLES)
    times = np.vstack([np.ones(len(wide), dtype=int), times]).astype(float)
    asked = times @ n
    accuracy = np.where(asked > 0, times @ right.to_numpy(dtype=float) / np.maximum(asked, 1), np.nan)
    return pd.DataFrame(accuracy, columns=right.columns)


# From curves to thresholds and intervals.


def _halvings(sparsity: Floats) -> Floats:
    return np.asarray(np.abs(np.log2(1 - sparsity)))


def _sparsity(halvings: Floats) -> Floats:
    return np.asarray(1 - 2.0 ** -np.asarray(halvings))


def _grid(curve: Curve) -> Floats:
    """Halvings from dense to half as far again as the last level, the levels among them."""
    return np.union1d(np.linspace(0, 1.5 * curve.halvings[-1], 121), curve.halvings)


def _crossing(kept: Floats, halvings: Floats) -> Floats:
    """Halvings ``(draw,)`` at which ``kept`` ``(draw, point)`` first falls below 95%; infinite where it never does.

    Linear between points; not a number where some point is none.
    """
    below = kept < LEAST
    first = np.maximum(below.argmax(1), 1)
    draw = np.arange(len(kept))
    before, after = kept[draw, first - 1], kept[draw, first]
    part = np.clip((before - LEAST) / np.where(before > after, before - after, 1.0), 0, 1)
    at = halvings[first - 1] + part * (halvings[first] - halvings[first - 1])
    return np.where(np.isnan(kept).any(1), np.nan, np.where(below.any(1), at, np.inf))


def _read_off(kept: Floats, halvings: Floats, curve: Curve) -> tuple[Interval, Shares]:
    """Tolerated level and retention from ``kept`` ``(1 + draw, point)``, the first row being the estimate."""
    at = _sparsity(_crossing(kept, halvings))
    points = np.searchsorted(halvings, curve.halvings - 1e-9)
    return curve.censored(_interval(at)), {s: _interval(k) for s, k in _by_level(curve, kept[:, points].T)}


def _logistic(fit: Any, curve: Curve) -> tuple[Interval, Shares]:
    """Tolerated level and retention of ``logit p = a + b s``, by draws from the normal law of the coefficients."""
    certain = np.minimum(fit.fittedvalues, 1 - fit.fittedvalues) < SEPARATED
    if not fit.converged or certain.all():  # separated answers: no finite coefficients, whatever covariance is given
        return NONE, {}
    rng = np.random.default_rng(0)
    a, b = np.vstack([fit.params, rng.multivariate_normal(fit.params, fit.cov_params(), DRAWS)]).T
    above = expit(a) - curve.chance
    at = np.where(b < 0, (logit(curve.chance + LEAST * above) - a) / b, np.inf)
    kept = _ratio(expit(a + b * curve.sparsity[:, None]) - curve.chance, above)
    found = curve.censored(_interval(np.where(above > 0, at, np.nan)))
    return found, {s: _interval(k) for s, k in _by_level(curve, kept)}


def _interval(draws: Floats) -> Interval:
    """Estimate, low and high of ``(1 + draw,)``, the first being the estimate; the ends are draws, which may be inf."""
    if np.isnan(draws[1:]).mean() > MOST_UNDEFINED:
        return float(draws[0]), np.nan, np.nan
    ends = np.nanquantile(draws[1:], [(1 - PROB) / 2, (1 + PROB) / 2], method="inverted_cdf")
    return _triple(np.r_[draws[0], ends])


def _triple(values: Floats) -> Interval:
    middle, low, high = values.tolist()
    return middle, low, high


def _by_level(curve: Curve, values: Floats) -> list[tuple[float, Any]]:
    """The values of the sparse levels, each with its level."""
    return list(zip(curve.sparsity[1:].tolist(), values[1:], strict=True))


# What the peers' results need to be read.


def _peer(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"the baseline needs {name}, which this project does not depend on: run it in an environment with "
            "`pip install robustmargin==0.2.1 psignifit==4.3 bambi==0.21 nutpie statsmodels pandas pyarrow`"
        ) from error


def _dose_response_share(fit: Any, halvings: float) -> Interval:
    """Retention exp(-exp z), z = (log x - mu) / s, by the delta method on z with robustmargin's own covariance."""
    mu, s = fit.params["mu"].value, fit.params["s"].value
    z = (np.log(halvings) - mu) / s
    gradient = np.array([{"mu": -1 / s, "s": -z / s}.get(name, 0.0) for name in fit.covariance.names])
    error = Z * np.sqrt(gradient @ np.asarray(fit.covariance.matrix) @ gradient)
    return _triple(np.exp(-np.exp(np.array([z, z + error, z - error]))))


def _largest(diagnostic: Any) -> float:
    return max(float(value.max()) for value in diagnostic.data_vars.values())
