"""What is asked of the draws: accuracy curves by task type and sparsifier, tolerated levels, areas.

Every quantity is averaged over the tasks and configurations of a type first, draw by draw, and summarised last. Only
combinations that were measured enter an average, and the dense accuracy of a curve is that of the same combinations.
"""

from collections.abc import Sequence

import numpy as np

from tolerance.data.cells import halvings
from tolerance.errors import DesignError
from tolerance.estimands.accuracy import (
    curve_accuracy,
    curve_columns,
    dense_accuracy,
    departed,
    family_accuracy,
    shared_departure,
    survival,
)
from tolerance.estimands.source import GRID, Source
from tolerance.estimands.type_curve import Floats, Place, TypeCurve
from tolerance.inference.saved import Fit


def beyond(source: Source, curve: TypeCurve, at: Floats) -> Floats:
    """Accuracy of a curve of `type_curves` at halvings beyond its last measured level ``(draw, point)``.

    The family goes on; departures go on from their last values as the Wiener processes that they are, so that the band
    widens.
    """
    draws, method = source.draws, source.fit.cells.sparsifiers.index(curve.sparsifier)
    rng = np.random.default_rng([source.fit.seed, 2, method])
    out = np.zeros((len(draws.tail), len(at)))
    for task, config in curve.places:
        measured = source.measured[method, task, config]
        last = float(source.fit.cells.halvings[measured[-1]])
        further = np.sqrt(np.maximum(np.log2((1 + at) / (1 + last)), 0.0))
        own, shared = (rng.standard_normal((len(out), 1)) * further for _ in range(2))
        path = source.knots.path[method, source.kinds[task], config]
        knots = slice(path, path + source.knots.count(method, source.kinds[task]))
        scale = np.hypot(draws.sd_departure_type, draws.sd_departure_config)[:, None]
        shared = draws.departure_type[:, knots].sum(axis=1)[:, None] + scale * shared
        columns = curve_columns(source, (method, task, config), dense_accuracy(source, task, config))
        left = survival(columns, np.log(at).astype(np.float32))
        family = family_accuracy(columns, left, np.exp(-shared).astype(np.float32))
        straight = draws.departure[:, measured[-1], None].astype(np.float32)
        arch = (draws.sd_departure[:, None] / 2 * own).astype(np.float32)
        out += departed(family, straight, arch) / len(curve.places)
    return out


def type_curves(fit: Fit | Source) -> list[TypeCurve]:
    """One `TypeCurve` for each task type and sparsifier that was measured together, by type, then sparsifier."""
    source = fit if isinstance(fit, Source) else Source(fit)
    return [
        averaged(source, method, source.places[method][kind])
        for kind in range(len(source.fit.cells.task_types))
        for method in sorted(source.places)
        if kind in source.places[method]
    ]


def curve(
    fit: Fit, sparsifier: str, tasks: Sequence[str], configs: Sequence[tuple[str, int]] | None = None
) -> TypeCurve:
    """The curve of some tasks, averaged over them and over configurations (model, context length), all unless given.

    Raises:
        DesignError: none of these was measured under this sparsifier.
    """
    source, cells = Source(fit), fit.cells
    method, wanted = cells.sparsifiers.index(sparsifier), {cells.tasks.index(task) for task in tasks}
    chosen = range(len(cells.configs)) if configs is None else [cells.configs.index(config) for config in configs]
    found = [(t, c) for m, t, c in source.measured if m == method and t in wanted and c in chosen]
    if not found:
        raise DesignError(f"{', '.join(tasks)} under {sparsifier!r}: nothing was measured there.")
    return averaged(source, method, source.answerable(found))


def averaged(source: Source, method: int, places: Sequence[Place]) -> TypeCurve:
    """The curve of a sparsifier averaged over some of its places."""
    cells, draws = source.fit.cells, source.draws
    here = [source.measured[method, task, config] for task, config in places]
    each = np.concatenate(here)
    realised, asked = cells.frame["sparsity"].to_numpy(dtype=np.float64)[each], source.asked[each]
    levels, groups = np.unique(realised), (np.sort(realised[asked == one]) for one in np.unique(asked))
    grid = np.unique(np.concatenate([np.linspace(0, halvings(levels[-1:])[0], GRID), halvings(levels)]))
    n_draws = len(draws.tail)
    accuracy, dense, floor = np.zeros((n_draws, len(grid)), dtype=np.float32), np.zeros(n_draws), np.zeros(n_draws)
    kinds = sorted({source.kinds[task] for task, _ in places})
    sides = {(source.kinds[task], config) for task, config in places}
    shared = {side: np.exp(-shared_departure(source, method, *side, grid)).astype(np.float32) for side in sides}
    for (task, config), measured in zip(places, here, strict=True):
        ground, whole = draws.floor[:, task], dense_accuracy(source, task, config)
        floor += ground / len(places)
        dense += whole / len(places)
        accuracy += curve_accuracy(
            source, (method, task, config), measured, whole, grid, shared[source.kinds[task], config]
        )
    accuracy /= np.float32(len(places))
    # rounding apart, that is what it is
    accuracy[:, 0] = dense
    return TypeCurve(
        task_type=" + ".join(cells.task_types[kind] for kind in kinds),
        sparsifier=cells.sparsifiers[method],
        tasks=tuple(cells.tasks[t] for t in sorted({t for t, _ in places})),
        levels=levels,
        distinct=np.unique([group[len(group) // 2] for group in groups]),
        grid=grid,
        accuracy=accuracy,
        dense=dense.astype(np.float32),
        floor=floor.astype(np.float32),
        has_dense=any(place in source.with_dense for place in places),
        places=tuple(places),
    )
