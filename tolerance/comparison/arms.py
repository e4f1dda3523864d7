"""The two sides of a comparison: a method, a level, or any attribute of a model, and the arms that each one has."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd

from tolerance.data.cells import halvings
from tolerance.data.outcomes import BY_NAME, DENSE, is_dense, level
from tolerance.errors import DesignError

# What says who answered; the rest of a side says how.
ATTRIBUTES = (
    *("model", "revision", "params", "params_active", "n_layers", "hidden_size", "architecture"),
    *("training_protocol", "context_length"),
)
ARM = ["model", "context_length", "sparsifier", "sparsity_requested"]
_PART = re.compile(r"^(?P<name>\w+)(?P<sense>>=|<=|=)(?P<value>.+)$")


@dataclass(frozen=True)
class Side:
    """One side: a method, perhaps at one level asked for, by models with some attributes; as text for a reader."""

    sparsifier: str = DENSE
    level: float | None = None
    attributes: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """As it is written."""
        how = self.sparsifier if self.level is None else f"{self.sparsifier}@{self.level:g}"
        return ",".join([how, *(f"{name}{sense}{value}" for name, sense, value in self.attributes)])


@dataclass(frozen=True)
class Arm:
    """One condition of a side: who, at which context, how sparse as realised on average, over which tasks."""

    model: str
    context: int
    sparsifier: str
    requested: float
    level: float
    tasks: frozenset[str]

    @property
    def halvings(self) -> float:
        """Of the density."""
        return float(halvings(np.array(self.level)))


def parse(text: str) -> Side:
    """A side from text: ``snapkv``, ``snapkv@0.9``, ``dense,params>=8e9``, ``snapkv,architecture=Llama``.

    Without a method it is dense. Parts are separated by commas.

    Raises:
        DesignError: naming the part and what it may be.
    """
    side = Side()
    for part in (part.strip() for part in text.split(",")):
        found = _PART.match(part)
        if found is not None:
            name, sense, value = found["name"], found["sense"], found["value"]
            if name not in ATTRIBUTES:
                near = get_close_matches(name, ATTRIBUTES, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise DesignError(f"{part!r}: {name} is no attribute of a model.{hint} Known: {', '.join(ATTRIBUTES)}.")
            side = replace(side, attributes=(*side.attributes, (name, sense, value)))
        else:
            method, at, asked = part.partition("@")
            side = replace(side, sparsifier=method, level=_level(part, asked) if at else None)
    return side


def _level(part: str, asked: str) -> float:
    try:
        value = float(asked)
    except ValueError:
        value = np.nan
    if not 0 <= value < 1:
        raise DesignError(f"{part!r}: the level {asked!r} is no fraction in [0, 1). Give what is removed, like @0.9.")
    return value


def rows(outcomes: pd.DataFrame, side: Side) -> pd.DataFrame:
    """The outcomes of a side.

    Raises:
        DesignError: nothing there, naming the part that finds nothing and what there is.
    """
    chosen = outcomes
    for name, sense, value in side.attributes:
        chosen = chosen[_matching(chosen[name], name, sense, value)]
        if chosen.empty:
            seen = ", ".join(sorted({str(one) for one in outcomes[name].dropna()})[:8]) or "nothing recorded"
            raise DesignError(f"{side.name}: no answer has {name}{sense}{value}. There is: {seen}.")
    dense = is_dense(chosen) | (level(chosen) == 0)
    before = chosen
    chosen = chosen[dense] if side.sparsifier == DENSE else chosen[chosen["sparsifier"] == side.sparsifier]
    if chosen.empty:
        there = sorted(set(before["sparsifier"]))
        near = get_close_matches(side.sparsifier, there, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise DesignError(f"{side.name}: no answer under {side.sparsifier!r}.{hint} There is: {', '.join(there)}.")
    if side.sparsifier != DENSE:
        chosen, before = chosen[level(chosen) > 0], chosen
    if side.level is not None:
        chosen, before = chosen[np.isclose(chosen["sparsity_requested"], side.level, atol=5e-4)], chosen
    if chosen.empty:
        there = sorted({f"{one:g}" for one in before["sparsity_requested"]})
        raise DesignError(f"{side.name}: no answer at this level. Levels asked for: {', '.join(there)}.")
    return chosen


def _matching(values: pd.Series, name: str, sense: str, value: str) -> pd.Series:
    if BY_NAME[name].kind == "text":
        if sense != "=":
            raise DesignError(f"{name}{sense}{value}: {name} is text, so only = can be asked of it.")
        return values == value
    try:
        number = float(value)
    except ValueError as error:
        raise DesignError(f"{name}{sense}{value}: {value!r} is no number.") from error
    numbers = values.astype("float64")
    found = numbers == number if sense == "=" else numbers >= number if sense == ">=" else numbers <= number
    return found.fillna(value=False).astype(bool)


def keyed(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Outcomes with `ARM` as arms have it, and ``level``: a method that removed nothing is dense."""
    at = level(outcomes)
    return outcomes.assign(
        context_length=outcomes["context_length"].fillna(0).astype("int64"),
        level=at,
        sparsifier=outcomes["sparsifier"].where(at > 0, DENSE),
        sparsity_requested=outcomes["sparsity_requested"].where(at > 0, 0.0),
    )


def arms(outcomes: pd.DataFrame) -> list[Arm]:
    """The conditions of a side's rows, by model, context and level; a dense one is the same whatever its name."""
    groups = keyed(outcomes).groupby(ARM, sort=True)
    found = groups.agg(level=("level", "mean"), tasks=("task", frozenset)).reset_index()
    return [
        Arm(str(model), int(context), str(sparsifier), float(requested), float(at), tasks)
        for model, context, sparsifier, requested, at, tasks in found.itertuples(index=False)
    ]


def factor(a: Side, b: Side, mine: list[Arm], theirs: list[Arm]) -> list[str]:
    """What differs between two sides by their definition: method, level, or attributes of the model."""
    found = ["method"] if a.sparsifier != b.sparsifier else []
    if {a.level, b.level} != {None} and a.level != b.level and not found:
        found.append("level")
    differing = {name for name, _, _ in set(a.attributes) ^ set(b.attributes)}
    found += [name for name in ATTRIBUTES if name in differing]
    if not found or {_key(arm) for arm in mine} & {_key(arm) for arm in theirs}:
        raise DesignError(f"{a.name} and {b.name} share answers, so there is nothing to compare. Name two things.")
    return found


def _key(arm: Arm) -> tuple[str, int, str, float]:
    return arm.model, arm.context, arm.sparsifier, arm.requested
