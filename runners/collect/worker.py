"""One model answers blocks: (plan, block) -> outcome rows. A plain function of its inputs, wherever it runs."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from tolerance.data.outcomes import DENSE
from tolerance.errors import RunnerError
from tolerance.runners import tasks as task_registry
from tolerance.runners.attention.attention import imposing
from tolerance.runners.collect import costs
from tolerance.runners.collect.blocks import Block
from tolerance.runners.collect.plan import PHASES, Plan
from tolerance.runners.decoding.backoff import shrinking
from tolerance.runners.decoding.generate import Answer, answer
from tolerance.runners.decoding.shared_prefill import Condition, answer_levels, encode
from tolerance.runners.models.linear import covered, linears
from tolerance.runners.models.load import load
from tolerance.runners.pruning.activations import thresholding
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.pruning.weights import Weights
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import AttentionPattern, Checkpoint, Eviction, Phase, Sparsifier, Teal, WeightMethod
from tolerance.runners.tasks.base import Item, Task
from tolerance.runners.tasks.dialects import dialect
from tolerance.runners.tasks.graders import Grade, ends, grade
from tolerance.runners.tasks.question_span import question_at

Row = dict[str, Any]


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
        self._require_room()
        self._require_steps()

    def _require_room(self) -> None:
        """An item of every task and context can be written, and fits the positions the model was made for."""
        config = self.loaded.model.config.get_text_config()
        most = getattr(config, "max_position_embeddings", None)
        for name, context, n_items in self.plan.series():
            task = task_registry.get(name)
            prompt = task.item(self.dialect, context, self.plan.seed, task.longest(n_items)).prompt
            special = self.dialect.adds_special_tokens
            ids = self.loaded.tokenizer(prompt, add_special_tokens=special, verbose=False).input_ids
            if most is not None and len(ids) + self.max_new_tokens(task) > most:
                raise RunnerError(
                    f"model {self.model}: {name} at context length {context} takes {len(ids)} tokens and "
                    f"{self.max_new_tokens(task)} for the answer, more than the model's {most} positions. Ask for a "
                    "shorter context."
                )

    def _require_steps(self) -> None:
        """What is evicted after the whole prompt was read acts on the second token of an answer at the earliest."""
        late = [m.label for m in self.plan.methods() if self._late(m)]
        short = [name for name in self.plan.tasks if self.max_new_tokens(task_registry.get(name)) == 1]
        if late and short:
            raise RunnerError(
                f"sparsifier {late[0]}: answers to {short[0]} take one token here, which follows the prompt before "
                "it acts, so nothing would be measured. Use question: hidden or another phase, or "
                "raise max_new_tokens."
            )

    def _late(self, method: Sparsifier) -> bool:
        """Whether it acts after a prompt is read and not before."""
        if isinstance(method, Eviction):
            return method.question == "visible"
        return not isinstance(method, WeightMethod) and self._acting(method) == {"decode"}

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

    def max_new_tokens(self, task: Task) -> int:
        """Tokens that an answer may take: the plan's, or else the task's."""
        return self.plan.max_new_tokens or task.answer_tokens(self.dialect)

    def answer_together(self, group: Sequence[Block]) -> Iterator[tuple[Block, list[Row]]]:
        """Rows of blocks that share their items (`plan.together`)."""
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
        return self._rows(block, items, [answers[i] for i in range(len(items))], seconds, shape)

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
                max_new_tokens=self.max_new_tokens(task_registry.get(block.task)),
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
        answers = answer_levels(
            self.loaded, prompts, conditions, max_new_tokens=self.max_new_tokens(task_registry.get(group[0].task))
        )
        seconds = (time.perf_counter() - started) / (len(items) * len(group))
        for block, got in zip(group, answers, strict=True):
            yield block, self._rows(block, items, got, seconds, "")

    def _items(self, block: Block) -> list[Item]:
        task = task_registry.get(block.task)
        indices = range(block.first, block.first + block.n)
        return [task.item(self.dialect, block.context_length, self.plan.seed, index) for index in indices]

    def _rows(
        self, block: Block, items: Sequence[Item], answers: Sequence[Answer], seconds: float, shape: str
    ) -> list[Row]:
        shared = {**self._about_model(), **self._about_method(block), **self._about_weights()}
        return [
            {
                **shared,
                **_about_item(item),
                **_about_answer(grade(item, got.text, stopped=got.stopped)),
                **self._about_tokens(got, block),
                **_about_budget(got, block),
                **self._about_cost(got, block),
                "seconds": seconds,
                "batch_shape": got.batch_shape or shape,
            }
            for item, got in zip(items, answers, strict=True)
        ]

    def _about_model(self) -> Row:
        loaded = self.loaded
        return {
            "model": loaded.name,
            "revision": loaded.revision,
            "params": loaded.params,
            "params_active": loaded.params_active,
            "n_layers": loaded.n_layers,
            "hidden_size": loaded.hidden_size,
            "architecture": loaded.architecture,
        }

    def _about_method(self, block: Block) -> Row:
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
            "phase": self._phase(method),
            "unit": method.unit,
            "sparsity_requested": block.level,
            "covered_layers": self._covered(method),
            # nobody knows how a checkpoint from elsewhere was made
            "trained_sparse": None if isinstance(method, Checkpoint) else False,
            **({} if method.query_position is None else {"query_position": method.query_position}),
        }

    def _covered(self, method: Sparsifier) -> float:
        if isinstance(method, Teal):
            return covered(self.loaded, list(linears(self.loaded.model)))
        return self.checked.covered_layers

    def _phase(self, method: Sparsifier) -> str:
        """When a method acts: entries are evicted after a dense prefill, weights pruned before it."""
        if isinstance(method, Eviction):
            return "decode"
        if isinstance(method, WeightMethod):
            return "load"
        return next(name for name, phases in PHASES.items() if self._acting(method) == set(phases))

    def _acting(self, method: Sparsifier) -> frozenset[Phase]:
        return self.phases & method.acts_in

    def _about_weights(self) -> Row:
        """Where weights were pruned: whose they are, how many are left."""
        pruned = self.weights.made
        if pruned is None:
            return {}
        return {
            "revision": pruned.revision or self.loaded.revision,
            "params_active": pruned.params_active,
            "covered_layers": pruned.covered_layers,
        }

    def _about_tokens(self, got: Answer, block: Block) -> Row:
        return {
            "sparsity_realised": self._realised(got, block.sparsifier),
            "prompt_tokens": got.prompt_tokens,
            "generated_tokens": got.generated_tokens,
        }

    def _realised(self, got: Answer, method: Sparsifier | None) -> float:
        """The share that was dropped, of what there was in the phases in which the method acts."""
        if method is None:
            return 0.0
        if self.weights.made is not None:
            return self.weights.made.sparsity
        if got.entries is not None:
            return 1 - got.entries.kept / got.entries.held
        counted = got if got.products is None else got.products
        phases = [getattr(counted, phase) for phase in self._acting(method)]
        visible = sum(phase.visible for phase in phases)
        # an answer that ends with its first token is over before decoding
        return 1 - sum(phase.kept for phase in phases) / visible if visible else 0.0

    def _about_cost(self, got: Answer, block: Block) -> Row:
        if self.form is None:
            return {}
        form, pruned = self.form, self.weights.made
        if pruned is not None:
            form = replace(form, linear_weights=pruned.kept)
        method = block.sparsifier
        return vars(costs.cost(form, got, method, self.phases if method is None else self._acting(method)))


def _forget() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _eviction(block: Block) -> Eviction | None:
    assert block.sparsifier is None or isinstance(block.sparsifier, Eviction)
    return block.sparsifier


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
