"""Many levels for nearly one price: one dense prefill, then every method and level of it decoded side by side.

A prompt is read once. Each eviction method scores the cache once; each of its levels keeps the first so many entries of
that ranking. Methods that may not see the question keep entries of the context alone and read the question afterwards,
on what they kept. Rows (an item under a condition) that keep about as much are decoded together, whatever method, level
or item they belong to. On CUDA a decoding step is captured once for each shape and replayed.

Batches shrink when memory runs out. What a row sees does not depend on its batch, so no answer does, up to rounding:
in float32 the tests find answers equal to those of one condition and one item at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import torch

from tolerance.errors import RunnerError
from tolerance.runners.attention.cache import EMPTY, NO_MASK, KeptCache, PrefillCache, windows
from tolerance.runners.attention.control import imposing
from tolerance.runners.decoding.backoff import shrinking
from tolerance.runners.decoding.batching import (
    CONTEXT,
    WHOLE,
    Condition,
    Job,
    Prompt,
    Sizes,
    kept_buckets,
    length_buckets,
)
from tolerance.runners.decoding.decode import Steps
from tolerance.runners.decoding.generate import Answer, Ends, read, stop_ids, takes_logits_to_keep
from tolerance.runners.decoding.tally import tallies
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.rope import Rotation
from tolerance.runners.sparsifiers.base import kept_of
from tolerance.runners.sparsifiers.kv import Eviction, Inside
from tolerance.runners.sparsifiers.kv.base import kept_by_head, rank


def answer_levels(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    conditions: Sequence[Condition],
    *,
    max_new_tokens: int,
    sizes: Sizes | None = None,
) -> list[list[Answer]]:
    """Answer every prompt greedily under every condition ``[condition][prompt]``.

    Raises:
        RunnerError: the model's cache cannot be evicted from exactly, a question's place is needed and not known, or
            a single row does not fit into memory.
    """
    _require_questions(prompts, conditions)
    run = Levels(loaded, list(conditions), max_new_tokens, sizes or Sizes.of(loaded))
    answers: dict[tuple[int, int], Answer] = {}
    with torch.inference_mode():
        for batch in length_buckets(prompts, run.sizes.prefill_tokens):
            for part in shrinking(batch, lambda some: run.answer([prompts[i] for i in some]), run.forget):
                answers |= {(c, part.rows[row]): got for (c, row), got in part.made.items()}
    return [[answers[c, i] for i in range(len(prompts))] for c in range(len(conditions))]


def _require_questions(prompts: Sequence[Prompt], conditions: Sequence[Condition]) -> None:
    hidden = [c.method.label for c in conditions if c.method is not None and c.end == CONTEXT]
    unknown = sum(prompt.question_at is None or prompt.question_at < 1 for prompt in prompts)
    if hidden and unknown:
        raise RunnerError(
            f"sparsifier {hidden[0]}: the question is hidden from it, but {unknown} of {len(prompts)} prompts do not "
            "say where their question begins after the context. Use question: visible."
        )


@dataclass
class Prefill:
    """One dense pass over a batch of prompts."""

    prompts: list[Prompt]
    cache: PrefillCache
    first: torch.Tensor  # (row,): the token that follows each prompt
    rankings: dict[tuple[Eviction, int], tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def end(self, row: int, number: int) -> int:
        """Tokens up to where compression ends."""
        prompt = self.prompts[row]
        return len(prompt.ids) if number == WHOLE else prompt.question_at or 0

    def ranking(self, method: Eviction, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores and order of one layer's entries, made once for all levels ``(row, kv head, key)``."""
        if (method, layer) not in self.rankings:
            seen = self.cache.seen(layer, Condition(method).end)
            scores = method.score(seen)
            self.rankings[method, layer] = scores, rank(scores, seen.real)
        return self.rankings[method, layer]


@dataclass
class Levels:
    """What stays the same over the batches of one call.

    Raises:
        RunnerError: the model's cache cannot be evicted from exactly, or a method cannot be imposed on it.
    """

    loaded: LoadedModel
    conditions: list[Condition]
    max_new_tokens: int
    sizes: Sizes

    def __post_init__(self) -> None:
        self.windows = windows(self.loaded.model)
        self.stops = stop_ids(self.loaded)
        methods = [c.method for c in self.conditions if c.method is not None]
        self.look_back = max((m.looks_back for m in methods), default=0)
        self.reads_hidden = any(m.reads_hidden for m in methods)
        self.modules: dict[int, torch.nn.Module] = {}
        moments = [m for m in methods if m.reads_moments]
        self.rotation = Rotation.of(self.loaded.model) if moments else None
        if moments and self.rotation is None:
            raise RunnerError(
                f"sparsifier {moments[0].label}: {type(self.loaded.model).__name__} has no single rotation by position "
                "(RoPE), so future queries cannot be told. Leave the method out for this model."
            )
        self.steps = Steps(self.loaded, capture=self.sizes.capture, most_bytes=2 * self.sizes.kept_bytes)

    def forget(self) -> None:
        """Give memory back after it ran out."""
        self.steps.forget()
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()

    def answer(self, prompts: list[Prompt]) -> dict[tuple[int, int], Answer]:
        """Answers by (condition, row)."""
        prefill = self.prefill(prompts)
        counts = [self.counts(prefill, condition) for condition in self.conditions]
        jobs = [Job.of(c, row, counts) for c in range(len(self.conditions)) for row in range(len(prompts))]
        answers: dict[tuple[int, int], Answer] = {}
        for batch in self._batches(prefill, jobs):

            def work(some: list[int], batch: list[Job] = batch) -> list[Answer]:
                return self._decode(prefill, [batch[i] for i in some], counts)

            for part in shrinking(list(range(len(batch))), work, self.forget):
                for i, got in zip(part.rows, part.made, strict=True):
                    answers[batch[i].condition, batch[i].row] = got
        return answers

    def _batches(self, prefill: Prefill, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Rows that are decoded together, by the bytes that `Steps` will allocate for them."""

        def asked(job: Job) -> int:
            return len(prefill.prompts[job.row].ids) - prefill.end(job.row, self.conditions[job.condition].end)

        def taken(rows: int, slots: Sequence[int], question: int) -> float:
            return self.steps.bytes(prefill.cache, rows, slots, question + self.max_new_tokens)

        return kept_buckets(jobs, self.conditions, asked=asked, taken=taken, most_bytes=self.sizes.kept_bytes)

    def prefill(self, prompts: list[Prompt]) -> Prefill:
        """Read prompts densely."""
        device = self.loaded.device
        lengths = [len(prompt.ids) for prompt in prompts]
        ids = torch.zeros(len(prompts), max(lengths), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : lengths[row]] = torch.tensor(prompt.ids)
        ends = [torch.tensor(lengths, device=device)]
        if any(condition.end == CONTEXT for condition in self.conditions):
            ends.append(torch.tensor([prompt.question_at for prompt in prompts], device=device))
        cache = PrefillCache(
            self.windows,
            ends,
            look_back=self.look_back,
            rotation=self.rotation,
            salt=torch.tensor([prompt.salt for prompt in prompts], device=device),
        )
        at = torch.arange(ids.shape[1], device=device).expand(len(prompts), -1)
        with _given(self.loaded.model) if self.reads_hidden else nullcontext() as given:
            logits = self._pass(cache, ids.to(device), at, torch.tensor(lengths) - 1)
            if given is not None:
                cache.inside = {layer: given[module] for layer, module in self.modules.items()}
        return Prefill(prompts, cache, logits.argmax(-1))

    def _pass(
        self, cache: PrefillCache | KeptCache, ids: torch.Tensor, positions: torch.Tensor, last: torch.Tensor
    ) -> torch.Tensor:
        """Logits of each row's token number ``last`` ``(row, vocabulary)``."""
        kept, place = torch.unique(last, return_inverse=True)
        narrowed = takes_logits_to_keep(self.loaded)
        extra = {"logits_to_keep": kept.to(ids.device)} if narrowed else {}
        with imposing() as control:
            control.cache = cache
            logits: torch.Tensor = self.loaded.model(
                input_ids=ids,
                attention_mask=NO_MASK.to(ids.device),
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                **extra,
            ).logits
        self.modules = control.modules
        return logits[torch.arange(len(ids), device=ids.device), (place if narrowed else last).to(ids.device)]

    def counts(self, prefill: Prefill, condition: Condition) -> torch.Tensor:
        """Entries that each layer, row and head keeps, on the host ``(layer, row, kv head)``."""
        ends = torch.tensor([prefill.end(row, condition.end) for row in range(len(prefill.prompts))])
        counts = []
        for layer, window in enumerate(self.windows):
            held = ends if window is None else ends.clamp(max=window - 1)
            heads = int(prefill.cache.layers[layer].keys.shape[1])
            if condition.method is None:
                uniform = held
            elif condition.tokens is not None:
                uniform = held.clamp(max=condition.tokens)
            else:
                uniform = kept_of(held, condition.level)
            if condition.method is None or condition.method.allocation == "uniform":
                counts.append(uniform[:, None].expand(-1, heads))
                continue
            scores, order = prefill.ranking(condition.method, layer)
            real = prefill.cache.held(layer, condition.end)[:, None]
            budget = uniform.to(scores.device)
            counts.append(kept_by_head(scores, order, real, budget, condition.method.allocation).cpu())
        return torch.stack(counts)

    def _decode(self, prefill: Prefill, jobs: list[Job], counts: list[torch.Tensor]) -> list[Answer]:
        """Answers of rows of one group."""
        end = self.conditions[jobs[0].condition].end
        ends = torch.tensor([prefill.end(job.row, end) for job in jobs])
        lengths = torch.tensor([len(prefill.prompts[job.row].ids) for job in jobs])
        asked = int((lengths - ends).max())
        for_kept = [max(job.slots[layer] for job in jobs) for layer in range(len(self.windows))]
        cache = self.steps.cache(prefill.cache, len(jobs), for_kept, asked + self.max_new_tokens)
        self.fill(cache, prefill, jobs, counts)
        if asked:
            first = self.ask(cache, prefill, jobs, ends, lengths).argmax(-1)
        else:
            first = prefill.first[torch.tensor([job.row for job in jobs], device=prefill.first.device)]
        whole = Ends(self.loaded, [prefill.prompts[job.row].ended for job in jobs])
        tokens = self.steps.run(cache, first, lengths, self.stops, self.max_new_tokens, whole)
        return self._answers(cache, jobs, counts, ends, lengths, tokens, whole)

    def fill(self, cache: KeptCache, prefill: Prefill, jobs: list[Job], counts: list[torch.Tensor]) -> None:
        """Copy what each row keeps; rows of one condition stand together."""
        device, first = self.loaded.device, 0
        for c, some in groupby(jobs, key=lambda job: job.condition):
            rows = torch.tensor([job.row for job in some])
            method, count = self.conditions[c].method, counts[c][:, rows]
            on_device, count_on_device = rows.to(device), count.to(device)
            for layer, most in enumerate(count.amax((1, 2)).tolist()):
                order = self._all(prefill, layer) if method is None else prefill.ranking(method, layer)[1]
                cache.keep(layer, first, prefill.cache, on_device, order[on_device, :, :most], count_on_device[layer])
            first += len(rows)

    def _all(self, prefill: Prefill, layer: int) -> torch.Tensor:
        """What dense keeps: everything that the layer holds, the latest first ``(row, kv head, key)``."""
        held = prefill.cache.held(layer, WHOLE)[:, None]
        at = torch.arange(held.shape[-1], device=held.device)
        heads = prefill.cache.layers[layer].keys.shape[1]
        return rank(at.float().expand(held.shape), held).expand(-1, heads, -1)

    def ask(
        self, cache: KeptCache, prefill: Prefill, jobs: list[Job], ends: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Read each row's question on what it kept; logits of the token that follows ``(row, vocabulary)``."""
        device, asked = self.loaded.device, lengths - ends
        ids = torch.zeros(cache.rows, int(asked.max()), dtype=torch.long)
        for i, job in enumerate(jobs):
            ids[i, : asked[i]] = torch.tensor(prefill.prompts[job.row].ids[ends[i] :])
        at = torch.arange(ids.shape[1])
        spare = cache.rows - len(jobs)
        ends, asked = (torch.cat([t, torch.ones(spare, dtype=t.dtype)]) for t in (ends, asked))
        positions = ends[:, None] + at
        cache.expect(torch.where(at < asked[:, None], positions, EMPTY).to(device))
        logits = self._pass(cache, ids.to(device), positions.to(device), asked - 1)
        cache.advance()
        return logits[: len(jobs)]

    def _answers(
        self,
        cache: KeptCache,
        jobs: list[Job],
        counts: list[torch.Tensor],
        ends: torch.Tensor,
        lengths: torch.Tensor,
        tokens: torch.Tensor,
        whole: Ends,
    ) -> list[Answer]:
        done = torch.isin(tokens, self.stops.cpu())
        stopped = done.any(1)
        # with the first that stops
        n_tokens = torch.where(stopped, done.long().argmax(1) + 1, tokens.shape[1])
        for i in range(len(jobs)):
            end = whole.of(i, tokens[i, : n_tokens[i]])
            if end is not None:
                n_tokens[i], stopped[i] = end, False
        counted = tallies(self.loaded, self.windows, cache, jobs, counts, ends, lengths, n_tokens)
        answers = []
        for i in range(len(jobs)):
            kept, text = read(self.loaded, tokens[i, : n_tokens[i]], self.stops)
            prefill, decode, entries = counted[i]
            shape = f"{len(jobs)}x{max(cache.for_kept) + cache.for_new}"
            told = text, int(lengths[i]), len(kept), bool(stopped[i]), prefill, decode
            answers.append(Answer(*told, entries=entries, batch_shape=shape))
        return answers


@contextmanager
def _given(model: torch.nn.Module) -> Iterator[dict[torch.nn.Module, Inside]]:
    """What every module that knows its layer is given inside the block."""
    seen: dict[torch.nn.Module, Inside] = {}

    def note(module: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        hidden = named.get("hidden_states", args[0] if args else None)
        if isinstance(hidden, torch.Tensor):
            seen[module] = Inside(module, hidden, named.get("position_embeddings"))

    with ExitStack() as hooks:
        for module in model.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                hooks.callback(module.register_forward_pre_hook(note, with_kwargs=True).remove)
        yield seen
