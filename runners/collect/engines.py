"""Where workers live: in this process, or as Ray actors on the GPUs of one host or many.

An engine takes blocks and gives back their rows, in any order; whoever drives it writes them, so one process alone
touches the run folder and a lost worker loses the blocks that it was answering together, nothing else.
"""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from tolerance.errors import RunnerError, ToleranceError
from tolerance.plugins import search
from tolerance.runners.collect.blocks import Block, together
from tolerance.runners.collect.plan import Plan

if TYPE_CHECKING:
    from tolerance.runners.collect.worker import Worker

Row = dict[str, Any]
ENGINES = ("local", "ray")
# A block that takes its worker down this often is not tried again.
MOST_RESTARTS = 4


@dataclass(frozen=True)
class Answered:
    """A block, its rows, and what the manifest says of the model (see `Worker.about`)."""

    block: Block
    rows: list[Row]
    about: Row


class Engine(Protocol):
    """Holds workers."""

    def about(self, model: str) -> Row:
        """Load and check a model, and say what it is."""

    def answer(self, blocks: Sequence[Block]) -> Iterator[Answered]:
        """Answer blocks, as they become ready."""

    def close(self) -> None:
        """Let go of all workers."""


def engine(name: str, plan: Plan, *, device: str = "auto", workers: int = 1) -> Engine:
    """An engine by name; ``workers`` is how many hold each model (Ray alone).

    Raises:
        RunnerError: unknown name, Ray not installed, several workers in one process.
    """
    if name == "local":
        if workers != 1:
            raise RunnerError(f"--workers {workers}: --engine local has one. Use --engine ray.")
        return Local(plan, device)
    if name == "ray":
        return RayCore(plan, device, workers)
    raise RunnerError(f"engine {name!r} unknown. Known: {', '.join(ENGINES)}.")


class Local:
    """One worker in this process; the next model takes the place of the last."""

    def __init__(self, plan: Plan, device: str) -> None:
        self.plan, self.device = plan, device
        self._worker: Worker | None = None

    def about(self, model: str) -> Row:
        """See `Engine.about`."""
        return self._holding(model).about()

    def answer(self, blocks: Sequence[Block]) -> Iterator[Answered]:
        """See `Engine.answer`. In the order of the first of those that share a prefill."""
        for group in together(blocks):
            worker = self._holding(group[0].model)
            for block, rows in worker.answer_together(group):
                yield Answered(block, rows, worker.about())

    def close(self) -> None:
        """See `Engine.close`."""
        self._worker = None

    def _holding(self, model: str) -> "Worker":
        from tolerance.runners.collect.worker import Worker

        if self._worker is None or self._worker.model != model:
            self._worker = None  # its memory goes before the next one comes
            self._worker = Worker(self.plan, model, self.device)
        return self._worker


class Holder:
    """A worker in a process of its own; loads its model when first asked, and again after a loss."""

    def __init__(self, plan: Plan, model: str, device: str, share: float = 1.0) -> None:
        # blocks name classes of other people's modules, and come in after this
        search(plan.folders)
        self.plan, self.model, self.device = plan, model, device
        self._worker: Worker | None = None
        if share < 1:
            keep_to(share)

    def about(self) -> Row:
        """See `Worker.about`."""
        return self._loaded().about()

    def answer(self, group: Sequence[Block]) -> list[Answered]:
        """Rows of blocks that share their items."""
        worker = self._loaded()
        return [Answered(block, rows, worker.about()) for block, rows in worker.answer_together(group)]

    def process(self) -> int:
        """Its process id."""
        return os.getpid()

    def _loaded(self) -> "Worker":
        from tolerance.runners.collect.worker import Worker

        if self._worker is None:
            self._worker = Worker(self.plan, self.model, self.device)
        return self._worker


def keep_to(share: float) -> None:
    """Have this process take a share of its GPU's memory at most; batches are planned within it (`Sizes.of`)."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def gpu_share(gpus: float, workers: int) -> float:
    """The part of a GPU that each of a model's workers takes: a whole one, or evenly what fewer GPUs than workers give.

    0 where there are no GPUs.
    """
    return 1 / max(1, math.ceil(workers / gpus)) if gpus >= 1 else 0.0


class RayCore:
    """Actors that hold a model each, one GPU each where the cluster has GPUs; restarted on loss.

    More workers than GPUs share them evenly. A cluster is joined by ``RAY_ADDRESS``; without it one is started on this
    machine.
    """

    def __init__(self, plan: Plan, device: str, workers: int = 1) -> None:
        # Ray would start each worker through `uv run` anew where the driver was started by it.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ModuleNotFoundError as error:
            raise RunnerError(
                "--engine ray: Ray is not installed. `pip install 'sparsity-tolerance[ray]'`, or use --engine local."
            ) from error
        self._ray, self.plan, self.device, self.workers = ray, plan, device, workers
        self._started = not ray.is_initialized()
        if self._started:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self.actors: dict[str, list[Any]] = {}

    def about(self, model: str) -> Row:
        """See `Engine.about`."""
        return self._get(model, self._holding(model)[0].about.remote())  # type: ignore[no-any-return]

    def answer(self, blocks: Sequence[Block]) -> Iterator[Answered]:
        """See `Engine.answer`. One group in flight for each worker; a model's workers go when it has no more."""
        waiting: dict[str, deque[list[Block]]] = {}
        for group in together(blocks):
            waiting.setdefault(group[0].model, deque()).append(group)
        flying: dict[Any, tuple[str, Any]] = {}
        for model, queue in waiting.items():
            for actor in self._holding(model)[: len(queue)]:
                flying[actor.answer.remote(queue.popleft())] = model, actor
        while flying:
            (ready, *_), _ = self._ray.wait(list(flying), num_returns=1)
            model, actor = flying.pop(ready)
            answered = self._get(model, ready)
            if waiting[model]:
                flying[actor.answer.remote(waiting[model].popleft())] = model, actor
            else:
                self._let_go(model, actor)
            yield from answered

    def close(self) -> None:
        """See `Engine.close`."""
        for model, actors in self.actors.items():
            for actor in list(actors):
                self._let_go(model, actor)
        if self._started:
            self._ray.shutdown()

    def _holding(self, model: str) -> list[Any]:
        if not self.actors.get(model):
            gpus = 0 if self.device == "cpu" else self._ray.cluster_resources().get("GPU", 0)
            share = gpu_share(gpus, self.workers)
            remote = self._ray.remote(Holder).options(
                num_cpus=1, num_gpus=share, max_restarts=MOST_RESTARTS, max_task_retries=MOST_RESTARTS
            )
            made = self.plan, model, self.device, share or 1.0
            self.actors[model] = [remote.remote(*made) for _ in range(self.workers)]
        return self.actors[model]

    def _let_go(self, model: str, actor: Any) -> None:  # noqa: ANN401 - Ray's handle
        self.actors[model].remove(actor)
        self._ray.kill(actor)

    def _get(self, model: str, reference: Any) -> Any:  # noqa: ANN401 - whatever the actor returned
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            if isinstance(error.cause, ToleranceError):
                raise error.cause from None
            raise
        except errors.RayActorError as error:
            raise RunnerError(
                f"model {model}: its worker was lost {MOST_RESTARTS + 1} times, at last because "
                f"{str(error).splitlines()[0]} What was answered is safe; mend that and run again."
            ) from error
