"""Where every parameter of the tolerance model lies in the sampler's vector, and how each is centred.

Effects with an estimated scale are sampled between centred and non-centred, x ~ N(lambda mean, s^lambda), with lambda
as data that a pilot run sets (Papaspiliopoulos et al. 2007, Stat. Sci. 22:59): both ends fail on real designs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tolerance.data.cells import Cells
from tolerance.model.factors import Factors, Placed, centre_of
from tolerance.model.knots import Knots, knots_of
from tolerance.model.priors import LogNormal, Normal, Priors
from tolerance.model.terms import PREDICTORS, TERMS, Predictor, Term

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# The scale of departures of single curves, which are integrated out; it has no effects in the vector.
DEPARTURE = "sd_departure"


@dataclass(frozen=True)
class Parameters:
    """Shapes of all sampled variables of one design, their order, and the terms behind them."""

    cells: Cells
    priors: Priors

    @cached_property
    def factors(self) -> Factors:
        """Factors of the design."""
        return Factors(self.cells, self.knots)

    @cached_property
    def knots(self) -> Knots:
        """Knots of the departures that curves share."""
        return knots_of(self.cells)

    @cached_property
    def terms(self) -> dict[Predictor, list[Placed]]:
        """The terms of each predictor, placed on all its elements, measured or not."""
        factors = self.factors
        index = {"dense": factors.dense, "loc": factors.curves, "shape": factors.curves}
        index["departure"] = factors.departures
        return {predictor: factors.table(predictor, index[predictor]) for predictor in PREDICTORS}

    @cached_property
    def by_name(self) -> dict[str, Placed]:
        """The terms of this design."""
        return {one.term.name: one for table in self.terms.values() for one in table}

    def around(self, name: str) -> Placed | None:
        """The term on whose effects another's coordinates are centred, if it is one."""
        placed = self.by_name[name]
        return centre_of(placed, self.terms[placed.term.predictor])

    @cached_property
    def scaled(self) -> tuple[str, ...]:
        """Terms of this design that have an estimated scale."""
        return tuple(term.name for term in TERMS if term.name in self.by_name and term.estimated)

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each sampled variable by name, in the order of the vector; a variable without elements is absent."""
        there = [term for term in TERMS if term.name in self.by_name]
        known = [term for term in there if not term.estimated and not term.is_mean]
        shape = {term.name: self.by_name[term.name].shape for term in there}
        free: dict[str, tuple[int, ...]] = {
            **{term.variable: () for term in there if term.is_mean},
            "log_tail": (),
            **{f"sd_{name}_z": () for name in self.scaled},
            f"{DEPARTURE}_z": (),
            **{term.variable: shape[term.name] for term in known if term.crossed == ("type",)},
            "floor_z": (len(self.guessable),),
            **{term.variable: shape[term.name] for term in known if term.crossed != ("type",)},
            **{f"{name}_z": shape[name] for name in self.scaled},
        }
        return {name: shape for name, shape in free.items() if math.prod(shape) > 0}

    @cached_property
    def guessable(self) -> Ints:
        """Tasks whose rule gives a chance to guess."""
        return np.flatnonzero(np.asarray(self.cells.chance) > 0)

    @cached_property
    def where(self) -> dict[str, slice]:
        """Place of each variable in the vector."""
        ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in self.shapes.values()])
        starts = np.r_[0, ends[:-1]]
        return {name: slice(int(a), int(b)) for name, a, b in zip(self.shapes, starts, ends, strict=True)}

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def is_scale(self) -> NDArray[np.bool_]:
        """Which elements of the vector are scales ``(size,)``."""
        return self.vector({name: np.ones(shape) for name, shape in self.shapes.items() if name.startswith("sd_")}) > 0

    def scale(self, name: str) -> LogNormal:
        """Median and log-sd of the prior of a scale."""
        value: LogNormal = getattr(self.priors, name)
        return value

    def vector(self, values: Mapping[str, Floats]) -> Floats:
        """Values by name, as one vector; 0 for what is not given."""
        out = np.zeros(self.size)
        for name, place in self.where.items():
            if name in values:
                out[place] = np.ravel(values[name])
        return out

    def known_scale(self, term: Term) -> float:
        """The scale of a term of known scale that is no mean."""
        value: float = getattr(self.priors, str(term.scale))
        return value

    @property
    def normals(self) -> dict[str, Normal]:
        """Priors of the variables that are not in units of their scale."""
        means = [one.term for one in self.by_name.values() if one.term.is_mean]
        return {term.variable: getattr(self.priors, str(term.scale)) for term in means} | {
            "log_tail": self.priors.log_tail
        }

    def centre(self) -> Floats:
        """The vector at the centre of the prior."""
        return self.vector({name: np.array(prior[0]) for name, prior in self.normals.items()})

    def lambdas(self, shares: Mapping[str, Floats] | None = None) -> Floats:
        """Shares of centring ``(size,)`` by effect; 0.5 to start with, 0 for what has no estimated scale."""
        given = shares or {}
        return self.vector({f"{n}_z": given.get(n, np.full(self.shapes[f"{n}_z"], 0.5)) for n in self.scaled})

    def named(self, draws: Floats) -> dict[str, Floats]:
        """Vectors ``(..., size)`` taken apart by name."""
        return {n: draws[..., s].reshape((*draws.shape[:-1], *self.shapes[n])) for n, s in self.where.items()}
