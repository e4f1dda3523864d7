"""One model answers blocks: (plan, block) -> outcome rows. A plain function of its inputs, wherever it runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch

from tolerance.runners import tasks as task_registry
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect import costs, worker_checks
from tolerance.runners.collect.blocks import Block
from tolerance.runners.collect.plan import PHASES, Plan
from tolerance.runners.collect.rows import Loaded, Row, rows
from tolerance.runners.decoding.backoff import shrinking
from tolerance.runners.decoding.batching import Condition, encode
from tolerance.runners.decoding.generate import Answer, answer
from tolerance.runners.decoding.shared_prefill import answer_levels
from tolerance.runners.models.load import load
from tolerance.runners.pruning.activations import thresholding
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.pruning.weights import Weights
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import AttentionPattern, Eviction, Phase, Teal, WeightMethod
from tolerance.runners.tasks.base import Item
from tolerance.runners.tasks.dialects import dialect
from tolerance.runners.tasks.graders import ends
from tolerance.runners.tasks.question_span import question_at


class Worker:
    """A loaded and checked model.

    Raises:
        RunnerError: the model cannot be loaded, or what would be imposed is not exactly what is said.
    """

    def __init__(self, plan: Plan, model: str, device: str) -> None:
        plan.require_files()
        plan.require_plugins()
        self.plan, self.model = plan, model
        self.loaded = load(model, dtype=plan.dtype, device=device)
        self.calibrations = Calibrations(self.loaded)
        self.weights = Weights(self.loaded, self.calibrations)
        self.checked = selfcheck.check(self.loaded, plan.methods_for(model), self.weights)
        self.dialect = dialect(self.loaded.dialect, self.loaded.tokenizer)
        self.form = costs.shape(self.loaded)
        self.phases: frozenset[Phase] = frozenset(PHASES[plan.phase])  # type: ignore[arg-type]
        worker_checks.require_room(plan, model, self.loaded, self.dialect)
        worker_checks.require_steps(plan, self.dialect)

    def about(self) -> Row:
        """What the manifest says of the model."""
        loaded = self.loaded
        return {
            "revision": loaded.revision,
            "device": loaded.device_name,
            "self_check": self.checked.to_dict(),
            **({"target_weights_share": self.weights.share} if self._prunes() else {}),
            **({"calibration": self.calibrations.to_dict()} if self.calibrations.made else {}),
            **({"checkpoints": self.weights.checkpoints} if self.weights.checkpoints else {}),
        }

    def _prunes(self) -> bool:
        return any(isinstance(method, WeightMethod) for method in self.plan.methods_for(self.model))

    def _here(self) -> Loaded:
        """What rows say of it, with the weights that are in place now."""
        return Loaded(self.loaded, self.form, self.phases, self.checked.covered_layers, self.weights.made)

    def answer_together(self, group: Sequence[Block]) -> Iterator[tuple[Block, list[Row]]]:
        """Rows of blocks that share their items (`blocks.together`)."""
        if any(isinstance(block.sparsifier, Eviction) for block in group):
            self.weights.restore()
            yield from self._answer_levels(group)
        else:
            for block in group:
                yield block, self.answer(block)

    def answer(self, block: Block) -> list[Row]:
        """Answer the items of a block in one batch; its weights stay in place until another block needs others."""
        weights = block.sparsifier if isinstance(block.sparsifier, WeightMethod) else None
        self.weights.impose(weights, block.level if weights is not None else 0.0)
        items = self._items(block)
        started = time.perf_counter()
        answers: dict[int, Answer] = {}
        for alike in self._batches(block, items):
            for part in shrinking(alike, lambda some: self._attend(block, [items[i] for i in some]), _forget):
                answers |= zip(part.rows, part.made, strict=True)
        seconds = (time.perf_counter() - started) / len(items)
        shape = f"{len(items)}x{max(a.prompt_tokens for a in answers.values())}"
        return rows(self._here(), block, items, [answers[i] for i in range(len(items))], seconds, shape)

    def _attend(self, block: Block, items: Sequence[Item]) -> list[Answer]:
        method = block.sparsifier
        with (
            imposing(method if isinstance(method, AttentionPattern) else None, block.level, self.phases) as control,
            ExitStack() as hooks,
        ):
            if isinstance(method, Teal):
                hooks.enter_context(thresholding(self.loaded, method, block.level, self.calibrations, control))
            return answer(
                self.loaded,
                [item.prompt for item in items],
                control,
                max_new_tokens=self._most(block),
                special_tokens=self.dialect.adds_special_tokens,
                ended=[ends(item) for item in items],
            )

    def _batches(self, block: Block, items: Sequence[Item]) -> list[list[int]]:
        """Items that are answered at once: all, or those of one length where padding would shift a pattern."""
        if not (isinstance(block.sparsifier, AttentionPattern) and block.sparsifier.one_length):
            return [list(range(len(items)))]
        special, alike = self.dialect.adds_special_tokens, dict[int, list[int]]()
        for i, item in enumerate(items):
            ids = self.loaded.tokenizer(item.prompt, add_special_tokens=special, verbose=False).input_ids
            alike.setdefault(len(ids), []).append(i)
        return list(alike.values())

    def _answer_levels(self, group: Sequence[Block]) -> Iterator[tuple[Block, list[Row]]]:
        """One prefill for all blocks; its time is shared among all rows alike."""
        items = self._items(group[0])
        special = self.dialect.adds_special_tokens
        prompts = [
            replace(
                encode(self.loaded, item.prompt, question_at(item, self.dialect), special_tokens=special),
                ended=ends(item),
            )
            for item in items
        ]
        conditions = [Condition(_eviction(block), block.level, block.tokens) for block in group]
        started = time.perf_counter()
        answers = answer_levels(self.loaded, prompts, conditions, max_new_tokens=self._most(group[0]))
        seconds = (time.perf_counter() - started) / (len(items) * len(group))
        for block, got in zip(group, answers, strict=True):
            yield block, rows(self._here(), block, items, got, seconds, "")

    def _most(self, block: Block) -> int:
        """Tokens that an answer to one of its items may take."""
        return worker_checks.answer_tokens(self.plan, task_registry.get(block.task), self.dialect)

    def _items(self, block: Block) -> list[Item]:
        task = task_registry.get(block.task)
        indices = range(block.first, block.first + block.n)
        return [task.item(self.dialect, block.context_length, self.plan.seed, index) for index in indices]


def _forget() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _eviction(block: Block) -> Eviction | None:
    assert block.sparsifier is None or isinstance(block.sparsifier, Eviction)
    return block.sparsifier
