"""Linear predictors, compiled: effects of all terms forward, gradients of all terms back, for any table of terms.

Forward: coordinates of a term, between centred and non-centred, become effects around 0; its bases spread them over the
levels of its factors; each element of the predictor gets the value of its level. Back is the transposed of each.
Everything goes by arrays of integers and floats (`packed`); tests hold both ways to matrices, term by term.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from tolerance.model.factors import CONTRASTS, EACH, Basis, Placed
from tolerance.model.parameters import Parameters
from tolerance.model.terms import BEFORE, PREDICTORS, Predictor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_inline = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
# Columns of the packed table of terms.
START, COUNT, BASIS, OTHER, AROUND, LEVEL, FROM, TO, FIRST, LEVELS, VALUE = range(11)
WIDTH = 11
NOTHING, ALL_BEFORE = -1, -2


@dataclass(frozen=True)
class Packed:
    """A table of terms as arrays. ``ends`` are where the elements of each predictor end, in the order of `PREDICTORS`.

    ``terms`` ``(term x WIDTH,)``: places in the vector, of bases in ``bases``, of levels in ``levels`` and of what is
    computed. ``numbers`` are the values of covariates.
    """

    terms: Ints
    bases: Ints
    levels: Ints
    numbers: Floats
    ends: Ints


def packed(parameters: Parameters) -> Packed:
    """The terms of a design over those elements that answers, or effects of their own, ask for."""
    table = [(one, *_used(parameters, one, p)) for p in PREDICTORS for one in parameters.terms[p]]
    sizes = [len(_elements(parameters, p)) for p in PREDICTORS]
    ends = np.cumsum(sizes)
    rows: list[list[int]] = []
    bases: list[Ints] = []
    levels: list[Ints] = []
    numbers: list[Floats] = [np.zeros(0)]
    places: dict[str, int] = {}
    value = 0
    for placed, level, first in table:
        term = placed.term
        places[term.name] = len(rows)
        at = [sum(map(len, bases))]
        for basis in placed.bases:
            bases.append(_basis(basis, sum(map(len, numbers))))
            numbers.append(np.zeros(0) if basis.values is None else basis.values.ravel())
            at.append(at[-1] + len(bases[-1]))
        start, centre = parameters.where[term.variable], parameters.around(term.name)
        around = ALL_BEFORE if term.around == BEFORE else NOTHING if centre is None else places[centre.term.name]
        n, to = PREDICTORS.index(term.predictor), sum(map(len, levels))
        other = at[1] if len(placed.bases) > 1 else NOTHING
        row = [start.start, start.stop - start.start, at[0], other, around, to, ends[n] - sizes[n], ends[n]]
        rows.append([*map(int, row), to + len(level), placed.n_levels, value])
        levels += [level, np.where(first < 0, first, first + ends[n] - sizes[n])]
        value += placed.n_levels
    return Packed(
        terms=np.array(rows, dtype=np.int64).ravel(),
        bases=np.concatenate(bases).astype(np.int64),
        levels=np.concatenate(levels).astype(np.int64),
        numbers=np.concatenate(numbers),
        ends=ends.astype(np.int64),
    )


def _elements(parameters: Parameters, predictor: Predictor) -> Ints:
    """Which elements of a predictor are computed."""
    if predictor in ("loc", "shape"):
        return parameters.factors.used
    return np.arange(len(parameters.terms[predictor][0].level))


def _used(parameters: Parameters, placed: Placed, predictor: Predictor) -> tuple[Ints, Ints]:
    """Level of each element that is computed, and the first of each level among them."""
    level = placed.level[_elements(parameters, predictor)]
    first = np.full(placed.n_levels, -1, dtype=np.int64)
    found, where = np.unique(level, return_index=True)
    first[found[found >= 0]] = where[found >= 0]
    return level, first


def _basis(basis: Basis, place: int) -> Ints:
    """Kind, levels, columns; then the groups of contrasts and their members, or where the values of covariates are."""
    common = [basis.kind, basis.levels, basis.columns]
    if basis.kind == CONTRASTS:
        sizes = [len(group) for group in basis.groups]
        return np.array([*common, len(sizes), *sizes, *np.concatenate(basis.groups)], dtype=np.int64)
    return np.array([*common, place], dtype=np.int64)


@_inline
def spread(bases, numbers, at, z, z_from, z_step, v, v_from, v_step):  # type: ignore[no-untyped-def]
    """Adds what coordinates z count in the levels of one factor to v; both with a stride."""
    kind, n, columns = bases[at], bases[at + 1], bases[at + 2]
    if kind == EACH:
        for i in range(n):
            v[v_from + i * v_step] += z[z_from + i * z_step]
    elif kind == CONTRASTS:
        n_groups, column = bases[at + 3], 0
        member = at + 4 + n_groups
        for g in range(n_groups):
            size, later = bases[at + 4 + g], 0.0
            for k in range(size - 1, -1, -1):
                own = z[z_from + (column + k - 1) * z_step] / np.sqrt(k * (k + 1.0)) if k > 0 else 0.0
                v[v_from + bases[member + k] * v_step] += later - k * own
                later += own
            member += size
            column += size - 1
    else:
        place = bases[at + 3]
        for i in range(n):
            for j in range(columns):
                v[v_from + i * v_step] += numbers[place + i * columns + j] * z[z_from + j * z_step]


@_inline
def gathered(bases, numbers, at, v, v_from, v_step, z, z_from, z_step):  # type: ignore[no-untyped-def]
    """The transposed of `spread`: adds what levels v say of coordinates to z."""
    kind, n, columns = bases[at], bases[at + 1], bases[at + 2]
    if kind == EACH:
        for i in range(n):
            z[z_from + i * z_step] += v[v_from + i * v_step]
    elif kind == CONTRASTS:
        n_groups, column = bases[at + 3], 0
        member = at + 4 + n_groups
        for g in range(n_groups):
            size, before = bases[at + 4 + g], 0.0
            for k in range(size):
                own = v[v_from + bases[member + k] * v_step]
                if k > 0:
                    z[z_from + (column + k - 1) * z_step] += (before - k * own) / np.sqrt(k * (k + 1.0))
                before += own
            member += size
            column += size - 1
    else:
        place = bases[at + 3]
        for i in range(n):
            for j in range(columns):
                z[z_from + j * z_step] += numbers[place + i * columns + j] * v[v_from + i * v_step]


@_inline
def spread_term(terms, t, bases, numbers, z, z_from, v, v_from):  # type: ignore[no-untyped-def]
    """`spread` over both factors of a term."""
    one, other = terms[t * WIDTH + BASIS], terms[t * WIDTH + OTHER]
    if other < 0:
        spread(bases, numbers, one, z, z_from, 1, v, v_from, 1)
        return
    rows, columns, n = bases[one + 1], bases[other + 2], bases[other + 1]
    half = np.zeros(rows * columns)
    for j in range(columns):
        spread(bases, numbers, one, z, z_from + j, columns, half, j, columns)
    for i in range(rows):
        spread(bases, numbers, other, half, i * columns, 1, v, v_from + i * n, 1)


@_inline
def gathered_term(terms, t, bases, numbers, v, v_from, z, z_from):  # type: ignore[no-untyped-def]
    """`gathered` over both factors of a term."""
    one, other = terms[t * WIDTH + BASIS], terms[t * WIDTH + OTHER]
    if other < 0:
        gathered(bases, numbers, one, v, v_from, 1, z, z_from, 1)
        return
    rows, columns, n = bases[one + 1], bases[other + 2], bases[other + 1]
    half = np.zeros(rows * columns)
    for i in range(rows):
        gathered(bases, numbers, other, v, v_from + i * n, 1, half, i * columns, 1)
    for j in range(columns):
        gathered(bases, numbers, one, half, j, columns, z, z_from + j, columns)


@_inline
def forward(x, gain, lambdas, terms, bases, levels, numbers, n_elements):  # type: ignore[no-untyped-def]
    """Linear predictors of all elements, and what each coordinate is centred on ``(element,)``, ``(size,)``."""
    n_terms = len(terms) // WIDTH
    last = (n_terms - 1) * WIDTH
    out, mean, effect = np.zeros(n_elements), np.zeros(len(x)), np.zeros(len(x))
    value = np.zeros(terms[last + VALUE] + terms[last + LEVELS])
    for t in range(n_terms):
        row = terms[t * WIDTH : (t + 1) * WIDTH]
        start, end, around = row[START], row[START] + row[COUNT], row[AROUND]
        if around == ALL_BEFORE:
            for i in range(row[COUNT]):
                first = levels[row[FIRST] + i]
                mean[start + i] = out[first] if first >= 0 else 0.0
        elif around >= 0:
            gathered_term(terms, t, bases, numbers, value, terms[around * WIDTH + VALUE], mean, start)
        for j in range(start, end):
            effect[j] = gain[j] * (x[j] - lambdas[j] * mean[j])
        spread_term(terms, t, bases, numbers, effect, start, value, row[VALUE])
        for e in range(row[FROM], row[TO]):
            level = levels[row[LEVEL] + e - row[FROM]]
            if level >= 0:
                out[e] += value[row[VALUE] + level]
    return out, mean


@_inline
def backward(up, x, mean, pull, gain, lambdas, group, terms, bases, levels, numbers, grad, to_scales):  # type: ignore[no-untyped-def]
    """Adds the gradient through `forward` to ``grad`` and ``to_scales``; changes ``up`` ``(element,)``.

    ``pull`` is the slope of each coordinate's log prior in the coordinate, which its mean moves as well.
    """
    n_terms = len(terms) // WIDTH
    last = (n_terms - 1) * WIDTH
    by_level, own = np.zeros(terms[last + VALUE] + terms[last + LEVELS]), np.zeros(len(x))
    for t in range(n_terms - 1, -1, -1):
        row = terms[t * WIDTH : (t + 1) * WIDTH]
        start, end, around, value = row[START], row[START] + row[COUNT], row[AROUND], row[VALUE]
        for e in range(row[FROM], row[TO]):
            level = levels[row[LEVEL] + e - row[FROM]]
            if level >= 0:
                by_level[value + level] += up[e]
        gathered_term(terms, t, bases, numbers, by_level, value, own, start)
        for j in range(start, end):
            through = own[j] * gain[j]
            grad[j] += through
            if group[j] >= 0:
                to_scales[group[j]] += through * (x[j] - lambdas[j] * mean[j]) * (1 - lambdas[j])
            own[j] = -lambdas[j] * (pull[j] + through)
        if around == ALL_BEFORE:
            for i in range(row[COUNT]):
                first = levels[row[FIRST] + i]
                if first >= 0:
                    up[first] += own[start + i]
        elif around >= 0:
            spread_term(terms, t, bases, numbers, own, start, by_level, terms[around * WIDTH + VALUE])
