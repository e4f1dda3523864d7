"""The manifest: everything needed to say where the outcomes of a run folder came from."""

import hashlib
import json
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from typing import Any, Literal

from tolerance.data import planned as plans

FORMAT = "tolerance-run/1"
PACKAGES = ("sparsity-tolerance", "numpy", "pandas", "pyarrow", "torch", "transformers", "tokenizers")


@dataclass(frozen=True)
class Manifest:
    """Where a run came from. ``plan`` decides the answers: a folder never mixes two plans.

    ``notes`` hold what is told besides: models, columns of a file that were not used, and the blocks that were planned.
    """

    origin: Literal["collected", "imported", "published", "simulated"]
    plan: dict[str, Any]
    created: str
    command: str = ""
    notes: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=lambda: versions(PACKAGES))
    machine: dict[str, str] = field(default_factory=lambda: machine())
    format: str = FORMAT

    @property
    def run_id(self) -> str:
        """Short hash of the plan: the same plan is the same run, wherever it is made."""
        return digest(self.plan)[:12]

    def to_json(self) -> str:
        """Indented text with a stable order."""
        return json.dumps({**asdict(self), "run_id": self.run_id}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is not a manifest of this format.
        """
        given = json.loads(text)
        if not isinstance(given, dict) or given.get("format") != FORMAT:
            raise ValueError(f"not a manifest of format {FORMAT}")
        known = given.pop("run_id", None)
        found = _typed(given)
        if known is not None and known != found.run_id:
            raise ValueError(f"its plan is not the one that run {known} was started with (that of {found.run_id})")
        plans.checked(found.planned)
        return found

    @property
    def planned(self) -> "list[plans.Condition]":
        """The blocks that were planned, by condition; empty in runs of versions that did not list them."""
        planned: list[plans.Condition] = self.notes.get(plans.PLANNED, [])
        return planned


def _typed(given: dict[str, Any]) -> Manifest:
    from pydantic import TypeAdapter, ValidationError

    unknown = sorted(set(given) - {one.name for one in fields(Manifest)})
    if unknown:
        raise ValueError(f"{unknown[0]}: no field of a manifest of this version")
    try:
        return TypeAdapter(Manifest).validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def digest(value: object) -> str:
    """SHA-256 of a JSON-like value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def versions(names: Iterable[str]) -> dict[str, str]:
    """Installed versions of the named distributions; what is absent is left out."""
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """What kind of machine this is, without its name."""
    return {"system": platform.system(), "processor": platform.machine(), "python": sys.implementation.name}
