"""One model answers blocks: (plan, block) -> outcome rows. A plain function of its inputs, wherever it runs."""

import time
from typing import Any

from tolerance.errors import RunnerError
from tolerance.outcomes import DENSE
from tolerance.runners import accounting, selfcheck
from tolerance.runners import tasks as task_registry
from tolerance.runners.attention import imposing
from tolerance.runners.generate import Answer, answer
from tolerance.runners.models import load
from tolerance.runners.plan import PHASES, Block, Plan
from tolerance.runners.sparsifiers.base import Phase
from tolerance.runners.tasks.base import Item, Task
from tolerance.runners.tasks.dialects import dialect
from tolerance.runners.tasks.graders import Grade, grade

Row = dict[str, Any]


class Worker:
    """A loaded and checked model.

    Raises:
        RunnerError: the model cannot be loaded, or what would be imposed is not exactly what is said.
    """

    def __init__(self, plan: Plan, model: str, device: str) -> None:
        plan.require_files()
        self.plan, self.model = plan, model
        self.loaded = load(model, dtype=plan.dtype, device=device)
        self.checked = selfcheck.check(self.loaded, plan.methods())
        self.dialect = dialect(self.loaded.dialect, self.loaded.tokenizer)
        self.form = accounting.shape(self.loaded)
        self.phases: frozenset[Phase] = frozenset(PHASES[plan.phase])  # type: ignore[arg-type]
        self._require_room()

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

    def about(self) -> Row:
        """What the manifest says of the model."""
        loaded = self.loaded
        return {
            "revision": loaded.revision,
            "device": loaded.device_name,
            "self_check": self.checked.to_dict(),
        }

    def max_new_tokens(self, task: Task) -> int:
        """Tokens that an answer may take: the plan's, or else the task's."""
        return self.plan.max_new_tokens or task.answer_tokens(self.dialect)

    def answer(self, block: Block) -> list[Row]:
        """Answer the items of a block in one batch."""
        task = task_registry.get(block.task)
        indices = range(block.first, block.first + block.n)
        items = [task.item(self.dialect, block.context_length, self.plan.seed, index) for index in indices]
        started = time.perf_counter()
        with imposing(block.sparsifier, block.level, self.phases) as control:
            answers = answer(
                self.loaded,
                [item.prompt for item in items],
                control,
                max_new_tokens=self.max_new_tokens(task),
                special_tokens=self.dialect.adds_special_tokens,
            )
        seconds = (time.perf_counter() - started) / len(items)
        widest = max(a.prompt_tokens for a in answers)
        shared = {**self._about_model(), **self._about_method(block), "batch_shape": f"{len(items)}x{widest}"}
        return [
            {
                **shared,
                **_about_item(item),
                **_about_answer(got, grade(item, got.text, stopped=got.stopped)),
                **self._about_cost(got, block),
                "seconds": seconds,
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
            "sparsifier": method.name,
            "sparsity_kind": method.kind,
            "phase": self.plan.phase,
            "unit": method.unit,
            "sparsity_requested": block.level,
            "covered_layers": self.checked.covered_layers,
            "trained_sparse": False,
        }

    def _about_cost(self, got: Answer, block: Block) -> Row:
        if self.form is None:
            return {}
        return vars(accounting.cost(self.form, got, block.sparsifier, self.phases))


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


def _about_answer(got: Answer, judged: Grade) -> Row:
    visible = got.prefill.visible + got.decode.visible
    kept = got.prefill.kept + got.decode.kept
    return {
        "sparsity_realised": 1 - kept / visible,
        "prompt_tokens": got.prompt_tokens,
        "generated_tokens": got.generated_tokens,
        "score": judged.score,
        "k": judged.k,
        "n": judged.n,
        "correct": judged.k == judged.n,
        "answer": judged.answer,
        "parse_ok": judged.parse_ok,
        "truncated": judged.truncated,
    }
