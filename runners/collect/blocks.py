"""A plan becomes blocks: slices of items under one condition, each answered, written and resumed as one."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.data.planned import Condition
from tolerance.runners import tasks as task_registry
from tolerance.runners.collect.plan import Plan
from tolerance.runners.sparsifiers import Eviction, Sparsifier


@dataclass(frozen=True)
class Block:
    """A slice of items under one condition: the unit that is answered, written and resumed."""

    model: str
    task: str
    context_length: int
    sparsifier: Sparsifier | None
    level: float
    first: int
    n: int
    tokens: int | None = None

    @property
    def condition(self) -> str:
        """Method and level, readable."""
        if self.sparsifier is None:
            return DENSE
        return (
            f"{self.sparsifier.label} {self.level:g}"
            if self.tokens is None
            else f"{self.sparsifier.label} {self.tokens} tokens"
        )

    @property
    def name(self) -> str:
        """Readable and safe as a file name, and different for every block of a plan."""
        method = DENSE if self.sparsifier is None else self.sparsifier.label
        level = f"{self.level:g}" if self.tokens is None else f"{self.tokens}t"
        # a file of questions is the same one in another folder
        task = self.task.rpartition("/")[2] if task_registry.is_file(self.task) else self.task
        identity = [self.model, task, self.context_length, repr(self.sparsifier), self.level, self.first, self.n]
        whole = digest(identity if self.tokens is None else [*identity, self.tokens])
        task, method = (re.sub(r"[^\w.-]+", "-", text) for text in (task, method))
        return f"{task}-{self.context_length}-{method}-{level}-{self.first:06d}-{whole[:10]}"


def blocks(plan: Plan) -> list[Block]:
    """All blocks of a plan, model by model; the dense level once, shared by all sparsifiers."""
    return [
        Block(model, task, context, method, level, first, min(plan.batch_size, items - first), tokens)
        for model in plan.models
        for task, context, items in plan.series()
        for method, level, tokens in _conditions(plan, model)
        for first in range(0, items, plan.batch_size)
    ]


def planned(wanted: Sequence[Block]) -> list[Condition]:
    """Blocks by condition, as a manifest lists them."""
    found: dict[tuple[object, ...], Condition] = {}
    for block in wanted:
        told = Condition(
            model=block.model,
            task=block.task,
            context_length=block.context_length,
            sparsifier=DENSE if block.sparsifier is None else block.sparsifier.label,
            level=f"{block.level:g}" if block.tokens is None else f"{block.tokens} tokens",
            blocks={},
        )
        key = tuple(value for name, value in told.items() if name != "blocks")
        found.setdefault(key, told)["blocks"][block.name] = block.n
    return list(found.values())


def _conditions(plan: Plan, model: str) -> Iterator[tuple[Sparsifier | None, float, int | None]]:
    """Method, level and budget in tokens."""
    yield None, 0.0, None
    for method in plan.methods():
        yield from ((method, level, None) for level in plan.levels_of(method))
        yield from ((method, 0.0, tokens) for tokens in plan.kv_budgets if isinstance(method, Eviction))
    yield from ((one.sparsifier, one.level, None) for one in plan.pruned if one.model == model)


def together(todo: Sequence[Block]) -> list[list[Block]]:
    """Blocks that share a prefill: the same items, dense or with cache entries evicted; all others alone.

    In the order of the first of each group.
    """
    groups: dict[tuple[object, ...], list[Block]] = {}
    sharing = {_items(block) for block in todo if isinstance(block.sparsifier, Eviction)}
    for block in todo:
        shares = block.sparsifier is None or isinstance(block.sparsifier, Eviction)
        key = _items(block) if shares and _items(block) in sharing else (block.name,)
        groups.setdefault(key, []).append(block)
    return list(groups.values())


def _items(block: Block) -> tuple[object, ...]:
    return block.model, block.task, block.context_length, block.first, block.n
