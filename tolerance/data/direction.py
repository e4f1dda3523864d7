"""Levels given in the wrong direction: a share kept, a density or a budget that was read as sparsity.

Accuracy falls as more is removed. Where it rises with the level in nearly all curves that move at all, over all of them
beyond any chance, and the lowest level lies below dense, the levels are most likely shares of what was kept. Curves
with a dip or a gain on the way do not look like that: they end below where they began.
"""

import numpy as np
import pandas as pd
from scipy.special import ndtri

from tolerance.data import weights
from tolerance.data.contradictions import CURVE
from tolerance.data.levels import placed, scales
from tolerance.data.manifest import Manifest
from tolerance.data.outcomes import is_dense
from tolerance.errors import SchemaError

# The note of an import's manifest that somebody said so, who need not say it again.
LEVELS_ARE_SPARSITY = "levels_are_sparsity"
# A false alarm stops somebody's work, so it takes one in 3.5 million by chance alone.
ALARM = 5.0
NEARLY_ALL = 0.8
RISES = float(ndtri(0.95))
# What a published mean counts as where nobody says how many items it is of.
UNKNOWN_ITEMS = 30


def refuse_shares_kept(table: pd.DataFrame, source: str) -> None:
    """Refuse validated answers or means whose levels look like shares kept.

    Raises:
        SchemaError: naming a curve, and how to turn levels round or to say that they are right.
    """
    table = placed(table)
    cells = _cells(table)
    rising = _rising(cells)
    if rising.empty:
        return
    moving = rising["z"][rising["z"].abs() > RISES]
    if (moving > 0).mean() > NEARLY_ALL and _together(rising["z"]) > ALARM and _below_dense(cells):
        raise SchemaError(f"{source}: {_words(rising, table)}")


def known_as_sparsity(manifest: Manifest) -> bool:
    """Whether the levels of a run are shares removed: our runner set them, or somebody said so at the import."""
    return manifest.origin in ("collected", "simulated") or bool(manifest.notes.get(LEVELS_ARE_SPARSITY))


def _words(rising: pd.DataFrame, table: pd.DataFrame) -> str:
    clearest = rising.iloc[int(rising["z"].to_numpy().argmax())]
    scale = scales(table).get(clearest["sparsifier"])
    if scale is not None:
        other = "kept" if scale.direction == "removed" else "removed"
        word = scale.unit.removesuffix(f"-{scale.direction}")
        return (
            f"accuracy rises as more is taken away in {int((rising['z'] > RISES).sum())} of {len(rising)} curves (task "
            f"{clearest['task']!r} under {clearest['sparsifier']!r}: {clearest['lowest']:.3g} at "
            f"{scale.level(clearest['least'])}, {clearest['highest']:.3g} at {scale.level(clearest['most'])}), so "
            f"levels look like what is {other}. Say level_unit {word}-{other}, or that they are right: "
            "--levels-are-sparsity."
        )
    return (
        f"accuracy rises with sparsity in {int((rising['z'] > RISES).sum())} of {len(rising)} curves (task "
        f"{clearest['task']!r} under {clearest['sparsifier']!r}: {clearest['lowest']:.3g} at {clearest['least']:g}, "
        f"{clearest['highest']:.3g} at {clearest['most']:g}), so the levels look like the share that is kept. Turn "
        "them round (mapping: 'complement: [sparsity_requested]'), or say that they are right: --levels-are-sparsity."
    )


def _cells(table: pd.DataFrame) -> pd.DataFrame:
    """Mean score and number of items by curve and requested level; dense is level 0 of no method."""
    asked = table["sparsity_requested"].where(~is_dense(table), 0.0)
    items = table["n_items"].fillna(UNKNOWN_ITEMS).astype("float64") if "n_items" in table else weights.answers(table)
    rows = table[CURVE].assign(level=asked, n=items, sum=table["score"] * items)[table["score"].notna()]
    cells = rows.groupby([*CURVE, "level"], dropna=False, sort=True)[["n", "sum"]].sum().reset_index()
    return cells.assign(mean=cells["sum"] / cells["n"])


def _rising(cells: pd.DataFrame) -> pd.DataFrame:
    """How surely each curve of two levels or more rises: a trend test of its sparse levels, in standard errors."""
    curves = cells[cells["level"] > 0].groupby(CURVE, dropna=False, sort=True)
    rows = [_trend(curve) for _, curve in curves if len(curve) > 1]
    return pd.DataFrame(rows).dropna(subset="z") if rows else pd.DataFrame()


def _trend(curve: pd.DataFrame) -> dict[str, object]:
    """The Cochran-Armitage test (doi 10.2307/3001775) over one curve's levels, and its ends."""
    n, mean, at = (curve[name].to_numpy(dtype=np.float64) for name in ("n", "mean", "level"))
    pooled = np.average(mean, weights=n)
    off = at - np.average(at, weights=n)
    spread = np.sqrt(pooled * (1 - pooled) * (n * off**2).sum())
    ends = {"least": at[0], "most": at[-1], "lowest": mean[0], "highest": mean[-1]}
    first = curve.iloc[0]
    z = (n * off * mean).sum() / spread if spread > 0 else np.nan
    return {"task": first["task"], "sparsifier": first["sparsifier"], "z": z, **ends}


def _below_dense(cells: pd.DataFrame) -> bool:
    """Whether the lowest level of each curve lies, over all of them, below dense; True where dense is not there."""
    place = ["model", "context_length", "task"]
    dense = cells[cells["level"] == 0].drop_duplicates(place)
    lowest = cells[cells["level"] > 0].drop_duplicates(CURVE)
    both = lowest.merge(dense, on=place, suffixes=("", "_dense"))
    pooled = (both["sum"] + both["sum_dense"]) / (both["n"] + both["n_dense"])
    error = np.sqrt(pooled * (1 - pooled) * (1 / both["n"] + 1 / both["n_dense"]))
    z = ((both["mean_dense"] - both["mean"]) / error)[error > 0]
    return both.empty or (len(z) > 0 and _together(z) > RISES)


def _together(z: pd.Series) -> float:
    """Many tests as one (Stouffer)."""
    return float(z.sum() / np.sqrt(len(z)))
