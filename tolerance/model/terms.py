"""The terms of the model's linear predictors: one table, which the density, its PyMC statement and its readers share.

A term adds effects to one predictor: logit of dense accuracy, log location, log shape, or increments of departures that
curves share. Its factors are crossed. Effects of ``each`` level have a coordinate each and lie around what the terms
before them add up to; effects of ``crossed`` factors live on zero-sum contrasts, so that they don't compete with those
of fewer factors; a covariate has one column for each of its values.

A new term is a new row of `TERMS`, and the prior of its scale in `tolerance.model.priors`.
"""

from dataclasses import dataclass
from typing import Literal

# What effects lie around, as a parametrisation: all terms before them.
BEFORE = "before"
Predictor = Literal["dense", "loc", "shape", "departure"]
PREDICTORS: tuple[Predictor, ...] = ("dense", "loc", "shape", "departure")
# Factors whose columns are covariates, and the factor whose levels have them.
COVARIATES = {"covariates": "config", "log2_params": "model", "log2_context": "context"}


@dataclass(frozen=True)
class Term:
    """One row: a name, its predictor, and its factors.

    ``scale`` names the prior of a known scale (or of a mean); without one the scale is estimated, with the prior
    ``sd_<name>``. ``around`` is what the sampled coordinates are centred on, which changes no density: all terms
    before, or another term of the same levels. The term is there where each factor of ``several`` has several levels.
    """

    name: str
    predictor: Predictor
    crossed: tuple[str, ...] = ()
    each: tuple[str, ...] = ()
    scale: str | None = None
    around: str | None = None
    several: tuple[str, ...] = ()

    @property
    def estimated(self) -> bool:
        """Whether the scale is estimated."""
        return self.scale is None

    @property
    def is_mean(self) -> bool:
        """Whether it is a predictor's mean."""
        return not self.crossed and not self.each

    @property
    def variable(self) -> str:
        """Its name in the sampled vector."""
        return self.name if self.is_mean else f"{self.name}_z"


def _mean(predictor: Predictor) -> Term:
    return Term(f"{predictor}_mean", predictor, scale=predictor)


def _type(predictor: Predictor) -> Term:
    return Term(f"{predictor}_type", predictor, ("type",), scale=f"sd_{predictor}_type")


TERMS = (
    _mean("dense"),
    _type("dense"),
    Term("dense_task", "dense", each=("task",), around=BEFORE),
    Term("dense_task_model", "dense", each=("task", "model"), around=BEFORE, several=("model", "context")),
    Term("dense_slope", "dense", ("covariates",), scale="slope_dense"),
    Term("dense_shift", "dense", ("config",), around="dense_slope"),
    Term("dense_config", "dense", each=("task", "config"), around=BEFORE, several=("config",)),
    _mean("loc"),
    _type("loc"),
    Term("loc_sparsifier", "loc", ("sparsifier",)),
    Term("loc_task", "loc", ("task",)),
    Term("loc_sparsifier_type", "loc", ("sparsifier", "type")),
    # Where sparsifiers, tasks and their crossings say all there is, a curve's own effect would only compete.
    Term("loc_curve", "loc", each=("sparsifier", "task"), around=BEFORE, several=("sparsifier", "task in type")),
    Term("loc_slope", "loc", ("covariates",), scale="slope_loc"),
    Term("loc_config", "loc", ("config",), around="loc_slope"),
    Term("loc_sparsifier_params", "loc", ("sparsifier", "log2_params"), several=("third model",)),
    Term("loc_sparsifier_length", "loc", ("sparsifier", "log2_context"), several=("third context",)),
    Term("loc_sparsifier_model", "loc", ("sparsifier", "model"), around="loc_sparsifier_params"),
    Term("loc_sparsifier_context", "loc", ("sparsifier", "context"), around="loc_sparsifier_length"),
    Term("loc_type_model", "loc", ("type", "model")),
    Term("loc_type_context", "loc", ("type", "context")),
    # One curve a task and model tells this from that curve's own departures no better than their prior does.
    Term("loc_task_model", "loc", ("task", "model"), several=("sparsifier",)),
    _mean("shape"),
    _type("shape"),
    Term("shape_sparsifier", "shape", ("sparsifier",)),
    Term("shape_task", "shape", ("task",)),
    Term("shape_curve", "shape", each=("sparsifier", "task"), around=BEFORE, several=("sparsifier",)),
    Term("shape_model", "shape", ("model",)),
    Term("shape_context", "shape", ("context",)),
    Term("shape_sparsifier_model", "shape", ("sparsifier", "model")),
    Term("departure_type", "departure", each=("knot",)),
    Term("departure_config", "departure", each=("bend",)),
)
