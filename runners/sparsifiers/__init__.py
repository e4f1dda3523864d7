"""Sparsifiers by name: ours, those of installed packages, and ``module:Class`` of anybody's (see CONTRIBUTING.md)."""

from dataclasses import MISSING, fields, is_dataclass
from inspect import isabstract

from tolerance.errors import SchemaError
from tolerance.plugins import Registry
from tolerance.runners.sparsifiers.base import AttentionPattern, Phase, Sparsifier, budget
from tolerance.runners.sparsifiers.block_top_k import BlockTopK
from tolerance.runners.sparsifiers.block_top_p import BlockTopP
from tolerance.runners.sparsifiers.blocks import BlockPattern
from tolerance.runners.sparsifiers.kv import EVICTIONS, Eviction, KVPress, Seen
from tolerance.runners.sparsifiers.quest import Quest
from tolerance.runners.sparsifiers.streaming import Streaming
from tolerance.runners.sparsifiers.teal import Teal
from tolerance.runners.sparsifiers.top_k import TopK
from tolerance.runners.sparsifiers.vertical_slash import VerticalSlash
from tolerance.runners.sparsifiers.weights import PRUNINGS, Checkpoint, WeightMethod, WeightPruning

PATTERNS: tuple[type[AttentionPattern], ...] = (TopK, Streaming, BlockTopK, Quest, BlockTopP, VerticalSlash)
_ALL: tuple[type[Sparsifier], ...] = (*PATTERNS, *EVICTIONS, *PRUNINGS, Teal, KVPress)
Option = int | float | str
# What the runner knows how to impose: anything else would be answered densely under a sparse name.
IMPOSED: tuple[type[Sparsifier], ...] = (AttentionPattern, Eviction, WeightPruning, Teal)


def _fits(found: object) -> bool:
    """Whether this is a class of a kind that the runner imposes, whole and with a name."""
    one = isinstance(found, type) and issubclass(found, IMPOSED) and not isabstract(found)
    return one and is_dataclass(found) and isinstance(getattr(found, "name", None), str)


SPARSIFIERS: Registry[type[Sparsifier]] = Registry(
    "tolerance.sparsifiers",
    "sparsifier",
    _fits,
    {cls.name: cls for cls in _ALL},
    # what the outcome table calls it: the oracle looks at every score first, so nothing is saved
    aliases={"oracle-top-k": "top-k"},
    needs="A sparsifier is a frozen dataclass with a name, on "
    "AttentionPattern, BlockPattern, Eviction or WeightPruning of tolerance.runners.sparsifiers",
)

__all__ = [
    "EVICTIONS",
    "IMPOSED",
    "PATTERNS",
    "PRUNINGS",
    "SPARSIFIERS",
    "AttentionPattern",
    "BlockPattern",
    "Checkpoint",
    "Eviction",
    "Option",
    "Phase",
    "Seen",
    "Sparsifier",
    "Streaming",
    "Teal",
    "TopK",
    "VerticalSlash",
    "WeightMethod",
    "WeightPruning",
    "budget",
    "get",
    "label_of",
]


def get(name: str, **options: Option) -> Sparsifier:
    """A sparsifier by name, alias or ``module:Class``, with its options.

    Raises:
        SchemaError: unknown name or option, an option that must be given, or a sparsifier of somebody's that is called
            as one of ours is.
    """
    cls = SPARSIFIERS.find(name, hint="or module:Class of your own")
    known = {field.name: field for field in fields(cls) if field.init}
    unknown = sorted(set(options) - set(known))
    if unknown:
        has = f"has {', '.join(sorted(known))}" if known else "has no options"
        raise SchemaError(f"sparsifier {name!r}: option {', '.join(unknown)} unknown; it {has}.")
    missing = [
        o for o, f in known.items() if o not in options and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise SchemaError(f"sparsifier {name!r}: option {', '.join(missing)} missing. Give it in the plan.")
    made = cls(**options)
    for word in (cls.name, made.label):
        _require_own(name, word, cls)
    return made


def label_of(name: str, **options: Option) -> str:
    """What the outcome table calls what a plan calls ``name``: ``oracle-top-k`` for ``top-k``.

    Raises:
        SchemaError: see `get`.
    """
    return get(name, **options).label


def _require_own(name: str, word: str, cls: type[Sparsifier]) -> None:
    """The outcome table knows a method by its label alone, so nobody else's may be called as ours are."""
    taken = SPARSIFIERS.name_of(word)
    if taken in SPARSIFIERS.ours and SPARSIFIERS[taken] is not cls:
        raise SchemaError(f"sparsifier {name!r} calls itself {word!r}, which is ours. Give it another name.")
