"""Axes that a comparison may hold constant: one table that all read.

The table of what was held, the verdict matrix, ``--hold``, audits and claims take names, units and accounts from here.
A package may add one: an `Axis` under the entry point ``tolerance.axes``, named by its key.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.axes.accounts import (
    Formula,
    MissingError,
    column,
    compute,
    context,
    kv_bytes,
    kv_tokens,
    phase,
    sparsity_fraction,
)
from tolerance.axes.model_shape import Shapes
from tolerance.data.cells import halvings, sparsity
from tolerance.errors import DesignError, SchemaError
from tolerance.findings import Accounting
from tolerance.plugins import Registry

Floats = NDArray[np.float64]
Mover = Literal["level", "model", "context"]
Scale = Literal["doublings", "halvings of the density"]
# Values of an axis within one percent of each other are one value.
SAME = float(np.log2(1.01))


@dataclass(frozen=True)
class Accounted:
    """An axis over rows ``(row,)``: values with one accounting for all, or none and the reason."""

    axis: str
    unit: str
    accounting: Accounting
    source: str
    values: pd.Series | None
    reason: str | None = None


@dataclass(frozen=True)
class Axis:
    """One axis.

    key: as it is typed. source: where its values come from, or the closed form that estimates them. moved_by: what
    changes it within one side of a comparison, the finest first. formula: validated outcomes and shapes of models ->
    values of rows and how they are accounted for; it raises `MissingError` with the reason where there are none.
    scale: what equal steps along it are. part_of: key of the axis that this is a share of. published: the column of
    published cells that carries it.
    """

    key: str
    name: str
    unit: str
    source: str
    moved_by: tuple[Mover, ...]
    formula: Formula
    scale: Scale = "doublings"
    part_of: str | None = None
    published: str | None = None

    def account(self, outcomes: pd.DataFrame, shapes: Shapes | None = None) -> Accounted:
        """The axis for each row of validated outcomes, all accounted for in one way."""
        try:
            values, accounting = self.formula(outcomes, shapes or {})
        except MissingError as missing:
            return Accounted(self.name, self.unit, "unavailable", self.source, None, str(missing))
        return Accounted(self.name, self.unit, accounting, self.source, values.astype("float64"))

    def forward(self, values: Floats) -> Floats:
        """Values on the scale on which the axis is travelled."""
        if self.scale == "doublings":
            return np.asarray(np.log2(np.maximum(values, 0.5)))
        return halvings(values)

    def back(self, x: Floats) -> Floats:
        """The inverse of `forward`."""
        return np.asarray(2.0 ** np.asarray(x)) if self.scale == "doublings" else sparsity(x)


def one_value(low: float, high: float) -> bool:
    """Whether a range is one value, to within one percent."""
    return high - low <= 0.01 * max(abs(high), 1e-12)


FLOPS = "closed forms of Kaplan et al. 2020 (arXiv 2001.08361, Table 1) with causal pairs"
KV_BYTES = "2 x layers x KV heads x head width x bytes x tokens (Pope et al. 2022, arXiv 2211.05102)"
_OURS: tuple[Axis, ...] = (
    Axis("compute", "compute", "FLOPs per item", FLOPS, ("level", "model"), compute),
    Axis(
        *("prefill", "prefill compute", "FLOPs per item", FLOPS, ("level", "model"), phase("prefill")),
        part_of="compute",
    ),
    Axis(
        *("decode", "decode compute", "FLOPs per item", FLOPS, ("level", "model"), phase("decode")),
        part_of="compute",
    ),
    Axis("params", "parameters", "parameters", "counted", ("model",), column("params"), published="params"),
    Axis("active", "active parameters", "parameters per token", "counted", ("model",), column("params_active")),
    Axis(
        *("context", "context length", "tokens", "as asked for", ("context",), context),
        published="context_length",
    ),
    Axis("kv", "KV bytes", "bytes per item", KV_BYTES, ("level", "model"), kv_bytes),
    Axis(
        *("kv-tokens", "KV tokens", "entries of the prompt", "prompt tokens x share kept", ("level",), kv_tokens),
        published="kv_tokens",
    ),
    Axis("budget", "generated tokens", "tokens per item", "counted", ("level", "model"), column("generated_tokens")),
    Axis(
        *("sparsity", "sparsity fraction", "fraction removed", "kept over visible", ("level",), sparsity_fraction),
        scale="halvings of the density",
        published="sparsity",
    ),
)
AXES: Registry[Axis] = Registry(
    "tolerance.axes", "axis", lambda thing: isinstance(thing, Axis), {axis.key: axis for axis in _OURS}
)


def by_key(keys: str) -> tuple[Axis, ...]:
    """The axes of a comma-separated list of keys; ``all`` of them.

    Raises:
        DesignError: naming the key that is none, and those there are.
    """
    if keys == "all":
        return tuple(AXES.values())
    try:
        return tuple(AXES[key] for key in keys.split(","))
    except (KeyError, SchemaError) as error:
        key = next(key for key in keys.split(",") if key not in AXES)
        raise DesignError(f"{key!r} is no axis to hold. Give some of {', '.join(AXES)}, or all.") from error


def names() -> tuple[str, ...]:
    """Names of all axes, as reports and claims write them."""
    return tuple(axis.name for axis in AXES.values())
