"""Entries of the KV cache with short values are evicted."""

from dataclasses import dataclass
from typing import ClassVar

from tolerance.runners.sparsifiers import Eviction, Seen


@dataclass(frozen=True)
class ValueNorm(Eviction):
    """Worth is the length of an entry's value, to the ``power``."""

    power: int = 1
    name: ClassVar[str] = "value-norm"

    def score(self, seen: Seen):
        return seen.values.float().norm(dim=-1) ** self.power

    def multiply_adds(self, n, *, heads, kv_heads, dim, value_dim):
        return n * kv_heads * value_dim
