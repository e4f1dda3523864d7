"""What a sparsifier is; and one that says which of the visible (query, key) pairs of attention are kept."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from tolerance.errors import SchemaError

if TYPE_CHECKING:
    import torch

Phase = Literal["prefill", "decode"]
LevelOf = Literal["query", "head", "mass"]


@dataclass(frozen=True)
class Sparsifier:
    """A method that imposes sparsity. Subclasses are frozen dataclasses; their fields are its options."""

    name: ClassVar[str]
    kind: ClassVar[str]
    unit: ClassVar[str]
    # where it can act; a plan's phase may leave it less
    acts_in: ClassVar[frozenset[Phase]] = frozenset(("prefill", "decode"))
    # the only sparse levels that it has; None: any
    levels: ClassVar[tuple[float, ...] | None] = None

    @property
    def query_position(self) -> str | None:
        """The outcome table's word for whether it saw the question when it chose; None: the question is not asked."""
        return None

    @property
    def label(self) -> str:
        """What the outcome table calls it: different wherever an option makes a different method of it."""
        return self.name


@dataclass(frozen=True)
class AttentionPattern(Sparsifier, ABC):
    """A method that drops (query, key) pairs.

    ``needs_scores``: the rule looks at attention scores, so choosing costs the whole query-key half of attention.
    ``level_of``: a level is a share of the pairs of each query, of each head, or of attention mass, which promises no
    share of pairs. ``one_length``: prompts of one batch must have one length.
    """

    kind: ClassVar[str] = "attention"
    unit: ClassVar[str] = "causal-pairs"
    needs_scores: ClassVar[bool]
    level_of: ClassVar[LevelOf] = "query"
    one_length: ClassVar[bool] = False

    @property
    def grain(self) -> int:
        """Keys that are kept or dropped together: a query keeps less than this more than its budget."""
        return 1

    @abstractmethod
    def keep(self, scores: "torch.Tensor | None", visible: "torch.Tensor", level: float) -> "torch.Tensor":
        """Which pairs to keep, bool, a subset of ``visible``.

        ``visible`` is bool ``(row, 1 or head, query, key)``; ``scores`` are scaled, float32 ``(row, head, query, key)``
        and -inf where not visible, or None if not `needs_scores`. Each query keeps exactly `budget` keys.
        """


def require_whole(method: str, option: str, value: object, least: int) -> None:
    """Refuse an option that is no whole number, or too small.

    Raises:
        SchemaError: naming method, option and what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SchemaError(f"sparsifier {method!r}: {option}: {value!r}, expected a whole number, at least {least}.")


def budget(visible: "torch.Tensor", level: float) -> "torch.Tensor":
    """Keys that each query keeps: the visible ones x (1 - level), rounded up, at least 1 ``(row, head, query, 1)``."""
    return kept_of(visible.sum(-1, keepdim=True), level)


def kept_of(held: "torch.Tensor", level: float) -> "torch.Tensor":
    """How many of ``held`` are kept at a level: rounded up, at least 1."""
    import torch

    # Rounded before ceil: 10 x (1 - 0.9) must be 1 key, not 2 for the sake of a float's last bit.
    exact = held.to(torch.float64) * (1 - level)
    return torch.ceil(torch.round(exact, decimals=9)).clamp(min=1).to(torch.int64)
