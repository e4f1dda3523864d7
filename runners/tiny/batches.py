"""Training text made on the device, as token ids: copying, look-up, two hops (written or direct), most common word.

Every batch holds all five tasks at one length. ``Batch.answers`` names the positions that are learned; everything else
is context. Copying is not measured later: without it look-up does not emerge (see docs/tiny-model.md).
"""

from dataclasses import dataclass

import torch

from tolerance.runners.tiny import words

_IDS = {word: i for i, word in enumerate(words.vocabulary())}
_SLOT, _ASK, _TWO, _STEP, _MOST, _IS, _BOS = (
    _IDS[w] for w in (words.SLOT, words.ASK, words.ASK_TWO_HOPS, words.ASK_WITH_STEP, words.MOST, words.IS, words.BOS)
)
TASKS = ("copy", "lookup", "two-hop-written", "two-hop", "most-common")
N_QUESTIONS = 16
N_OTHER_WORDS = 16


@dataclass(frozen=True)
class Batch:
    """Token ids ``(row, position)``; answers as ``(row, position)`` index pairs, with the task of each answer."""

    tokens: torch.Tensor
    rows: torch.Tensor
    positions: torch.Tensor
    tasks: torch.Tensor

    @property
    def targets(self) -> torch.Tensor:
        """The token to be predicted at each answer ``(answer,)``."""
        return self.tokens[self.rows, self.positions]


def total_length(context: int) -> int:
    """Tokens of a training row: the start, the context, sixteen questions of four words."""
    return 1 + context + words.SLOT_WIDTH * N_QUESTIONS


def make(context: int, n_rows: dict[str, int], generator: torch.Generator) -> Batch:
    """One batch with ``n_rows[task]`` rows of each task, all ``total_length(context)`` long."""
    made = [(i, *_MAKERS[task](n_rows[task], context, generator)) for i, task in enumerate(TASKS) if n_rows.get(task)]
    tokens, rows, positions, tasks, start = [], [], [], [], 0
    for task, row_tokens, answers in made:
        n, width = answers.shape
        tokens.append(row_tokens)
        rows.append(torch.arange(start, start + n, device=answers.device).repeat_interleave(width))
        positions.append(answers.flatten())
        tasks.append(torch.full((n * width,), task, device=answers.device))
        start += n
    return Batch(torch.cat(tokens), torch.cat(rows), torch.cat(positions), torch.cat(tasks))


def _distinct(rows: int, n: int, among: int, g: torch.Generator) -> torch.Tensor:
    """``n`` distinct numbers below ``among`` in each row, in random order."""
    return torch.rand(rows, among, device=g.device, generator=g).topk(n, 1).indices


def _fact(key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    slot = torch.full_like(key, _SLOT)
    return torch.stack([slot, key, value, slot], -1)


def _question(mark: int, *rest: torch.Tensor) -> torch.Tensor:
    first = torch.full_like(rest[0], mark)
    parts = [first, *rest] if len(rest) == 3 else [torch.full_like(first, _SLOT), first, *rest]
    return torch.stack(parts, -1)


def _hide(facts: torch.Tensor, context: int, g: torch.Generator) -> torch.Tensor:
    """Place fact slots ``(row, fact, 4)`` at random among filler slots: ``(row, context)``."""
    n_rows, n_facts, width = facts.shape
    slots = words.FIRST_FILLER + torch.randint(
        0, words.N_FILLERS, (n_rows, context // width, width), device=g.device, generator=g
    )
    places = _distinct(n_rows, n_facts, context // width, g)
    slots.scatter_(1, places[..., None].expand(-1, -1, width), facts)
    return slots.flatten(1)


def _row(context: torch.Tensor, questions: torch.Tensor) -> torch.Tensor:
    start = torch.full((len(context), 1), _BOS, device=context.device)
    return torch.cat([start, context, questions.flatten(1)], 1)


def _answers(n_rows: int, context: int, g: torch.Generator, last: int = 1) -> torch.Tensor:
    """Positions of the last ``last`` words of each question."""
    ends = 1 + context + words.SLOT_WIDTH * torch.arange(1, N_QUESTIONS + 1, device=g.device)
    inside = ends[:, None] - torch.arange(last, 0, -1, device=g.device)
    return inside.flatten().expand(n_rows, -1)


def _pick(n_rows: int, n_facts: int, g: torch.Generator) -> torch.Tensor:
    """Which fact each of the sixteen questions asks for; no fact is asked twice unless there are too few."""
    scores = torch.rand(n_rows, n_facts, device=g.device, generator=g)
    order = scores.argsort(1)
    repeats = -(-N_QUESTIONS // n_facts)
    return order.repeat(1, repeats)[:, :N_QUESTIONS]


def _lookup(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    n_facts = words.lookup_facts(context)
    keys = words.FIRST_ENTITY + _distinct(n_rows, n_facts, words.N_ENTITIES, g)
    values = words.FIRST_ENTITY + torch.randint(0, words.N_ENTITIES, (n_rows, n_facts), device=g.device, generator=g)
    asked = _pick(n_rows, n_facts, g)
    questions = _question(_ASK, keys.gather(1, asked), values.gather(1, asked))
    return _row(_hide(_fact(keys, values), context, g), questions), _answers(n_rows, context, g)


def _chains(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    n_chains = words.two_hop_chains(context)
    chain = words.FIRST_ENTITY + _distinct(n_rows, 3 * n_chains, words.N_ENTITIES, g)
    a, b, c = chain.reshape(n_rows, n_chains, 3).unbind(-1)
    hidden = _hide(torch.cat([_fact(a, b), _fact(b, c)], 1), context, g)
    asked = _pick(n_rows, n_chains, g)
    return hidden, tuple(part.gather(1, asked) for part in (a, b, c))


def _two_hop(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    hidden, (a, _, c) = _chains(n_rows, context, g)
    return _row(hidden, _question(_TWO, a, c)), _answers(n_rows, context, g)


def _two_hop_written(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    hidden, (a, b, c) = _chains(n_rows, context, g)
    return _row(hidden, _question(_STEP, a, b, c)), _answers(n_rows, context, g, last=2)


def _most_common(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """One question at the very end; the room of the other fifteen is context too."""
    length = context + words.SLOT_WIDTH * (N_QUESTIONS - 1)
    candidates = words.FIRST_ENTITY + _distinct(n_rows, N_OTHER_WORDS + 1, words.N_ENTITIES, g)
    share = 0.12 + 0.16 * torch.rand(n_rows, 1, device=g.device, generator=g)
    is_common = torch.rand(n_rows, length, device=g.device, generator=g) < share
    others = torch.randint(1, N_OTHER_WORDS + 1, (n_rows, length), device=g.device, generator=g)
    choice = torch.where(is_common, 0, others)
    counts = torch.zeros(n_rows, N_OTHER_WORDS + 1, device=g.device)
    counts.scatter_add_(1, choice, torch.ones_like(choice, dtype=torch.float))
    top = candidates.gather(1, counts.argmax(1, keepdim=True))
    question = _question(_MOST, torch.full_like(top, _IS), top)
    end = torch.full((n_rows, 1), total_length(context) - 1, device=g.device)
    return _row(candidates.gather(1, choice), question), end


def _copy(n_rows: int, context: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A random sequence, then the same again: 32 positions of the second half are learned."""
    half = (total_length(context) - 1) // 2
    once = words.FIRST_ENTITY + torch.randint(
        0, words.N_WORDS - words.FIRST_ENTITY, (n_rows, half), device=g.device, generator=g
    )
    learned = 1 + half + 4 + _distinct(n_rows, 32, half - 4, g)
    start = torch.full((n_rows, 1), _BOS, device=g.device)
    return torch.cat([start, once, once], 1), learned


_MAKERS = {
    "copy": _copy,
    "lookup": _lookup,
    "two-hop-written": _two_hop_written,
    "two-hop": _two_hop,
    "most-common": _most_common,
}
