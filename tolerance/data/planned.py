"""What a run was meant to hold, block by block, and how much of it is there."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

PLANNED = "planned"
# Where the table of outcomes carries what its run lacks: pandas keeps it through selections and assignments.
LACKS = "tolerance_lacks"
MOST_NAMED = 4


class Condition(TypedDict):
    """Blocks of one condition on one task: their names and how many answers each has."""

    model: str
    task: str
    context_length: int
    sparsifier: str
    level: str
    blocks: dict[str, int]


FACTORS = {
    "model": "model {}",
    "task": "task {}",
    "context_length": "context length {}",
    "sparsifier": "method {}",
    "level": "level {}",
}


@dataclass(frozen=True)
class Coverage:
    """Answers that were planned and that are there, and what is missing, in words."""

    planned: int
    there: int
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether all of the plan is there."""
        return self.there >= self.planned

    def __str__(self) -> str:
        share = int(100 * self.there / self.planned) if self.planned else 100
        return (
            f"{share}% of the plan is there ({self.there:,} of {self.planned:,} answers); missing: "
            f"{', '.join(self.missing)}."
        )


def names(planned: Iterable[Condition]) -> set[str]:
    """Names of all planned blocks."""
    return {name for condition in planned for name in condition["blocks"]}


def coverage(planned: Sequence[Condition], there: set[str]) -> Coverage:
    """How much of a plan is there, ``there`` being the names of finished blocks."""
    total = sum(n for condition in planned for n in condition["blocks"].values())
    held = sum(n for condition in planned for name, n in condition["blocks"].items() if name in there)
    return Coverage(total, held, tuple(_few(list(_missing(planned, there)))))


def _few(said: list[str]) -> list[str]:
    return said if len(said) <= MOST_NAMED else [*said[: MOST_NAMED - 1], f"{len(said) - MOST_NAMED + 1} more"]


def _missing(planned: Sequence[Condition], there: set[str]) -> Iterator[str]:
    """Values of a factor of which nothing is there, then what is left, condition by condition."""
    left = [one for one in planned if set(one["blocks"]) - there]
    for factor, words in FACTORS.items():
        values = dict.fromkeys(one[factor] for one in planned)  # type: ignore[literal-required]
        if len(values) < 2:
            continue
        for value in values:
            mine = [one for one in planned if one[factor] == value]  # type: ignore[literal-required]
            if any(one in left for one in mine) and not any(set(one["blocks"]) & there for one in mine):
                yield words.format(value)
                left = [one for one in left if one not in mine]
    for one in left:
        n = sum(one["blocks"].values())
        lacking = sum(size for name, size in one["blocks"].items() if name not in there)
        at = "" if one["sparsifier"] == "dense" else f" at {one['level']}"
        yield f"{lacking:,} of {n:,} answers to {one['task']} under {one['sparsifier']}{at}"


def checked(value: object) -> list[Condition]:
    """The plan as a manifest holds it.

    Raises:
        ValueError: it is no list of conditions with blocks.
    """
    rows: list[Any] = value if isinstance(value, list) else [None]
    for row in rows:
        right = isinstance(row, Mapping) and set(row) == {*FACTORS, "blocks"} and isinstance(row["blocks"], Mapping)
        if not right or not all(isinstance(n, int) and n > 0 for n in row["blocks"].values()):
            raise ValueError(f"its list of planned blocks is damaged ({str(row)[:80]})")
    return rows
