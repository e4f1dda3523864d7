"""Sparsifiers by name. To add one: a file with a frozen dataclass, a line here, a test (see CONTRIBUTING.md)."""

from dataclasses import fields

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import AttentionPattern, Phase, Sparsifier, budget
from tolerance.runners.sparsifiers.block_top_k import BlockTopK
from tolerance.runners.sparsifiers.block_top_p import BlockTopP
from tolerance.runners.sparsifiers.blocks import BlockPattern
from tolerance.runners.sparsifiers.kv import EVICTIONS, Eviction, KVPress
from tolerance.runners.sparsifiers.quest import Quest
from tolerance.runners.sparsifiers.streaming import Streaming
from tolerance.runners.sparsifiers.teal import Teal
from tolerance.runners.sparsifiers.top_k import TopK
from tolerance.runners.sparsifiers.vertical_slash import VerticalSlash
from tolerance.runners.sparsifiers.weights import PRUNINGS, Checkpoint, WeightMethod, WeightPruning

PATTERNS: tuple[type[AttentionPattern], ...] = (TopK, Streaming, BlockTopK, Quest, BlockTopP, VerticalSlash)
_ALL: tuple[type[Sparsifier], ...] = (*PATTERNS, *EVICTIONS, *PRUNINGS, Teal, KVPress)
SPARSIFIERS: dict[str, type[Sparsifier]] = {cls.name: cls for cls in _ALL}
Option = int | float | str

__all__ = [
    "EVICTIONS",
    "PATTERNS",
    "PRUNINGS",
    "SPARSIFIERS",
    "AttentionPattern",
    "BlockPattern",
    "Checkpoint",
    "Eviction",
    "Option",
    "Phase",
    "Sparsifier",
    "Streaming",
    "Teal",
    "TopK",
    "VerticalSlash",
    "WeightMethod",
    "WeightPruning",
    "budget",
    "get",
]


def get(name: str, **options: Option) -> Sparsifier:
    """A sparsifier by name with its options.

    Raises:
        SchemaError: unknown name or option.
    """
    if name not in SPARSIFIERS:
        raise SchemaError(f"sparsifier {name!r} unknown. Known: {', '.join(SPARSIFIERS)}.")
    cls = SPARSIFIERS[name]
    known = {field.name for field in fields(cls)}
    unknown = sorted(set(options) - known)
    if unknown:
        has = f"has {', '.join(sorted(known))}" if known else "has no options"
        raise SchemaError(f"sparsifier {name!r}: option {', '.join(unknown)} unknown; it {has}.")
    return cls(**options)
