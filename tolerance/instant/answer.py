"""The instant answer: what the answers show by themselves, without a model and in under a second.

Cells with Wilson and cluster-robust intervals, contrasts on the same items (exact McNemar, paired bootstrap), a trend
by estimating equations, and the tolerated level between measured levels. The estimand is that of the posterior: the
mean over the tasks (by model and context) of a type, with the rule's guessing floor subtracted where a share of dense
accuracy is meant. Every item counts once, however often it was asked. docs/instant.md has the formulas' sources.
"""

from tolerance import findings
from tolerance.data.item_table import NOWHERE
from tolerance.data.outcomes import DENSE
from tolerance.data.prepared import Outcomes, prepare
from tolerance.instant.cells import Asked, observed_cells
from tolerance.instant.contrasts import RESAMPLES, paired, task_pairs
from tolerance.instant.trends import observed_levels, trends


def instant_answer(
    outcomes: Outcomes, *, retention: float = 0.95, prob: float = 0.90, resamples: int = RESAMPLES, seed: int = 0
) -> findings.Instant:
    """What validated outcomes show without a model; the order of their rows does not matter.

    Raises:
        DesignError: every answer is dense, one task has two types, or one sparsifier two units.
    """
    asked = Asked(retention, prob, resamples, seed)
    prepared = prepare(outcomes)
    answers = prepared.items
    pairs = list(task_pairs(answers, asked))
    against_dense = [pair for pair in pairs if pair.second == DENSE]
    contrasts = paired(pairs, asked)
    without = sum(int(task.asked[:, (task.sparsity > 0) & (task.dense == NOWHERE)].sum()) for task in answers.tasks)
    return findings.Instant(
        retention=retention,
        interval_prob=prob,
        resamples=resamples,
        seed=seed,
        n_answers=len(prepared.outcomes),
        n_unpaired=without + sum(pair.unpaired[0] for pair in against_dense),
        cells=list(observed_cells(answers, asked)),
        contrasts=contrasts,
        trends=list(trends(answers, asked)),
        tolerated=list(observed_levels(answers, against_dense, asked)),
    )
