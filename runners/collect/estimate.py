"""What a plan would take, before anything is loaded: cells, items, FLOPs and time (`tolerance collect --dry-run`).

FLOPs are the closed forms of `accounting` on a model's shape (built without weights) and real prompts, as if every
answer took all the tokens it may: an upper bound, but for what choosing pairs costs. Time follows from the answers that
the run folder already holds; without any it is a lower bound, FLOPs over the speed of a large matrix product here.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tolerance.data.manifest import Manifest
from tolerance.data.run_folder import RunFolder
from tolerance.errors import RunnerError
from tolerance.runners import tasks as task_registry
from tolerance.runners.collect.blocks import Block, blocks
from tolerance.runners.collect.plan import PHASES, Plan
from tolerance.runners.models.load import dialect_of, locate, require_folder, resolve
from tolerance.runners.models.quiet import quiet
from tolerance.runners.sparsifiers import Teal, WeightMethod
from tolerance.runners.tasks.dialects import dialect

_MATMUL = {"cpu": 1024, "cuda": 8192}


@dataclass(frozen=True)
class Line:
    """One model on one task at one context length. A cell is one condition there; ``flops`` None: not known."""

    model: str
    task: str
    context_length: int
    cells: int
    items: int
    items_left: int
    flops_left: float | None


@dataclass(frozen=True)
class CostEstimate:
    """Lines and the time of what is left; ``basis`` says what the time rests on."""

    lines: tuple[Line, ...]
    seconds: float | None
    basis: str

    @property
    def flops_left(self) -> float | None:
        """Of all lines; None if one is not known."""
        known = [line.flops_left for line in self.lines if line.flops_left is not None]
        return sum(known) if len(known) == len(self.lines) else None


@dataclass(frozen=True)
class _Size:
    """Weights that each token passes, those that make logits, and attention's width summed over layers."""

    linear: int
    output: int
    attention: int


def estimate(plan: Plan, out: Path, *, device: str = "auto", workers: int = 1) -> CostEstimate:
    """What is left of a plan in a run folder (which need not exist), and what it takes. Writes nothing.

    Raises:
        RunnerError: a model's configuration or tokenizer cannot be read, or a task cannot be written for it.
        StoreError: the folder holds something else.
    """
    there = RunFolder.find(out, Manifest("collected", plan.to_dict(), created=""))
    done = set() if there is None else there.blocks()
    groups: dict[tuple[str, str, int], list[Block]] = {}
    for block in blocks(plan):
        groups.setdefault((block.model, block.task, block.context_length), []).append(block)
    sizes = {model: _size(model) for model in plan.models}
    readers = {model: _reader(plan, model) for model in plan.models}
    lines = []
    for (model, task, context), made in groups.items():
        left = [block for block in made if block.name not in done]
        prompt, answer = readers[model](task, context)
        size = sizes[model]
        lines.append(
            Line(
                model=model,
                task=task,
                context_length=context,
                cells=len({(repr(block.sparsifier), block.level, block.tokens) for block in made}),
                items=sum(block.n for block in made),
                items_left=sum(block.n for block in left),
                flops_left=None if size is None else sum(_flops(size, plan, b, prompt, answer) for b in left),
            )
        )
    seconds, basis = _time(plan, there, lines, resolve(device))
    return CostEstimate(tuple(lines), None if seconds is None else seconds / workers, basis)


def _size(model: str) -> _Size | None:
    """A model's shape; None where tokens take different ways through it (experts)."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from tolerance.runners.models.linear import linears, matrix

    where = locate(model)
    require_folder(model, where)
    try:
        with quiet(), torch.device("meta"):
            whole = AutoConfig.from_pretrained(where, trust_remote_code=False)
            made = AutoModelForCausalLM.from_config(whole, trust_remote_code=False)
    except Exception as error:  # whatever a broken folder makes transformers or the hub raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunnerError(f"model {model}: its configuration cannot be read ({reason}).") from error
    config = whole.get_text_config()
    heads = getattr(config, "num_attention_heads", None)
    if heads is None or any(hasattr(config, f) for f in ("num_experts", "num_local_experts", "n_routed_experts")):
        return None
    output = made.get_output_embeddings()
    dim = getattr(config, "head_dim", None) or config.hidden_size // heads
    return _Size(
        linear=sum(matrix(layer).numel() for layer in linears(made).values()),
        output=0 if output is None else output.weight.numel(),
        attention=config.num_hidden_layers * heads * dim,
    )


def _reader(plan: Plan, model: str) -> Callable[[str, int], tuple[int, int]]:
    """(task, context) -> tokens of a prompt, tokens that an answer may take."""
    from transformers import AutoTokenizer

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(locate(model), trust_remote_code=False)
    spoken = dialect(dialect_of(locate(model)), tokenizer)

    def read(name: str, context: int) -> tuple[int, int]:
        task = task_registry.get(name)
        prompt = task.item(spoken, context, plan.seed, 0).prompt
        ids = tokenizer(prompt, add_special_tokens=spoken.adds_special_tokens, verbose=False).input_ids
        return len(ids), plan.max_new_tokens or task.answer_tokens(spoken)

    return read


def _flops(size: _Size, plan: Plan, block: Block, prompt: int, answer: int) -> float:
    """All items of a block: 2 a weight and token, 4 a kept pair and attention dimension."""
    steps = answer - 1
    pairs = {"prefill": prompt * (prompt + 1) / 2, "decode": steps * prompt + steps * (steps + 1) / 2}
    method = block.sparsifier
    on_weights = isinstance(method, WeightMethod)
    phases = () if method is None or on_weights else method.acts_in & set(PHASES[plan.phase])
    sparse = () if isinstance(method, Teal) else phases
    kept = sum(n * (1 - block.level if phase in sparse else 1.0) for phase, n in pairs.items())
    tokens = {"prefill": prompt, "decode": steps}
    acts = tokens if on_weights else phases if isinstance(method, Teal) else ()
    left = size.linear * sum(n * (1 - block.level if phase in acts else 1.0) for phase, n in tokens.items())
    weights = 2.0 * left + 2.0 * size.output * answer
    return block.n * (weights + 4.0 * size.attention * kept)


def _time(plan: Plan, there: RunFolder | None, lines: Sequence[Line], device: str) -> tuple[float | None, str]:
    left = sum(line.items_left for line in lines)
    if left == 0:
        return 0.0, "nothing is left"
    if there is not None and there.shards():
        return float(there.read()["seconds"].mean()) * left, "at the mean time of the answers that are there"
    if any(line.flops_left is None for line in lines):
        return None, "no answers yet, and the FLOPs of a model with experts are not estimated"
    speed = _matmul_speed(device, plan.dtype)
    return (
        sum(line.flops_left or 0.0 for line in lines) / speed,
        f"at least: at the {speed:.2g} FLOP/s of a matrix product on this {device}; decoding is far slower",
    )


def _matmul_speed(device: str, dtype: str) -> float:
    """FLOP/s of a large matrix product, the best of three."""
    import torch

    n = _MATMUL.get(torch.device(device).type, 1024)
    a = torch.ones(n, n, device=device, dtype=getattr(torch, dtype))
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - started)
    return float(2 * n**3 / best)
