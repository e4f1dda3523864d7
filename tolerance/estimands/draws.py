"""Draws of tolerated levels and of retention beside the draws that they follow from, as ArviZ reads them."""

import numpy as np
import xarray as xr

from tolerance.data.cells import halvings, sparsity
from tolerance.estimands.curves import type_curves
from tolerance.estimands.source import GRID, Source
from tolerance.estimands.thresholds import tolerated
from tolerance.estimands.type_curve import Floats, Singles, TypeCurve
from tolerance.inference.saved import Fit
from tolerance.question import Question


def with_thresholds(fit: Fit, question: Question | None = None) -> xr.DataTree:
    """The draws of a fit with two more groups, ``thresholds`` and ``retention``; the fit itself stays as it is.

    ``thresholds/level`` ``(chain, draw, task_type, sparsifier)``: the sparsity, as a fraction removed, up to which what
    the question asks for is kept. It is ``inf`` where that lies beyond the last measured level (``last``), and NaN
    where nothing was measured or no dense answers say what is to be kept. A level below the first measured one
    (``first``) is somewhere between 0 and it: read the number as "less than ``first``".

    ``retention/retention`` ``(chain, draw, task_type, sparsifier, sparsity)``: share of dense accuracy above the floor
    that is left, NaN beyond the last measured level. At sparsity 0, which is not among the points, it is 1.

    Draws are those that curves are made of: thinned alike in each chain where there are many, and named by ``draw`` as
    in ``posterior``. Whether they may be believed, the checks of `tolerance.analyse` say, which were not asked here.
    """
    question, source = question or Question(), Source(fit)
    curves = type_curves(source)
    coords = _coords(fit, source, curves)
    tree = fit.draws.copy()
    tree["thresholds"] = xr.DataTree(_thresholds(curves, coords, question))
    tree["retention"] = xr.DataTree(_retention(curves, coords))
    return tree


_Coords = dict[str, list[str] | np.ndarray]


def _coords(fit: Fit, source: Source, curves: list[TypeCurve]) -> _Coords:
    """Names along the dimensions; draws by their number in the posterior."""
    sizes = fit.draws["posterior"].sizes
    return {
        "chain": np.arange(sizes["chain"]),
        "draw": np.arange(sizes["draw"])[:: fit.step(source.at_most)],
        "task_type": list(dict.fromkeys(curve.task_type for curve in curves)),
        "sparsifier": list(dict.fromkeys(curve.sparsifier for curve in curves)),
    }


def _thresholds(curves: list[TypeCurve], coords: _Coords, question: Question) -> xr.Dataset:
    names = ("task_type", "sparsifier")
    sides = xr.DataArray(np.nan, {name: coords[name] for name in names}, names)
    first, last = sides.copy(), sides.copy()
    level = xr.DataArray(np.nan, coords, ("chain", "draw", *names))
    for curve in curves:
        place = {"task_type": curve.task_type, "sparsifier": curve.sparsifier}
        first.loc[place], last.loc[place] = curve.first, curve.last
        if curve.has_dense:
            level.loc[place] = _by_chain(_as_sparsity(tolerated(curve, question)), coords)
    asked = {"retention": question.retention} if question.margin is None else {"margin": question.margin}
    return xr.Dataset({"level": level, "first": first, "last": last}, attrs={"unit": "fraction removed", **asked})


def _retention(curves: list[TypeCurve], coords: _Coords) -> xr.Dataset:
    """On a grid straight in halvings of the density, with the measured levels among its points."""
    whole = np.linspace(0.0, max(curve.grid[-1] for curve in curves), GRID)[1:]
    measured = halvings(np.concatenate([curve.distinct for curve in curves]))
    grid = sparsity(np.unique(np.concatenate([whole, measured])))
    dims = ("chain", "draw", "task_type", "sparsifier", "sparsity")
    kept = xr.DataArray(np.nan, {**coords, "sparsity": grid}, dims).astype(np.float32)
    for curve in (curve for curve in curves if curve.has_dense):
        place = {"task_type": curve.task_type, "sparsifier": curve.sparsifier}
        inside = grid[grid <= curve.last + 1e-12]
        left = (curve.accuracies_at(inside.tolist()) - curve.floor[:, None]) / curve.above[:, None]
        kept.loc[{**place, "sparsity": inside}] = _by_chain(left, coords)
    return xr.Dataset({"retention": kept}, attrs={"unit": "share of dense accuracy above the floor"})


def _as_sparsity(tolerated_halvings: Floats) -> Floats:
    """Of halvings that may be infinite: what lies beyond stays so, for its sparsity is not 1."""
    return np.where(np.isinf(tolerated_halvings), np.inf, sparsity(tolerated_halvings))


def _by_chain(draws: Floats | Singles, coords: _Coords) -> Floats | Singles:
    """Draws that stand chain after chain ``(draw, ...)`` as ``(chain, draw, ...)``."""
    return draws.reshape(len(coords["chain"]), len(coords["draw"]), *draws.shape[1:])
