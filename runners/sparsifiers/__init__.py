"""Sparsifiers by name. To add one: a file with a frozen dataclass, a line here, a test (see CONTRIBUTING.md)."""

from dataclasses import fields

from tolerance.errors import SchemaError
from tolerance.runners.sparsifiers.base import Phase, Sparsifier, budget
from tolerance.runners.sparsifiers.streaming import Streaming
from tolerance.runners.sparsifiers.top_k import TopK

SPARSIFIERS: dict[str, type[Sparsifier]] = {cls.name: cls for cls in (TopK, Streaming)}

__all__ = ["SPARSIFIERS", "Phase", "Sparsifier", "Streaming", "TopK", "budget", "get"]


def get(name: str, **options: int | float) -> Sparsifier:
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
