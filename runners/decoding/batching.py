"""What goes through a model together: prompts of about one length, then rows that keep about as much.

Rows of one batch are padded to the longest, in prompts and in kept entries. Sizes decide how fast it goes and nothing
else.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from tolerance.runners.decoding.generate import Rule
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.sparsifiers.kv import Eviction

# Rows that are shorter than this share of the longest go into another batch.
LENGTH_BUCKET, KEPT_BUCKET = 0.8, 0.5
WHOLE, CONTEXT = 0, 1


@dataclass(frozen=True)
class Prompt:
    """Token ids, and where the question begins among them, if that is known."""

    ids: tuple[int, ...]
    question_at: int | None = None
    # whether a text holds its whole answer
    ended: Rule = field(default=None, compare=False)

    @property
    def salt(self) -> int:
        """A number of this prompt's own."""
        return zlib.crc32(np.asarray(self.ids, dtype="<i8").tobytes())


@dataclass(frozen=True)
class Condition:
    """A method at a level, or with a budget of tokens per layer and head; dense without a method."""

    method: Eviction | None = None
    level: float = 0.0
    tokens: int | None = None

    @property
    def end(self) -> int:
        """Which of a prefill's ends its compression ends at."""
        return CONTEXT if self.method is not None and self.method.question == "hidden" else WHOLE


@dataclass(frozen=True)
class Sizes:
    """What fits at once: tokens of one prefill, bytes of one decoding batch's cache; whether to capture steps."""

    prefill_tokens: int
    kept_bytes: int
    capture: bool

    @classmethod
    def of(cls, loaded: LoadedModel) -> "Sizes":
        """What suits a device. They decide how fast it goes and nothing else."""
        if loaded.device.type != "cuda":
            return cls(prefill_tokens=16_384, kept_bytes=2**30, capture=False)
        free, whole = torch.cuda.mem_get_info(loaded.device)
        taken = torch.cuda.memory_allocated(loaded.device)
        # what torch holds back of earlier calls is to be had too, what is left to other processes is not
        mine = int(allowed(loaded.device) * whole)
        free = min(free + torch.cuda.memory_reserved(loaded.device), mine) - taken
        # experts are chosen on the host in some models, which cannot be captured
        return cls(prefill_tokens=131_072, kept_bytes=int(free * 0.25), capture=loaded.params_active is not None)


def allowed(device: torch.device) -> float:
    """The share of a GPU's memory that this process may take, as far as torch can say (from 2.8 on)."""
    told = getattr(torch.cuda, "get_per_process_memory_fraction", lambda device: 1.0)
    return float(told(device))


@dataclass(frozen=True)
class Job:
    """One row to decode: an item under a condition, and the slots it needs in each layer."""

    condition: int
    row: int
    slots: tuple[int, ...]

    @classmethod
    def of(cls, condition: int, row: int, counts: "list[torch.Tensor]") -> "Job":
        """Given what every condition keeps ``[condition](layer, row, kv head)``."""
        return cls(condition, row, tuple(counts[condition][:, row].amax(1).tolist()))


def length_buckets(prompts: Sequence[Prompt], tokens: int) -> Iterator[list[int]]:
    """Indices of prompts about as long as each other, the longest first."""
    batch: list[int] = []
    for i in sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids)):
        longest = len(prompts[batch[0]].ids) if batch else 0
        if batch and ((len(batch) + 1) * longest > tokens or len(prompts[i].ids) < LENGTH_BUCKET * longest):
            yield batch
            batch = []
        batch.append(i)
    yield batch


def kept_buckets(
    jobs: Sequence[Job],
    conditions: Sequence[Condition],
    *,
    asked: Callable[[Job], int],
    taken: Callable[[int, Sequence[int], int], float],
    most_bytes: float,
) -> Iterator[list[Job]]:
    """Rows that are decoded together: both or neither read a question first, and they keep about as much.

    ``asked``: tokens that a row reads before it answers. ``taken``: bytes of a cache with so many rows, kept entries of
    each layer and question tokens, as it will be allocated.
    """
    batch: list[Job] = []
    slots: tuple[int, ...] = ()
    longest = 0
    group = {job: conditions[job.condition].end for job in jobs}
    for job in sorted(jobs, key=lambda job: (group[job], -sum(job.slots))):
        if batch:
            wider = tuple(map(max, slots, job.slots))
            full = taken(len(batch) + 1, wider, max(longest, asked(job))) > most_bytes
            less = sum(job.slots) < KEPT_BUCKET * sum(batch[0].slots)
            if group[job] != group[batch[0]] or full or less:
                yield sorted(batch, key=lambda job: (job.condition, job.row))
                batch = []
        slots, longest = (
            (tuple(map(max, slots, job.slots)), max(longest, asked(job))) if batch else (job.slots, asked(job))
        )
        batch.append(job)
    yield sorted(batch, key=lambda job: (job.condition, job.row))


def encode(loaded: LoadedModel, text: str, question_at: int | None, *, special_tokens: bool) -> Prompt:
    """A prompt's tokens; ``question_at`` is the character at which its question begins.

    A token that holds the last of the context and the first of the question belongs to the question.
    """
    encoded: Any = loaded.tokenizer(
        text, add_special_tokens=special_tokens, return_offsets_mapping=question_at is not None
    )
    if question_at is None:
        return Prompt(tuple(encoded.input_ids))
    inside = [stop > question_at for _, stop in encoded.offset_mapping]
    return Prompt(tuple(encoded.input_ids), inside.index(True) if any(inside) else None)
