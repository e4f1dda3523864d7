"""The two arms of a comparison: a method, a level, or any attribute of a model."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

import numpy as np
import pandas as pd

from tolerance.comparison.conditions import Condition
from tolerance.data.levels import as_set, counted, said
from tolerance.data.outcomes import BY_NAME, DENSE, is_dense, level
from tolerance.errors import DesignError

# What says who answered; the rest of an arm says how.
ATTRIBUTES = (
    *("model", "revision", "params", "params_active", "n_layers", "hidden_size", "architecture"),
    *("training_protocol", "context_length"),
)
_PART = re.compile(r"^(?P<name>\w+)(?P<sense>>=|<=|=)(?P<value>.+)$")


@dataclass(frozen=True)
class Arm:
    """One arm: a method, perhaps at one level asked for, by models with some attributes; as text for a reader."""

    sparsifier: str = DENSE
    level: float | None = None
    attributes: tuple[tuple[str, str, str], ...] = ()

    @property
    def name(self) -> str:
        """As it is written."""
        how = self.sparsifier if self.level is None else f"{self.sparsifier}@{self.level:g}"
        return ",".join([how, *(f"{name}{sense}{value}" for name, sense, value in self.attributes)])


def parse(text: str) -> Arm:
    """An arm from text: ``snapkv``, ``snapkv@0.9``, ``dense,params>=8e9``, ``snapkv,architecture=Llama``.

    Without a method it is dense. Parts are separated by commas.

    Raises:
        DesignError: naming the part and what it may be.
    """
    arm = Arm()
    for part in (part.strip() for part in text.split(",")):
        found = _PART.match(part)
        if found is not None:
            name, sense, value = found["name"], found["sense"], found["value"]
            if name not in ATTRIBUTES:
                near = get_close_matches(name, ATTRIBUTES, n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                raise DesignError(f"{part!r}: {name} is no attribute of a model.{hint} Known: {', '.join(ATTRIBUTES)}.")
            arm = replace(arm, attributes=(*arm.attributes, (name, sense, value)))
        else:
            method, at, asked = part.partition("@")
            arm = replace(arm, sparsifier=method, level=_level(part, asked) if at else None)
    return arm


def _level(part: str, asked: str) -> float:
    try:
        value = float(asked)
    except ValueError:
        value = np.nan
    if not 0 <= value < np.inf:
        raise DesignError(
            f"{part!r}: the level {asked!r} is no number. Give what is removed, like @0.9, or what was set."
        )
    return value


def rows(outcomes: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    """The outcomes of an arm.

    Raises:
        DesignError: nothing there, naming the part that finds nothing and what there is.
    """
    chosen = outcomes
    for name, sense, value in arm.attributes:
        chosen = chosen[_matching(chosen[name], name, sense, value)]
        if chosen.empty:
            seen = ", ".join(sorted({str(one) for one in outcomes[name].dropna()})[:8]) or "nothing recorded"
            raise DesignError(f"{arm.name}: no answer has {name}{sense}{value}. There is: {seen}.")
    dense = is_dense(chosen) | (level(chosen) == 0)
    before = chosen
    chosen = chosen[dense] if arm.sparsifier == DENSE else chosen[chosen["sparsifier"] == arm.sparsifier]
    if chosen.empty:
        there = sorted(set(before["sparsifier"]))
        near = get_close_matches(arm.sparsifier, there, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise DesignError(f"{arm.name}: no answer under {arm.sparsifier!r}.{hint} There is: {', '.join(there)}.")
    if arm.sparsifier != DENSE:
        chosen, before = chosen[level(chosen) > 0], chosen
    if arm.level is not None:
        _require_fraction(chosen, arm.level, arm.name)
        chosen, before = chosen[np.isclose(as_set(chosen), arm.level, atol=5e-4)], chosen
    if chosen.empty:
        once = before.assign(said=before.apply(said, axis=1)).sort_values("sparsity_requested")
        there = list(dict.fromkeys(once["said"]))
        raise DesignError(f"{arm.name}: no answer at this level. Levels asked for: {', '.join(there)}.")
    return chosen


def _require_fraction(chosen: pd.DataFrame, at: float, name: str) -> None:
    if at >= 1 and not counted(chosen).any():
        raise DesignError(f"{name}: the level {at:g} is no fraction in [0, 1). Give what is removed, like @0.9.")


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


def factor(a: Arm, b: Arm, mine: list[Condition], theirs: list[Condition]) -> list[str]:
    """What differs between two arms by their definition: method, level, or attributes of the model."""
    found = ["method"] if a.sparsifier != b.sparsifier else []
    if {a.level, b.level} != {None} and a.level != b.level and not found:
        found.append("level")
    differing = {name for name, _, _ in set(a.attributes) ^ set(b.attributes)}
    found += [name for name in ATTRIBUTES if name in differing]
    if not found or {_key(condition) for condition in mine} & {_key(condition) for condition in theirs}:
        raise DesignError(f"{a.name} and {b.name} share answers, so there is nothing to compare. Name two things.")
    return found


def _key(condition: Condition) -> tuple[str, int | None, str, float]:
    return condition.model, condition.context, condition.sparsifier, condition.requested
