"""Claim files: one claim of a paper, a README or a person, stated so that it can be held against evidence.

YAML or JSON with the fields of `Claim`. Unknown fields, missing units and impossible numbers are refused by name.
"""

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tolerance.axes.table import names as axis_names
from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError

LIBRARY = Path(__file__).parent / "library"
Unit = Literal["share of dense", "accuracy", "share of KV kept", "KV tokens", "correlation"]
Kind = Literal["retention", "difference", "threshold", "association", "order"]
UNIT_OF: dict[Kind, tuple[Unit, ...]] = {
    "retention": ("share of dense",),
    "difference": ("accuracy",),
    "threshold": ("share of KV kept", "KV tokens"),
    "association": ("correlation",),
    "order": (),
}


LIMITS: dict[Unit, tuple[float, float]] = {
    "share of dense": (0.0, 2.0),
    "accuracy": (-1.0, 1.0),
    "share of KV kept": (0.0, 1.0),
    "correlation": (-1.0, 1.0),
}


NO_AXIS = "none stated"
AVERAGED = ("retention", "difference")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Citation(_Strict):
    """Where the claim is made. ``second_hand``: its numbers were read in someone else's notes, not in the source."""

    source: str
    where: str = ""
    second_hand: bool = False


class Claimed(_Strict):
    """The number, with unit and tolerance in that unit.

    retention: share of the reference's score kept. difference: score less that of the reference, as a share of 1
    (0.02 is two points). threshold: the smallest share of the KV cache, or number of tokens, that keeps everything.
    association: a correlation. order: no number; ``order`` names task types from the most to the least tolerant.
    ``average``: of a retention or difference over several tasks, whether every task counts alike (``tasks``, a macro
    average) or every item (``items``, a micro average); where it is not said, both are given if they differ.
    """

    kind: Kind
    number: float | None = None
    unit: Unit | None = None
    tolerance: float = Field(default=0.0, ge=0)
    sense: Literal["at least", "at most", "equal"] = "at least"
    order: list[str] = []
    average: Literal["tasks", "items"] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "order":
            if len(self.order) < 2 or self.number is not None:
                raise ValueError("order: give two or more task types, most tolerant first, and no number")
            return self
        if self.average is not None and self.kind not in AVERAGED:
            raise ValueError(f"average: a {self.kind} is no average of scores. Leave it out")
        units = " or ".join(repr(unit) for unit in UNIT_OF[self.kind])
        if self.number is None:
            raise ValueError(f"number: missing. A {self.kind} claims a number in {units}")
        if self.unit is None:
            raise ValueError(f"unit: missing. Say what {self.number:g} is in: {units}")
        if self.unit not in UNIT_OF[self.kind]:
            raise ValueError(f"unit: {self.unit!r} does not fit a {self.kind}. Give {units}")
        low, high = LIMITS.get(self.unit, (1.0, float("inf")))
        if not low <= self.number <= high:
            hint = f" Is it percent? Then give {self.number / 100:g}" if abs(self.number) > 2 else ""
            raise ValueError(f"number: {self.number:g} is impossible as {self.unit} ({low:g} to {high:g}).{hint}")
        return self


class Scope(_Strict):
    """What the claim is about: only cells that match count; empty lists mean all there are.

    sparsity and kv_tokens: the level or budget of the claim, sparsity within plus and minus ``within``. reference:
    another method of the evidence, where it is not dense, by ``reference_models`` if given. source, table and
    definition: texts that those columns contain.
    not_tasks: averages among the tasks, which would count twice.
    """

    methods: list[str] = []
    reference: str | None = None
    reference_models: list[str] = []
    metrics: list[str] = []
    models: list[str] = []
    task_types: list[str] = []
    tasks: list[str] = []
    not_tasks: list[str] = []
    sparsity: float | None = Field(default=None, ge=0, lt=1)
    within: float = Field(default=0.01, ge=0)
    kv_tokens: float | None = Field(default=None, ge=1)
    source: str | None = None
    table: str | None = None
    definition: str | None = None


class Claim(_Strict):
    """One claim. ``axis``: what it held constant, or "none stated". ``statement``: in words of one's own.

    ``id`` names it in commands and in links to the page: letters, digits, dots, dashes and underscores.
    """

    format: Literal["tolerance-claim/1"]
    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    statement: str
    citation: Citation
    claimed: Claimed
    axis: str
    scope: Scope = Scope()
    note: str = ""

    @field_validator("axis")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in (known := (*axis_names(), NO_AXIS)):
            near = get_close_matches(value, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Give one of {', '.join(known)}"
            raise ValueError(f"{value!r} is no axis. {hint}")
        return value


def library() -> list[Claim]:
    """The claims that ship, by id."""
    return [read_claim(path) for path in sorted(LIBRARY.glob("*.yaml"))]


def find_claim(name: str) -> Claim:
    """A claim by the path of its file, or by the id of one that ships.

    Raises:
        SchemaError: there is none, or it does not say what it must.
    """
    if Path(name).is_file():
        return read_claim(name)
    shipped = LIBRARY / f"{name}.yaml"
    if shipped.is_file():
        return read_claim(shipped)
    names = [path.stem for path in sorted(LIBRARY.glob("*.yaml"))]
    near = get_close_matches(name, names, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise SchemaError(f"{name}: no such file, and no claim that ships.{hint} See tolerance audit --list.")


def read_claim(path: str | os.PathLike[str]) -> Claim:
    """A claim file.

    Raises:
        SchemaError: naming file, field, what is wrong and the mend.
    """
    fields = read_yaml(path, expected="a claim")
    if not isinstance(fields, dict):
        raise SchemaError(f"{path}: no claim. Its fields are {', '.join(Claim.model_fields)}.")
    try:
        return Claim.model_validate(fields)
    except ValidationError as error:
        raise SchemaError(f"{path}: {_in_words(error)}") from error


def _in_words(error: ValidationError) -> str:
    """The first fault: an unknown field before what is missing for its sake."""
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    place = [str(part) for part in first["loc"]]
    if first["type"] != "extra_forbidden":
        return f"{'.'.join(place) or 'claim'}: {first['msg'].removeprefix('Value error, ')}."
    models: dict[str, type[BaseModel]] = {"citation": Citation, "claimed": Claimed, "scope": Scope}
    known = list(models.get(place[0], Claim).model_fields if len(place) > 1 else Claim.model_fields)
    near = get_close_matches(place[-1], known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(known)}."
    return f"{'.'.join(place)}: no such field. {hint}"
