"""The curves of each model, and of each context length, beside their averages over all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tolerance.estimands.curves import averaged
from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import TypeCurve

Of = Literal["model", "context length"]
OF: tuple[Of, ...] = ("model", "context length")


@dataclass(frozen=True)
class PartCurves:
    """Curves by task type and sparsifier of one model over its context lengths, or of one of these over models."""

    of: Of
    name: str
    curves: list[TypeCurve]


def part_curves(source: Source, curves: Sequence[TypeCurve]) -> list[PartCurves]:
    """The parts that ``curves`` average over; none where a fit has one model and one context length."""
    return [part for place, of in enumerate(OF) for part in _parts(source, curves, place, of)]


def _parts(source: Source, curves: Sequence[TypeCurve], place: int, of: Of) -> Iterator[PartCurves]:
    cells = source.fit.cells
    values = list(dict.fromkeys(config[place] for config in cells.configs))  # in order, as configurations are
    for value in values if len(values) > 1 else []:
        mine = []
        for curve in curves:
            places = [at for at in curve.places if cells.configs[at[1]][place] == value]
            if places:
                mine.append(averaged(source, cells.sparsifiers.index(curve.sparsifier), places))
        yield PartCurves(of, "not recorded" if value is None else str(value), mine)
