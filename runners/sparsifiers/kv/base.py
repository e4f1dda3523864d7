"""What an eviction method is: a score of every cache entry, seen once after a dense prefill; low scores are evicted.

The score knows no level, so one prefill and one ranking serve every level, and what a higher level keeps a lower level
keeps too. Scores and ranks are per row and key-value head; `question` says whether the method may look at the question,
`allocation` whether each head keeps as many entries or the heads of a layer share one budget (Ada-KV, 2407.11550).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import Sparsifier

if TYPE_CHECKING:
    import torch

    from tolerance.runners.rope import Rotation

QUESTIONS = ("hidden", "visible")
ALLOCATIONS = ("uniform", "per-head")
# The share of its uniform budget that Ada-KV grants to every head.
FLOOR = 0.2


@dataclass(frozen=True)
class Inside:
    """What a layer's attention module was given while a prompt was read, for methods from elsewhere.

    ``hidden`` ``(row, token, width)``; ``rotations`` are cosine and sine by position ``(row or 1, token, dim)``, where
    the model makes them.
    """

    module: "torch.nn.Module"
    hidden: "torch.Tensor"
    rotations: "tuple[torch.Tensor, torch.Tensor] | None"


@dataclass(frozen=True)
class Seen:
    """What a dense prefill shows of one layer, up to the entry where each row's compression ends.

    ``keys`` and ``values`` ``(row, kv head, key, dim)`` are as cached, after rotation; ``real`` ``(row, 1, key)`` are
    the entries that the layer holds. ``queries`` ``(row, head, window, dim)`` are the last before the end, at
    ``query_positions`` ``(row, window)``, negative where the row is shorter. ``mean`` and ``covariance`` are of all
    queries with their rotation undone, made only for methods that read them. ``salt`` ``(row,)`` differs by prompt.
    """

    layer: int
    keys: "torch.Tensor"
    values: "torch.Tensor"
    real: "torch.Tensor"
    end: "torch.Tensor"
    queries: "torch.Tensor"
    query_positions: "torch.Tensor"
    scaling: float
    softcap: float | None
    s_aux: "torch.Tensor | None"
    salt: "torch.Tensor"
    mean: "torch.Tensor | None" = None
    covariance: "torch.Tensor | None" = None
    rotation: "Rotation | None" = None
    inside: Inside | None = None

    @property
    def positions(self) -> "torch.Tensor":
        """Position of each entry ``(key,)``."""
        import torch

        return torch.arange(self.keys.shape[2], device=self.keys.device)

    def weights(self, window: int) -> "torch.Tensor":
        """Attention of the last ``window`` queries, softmax over keys ``(row, head, window, key)``; 0 if no query."""
        import torch

        query, at = self.queries[:, :, -window:].float(), self.query_positions[:, -window:]
        rows, heads, n, dim = query.shape
        kv_heads = self.keys.shape[1]
        grouped = query.reshape(rows, kv_heads, heads // kv_heads * n, dim) * self.scaling
        scores = (grouped @ self.keys.float().transpose(2, 3)).reshape(rows, heads, n, -1)
        if self.softcap is not None:
            scores = self.softcap * torch.tanh(scores / self.softcap)
        seen = self.real[:, :, None] & (self.positions <= at[:, None, :, None])
        scores = scores.masked_fill(~seen, float("-inf"))
        if self.s_aux is not None:
            sink = self.s_aux.reshape(1, -1, 1, 1).expand(rows, heads, n, 1).float()
            scores = torch.cat([scores, sink], -1)
        weights = scores.softmax(-1)[..., : seen.shape[-1]]
        return torch.where(at[:, None, :, None] >= 0, weights, 0.0)

    def of_kv_heads(self, per_head: "torch.Tensor") -> "torch.Tensor":
        """Averages over the query heads that share a key-value head ``(row, kv head, ...)``."""
        rows, heads, *rest = per_head.shape
        kv_heads = self.keys.shape[1]
        return per_head.reshape(rows, kv_heads, heads // kv_heads, *rest).mean(2)


@dataclass(frozen=True)
class Eviction(Sparsifier, ABC):
    """A method that drops entries of the KV cache after a dense prefill.

    ``window``: how many of the last queries it looks at. ``per_head``: its scores differ by head, so heads can share a
    budget. ``reads_moments``: it looks at mean and covariance of all queries; ``reads_hidden``: at what the attention
    modules are given. ``known_cost``: `multiply_adds` says what scoring takes.
    """

    question: str = "hidden"
    allocation: str = "uniform"
    kind: ClassVar[str] = "kv-cache"
    unit: ClassVar[str] = "kv-entries"
    per_head: ClassVar[bool] = True
    reads_moments: ClassVar[bool] = False
    reads_hidden: ClassVar[bool] = False
    known_cost: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for option, value, among in (
            ("question", self.question, QUESTIONS),
            ("allocation", self.allocation, ALLOCATIONS),
        ):
            if value not in among:
                raise SchemaError(f"sparsifier {self.name!r}: {option}: {value!r}, expected one of {', '.join(among)}.")
        if self.allocation == "per-head" and not self.per_head:
            raise SchemaError(
                f"sparsifier {self.name!r}: allocation: 'per-head', but its scores are the same for every head. "
                "Use uniform."
            )

    @property
    def label(self) -> str:
        """With what makes it another method: a budget shared by heads (ada), a look at the question (aware)."""
        ada = "ada-" if self.allocation == "per-head" else ""
        return f"{ada}{self.name}{'-aware' if self.question == 'visible' else ''}"

    @property
    def query_position(self) -> str:
        """The outcome table's word: the question follows the context and is seen ('after'), or is not seen ('no')."""
        return "after" if self.question == "visible" else "no"

    @property
    def looks_back(self) -> int:
        """How many of the last queries it looks at."""
        return 0

    @abstractmethod
    def score(self, seen: Seen) -> "torch.Tensor":
        """Worth of each entry, float32 ``(row, kv head, key)``; the highest are kept, among equals the earlier."""

    def multiply_adds(self, n: int, *, heads: int, kv_heads: int, dim: int, value_dim: int) -> int:
        """Multiply-adds that scoring ``n`` entries of one layer takes."""
        return 0


def rank(scores: "torch.Tensor", real: "torch.Tensor") -> "torch.Tensor":
    """Entries of each row and head from the most worth keeping on ``(row, kv head, key)``; what is not held is last."""
    return scores.masked_fill(~real, float("-inf")).sort(dim=-1, descending=True, stable=True).indices


def kept_by_head(
    scores: "torch.Tensor", order: "torch.Tensor", real: "torch.Tensor", uniform: "torch.Tensor", allocation: str
) -> "torch.Tensor":
    """How many entries each head keeps ``(row, kv head)``, given how many it would under a uniform budget ``(row,)``.

    Per head: the heads of a layer keep the best of their common budget, but each at least `FLOOR` of a uniform share.
    """
    import torch

    rows, heads, n = scores.shape
    each = uniform[:, None].expand(rows, heads)
    if allocation == "uniform":
        return each
    floor = torch.ceil(torch.round(FLOOR * uniform.double(), decimals=9)).long()
    ranks = torch.empty_like(order).scatter_(-1, order, torch.arange(n, device=order.device).expand_as(order))
    granted = ranks < floor[:, None, None]
    # Scores of the best entries of every head, whatever they are, come first; then all heads' entries compete.
    worth = scores.masked_fill(granted, float("inf")).masked_fill(~real, float("-inf")).flatten(1)
    place = worth.sort(dim=-1, descending=True, stable=True).indices
    chosen = torch.arange(heads * n, device=order.device) < (heads * uniform)[:, None]
    return torch.zeros_like(each).scatter_add(1, place // n, chosen.long())
