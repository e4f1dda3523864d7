"""Axes that a comparison may hold constant: unit, value of every outcome row, and how that value was accounted for.

Measured where every row of the comparison has it. Otherwise a closed form from the model's shape, for all rows alike:
an estimate never stands against a measurement. Otherwise unavailable, with the reason: nothing is filled in.

Closed forms, two FLOPs a multiply-add: linear layers 2 x weights for each token (Kaplan et al. 2020, arXiv 2001.08361,
Table 1), attention 4 x layers x heads x head width for each kept query-key pair (the same table's attention row counts
a full square; causal attention has n (n + 1) / 2 pairs), KV cache 2 x layers x KV heads x head width x bytes for each
token held (Pope et al. 2022, arXiv 2211.05102, section 3.3). What a method spends on choosing is not in an estimate.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tolerance.data.outcomes import is_dense, level
from tolerance.errors import DesignError, SchemaError
from tolerance.findings import Accounting, HeldAxis

Mover = Literal["level", "model", "context"]
# What sparsity of these kinds saves is known from how many pairs or entries are kept.
KEPT = ("attention", "kv-cache")


class ModelShape(BaseModel):
    """What the closed forms need of a model; the names are those of a transformers ``config.json``.

    linear_weights: weights of the linear layers that one token meets, output head not counted; ``params_active`` of the
    outcomes stands for it where it is not given. bytes_per_element: of the KV cache, 2 for 16 bit.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    num_hidden_layers: int = Field(ge=1)
    num_attention_heads: int = Field(ge=1)
    num_key_value_heads: int | None = Field(default=None, ge=1)
    head_dim: int | None = Field(default=None, ge=1)
    hidden_size: int = Field(ge=1)
    vocab_size: int | None = Field(default=None, ge=1)
    tie_word_embeddings: bool = True
    linear_weights: int | None = Field(default=None, ge=1)
    bytes_per_element: float = Field(default=2.0, gt=0)

    @property
    def width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def pair(self) -> float:
        """FLOPs of one kept query-key pair, in all layers and heads."""
        return 4.0 * self.num_hidden_layers * self.num_attention_heads * self.width

    @property
    def token_bytes(self) -> float:
        """Bytes of KV cache that one token takes."""
        heads = self.num_key_value_heads or self.num_attention_heads
        return 2.0 * self.num_hidden_layers * heads * self.width * self.bytes_per_element


Shapes = Mapping[str, ModelShape]


@dataclass(frozen=True)
class Accounted:
    """An axis over rows ``(row,)``: values with one accounting for all, or none and the reason."""

    axis: HeldAxis
    unit: str
    accounting: Accounting
    source: str
    values: pd.Series | None
    reason: str | None = None


class _MissingError(Exception):
    """Why an axis has no value."""


Formula = Callable[[pd.DataFrame, Shapes], "tuple[pd.Series, Accounting]"]


@dataclass(frozen=True)
class Axis:
    """One axis. ``moved_by``: what changes it within one side of a comparison, the finest first."""

    name: HeldAxis
    key: str
    unit: str
    source: str
    moved_by: tuple[Mover, ...]
    formula: Formula

    def account(self, outcomes: pd.DataFrame, shapes: Shapes | None = None) -> Accounted:
        """The axis for each row of validated outcomes, all accounted for in one way."""
        try:
            values, accounting = self.formula(outcomes, shapes or {})
        except _MissingError as missing:
            return Accounted(self.name, self.unit, "unavailable", self.source, None, str(missing))
        return Accounted(self.name, self.unit, accounting, self.source, values.astype("float64"))


def by_key(keys: str) -> tuple[Axis, ...]:
    """The axes of a comma-separated list of keys; ``all`` of them.

    Raises:
        DesignError: naming the key that is none, and those there are.
    """
    if keys == "all":
        return AXES
    there = {axis.key: axis for axis in AXES}
    unknown = [key for key in keys.split(",") if key not in there]
    if unknown:
        raise DesignError(f"{unknown[0]!r} is no axis to hold. Give some of {', '.join(there)}, or all.")
    return tuple(there[key] for key in keys.split(","))


def read_shapes(path: Path) -> dict[str, ModelShape]:
    """Shapes of models from YAML or JSON: name of the model -> fields, or the path of its ``config.json``.

    Raises:
        SchemaError: naming file, model and field.
    """
    try:
        named = yaml.safe_load(path.read_text())
        assert isinstance(named, dict)
    except (OSError, yaml.YAMLError, AssertionError) as error:
        raise SchemaError(f"{path}: no YAML or JSON of model: shape. Give each model's name and its config.") from error
    shapes = {}
    for name, fields in named.items():
        try:
            given = yaml.safe_load((path.parent / fields).read_text()) if isinstance(fields, str) else fields
            shapes[str(name)] = ModelShape.model_validate(given)
        except OSError as error:
            raise SchemaError(f"{path}: {name}: {fields}: cannot be read. Give the path of a config.json.") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise SchemaError(f"{path}: {name}: {where}: {first['msg']}. Give it as in config.json.") from error
    return shapes


def _recorded(rows: pd.DataFrame, column: str) -> pd.Series:
    values = rows[column] if column in rows else pd.Series(np.nan, index=rows.index)
    return values.astype("float64")


def _needed(rows: pd.DataFrame, column: str, why: str = "") -> pd.Series:
    values = _recorded(rows, column)
    if values.isna().any():
        raise _MissingError(f"{column} is missing in {int(values.isna().sum()):,} of {len(values):,} rows{why}")
    return values


def _column(column: str) -> Formula:
    return lambda rows, _: (_needed(rows, column), "measured")


def _compute(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
    parts = [_recorded(rows, name) for name in ("flops_linear", "flops_attention", "flops_selection")]
    total = parts[0] + parts[1] + parts[2]
    if not total.isna().any():
        return total, "measured"
    missing = f"; flops were not recorded in {int(total.isna().sum()):,} of {len(total):,} rows"
    return _prefill(rows, shapes, missing) + _decode(rows, shapes, missing), "estimated"


def _phase(phase: Literal["prefill", "decode"]) -> Formula:
    def formula(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
        part = _prefill if phase == "prefill" else _decode
        if (_recorded(rows, "generated_tokens") <= 1).all():
            # one token needs no decoding step: all that was spent was spent on the prompt
            if phase == "decode":
                raise _MissingError("no answer is longer than one token, so nothing was decoded")
            total, accounting = _compute(rows, shapes)
            return total, accounting
        return part(rows, shapes, "; flops are recorded for both phases together"), "estimated"

    return formula


def _prefill(rows: pd.DataFrame, shapes: Shapes, why: str) -> pd.Series:
    """All prompt tokens through the linear layers, kept pairs, the logits of one position."""
    n = _needed(rows, "prompt_tokens", why)
    weights, head, pair = (_of_model(rows, shapes, part, why) for part in ("weights", "head", "pair"))
    kept = _kept(rows, "prefill", why)
    return 2 * weights * n + 2 * head + pair * kept * n * (n + 1) / 2


def _decode(rows: pd.DataFrame, shapes: Shapes, why: str) -> pd.Series:
    """All generated tokens but the first are made from the one before them."""
    n, steps = _needed(rows, "prompt_tokens", why), (_needed(rows, "generated_tokens", why) - 1).clip(lower=0)
    weights, head, pair = (_of_model(rows, shapes, part, why) for part in ("weights", "head", "pair"))
    pairs = _kept(rows, "decode", why) * n * steps + steps * (steps + 1) / 2
    return 2 * (weights + head) * steps + pair * pairs


def _of_model(rows: pd.DataFrame, shapes: Shapes, part: str, why: str) -> pd.Series:
    """Linear weights met by a token, weights of the output head, or FLOPs of a pair, of each row's model."""
    found = {}
    for name, mine in rows.groupby("model"):
        found[name] = _from_shape(str(name), mine, shapes.get(str(name)), part, why)
    return rows["model"].map(found).astype("float64")


def _from_shape(name: str, mine: pd.DataFrame, shape: ModelShape | None, part: str, why: str) -> float:
    active = _recorded(mine, "params_active").iloc[0]
    if part == "weights":
        if shape is not None and shape.linear_weights is not None:
            return float(shape.linear_weights)
        if np.isnan(active):
            raise _MissingError(f"neither linear_weights nor params_active of {name!r} is known{why}")
        # embeddings are looked up, not multiplied, and the output head is counted apart
        return float(active - _table(shape) * (1 if shape is None or shape.tie_word_embeddings else 2))
    if part == "head":
        return _table(shape)
    if shape is not None:
        return shape.pair
    layers, hidden = (_recorded(mine, column).iloc[0] for column in ("n_layers", "hidden_size"))
    if np.isnan(layers) or np.isnan(hidden):
        raise _MissingError(f"the shape of {name!r} is not known{why}")
    # heads x head width is the hidden size in most models; a config says it where it is not
    return float(4 * layers * hidden)


def _table(shape: ModelShape | None) -> float:
    return 0.0 if shape is None or shape.vocab_size is None else float(shape.vocab_size * shape.hidden_size)


def _kept(rows: pd.DataFrame, phase: Literal["prefill", "decode"], why: str) -> pd.Series:
    """Share of query-key pairs kept in a phase."""
    at, kind = level(rows).astype("float64"), rows["sparsity_kind"]
    sparse = at > 0
    strange = sparse & ~kind.isin(KEPT)
    if strange.any():
        seen = ", ".join(sorted({str(one) for one in kind[strange].fillna("not stated")}))
        raise _MissingError(f"what sparsity of kind {seen} saves depends on the kernel, so it cannot be computed{why}")
    acts = (kind == "kv-cache") & (phase == "decode")
    acts |= (kind == "attention") & rows["phase"].isin((phase, "both"))
    return pd.Series(np.where(sparse & acts, 1 - at, 1.0), index=rows.index)


def _kv_tokens(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
    """Prompt entries held: a recorded budget, or prompt tokens times the share kept by a method on the cache."""
    budget = _recorded(rows, "kv_budget_tokens")
    sparse = (level(rows).astype("float64") > 0) & ~is_dense(rows)
    if sparse.any() and budget[sparse].isna().any():
        budget = budget.where(sparse & (rows["sparsity_kind"] != "kv-cache"))
    n = _recorded(rows, "prompt_tokens")
    accounting: Accounting = "measured"
    if n[budget.isna()].isna().any():
        n, accounting = _needed(rows, "context_length", ", and neither are prompt_tokens"), "estimated"
    on_cache = sparse & (rows["sparsity_kind"] == "kv-cache")
    if (sparse & rows["sparsity_kind"].isna()).any():
        raise _MissingError("sparsity_kind is missing, so whether the cache shrinks is unknown")
    if rows.loc[on_cache & budget.isna(), "sparsity_realised"].isna().any():
        accounting = "estimated"
    kept = n * np.where(on_cache, 1 - level(rows).astype("float64"), 1.0)
    return budget.fillna(kept), accounting


def _kv_bytes(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
    held = _recorded(rows, "kv_bytes_allocated")
    if not held.isna().any():
        return held, "measured"
    unknown = sorted(set(rows["model"]) - set(shapes))
    if unknown:
        lacking = int(held.isna().sum())
        raise _MissingError(
            f"kv_bytes_allocated is missing in {lacking:,} of {len(held):,} rows, and the KV heads of {unknown[0]!r} "
            "are not known (--shapes)"
        )
    tokens, _ = _kv_tokens(rows, shapes)
    generated = _recorded(rows, "generated_tokens").fillna(0.0)
    return (tokens + generated) * rows["model"].map({name: shape.token_bytes for name, shape in shapes.items()}), (
        "estimated"
    )


def _context(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
    context = _recorded(rows, "context_length")
    return (context, "measured") if not context.isna().any() else (_needed(rows, "prompt_tokens"), "measured")


def _sparsity(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
    sparse = (level(rows) > 0) & ~is_dense(rows)
    units = sorted({str(unit) for unit in rows.loc[sparse, "unit"].fillna("not stated")})
    if len(units) > 1:
        raise _MissingError(f"fractions of different things are not compared: {', '.join(units)}")
    realised = not rows.loc[sparse, "sparsity_realised"].isna().any()
    return level(rows).astype("float64"), "measured" if realised else "requested"


FLOPS = "closed forms of Kaplan et al. 2020 (arXiv 2001.08361, Table 1) with causal pairs"
AXES: tuple[Axis, ...] = (
    Axis("compute", "compute", "FLOPs per item", FLOPS, ("level", "model"), _compute),
    Axis("prefill compute", "prefill", "FLOPs per item", FLOPS, ("level", "model"), _phase("prefill")),
    Axis("decode compute", "decode", "FLOPs per item", FLOPS, ("level", "model"), _phase("decode")),
    Axis("parameters", "params", "parameters", "counted", ("model",), _column("params")),
    Axis("active parameters", "active", "parameters per token", "counted", ("model",), _column("params_active")),
    Axis("context length", "context", "tokens", "as asked for", ("context",), _context),
    Axis(
        "KV bytes",
        "kv",
        "bytes per item",
        "2 x layers x KV heads x head width x bytes x tokens (Pope et al. 2022, arXiv 2211.05102)",
        ("level", "model"),
        _kv_bytes,
    ),
    Axis("KV tokens", "kv-tokens", "entries of the prompt", "prompt tokens x share kept", ("level",), _kv_tokens),
    Axis("generated tokens", "budget", "tokens per item", "counted", ("level", "model"), _column("generated_tokens")),
    Axis("sparsity fraction", "sparsity", "fraction removed", "kept over visible", ("level",), _sparsity),
)
assert {axis.name for axis in AXES} == set(get_args(HeldAxis))
