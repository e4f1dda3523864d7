"""Where workers live: in this process, or as Ray actors on the GPUs of one host or many.

An engine takes blocks and gives back their rows, in any order; whoever drives it writes them, so one process alone
touches the run folder and a lost worker loses the blocks that it was answering together, nothing else.
"""

import gc
import math
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
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

    def start(self, blocks: Sequence[Block]) -> None:
        """Have a worker load and check the model that it begins with; others begin to load theirs."""

    def answer(self, blocks: Sequence[Block]) -> Iterator[Answered]:
        """Answer blocks, as they become ready."""

    def close(self) -> None:
        """Let go of all workers."""


def engine(name: str, plan: Plan, *, device: str = "auto", workers: int = 1) -> Engine:
    """An engine by name; ``workers`` is how many there are (Ray alone).

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

    def start(self, blocks: Sequence[Block]) -> None:
        """See `Engine.start`."""
        self._holding(blocks[0].model)

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
            # its memory goes before the next one comes, what points at itself too
            self._worker = None
            gc.collect()
            self._worker = Worker(self.plan, model, self.device)
        return self._worker


class Holder:
    """A worker in a process of its own; loads a model when it is first asked, and again after a loss."""

    def __init__(self, plan: Plan, device: str, share: float = 1.0) -> None:
        # blocks name classes of other people's modules, and come in after this
        search(plan.folders)
        self._local = Local(plan, device)
        if share < 1:
            keep_to(share)

    def load(self, blocks: Sequence[Block]) -> None:
        """See `Engine.start`."""
        self._local.start(blocks)

    def answer(self, group: Sequence[Block]) -> list[Answered]:
        """Rows of blocks that share their items."""
        return list(self._local.answer(group))

    def process(self) -> int:
        """Its process id."""
        return os.getpid()


class Waiting:
    """Groups of blocks that no worker has yet, by model, and the model that each worker holds.

    A worker stays with its model while that has groups, since loading takes time; then it helps where most groups wait
    for each worker, unless there is no more than one for each.
    """

    def __init__(self, blocks: Sequence[Block], holds: Mapping[int, str] | None = None) -> None:
        self.groups: dict[str, deque[list[Block]]] = {}
        for group in together(blocks):
            self.groups.setdefault(group[0].model, deque()).append(group)
        self.holds = dict(holds or {})

    def place(self, worker: int) -> list[Block]:
        """The group that a worker should begin with or go on with; empty where there is none for it."""
        own = self.holds.get(worker, "")
        if not self.groups.get(own):
            others = Counter(model for other, model in self.holds.items() if other != worker)
            wanting = [model for model, groups in self.groups.items() if len(groups) > others[model]]
            if not wanting:
                self.holds.pop(worker, None)
                return []
            own = max(wanting, key=lambda model: len(self.groups[model]) / (1 + others[model]))
        self.holds[worker] = own
        return self.groups[own][0]

    def take(self, worker: int) -> list[Block]:
        """The same group, which waits no longer then."""
        return self.groups[self.holds[worker]].popleft() if self.place(worker) else []


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
    """Actors that hold one model at a time, one GPU each where the cluster has GPUs; restarted on loss.

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
        self._ray: Any = ray
        self.plan, self.device, self.workers = plan, device, workers
        self._started = not self._ray.is_initialized()
        if self._started:
            self._ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        self.actors: dict[int, Any] = {}
        self._holds: dict[int, str] = {}

    def start(self, blocks: Sequence[Block]) -> None:
        """See `Engine.start`. All load at once; whether the others could is seen when they are asked."""
        waiting = Waiting(blocks)
        first = [waiting.place(worker) for worker in self._wanted(waiting)]
        loading = [self._actor(worker).load.remote(group) for worker, group in enumerate(first) if group]
        self._holds = dict(waiting.holds)
        self._get(first[0][0].model, loading[0])

    def answer(self, blocks: Sequence[Block]) -> Iterator[Answered]:
        """See `Engine.answer`. One group in flight for each worker; a worker goes when nothing is left for it."""
        waiting = Waiting(blocks, self._holds)
        flying: dict[Any, int] = {}
        for worker in self._wanted(waiting):
            self._give(worker, waiting, flying)
        while flying:
            (ready, *_), _ = self._ray.wait(list(flying), num_returns=1)
            worker = flying.pop(ready)
            answered = self._get(waiting.holds[worker], ready)
            self._give(worker, waiting, flying)
            yield from answered

    def close(self) -> None:
        """See `Engine.close`."""
        for worker in list(self.actors):
            self._let_go(worker)
        if self._started:
            self._ray.shutdown()

    def _wanted(self, waiting: Waiting) -> list[int]:
        """Workers that there is a group for, counted from 0."""
        groups = sum(map(len, waiting.groups.values()))
        return list(range(min(self.workers, groups)))

    def _give(self, worker: int, waiting: Waiting, flying: dict[Any, int]) -> None:
        group = waiting.take(worker)
        if group:
            flying[self._actor(worker).answer.remote(group)] = worker
        else:
            self._let_go(worker)

    def _actor(self, worker: int) -> Any:  # noqa: ANN401 - Ray's handle
        if worker not in self.actors:
            gpus = 0 if self.device == "cpu" else self._ray.cluster_resources().get("GPU", 0)
            share = gpu_share(gpus, self.workers)
            remote = self._ray.remote(Holder).options(
                num_cpus=1, num_gpus=share, max_restarts=MOST_RESTARTS, max_task_retries=MOST_RESTARTS
            )
            self.actors[worker] = remote.remote(self.plan, self.device, share or 1.0)
        return self.actors[worker]

    def _let_go(self, worker: int) -> None:
        if worker in self.actors:
            self._ray.kill(self.actors.pop(worker))

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
