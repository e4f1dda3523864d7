"""Answers -> outcome rows: what the table says of model, method, item, answer and cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tolerance.data.outcomes import DENSE
from tolerance.runners.collect import costs
from tolerance.runners.collect.blocks import Block
from tolerance.runners.collect.plan import PHASES
from tolerance.runners.decoding.generate import Answer
from tolerance.runners.models.linear import covered, linears
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.pruning.weights import Pruned
from tolerance.runners.sparsifiers import Checkpoint, Eviction, Phase, Sparsifier, Teal, WeightMethod
from tolerance.runners.tasks.base import Item
from tolerance.runners.tasks.graders import Grade, grade

Row = dict[str, Any]


@dataclass(frozen=True)
class Loaded:
    """What rows say of whoever answered.

    ``form``: its shape for costs, if that is known. ``phases``: in which a plan imposes. ``covered_layers``: share of
    the layers with attention of ours. ``pruned``: the weights in place, where they are not the model's own.
    """

    model: LoadedModel
    form: costs.CostForm | None
    phases: frozenset[Phase]
    covered_layers: float
    pruned: Pruned | None

    def acting(self, method: Sparsifier) -> frozenset[Phase]:
        """The phases in which a method acts."""
        return self.phases & method.acts_in


def rows(
    by: Loaded, block: Block, items: Sequence[Item], answers: Sequence[Answer], seconds: float, shape: str
) -> list[Row]:
    """Outcome rows of a block; ``seconds`` an item took, ``shape`` of its batch where answers do not say their own."""
    shared = {**_about_model(by), **_about_method(by, block), **_about_weights(by)}
    return [
        {
            **shared,
            **_about_item(item),
            **_about_answer(grade(item, got.text, stopped=got.stopped)),
            **_about_tokens(by, got, block),
            **_about_budget(got, block),
            **_about_cost(by, got, block),
            "seconds": seconds,
            "batch_shape": got.batch_shape or shape,
        }
        for item, got in zip(items, answers, strict=True)
    ]


def _about_model(by: Loaded) -> Row:
    loaded = by.model
    return {
        "model": loaded.name,
        "revision": loaded.revision,
        "params": loaded.params,
        "params_active": loaded.params_active,
        "n_layers": loaded.n_layers,
        "hidden_size": loaded.hidden_size,
        "architecture": loaded.architecture,
    }


def _about_method(by: Loaded, block: Block) -> Row:
    method = block.sparsifier
    if method is None:
        return {
            "sparsifier": DENSE,
            "sparsity_kind": "none",
            "phase": "none",
            "unit": "none",
            "sparsity_requested": 0.0,
        }
    return {
        "sparsifier": method.label,
        "sparsity_kind": method.kind,
        "phase": _phase(by, method),
        "unit": method.unit,
        "sparsity_requested": block.level,
        "covered_layers": _covered(by, method),
        # nobody knows how a checkpoint from elsewhere was made
        "trained_sparse": None if isinstance(method, Checkpoint) else False,
        **({} if method.query_position is None else {"query_position": method.query_position}),
    }


def _covered(by: Loaded, method: Sparsifier) -> float:
    if isinstance(method, Teal):
        return covered(by.model, list(linears(by.model.model)))
    return by.covered_layers


def _phase(by: Loaded, method: Sparsifier) -> str:
    """When a method acts: entries are evicted after a dense prefill, weights pruned before it."""
    if isinstance(method, Eviction):
        return "decode"
    if isinstance(method, WeightMethod):
        return "load"
    return next(name for name, phases in PHASES.items() if by.acting(method) == set(phases))


def _about_weights(by: Loaded) -> Row:
    """Where weights were pruned: whose they are, how many are left."""
    pruned = by.pruned
    if pruned is None:
        return {}
    return {
        "revision": pruned.revision or by.model.revision,
        "params_active": pruned.params_active,
        "covered_layers": pruned.covered_layers,
    }


def _about_tokens(by: Loaded, got: Answer, block: Block) -> Row:
    return {
        "sparsity_realised": _realised(by, got, block.sparsifier),
        "prompt_tokens": got.prompt_tokens,
        "generated_tokens": got.generated_tokens,
    }


def _realised(by: Loaded, got: Answer, method: Sparsifier | None) -> float:
    """The share that was dropped, of what there was in the phases in which the method acts."""
    if method is None:
        return 0.0
    if by.pruned is not None:
        return by.pruned.sparsity
    if got.entries is not None:
        return 1 - got.entries.kept / got.entries.held
    counted = got if got.products is None else got.products
    phases = [getattr(counted, phase) for phase in by.acting(method)]
    visible = sum(phase.visible for phase in phases)
    # an answer that ends with its first token is over before decoding
    return 1 - sum(phase.kept for phase in phases) / visible if visible else 0.0


def _about_cost(by: Loaded, got: Answer, block: Block) -> Row:
    if by.form is None:
        return {}
    form, pruned = by.form, by.pruned
    if pruned is not None:
        form = replace(form, linear_weights=pruned.kept)
    method = block.sparsifier
    return vars(costs.cost(form, got, method, by.phases if method is None else by.acting(method)))


def _about_item(item: Item) -> Row:
    return {
        "item_id": item.item_id,
        "task": item.task,
        "task_type": item.task_type,
        "context_length": item.context_length,
        "scope": None if item.scope is None else float(item.scope),
        "dispersion": item.dispersion,
        "chance": item.chance,
        "seed": item.seed,
        "replicate": 0,
    }


def _about_budget(got: Answer, block: Block) -> Row:
    """A budget in tokens, and the fraction of this item's entries that it asks to drop."""
    if block.tokens is None:
        return {}
    assert got.entries is not None
    return {
        "kv_budget_tokens": block.tokens,
        "sparsity_requested": 1 - min(block.tokens, got.entries.end) / got.entries.end,
    }


def _about_answer(judged: Grade) -> Row:
    return {
        "score": judged.score,
        "k": judged.k,
        "n": judged.n,
        "correct": judged.k == judged.n,
        "answer": judged.answer,
        "parse_ok": judged.parse_ok,
        "truncated": judged.truncated,
    }
