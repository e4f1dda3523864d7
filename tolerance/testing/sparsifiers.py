"""What a sparsifier must hold: it says what it is, keeps exactly its budget, nested as levels rise, all of it at 0.

What is chosen must depend on what is given alone: not on the call, not on other rows of the batch. At last the shipped
model goes through the self-check of `tolerance collect` with it.
"""

import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tolerance.data.outcomes import DENSE, QUERY_POSITIONS, SPARSITY_KINDS, UNITS
from tolerance.data.vocabularies import near_miss
from tolerance.errors import ToleranceError
from tolerance.runners.sparsifiers import (
    IMPOSED,
    AttentionPattern,
    BlockPattern,
    Eviction,
    Sparsifier,
    VerticalSlash,
    WeightPruning,
)
from tolerance.testing.requiring import require

if TYPE_CHECKING:
    import torch

    from tolerance.runners.models.load import LoadedModel
    from tolerance.runners.sparsifiers.kv import Seen

LEVELS = (0.0, 0.1, 0.3, 0.5, 0.67, 0.8, 0.9, 0.95, 0.99)
TOKENS, BLOCK = 24, 8


def check_sparsifier(
    sparsifier: Sparsifier | type[Sparsifier], *, seeds: Sequence[int] = range(10), model: bool = True
) -> None:
    """Check a sparsifier with its options, or a class with the options it has unless told; ``model``: on a model too.

    Raises:
        AssertionError: what does not hold, and the mend.
    """
    method = _made(sparsifier)
    _check_description(method)
    # what looks into a model, or at many blocks, takes its time
    costly = isinstance(method, BlockPattern) or (isinstance(method, Eviction) and _needs_a_model(method))
    for seed in seeds[:3] if costly else seeds:
        if isinstance(method, BlockPattern):
            _check_blocks(replace(method, block=BLOCK), seed)
        elif isinstance(method, AttentionPattern) and not isinstance(method, VerticalSlash):
            _check_pattern(method, seed)
        elif isinstance(method, Eviction):
            _check_eviction(method, seed)
        elif isinstance(method, WeightPruning):
            _check_pruning(method, seed)
    if isinstance(method, Eviction):
        _check_known_cost(method)
    if model:
        _check_on_a_model(method)


def _made(sparsifier: Sparsifier | type[Sparsifier]) -> Sparsifier:
    """An instance; a class is made with the options that it has unless told."""
    if not isinstance(sparsifier, type):
        return sparsifier
    try:
        return sparsifier()
    except Exception as error:
        raise AssertionError(
            f"{sparsifier.__name__}: cannot be made without options ({error}). Give every option a default, or check "
            "an instance."
        ) from error


def _check_description(method: Sparsifier) -> None:
    """What plans, outcome rows and other processes need to know of it."""
    who = type(method).__name__
    frozen = is_dataclass(method) and type(method).__dataclass_params__.frozen  # type: ignore[attr-defined]
    require(
        frozen, who, "it is no frozen dataclass", "Put @dataclass(frozen=True) above it; its fields are its options"
    )
    kinds = ", ".join(one.__name__ for one in IMPOSED)
    require(
        isinstance(method, IMPOSED), who, f"the runner does not know how to impose it; it knows {kinds}", "Derive it"
    )
    for word in ("name", "label"):
        told = getattr(method, word, None)
        require(isinstance(told, str) and told, who, f"{word} is {told!r}", f"Give it a {word}")
        require(told != DENSE, who, f"{word} is {DENSE!r}, which is what imposes nothing", f"Give it another {word}")
    who = method.label
    _require_word(method.kind, SPARSITY_KINDS, who, "kind")
    _require_word(method.unit, UNITS, who, "unit")
    acts = method.acts_in and method.acts_in <= {"prefill", "decode"}
    require(acts, who, f"acts_in is {set(method.acts_in)}", "Name prefill, decode or both")
    seen = method.query_position
    among = f"Use None or one of {', '.join(QUERY_POSITIONS)}"
    require(seen is None or seen in QUERY_POSITIONS, who, f"query_position is {seen!r}", among)
    levels = method.levels or ()
    require(all(0 < v < 1 for v in levels), who, f"levels are {levels}", "Give fractions between 0 and 1, or None")
    _check_identity(method)


def _require_word(word: object, known: tuple[str, ...], who: str, name: str) -> None:
    """One of our words, or one of the user's own that is no slip of them."""
    right = isinstance(word, str) and word and near_miss(word, known) is None
    require(right, who, f"{name} is {word!r}", f"Use one of {', '.join(known)}, or a word of your own unlike them")


def _check_identity(method: Sparsifier) -> None:
    """Equal options make equal methods, here and in another process: files and rankings are named by them."""
    who, options = method.label, {field.name: getattr(method, field.name) for field in fields(method) if field.init}
    again = type(method)(**options)
    alike = (again, hash(again), repr(again)) == (method, hash(method), repr(method))
    require(alike, who, "two of equal options are not equal", "Leave equality, hash and repr to the dataclass")
    try:
        sent = pickle.loads(pickle.dumps(method))
    except Exception as error:
        raise AssertionError(
            f"{who}: cannot be sent to another process ({error}). Define it at the top level of a module that can be "
            "imported there; options are numbers and texts."
        ) from error
    require(sent == method, who, "it comes out of another process changed", "Keep all of its state in its options")


def _levels(method: Sparsifier, seed: int) -> tuple[float, ...]:
    """Levels that plans have, and two that none has."""
    draw = random.Random(seed)
    return tuple(sorted((*LEVELS, draw.random(), draw.random()))) if method.levels is None else (0.0, *method.levels)


def _check_pattern(method: AttentionPattern, seed: int) -> None:
    """Pairs of (query, key)."""
    import torch

    from tolerance.runners.sparsifiers.base import budget

    scores, visible = _scores(seed)
    exact = method.grain == 1 and method.level_of == "query"

    def keep(level: float, rows: slice = slice(None)) -> torch.Tensor:
        shown = scores[rows].clone() if method.needs_scores else None
        return method.keep(shown, visible[rows].clone(), level)

    for level, kept in _nested(method, keep, seed):
        who = f"{method.label} at level {level:g}"
        require(not (kept & ~visible).any(), who, "it keeps pairs that are not visible", "Return keep & visible")
        wanted = budget(visible, level).expand(*kept.shape[:-1], 1)
        right = not exact or torch.equal(kept.sum(-1, keepdim=True), wanted)
        mend = "Keep the best budget(visible, level) of each query, no more and no less"
        require(right, who, "some query does not keep exactly its budget of keys", mend)
        if level == 0:
            require((kept == visible).all(), who, "it drops pairs", "Keep all that is visible at level 0")


def _check_blocks(method: BlockPattern, seed: int) -> None:
    """Whole blocks of keys."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    n = 8 * BLOCK + 6
    query, key = (torch.randn(2, heads, n, 8, generator=draw) for heads in (4, 2))
    visible = torch.ones(n, n, dtype=torch.bool).tril()[None, None]

    def keep(level: float, rows: slice = slice(None)) -> torch.Tensor:
        blocks = method.blocks(query[rows].clone(), key[rows].clone(), 0, level)
        return method.mask(blocks, visible.expand(len(blocks), -1, -1, -1))

    for level, kept in _nested(method, keep, seed):
        who = f"{method.label} at level {level:g}"
        itself = kept.diagonal(dim1=2, dim2=3).all()
        require(itself, who, "some query does not keep its own block", "Leave choosing to BlockPattern.blocks")
        # on average over a block of queries; each has less than a block more
        pairs, seen = kept.sum(-1).double(), torch.arange(1, n + 1)
        short = ((1 - level) * seen - pairs)[..., : n // method.query_block * method.query_block]
        enough = (short.reshape(*short.shape[:-1], -1, method.query_block).mean(-1) <= 1e-6).all()
        few = (pairs - (1 - level) * seen < 2 * method.block).all()
        promised = method.level_of != "query" or (enough and few)
        mend = "Let worth() rank the blocks and leave counting them to BlockPattern"
        require(promised, who, "some queries keep fewer keys than their budget, or two blocks more", mend)
        if level == 0:
            require((kept == visible).all(), who, "it drops pairs", "Keep all that is visible at level 0")


def _check_eviction(method: Eviction, seed: int) -> None:
    """Entries of a cache."""
    import torch

    from tolerance.runners.sparsifiers.base import kept_of
    from tolerance.runners.sparsifiers.kv.base import kept_by_head, rank

    shown = _seen(method, seed)
    who, wanted = method.label, tuple(shown.keys.shape[:3])
    scores = method.score(shown)
    require(tuple(scores.shape) == wanted, who, f"score has the shape {tuple(scores.shape)}", f"Return {wanted}")
    real = shown.real.expand_as(scores)
    finite = scores.is_floating_point() and bool(torch.isfinite(scores[real]).all())
    require(finite, who, "some score is no finite number", "Return a float32 worth of every entry that is held")
    require(
        torch.equal(method.score(shown), scores), who, "two calls differ", "Draw from seen.salt, from nothing global"
    )
    mend = "Look at seen.real, and at entries of a row's own"
    same = torch.allclose(method.score(_after_the_end(shown)).where(real, 0.0), scores.where(real, 0.0), atol=1e-4)
    require(same, who, "entries that are not held reach a score", mend)
    alone = method.score(_row(shown, 0))
    require(torch.allclose(alone, scores[:1], atol=1e-4), who, "other rows reach a score", mend)
    if not method.per_head:
        alike = (scores == scores[:, :1]).all()
        require(alike, who, "per_head is False, and heads have scores of their own", "Leave per_head True")

    def keep(level: float, rows: slice = slice(None)) -> torch.Tensor:
        some = scores[rows]
        order = rank(some, shown.real[rows])
        uniform = kept_of(shown.end[rows], level)
        counts = kept_by_head(some, order, shown.real[rows], uniform, method.allocation)
        chosen = torch.arange(order.shape[-1]) < counts[..., None]
        return torch.zeros_like(chosen).scatter(2, order, chosen)

    for level, kept in _nested(method, keep, seed):
        exact = torch.equal(kept.sum((1, 2)), kept_of(shown.end, level) * shown.keys.shape[1])
        right = exact and not (kept & ~real).any()
        require(right, f"{who} at level {level:g}", "it does not keep its budget of what is held", "Score every entry")


def _check_known_cost(method: Eviction) -> None:
    told = type(method).multiply_adds is not Eviction.multiply_adds or not method.known_cost
    mend = "Override multiply_adds (0 where positions alone are looked at), or say known_cost = False"
    require(told, method.label, "it does not say what scoring costs, and rows would call it free", mend)


def _check_pruning(method: WeightPruning, seed: int) -> None:
    """Weights of a layer."""
    import torch

    from tolerance.runners.sparsifiers.base import kept_of

    draw = torch.Generator().manual_seed(seed)
    # few distinct values, so that ties happen
    weight, norms = torch.randint(-5, 6, (6, 8), generator=draw).float(), torch.rand(8, generator=draw)
    worth = method.worth(weight.clone(), norms)
    require(worth.shape == weight.shape, method.label, f"worth has the shape {tuple(worth.shape)}", "Keep the weight's")
    groups = method.competing(worth)
    within = groups.dim() == 2 and groups.numel() == worth.numel()
    require(within, method.label, "competing is no regrouping of all weights", "Return (group, n) of the same numbers")

    def keep(level: float, rows: slice = slice(None)) -> torch.Tensor:
        return method.keep(weight.clone(), norms, level)

    for level, kept in _nested(method, keep, seed, rows=False):
        who = f"{method.label} at level {level:g}"
        # the same weights in the groups that compete
        counts, chosen = kept_of(torch.tensor(groups.shape[1]), level), method.competing(kept.float()).bool()
        require(
            (chosen.sum(1) == counts).all(), who, "some group keeps not its budget", "Leave keep() to WeightPruning"
        )
        lowest = groups.masked_fill(~chosen, float("inf")).amin(1)
        highest = groups.masked_fill(chosen, float("-inf")).amax(1)
        best = bool((lowest >= highest).all())
        require(best, who, "what is dropped is worth more than what stays", "Leave keep() to WeightPruning")


def _nested(
    method: Sparsifier, keep: "Callable[..., torch.Tensor]", seed: int, *, rows: bool = True
) -> "Iterator[tuple[float, torch.Tensor]]":
    """(level, what is kept), after checks that every kind shares; ``rows``: what is first is a row of a batch."""
    import torch

    before = None
    for level in _levels(method, seed):
        who, kept = f"{method.label} at level {level:g}", keep(level)
        require(kept.dtype == torch.bool, who, f"it returns {kept.dtype}", "Return a mask, bool")
        require(torch.equal(keep(level), kept), who, "two calls differ", "Draw from a seed among the options")
        nested = before is None or not (kept & ~before).any()
        mend = "Rank once, whatever the level, and keep the first so many; break ties alike"
        require(nested, who, "it keeps what a lower level drops", mend)
        alone = not rows or torch.equal(keep(level, slice(1, 2)), kept[1:])
        require(alone, who, "other rows of the batch decide what is kept", "Look at each row alone")
        before = kept
        yield level, kept


def _scores(seed: int) -> "tuple[torch.Tensor, torch.Tensor]":
    """Scores and causal visibility of two rows; few distinct values, so that ties happen."""
    import torch

    draw = torch.Generator().manual_seed(seed)
    visible = torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()[None, None].repeat(2, 1, 1, 1)
    scores = torch.randint(0, 6, (2, 3, TOKENS, TOKENS), generator=draw).float()
    return scores.masked_fill(~visible, float("-inf")), visible


def _seen(method: Eviction, seed: int) -> "Seen":
    """What a layer shows of two prompts of 40 and 23 tokens: random numbers, or a model's where more is looked at."""
    import torch

    from tolerance.runners.sparsifiers.kv import Seen

    if _needs_a_model(method):
        return _seen_of_a_model(method, seed)
    draw = torch.Generator().manual_seed(seed)
    rows, heads, kv_heads, n, dim, window = 2, 4, 2, 40, 8, 32
    end = torch.tensor([40, 23])
    return Seen(
        layer=1,
        keys=torch.randn(rows, kv_heads, n, dim, generator=draw),
        values=torch.randn(rows, kv_heads, n, dim, generator=draw),
        real=(torch.arange(n) < end[:, None])[:, None],
        end=end,
        queries=torch.randn(rows, heads, window, dim, generator=draw),
        query_positions=end[:, None] - window + torch.arange(window),
        scaling=0.3,
        softcap=None,
        s_aux=None,
        salt=torch.tensor([5, 6]),
    )


def _needs_a_model(method: Eviction) -> bool:
    return method.reads_moments or method.reads_hidden


def _seen_of_a_model(method: Eviction, seed: int) -> "Seen":
    import torch

    from tolerance.runners.decoding.batching import Condition, Prompt, Sizes
    from tolerance.runners.decoding.shared_prefill import Levels

    draw, loaded = torch.Generator().manual_seed(seed), _tiny()
    ids = [torch.randint(16, 500, (n,), generator=draw).tolist() for n in (40, 23)]
    run = Levels(loaded, [Condition(method, 0.5)], 4, Sizes.of(loaded))
    with torch.inference_mode():
        prefill = run.prefill([Prompt(tuple(one), len(one) - 4) for one in ids])
        return prefill.cache.seen(seed % loaded.n_layers, Condition(method).end)


def _after_the_end(seen: "Seen") -> "Seen":
    """The same, with other keys and values where no entry is held."""
    hidden = ~seen.real[..., None].expand_as(seen.keys)
    return replace(seen, keys=seen.keys + 7.0 * hidden, values=seen.values + 7.0 * hidden)


def _row(seen: "Seen", row: int) -> "Seen":
    """One row of it, alone."""
    one = slice(row, row + 1)
    by_row = ("keys", "values", "real", "end", "queries", "query_positions", "salt", "mean", "covariance")
    cut: dict[str, Any] = {name: getattr(seen, name) for name in by_row}
    cut = {name: value if value is None else value[one] for name, value in cut.items()}
    if seen.inside is not None:
        cut["inside"] = replace(seen.inside, hidden=seen.inside.hidden[one])
    return replace(seen, **cut)


def _check_on_a_model(method: Sparsifier) -> None:
    """The self-check of `tolerance collect`, on the model that ships."""
    from tolerance.runners.selfcheck import selfcheck

    try:
        selfcheck.check(_tiny(), [method])
    except ToleranceError as error:
        raise AssertionError(str(error)) from error


@lru_cache(maxsize=1)
def _tiny() -> "LoadedModel":
    from tolerance.runners.models.load import TINY, load

    return load(TINY, device="cpu")
