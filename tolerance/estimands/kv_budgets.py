"""Tolerated levels as KV tokens: the smallest budget with which enough is kept, at each context length.

A fraction and a number of tokens are different claims: 90% of 4,096 entries removed leaves 410, of 131,072 13,107.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.data import weights
from tolerance.data.cells import halvings
from tolerance.data.conditions import known_context
from tolerance.data.levels import counted
from tolerance.data.manifest import digest
from tolerance.data.outcomes import is_dense, level
from tolerance.estimands.curve_state import CurveState
from tolerance.estimands.curves import averaged
from tolerance.estimands.source import Source
from tolerance.estimands.thresholds import tolerated
from tolerance.estimands.type_curve import TypeCurve
from tolerance.question import Question
from tolerance.stats.intervals import lower_limit, quantiles

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tokens:
    """KV tokens kept at measured halvings, both ``(level,)``, ascending in halvings."""

    halvings: Floats
    kept: Floats
    source: Literal["recorded", "computed"]

    def at(self, halved: Floats) -> Floats:
        """Tokens kept at halvings inside the measured range: their logarithm is straight between levels."""
        return np.asarray(2.0 ** np.interp(halved, self.halvings, np.log2(self.kept)))


def tokens(outcomes: pd.DataFrame) -> Tokens | None:
    """KV tokens by level of one method, from its sparse outcomes at one context length; None where nothing says.

    Budgets that were recorded count as such. For KV-cache methods without any, prompt tokens times the share kept.
    """
    if counted(outcomes).any():
        return None  # these levels are budgets already, or count something else
    at = outcomes.assign(halved=halvings(level(outcomes).to_numpy(dtype=np.float64)))
    if outcomes["kv_budget_tokens"].notna().all():
        source: Literal["recorded", "computed"] = "recorded"
        at["kept"] = outcomes["kv_budget_tokens"].astype("float64")
    elif "prompt_tokens" in outcomes and _computable(outcomes):
        source = "computed"
        at["kept"] = outcomes["prompt_tokens"].astype("float64") * (1 - level(outcomes))
    else:
        return None
    both = {name: weights.means(at, at[name], ["sparsity_requested"]) for name in ("halved", "kept")}
    means = pd.DataFrame(both).sort_values("halved")
    # more removed cannot leave more: a mean over other prompts could say so
    kept = np.minimum.accumulate(means["kept"].to_numpy(dtype=np.float64))
    return Tokens(means["halved"].to_numpy(dtype=np.float64), kept, source) if kept.min() > 0 else None


def _computable(outcomes: pd.DataFrame) -> bool:
    kinds = set(outcomes["sparsity_kind"].dropna())
    return kinds == {"kv-cache"} and bool(outcomes["prompt_tokens"].notna().all())


def budgets(
    source: Source,
    outcomes: pd.DataFrame,
    states: Sequence[CurveState],
    question: Question,
) -> Iterator[findings.Budget]:
    """One finding for each task type, method and context length whose KV tokens are known."""
    configs = source.fit.cells.configs
    sparse = outcomes[~is_dense(outcomes) & (level(outcomes) > 0)]
    keys = ["sparsifier", "context_length", "task_type"]
    groups = {(m, known_context(c), k): rows for (m, c, k), rows in sparse.groupby(keys, dropna=False)}
    for state in states:
        curve = state.curve
        for context in dict.fromkeys(configs[config][1] for config in sorted({config for _, config in curve.places})):
            mine = groups.get((curve.sparsifier, context, curve.task_type))
            known = None if mine is None else tokens(mine)
            if known is None:
                continue
            places = [place for place in curve.places if configs[place[1]][1] == context]
            here = None
            if state.ok:
                method = source.fit.cells.sparsifiers.index(curve.sparsifier)
                here = curve if len(places) == len(curve.places) else averaged(source, method, places)
            yield _budget(state, here, context, known, question)


def _budget(
    state: CurveState,
    here: TypeCurve | None,
    context: int | None,
    known: Tokens,
    question: Question,
) -> findings.Budget:
    curve = state.curve
    said = {} if here is None else _said(tolerated(here, question), known, question)
    nothing = dict.fromkeys(("median", "lower", "upper", "prob_more", "prob_fewer", "assured"))
    return findings.Budget(
        id=f"budget-{digest([curve.task_type, curve.sparsifier, context])[:8]}",
        task_type=curve.task_type,
        sparsifier=curve.sparsifier,
        context_length=context,
        source=known.source,
        status=state.status,
        reason=state.reason,
        most=float(known.kept[0]),
        least=float(known.kept[-1]),
        prob=question.interval_prob,
        **{**nothing, **said},
    )


def _said(draws: Floats, known: Tokens, question: Question) -> dict[str, object]:
    """Ends and median in tokens: a higher tolerated level is a smaller budget."""
    first, last = known.halvings[0], known.halvings[-1]
    low, middle, high = quantiles(draws, question.interval_prob)
    surely = lower_limit(draws, question.decision_prob)

    def inside(halved: float) -> float | None:
        return float(known.at(np.array(halved))) if first - 1e-12 <= halved <= last + 1e-12 else None

    # enough budget is censored on the other side than the level: beyond the last level, fewer tokens than measured do
    side: Literal["none", "left", "right"] = "right" if surely < first else "left" if surely > last else "none"
    side = "none" if inside(surely) is not None else side
    return {
        "median": inside(middle),
        "lower": inside(high),
        "upper": inside(low),
        "prob_more": float(np.mean(draws < first)),
        "prob_fewer": float(np.mean(draws > last)),
        "assured": findings.Assured(value=inside(surely), prob=question.decision_prob, censored=side),
    }
