"""Draws of tolerated levels and of retention beside the draws that they follow from, as ArviZ reads them."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from tolerance.data.cells import halvings, sparsity
from tolerance.estimands.curves import type_curves
from tolerance.estimands.source import GRID, Source
from tolerance.estimands.thresholds import tolerated
from tolerance.estimands.type_curve import Floats, Singles, TypeCurve
from tolerance.findings import Scale, numbered
from tolerance.inference.saved import Fit
from tolerance.question import Question


def with_thresholds(fit: Fit, question: Question | None = None) -> xr.DataTree:
    """The draws of a fit with two more groups, ``thresholds`` and ``retention``; the fit itself stays as it is.

    ``thresholds/level`` ``(chain, draw, task_type, sparsifier)``: the sparsity, as a fraction removed, up to which what
    the question asks for is kept. It is ``inf`` where that lies beyond the last measured level (``last``), and NaN
    where nothing was measured or no dense answers say what is to be kept. A level below the first measured one
    (``first``) is somewhere between 0 and it: read the number as "less than ``first``". Of a method whose levels are no
    fractions it is in the unit that ``attrs["unit"]`` says; of what is kept, ``-inf`` is fewer than ``last``.

    ``retention/retention`` ``(chain, draw, task_type, sparsifier, sparsity)``: share of dense accuracy above the floor
    that is left, NaN beyond the last measured level and for methods whose levels are no fractions. At sparsity 0, which
    is not among the points, it is 1.

    Draws are those that curves are made of: thinned alike in each chain where there are many, and named by ``draw`` as
    in ``posterior``. Whether they may be believed, the checks of `tolerance.analyse` say, which were not asked here.
    """
    question, source = question or Question(), Source(fit)
    curves = type_curves(source)
    coords = _coords(fit, source, curves)
    tree = fit.draws.copy()
    tree["thresholds"] = xr.DataTree(_thresholds(curves, coords, question, fit.cells.scales))
    tree["retention"] = xr.DataTree(_retention(curves, coords, fit.cells.scales))
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


def _thresholds(
    curves: list[TypeCurve], coords: _Coords, question: Question, scales: Mapping[str, Scale]
) -> xr.Dataset:
    names = ("task_type", "sparsifier")
    sides = xr.DataArray(np.nan, {name: coords[name] for name in names}, names)
    first, last = sides.copy(), sides.copy()
    level = xr.DataArray(np.nan, coords, ("chain", "draw", *names))
    for curve in curves:
        place = {"task_type": curve.task_type, "sparsifier": curve.sparsifier}
        scale = scales.get(curve.sparsifier)
        first.loc[place], last.loc[place] = numbered(curve.first, scale), numbered(curve.last, scale)
        if curve.has_dense:
            at = _as_sparsity(tolerated(curve, question))
            level.loc[place] = _by_chain(at if scale is None else _as_set(at, scale), coords)
    unit = "; ".join(["fraction removed", *(f"of {name}: {scale.said_unit}" for name, scale in scales.items())])
    asked = {"retention": question.retention} if question.margin is None else {"margin": question.margin}
    return xr.Dataset({"level": level, "first": first, "last": last}, attrs={"unit": unit, **asked})


def _retention(curves: list[TypeCurve], coords: _Coords, scales: Mapping[str, Scale]) -> xr.Dataset:
    """On a grid straight in halvings of the density, with the measured levels among its points."""
    whole = np.linspace(0.0, max(curve.grid[-1] for curve in curves), GRID)[1:]
    measured = halvings(np.concatenate([curve.distinct for curve in curves]))
    grid = sparsity(np.unique(np.concatenate([whole, measured])))
    dims = ("chain", "draw", "task_type", "sparsifier", "sparsity")
    kept = xr.DataArray(np.nan, {**coords, "sparsity": grid}, dims).astype(np.float32)
    for curve in (curve for curve in curves if curve.has_dense and curve.sparsifier not in scales):
        place = {"task_type": curve.task_type, "sparsifier": curve.sparsifier}
        inside = grid[grid <= curve.last + 1e-12]
        left = (curve.accuracies_at(inside.tolist()) - curve.floor[:, None]) / curve.above[:, None]
        kept.loc[{**place, "sparsity": inside}] = _by_chain(left, coords)
    return xr.Dataset({"retention": kept}, attrs={"unit": "share of dense accuracy above the floor"})


def _as_sparsity(tolerated_halvings: Floats) -> Floats:
    """Of halvings that may be infinite: what lies beyond stays so, for its sparsity is not 1."""
    return np.where(np.isinf(tolerated_halvings), np.inf, sparsity(tolerated_halvings))


def _as_set(places: Floats, scale: Scale) -> Floats:
    """Places as levels; more compressed than was measured stays infinite: of what is kept less than anything."""
    beyond = -np.inf if scale.direction == "kept" else np.inf
    return np.where(np.isinf(places), beyond, scale.values(np.clip(places, 1e-12, 1 - 1e-12)))


def _by_chain(draws: Floats | Singles, coords: _Coords) -> Floats | Singles:
    """Draws that stand chain after chain ``(draw, ...)`` as ``(chain, draw, ...)``."""
    return draws.reshape(len(coords["chain"]), len(coords["draw"]), *draws.shape[1:])
