"""Fine-tune several sizes of one model on our own tasks, on exactly the same batches at the same time.

    python -m benchmarks.reference.train MODEL OUT --sizes 30 20 10 --steps 2000 --seed 0 --device cuda

MODEL is a folder with a Llama (`tolerance models fetch smollm2`). A size is a number of its layers, evenly spaced, the
first and the last kept. Each becomes OUT/<name>-<layers>-layers-<style>-seed-<seed>, beside OUT/training-....jsonl with
loss, held-out accuracy and speed. Batches follow from the seed alone (`rows.py`) and are made by other processes.
With --save-every, a training that was cut goes on from its last state when it is called again.

    python -m benchmarks.reference.train MODEL OUT --sizes 30 20 10 --measure --device cuda

says how many seconds a step takes, on random weights, so that the number of steps can be chosen beforehand.
"""

import argparse
import hashlib
import json
import math
import multiprocessing as mp
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

# before torch: the makers of rows are many
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np

from benchmarks.reference.rows import STYLES, WEIGHTS, Source

if TYPE_CHECKING:
    import torch

LENGTHS = (512, 1024)
WARM_UP, LEAST_RATE = 100, 0.02
MEASURED_FROM = 10


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[30, 20, 10])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", choices=STYLES, default="steps")
    parser.add_argument("--name", default="smollm2")
    parser.add_argument("--tokens", type=int, default=36_864, help="of a step; a multiple of 2,304")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--held-out", type=int, default=32, help="items a task and length")
    parser.add_argument("--looks", type=int, default=5, help="how often held-out items are asked")
    parser.add_argument("--workers", type=int, default=10)
    parser.add_argument("--save-every", type=int, default=0)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--device", default="cuda")
    return parser.parse_args()


def _make(o: argparse.Namespace, first: int, worker: int, out: "mp.Queue[np.ndarray]") -> None:
    source = Source(str(o.model), o.style)
    for number in range(first + worker, o.steps, o.workers):
        out.put(source.batch(o.seed, number, o.steps, o.tokens))


@contextmanager
def batches(o: argparse.Namespace, first: int) -> Iterator[Iterator[np.ndarray]]:
    """All batches from number ``first`` on, in order, made ahead."""
    context = mp.get_context("fork")
    queues = [context.Queue(maxsize=4) for _ in range(o.workers)]
    makers = [context.Process(target=_make, args=(o, first, w, queue), daemon=True) for w, queue in enumerate(queues)]
    for maker in makers:
        maker.start()
    try:
        yield (queues[(number - first) % o.workers].get(timeout=300) for number in range(first, o.steps))
    finally:
        for maker in makers:
            maker.terminate()


def _held_out(job: tuple[str, str, str, int, int]) -> np.ndarray:
    model, style, name, length, n = job
    return Source(model, style).held_out(name, length, n)


def held_out(o: argparse.Namespace) -> dict[tuple[str, int], np.ndarray]:
    """Rows by task and context length."""
    jobs = [(str(o.model), o.style, name, length, o.held_out) for length in LENGTHS for name in WEIGHTS]
    with mp.get_context("fork").Pool(o.workers) as pool:
        return dict(zip([job[2:4] for job in jobs], pool.map(_held_out, jobs, chunksize=1), strict=True))


@dataclass
class Size:
    """One of the models that are trained side by side."""

    layers: int
    model: "torch.nn.Module"
    optimizer: "torch.optim.Optimizer"
    losses: list["torch.Tensor"] = field(default_factory=list)

    @classmethod
    def load(cls, o: argparse.Namespace, layers: int) -> "Size":
        """The pretrained weights with so many layers; random ones to measure."""
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        from benchmarks.reference.llama import shrink

        torch.manual_seed(o.seed)
        model = (
            AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(o.model), dtype=torch.float32)
            if o.measure
            else AutoModelForCausalLM.from_pretrained(o.model, dtype=torch.float32)
        )
        model = shrink(model, layers).to(o.device).train()
        groups = [
            {"params": [w for w in model.parameters() if w.ndim > 1], "weight_decay": 0.05},
            {"params": [w for w in model.parameters() if w.ndim == 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=o.rate, betas=(0.9, 0.95), fused=o.device == "cuda")
        return cls(layers, model, optimizer)

    def name(self, o: argparse.Namespace) -> str:
        """What outcomes call it."""
        return f"{o.name}-{self.layers}-layers-{o.style}-seed-{o.seed}"


@dataclass(frozen=True)
class Batch:
    """Token ids on the device, where learnt tokens are predicted, what they are, in which row they stand."""

    ids: "torch.Tensor"
    at: "torch.Tensor"
    target: "torch.Tensor"
    row: "torch.Tensor"

    @classmethod
    def of(cls, made: np.ndarray, device: str) -> "Batch":
        """A batch as `Source` makes it; found on the host, so that the GPU need not be waited for."""
        import torch

        ids, learnt = made.astype(np.int64).swapaxes(0, 1)
        row, before = learnt[:, 1:].nonzero()
        parts = ids, row * ids.shape[1] + before, ids[row, before + 1], row
        tensors = [torch.from_numpy(np.ascontiguousarray(part)) for part in parts]
        if device == "cuda":
            tensors = [tensor.pin_memory().to(device, non_blocking=True) for tensor in tensors]
        return cls(*tensors)


class Training:
    """What stays the same over the steps."""

    def __init__(self, o: argparse.Namespace) -> None:
        import torch

        from benchmarks.reference.llama import Pass

        torch.backends.cuda.matmul.allow_tf32 = True
        self.o, self.plain = o, Pass()
        self.fast = Pass.compiled() if o.device == "cuda" else self.plain
        self.sizes = [Size.load(o, layers) for layers in o.sizes]
        o.out.mkdir(parents=True, exist_ok=True)
        self.log = o.out / f"training-{o.style}-seed-{o.seed}.jsonl"

    def tell(self, **what: object) -> None:
        """A line of the log."""
        with self.log.open("a") as log:
            print(json.dumps(what), file=log)
        print(json.dumps(what), flush=True)

    def rate(self, step: int) -> float:
        """Warm-up, then a cosine."""
        falling = 0.5 * (1 + math.cos(math.pi * step / self.o.steps))
        return self.o.rate * min(1, (step + 1) / WARM_UP) * max(LEAST_RATE, falling)

    def step(self, step: int, made: np.ndarray) -> None:
        """One step of every size on one batch."""
        import torch
        import torch.nn.functional as F

        batch = Batch.of(made, self.o.device)
        for size in self.sizes:
            for group in size.optimizer.param_groups:
                group["lr"] = self.rate(step)
            logits = self.fast.logits(size.model, batch.ids, batch.at)
            loss = F.cross_entropy(logits.float(), batch.target)
            size.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(size.model.parameters(), 1.0)
            size.optimizer.step()
            size.losses.append(loss.detach())

    def exact(self, held: dict[tuple[str, int], np.ndarray], size: Size) -> dict[str, list[float]]:
        """Share of held-out items answered word for word, by task at `LENGTHS`.

        Where every token of the answer is the first choice, so is the greedy text.
        """
        import torch

        found: dict[str, list[float]] = {}
        with torch.no_grad():
            for (name, _), made in held.items():
                batch = Batch.of(made, self.o.device)
                wrong = self.plain.logits(size.model, batch.ids, batch.at).argmax(-1) != batch.target
                missed = torch.zeros(len(made), device=batch.ids.device).index_add_(0, batch.row, wrong.float())
                found.setdefault(name, []).append(round(float((missed == 0).float().mean()), 3))
        return found

    def look(self, step: int, held: dict[tuple[str, int], np.ndarray], started: float) -> None:
        """Held-out accuracy of every size into the log."""
        for size in self.sizes:
            spent = round(time.monotonic() - started, 1)
            self.tell(event="held-out", step=step, layers=size.layers, exact=self.exact(held, size), seconds=spent)

    def losses(self) -> dict[str, float]:
        """Mean loss since the last call, by number of layers."""
        import torch

        means = {str(size.layers): round(float(torch.stack(size.losses).mean()), 5) for size in self.sizes}
        for size in self.sizes:
            size.losses.clear()
        return means

    def keep(self, step: int) -> None:
        """Everything that is needed to go on, in place of what was kept before."""
        import torch

        before = kept(self.o)
        both = [(size.model.state_dict(), size.optimizer.state_dict()) for size in self.sizes]
        whole = _state(self.o, f"{step}-of-{self.o.steps}")
        torch.save(both, whole.with_suffix(".part"))
        whole.with_suffix(".part").rename(whole)
        for file in before.values():
            file.unlink()

    def resume(self, file: Path) -> None:
        """Weights and moments as they were kept."""
        import torch

        for size, (weights, moments) in zip(self.sizes, torch.load(file, map_location=self.o.device), strict=True):
            size.model.load_state_dict(weights)
            size.optimizer.load_state_dict(moments)

    def save(self) -> None:
        """Model folders, and the hashes of their weights into the log."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.o.model)
        for size in self.sizes:
            folder = self.o.out / size.name(self.o)
            size.model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            with (folder / "model.safetensors").open("rb") as weights:
                sha256 = hashlib.file_digest(weights, "sha256").hexdigest()
            params = sum(w.numel() for w in size.model.parameters())
            self.tell(event="saved", layers=size.layers, name=folder.name, params=params, sha256=sha256)


def _state(o: argparse.Namespace, step: str) -> Path:
    return o.out / f"state-{o.style}-seed-{o.seed}-{step}.pt"


def kept(o: argparse.Namespace) -> dict[int, Path]:
    """What a training of so many steps that was cut left, by the steps it had done."""
    return {int(file.stem.split("-")[-3]): file for file in o.out.glob(_state(o, f"*-of-{o.steps}").name)}


def measure(o: argparse.Namespace) -> None:
    """Seconds a step, once everything is compiled."""
    o.steps = 3 * MEASURED_FROM
    with batches(o, 0) as made:
        training = Training(o)
        for step, batch in enumerate(made):
            if step == MEASURED_FROM:
                training.losses()
                started = time.monotonic()
            training.step(step, batch)
        training.losses()
    training.tell(event="measured", seconds_per_step=(time.monotonic() - started) / (o.steps - MEASURED_FROM))


def train(o: argparse.Namespace) -> None:
    """All steps, then the folders."""
    states = kept(o)
    first = max(states, default=0)
    # the makers are forked off before anything touches the GPU
    with batches(o, first) as made:
        held = held_out(o)
        training = Training(o)
        if first:
            training.resume(states[first])
        plain = {key: value if isinstance(value, int | float | list) else str(value) for key, value in vars(o).items()}
        training.tell(event="start", first=first, **plain)
        _steps(o, training, first, made, held)
    training.save()
    for file in kept(o).values():
        file.unlink()


def _steps(
    o: argparse.Namespace,
    training: Training,
    first: int,
    made: Iterator[np.ndarray],
    held: dict[tuple[str, int], np.ndarray],
) -> None:
    every_look, every_line = max(1, o.steps // o.looks), max(1, o.steps // 50)
    started, waited = time.monotonic(), 0.0
    for done in range(first + 1, o.steps + 1):
        asked = time.monotonic()
        batch = next(made)
        waited += time.monotonic() - asked
        training.step(done - 1, batch)
        if done % every_line == 0:
            spent = time.monotonic() - started
            told = {"waited": round(waited, 1), "seconds": round(spent, 1)}
            rate = int((done - first) * o.tokens / spent)
            training.tell(event="loss", step=done, loss=training.losses(), tokens_per_s=rate, **told)
        if (done % every_look == 0 and o.steps - done >= every_look) or done == o.steps:
            training.look(done, held, started)
        if o.save_every and done % o.save_every == 0 and done < o.steps:
            training.keep(done)


def main() -> None:
    o = options()
    measure(o) if o.measure else train(o)


if __name__ == "__main__":
    main()
