"""The instant answer: what the answers show by themselves, without a model and in under a second.

Cells with Wilson and cluster-robust intervals, contrasts on the same items (exact McNemar, paired bootstrap), a trend
by estimating equations, and the tolerated level between measured levels. The estimand is that of the posterior: the
mean over the tasks (by model and context) of a type, with the rule's guessing floor subtracted where a share of dense
accuracy is meant. Every item counts once, however often it was asked; items that depend on each other are drawn
together. docs/instant.md has the formulas' sources.
"""

from collections.abc import Iterator

from tolerance import findings
from tolerance.data.item_table import NOWHERE, ItemTable
from tolerance.data.outcomes import DENSE
from tolerance.data.prepared import Outcomes, prepare
from tolerance.data.task_sets import TaskSet, task_sets
from tolerance.instant.cells import Asked, observed_cells
from tolerance.instant.contrasts import RESAMPLES, ItemPair, paired, task_pairs
from tolerance.instant.left_out import left_out
from tolerance.instant.means import instant_of_means
from tolerance.instant.trends import observed_levels, trends
from tolerance.instant.ungraded import denominator_matters, ungraded


def instant_answer(
    outcomes: Outcomes, *, retention: float = 0.95, prob: float = 0.90, resamples: int = RESAMPLES, seed: int = 0
) -> findings.Instant:
    """What validated outcomes show without a model; the order of their rows does not matter.

    Published means have no items to pair: see `tolerance.instant.means`.

    Raises:
        DesignError: every answer is dense, one task has two types, one sparsifier two units, or nothing was graded.
    """
    asked = Asked(retention, prob, resamples, seed)
    prepared = prepare(outcomes)
    if prepared.published:
        return findings.stated(instant_of_means(prepared.outcomes, asked), prepared.scales)
    answers, sets = prepared.items, task_sets(prepared.items)
    pairs, contrasts = _contrasts(answers, sets, asked)
    against_dense = [pair for pair in pairs if pair.second == DENSE]
    as_wrong = []
    if prepared.ungraded:
        whole = prepared.as_wrong.items
        as_wrong = _contrasts(whole, task_sets(whole), asked)[1]
    found = findings.Instant(
        retention=retention,
        interval_prob=prob,
        resamples=resamples,
        seed=seed,
        n_answers=prepared.n_answers,
        n_unpaired=_unpaired(answers) + sum(one.n_items for one in prepared.same.left_out),
        cells=list(observed_cells(answers, asked)),
        contrasts=contrasts,
        trends=list(trends(answers, sets, asked)),
        tolerated=list(observed_levels(answers, against_dense, asked)),
        unshared=left_out(prepared.same),
        compositions=list(compositions(sets)),
        ungraded=list(ungraded(prepared)),
        denominator_matters=list(denominator_matters(contrasts, as_wrong, retention)),
    )
    return findings.stated(found, prepared.scales)


def _unpaired(answers: ItemTable) -> int:
    """Sparse answers to items without a dense one."""
    return sum(int(task.asked[:, (task.sparsity > 0) & (task.dense == NOWHERE)].sum()) for task in answers.tasks)


def _contrasts(answers: ItemTable, sets: list[TaskSet], asked: Asked) -> tuple[list[ItemPair], list[findings.Paired]]:
    pairs = list(task_pairs(answers, sets, asked))
    return pairs, paired(pairs, answers, asked)


def compositions(sets: list[TaskSet]) -> Iterator[findings.Composition]:
    """What is to be said of the tasks that means are over."""
    for one in sets:
        if not one.whole:
            yield findings.Composition(
                task_type=one.task_type,
                sparsifier=one.sparsifier,
                tasks=list(one.tasks),
                lacking=list(one.lacking),
                dropped=list(one.dropped),
                mixed=one.mixed,
            )
