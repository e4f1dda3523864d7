"""`tolerance.compare`: two arms as they are written, asked of a saved analysis or of a fit."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from tolerance import findings
from tolerance.axes.model_shape import read_shapes
from tolerance.axes.table import by_key
from tolerance.comparison import compare as comparing
from tolerance.comparison.arms import Arm, parse
from tolerance.comparison.posterior import Fitted
from tolerance.data.prepared import Outcomes, Prepared
from tolerance.diagnostics.checks import check, trustworthy
from tolerance.estimands.curves import type_curves
from tolerance.inference.saved import Fit
from tolerance.question import Question

# Rows call a method that looks at everything before it leaves something out an oracle; plans call it by its name.
ORACLE = "oracle-"


def compare(
    outcomes: Outcomes,
    analysis: Fit | str | os.PathLike[str],
    treatment: str | Arm,
    reference: str | Arm,
    *,
    hold: str | Iterable[str] = "all",
    quantity: findings.Quantity = "accuracy",
    equivalence: float = 0.02,
    shapes: str | os.PathLike[str] | None = None,
) -> findings.Conclusions:
    """Is one thing better than another, asked once for each axis held equal?

    ``analysis``: the folder that `tolerance.analyse` or ``tolerance fit`` wrote, under whose question it is asked, or a
    `Fit`, which is checked first; what fails is withheld. An arm is an `Arm` or what the command takes: ``top-k@0.9``,
    ``dense``, ``snapkv,params>=8e9``. ``hold``: axes as ``"compute,kv"`` or a list, or ``"all"``. ``quantity``:
    ``"accuracy"`` or ``"retention"``. ``equivalence``: differences within plus and minus this (0.02 is two points) are
    equivalent. ``shapes``: YAML of model: config.json, for costs that were not recorded.

    Raises:
        DesignError: an arm has no answers, both share answers, or there is no such axis.
        StoreError: the folder holds no analysis, or one of other outcomes.
    """
    there = outcomes.outcomes if isinstance(outcomes, Prepared) else outcomes
    arms = _labelled(treatment, there), _labelled(reference, there)
    rules = comparing.Rules(
        Question(equivalence=equivalence),
        quantity,
        by_key(hold if isinstance(hold, str) else ",".join(hold)),
        {} if shapes is None else read_shapes(shapes),
    )
    if isinstance(analysis, Fit):
        passed = trustworthy(check(analysis, type_curves(analysis)))
        return comparing.compare(outcomes, Fitted(analysis) if passed else None, *arms, rules)
    (found,) = comparing.compare_saved(outcomes, Path(analysis), [arms], rules)
    return found


def _labelled(asked: str | Arm, outcomes: pd.DataFrame) -> Arm:
    """The arm with its method as rows call it, if it was given a plan's word for one."""
    arm = parse(asked) if isinstance(asked, str) else asked
    there, label = set(outcomes["sparsifier"]), f"{ORACLE}{arm.sparsifier}"
    return replace(arm, sparsifier=label) if arm.sparsifier not in there and label in there else arm
