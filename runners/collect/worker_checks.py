"""What a plan asks of a loaded model, before any item is answered: room for its items, steps for its methods."""

from tolerance.errors import RunnerError
from tolerance.runners import tasks as task_registry
from tolerance.runners.collect.plan import PHASES, Plan
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.sparsifiers import Eviction, Sparsifier, WeightMethod
from tolerance.runners.tasks.base import Dialect, Task


def answer_tokens(plan: Plan, task: Task, dialect: Dialect) -> int:
    """Tokens that an answer may take: the plan's, or else the task's."""
    return plan.max_new_tokens or task.answer_tokens(dialect)


def require_room(plan: Plan, model: str, loaded: LoadedModel, dialect: Dialect) -> None:
    """An item of every task and context can be written, and fits the positions the model was made for.

    Raises:
        RunnerError: naming the task and the context that do not fit ``model``.
    """
    config = loaded.model.config.get_text_config()
    most = getattr(config, "max_position_embeddings", None)
    for name, context, n_items in plan.series():
        task = task_registry.get(name)
        prompt = task.item(dialect, context, plan.seed, task.longest(n_items)).prompt
        special = dialect.adds_special_tokens
        ids = loaded.tokenizer(prompt, add_special_tokens=special, verbose=False).input_ids
        answer = answer_tokens(plan, task, dialect)
        if most is not None and len(ids) + answer > most:
            raise RunnerError(
                f"model {model}: {name} at context length {context} takes {len(ids)} tokens and "
                f"{answer} for the answer, more than the model's {most} positions. Ask for a "
                "shorter context."
            )


def require_steps(plan: Plan, dialect: Dialect) -> None:
    """What is evicted after the whole prompt was read acts on the second token of an answer at the earliest.

    Raises:
        RunnerError: naming the sparsifier and the task whose answers end before.
    """
    late = [m.label for m in plan.methods() if _late(plan, m)]
    short = [name for name in plan.tasks if answer_tokens(plan, task_registry.get(name), dialect) == 1]
    if late and short:
        raise RunnerError(
            f"sparsifier {late[0]}: answers to {short[0]} take one token here, which follows the prompt before "
            "it acts, so nothing would be measured. Use question: hidden or another phase, or "
            "raise max_new_tokens."
        )


def _late(plan: Plan, method: Sparsifier) -> bool:
    """Whether it acts after a prompt is read and not before."""
    if isinstance(method, Eviction):
        return method.question == "visible"
    return not isinstance(method, WeightMethod) and method.acts_in & set(PHASES[plan.phase]) == {"decode"}
