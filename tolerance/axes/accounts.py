"""What each row of outcomes cost along an axis: measured where every row of the comparison has it, else a closed form.

Otherwise from the model's shape, for all rows alike: an estimate never stands against a measurement. Otherwise
unavailable, with the reason: nothing is filled in.

Closed forms, two FLOPs a multiply-add: linear layers 2 x weights for each token (Kaplan et al. 2020, arXiv 2001.08361,
Table 1), attention 4 x layers x heads x head width for each kept query-key pair (the same table's attention row counts
a full square; causal attention has n (n + 1) / 2 pairs), KV cache 2 x layers x KV heads x head width x bytes for each
token held (Pope et al. 2022, arXiv 2211.05102, section 3.3). What a method spends on choosing is not in an estimate.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

from tolerance.axes.model_shape import ModelShape, Shapes
from tolerance.data import weights
from tolerance.data.levels import counted
from tolerance.data.outcomes import is_dense, level
from tolerance.findings import Accounting

# What sparsity of these kinds saves is known from how many pairs or entries are kept.
KEPT = ("attention", "kv-cache")


class MissingError(Exception):
    """Why an axis has no value."""


Formula = Callable[[pd.DataFrame, Shapes], "tuple[pd.Series, Accounting]"]


def _recorded(rows: pd.DataFrame, column: str) -> pd.Series:
    values = rows[column] if column in rows else pd.Series(np.nan, index=rows.index)
    return values.astype("float64")


def _needed(rows: pd.DataFrame, column: str, why: str = "") -> pd.Series:
    values = _recorded(rows, column)
    if values.isna().any():
        raise MissingError(f"{column} is missing in {_missing(rows, values)} rows{why}")
    return values


def _missing(rows: pd.DataFrame, values: pd.Series) -> str:
    return f"{weights.total(rows, values.isna()):,} of {weights.total(rows):,}"


def column(name: str) -> Formula:
    """A column that is taken as it was recorded."""
    return lambda rows, _: (_needed(rows, name), "measured")


def compute(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
    """FLOPs of an item: linear layers, attention and what a method spent on choosing."""
    parts = [_recorded(rows, name) for name in ("flops_linear", "flops_attention", "flops_selection")]
    total = parts[0] + parts[1] + parts[2]
    if not total.isna().any():
        return total, "measured"
    missing = f"; flops were not recorded in {_missing(rows, total)} rows"
    return _prefill(rows, shapes, missing) + _decode(rows, shapes, missing), "estimated"


def phase(name: Literal["prefill", "decode"]) -> Formula:
    """FLOPs of one phase."""

    def formula(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
        part = _prefill if name == "prefill" else _decode
        if (_recorded(rows, "generated_tokens") <= 1).all():
            # one token needs no decoding step: all that was spent was spent on the prompt
            if name == "decode":
                raise MissingError("no answer is longer than one token, so nothing was decoded")
            total, accounting = compute(rows, shapes)
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
            raise MissingError(f"neither linear_weights nor params_active of {name!r} is known{why}")
        # embeddings are looked up, not multiplied, and the output head is counted apart
        return float(active - _table_weights(shape) * (1 if shape is None or shape.tie_word_embeddings else 2))
    if part == "head":
        return _table_weights(shape)
    if shape is not None:
        return shape.pair
    layers, hidden = (_recorded(mine, column).iloc[0] for column in ("n_layers", "hidden_size"))
    if np.isnan(layers) or np.isnan(hidden):
        raise MissingError(f"the shape of {name!r} is not known{why}")
    # heads x head width is the hidden size in most models; a config says it where it is not
    return float(4 * layers * hidden)


def _table_weights(shape: ModelShape | None) -> float:
    return 0.0 if shape is None or shape.vocab_size is None else float(shape.vocab_size * shape.hidden_size)


def _kept(rows: pd.DataFrame, phase: Literal["prefill", "decode"], why: str) -> pd.Series:
    """Share of query-key pairs kept in a phase."""
    at, kind = level(rows).astype("float64"), rows["sparsity_kind"]
    sparse = at > 0
    _require_fractions(rows, why)
    strange = sparse & ~kind.isin(KEPT)
    if strange.any():
        seen = ", ".join(sorted({str(one) for one in kind[strange].fillna("not stated")}))
        raise MissingError(f"what sparsity of kind {seen} saves depends on the kernel, so it cannot be computed{why}")
    acts = (kind == "kv-cache") & (phase == "decode")
    acts |= (kind == "attention") & rows["phase"].isin((phase, "both"))
    return pd.Series(np.where(sparse & acts, 1 - at, 1.0), index=rows.index)


def _require_fractions(rows: pd.DataFrame, why: str = "") -> None:
    """Refuse levels that are no fractions: what share they are was not recorded."""
    units = sorted({str(unit) for unit in rows.loc[counted(rows), "level_unit"]})
    if units:
        raise MissingError(f"levels are set in {', '.join(units)}, which is no fraction removed{why}")


def kv_tokens(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
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
    _require_fractions(rows[on_cache & budget.isna()])
    if (sparse & rows["sparsity_kind"].isna()).any():
        raise MissingError("sparsity_kind is missing, so whether the cache shrinks is unknown")
    if rows.loc[on_cache & budget.isna(), "sparsity_realised"].isna().any():
        accounting = "estimated"
    kept = n * np.where(on_cache, 1 - level(rows).astype("float64"), 1.0)
    return budget.fillna(kept), accounting


def kv_bytes(rows: pd.DataFrame, shapes: Shapes) -> "tuple[pd.Series, Accounting]":
    """Bytes of KV cache held."""
    held = _recorded(rows, "kv_bytes_allocated")
    if not held.isna().any():
        return held, "measured"
    unknown = sorted(set(rows["model"]) - set(shapes))
    if unknown:
        raise MissingError(
            f"kv_bytes_allocated is missing in {_missing(rows, held)} rows, and the KV heads of {unknown[0]!r} "
            "are not known (--shapes)"
        )
    tokens, _ = kv_tokens(rows, shapes)
    generated = _needed(rows, "generated_tokens")
    return (tokens + generated) * rows["model"].map({name: shape.token_bytes for name, shape in shapes.items()}), (
        "estimated"
    )


def context(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
    """Nominal context length; where that is missing, tokens of the prompt."""
    nominal = _recorded(rows, "context_length")
    return (nominal, "measured") if not nominal.isna().any() else (_needed(rows, "prompt_tokens"), "measured")


def sparsity_fraction(rows: pd.DataFrame, _: Shapes) -> "tuple[pd.Series, Accounting]":
    """The fraction that was removed, of one thing."""
    sparse = (level(rows) > 0) & ~is_dense(rows)
    _require_fractions(rows)
    units = sorted({str(unit) for unit in rows.loc[sparse, "unit"].fillna("not stated")})
    if len(units) > 1:
        raise MissingError(f"fractions of different things are not compared: {', '.join(units)}")
    realised = not rows.loc[sparse, "sparsity_realised"].isna().any()
    return level(rows).astype("float64"), "measured" if realised else "requested"
