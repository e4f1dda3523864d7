"""The plan of a collection: which models answer which tasks under which sparsifiers and levels. Checked before loading.

models: [tiny]                      # shipped model, model folders, hub names
tasks: [kv-lookup, two-hop, {common-word: {context_lengths: [128]}}]
sparsifiers: [top-k, {streaming: {sinks: 4}}]
levels: [0, 0.5, 0.67, 0.8, 0.9, 0.95]
kv_budgets: [128, 512]              # optional: entries per layer and head that cache methods keep, besides the levels
context_lengths: [256]              # of the tasks that name none of their own
items: 64
pruned:                             # optional: checkpoints of a model that were pruned elsewhere
- {model: path/to/model, folder: path/to/model-sparsegpt-50, method: sparsegpt, level: 0.5}
"""

import os
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from tolerance import plugins
from tolerance.errors import SchemaError
from tolerance.runners import sparsifiers as methods
from tolerance.runners import tasks as task_registry
from tolerance.runners.collect import plan_checks
from tolerance.runners.collect.plan_checks import PHASES, Options
from tolerance.runners.sparsifiers import Checkpoint, Sparsifier
from tolerance.runners.tasks import from_file as questions

__all__ = ["PHASES", "Plan", "PrunedCheckpoint", "demo_plan"]

DEMO_SPARSIFIERS = ("top-k", "streaming")
DEMO_LEVELS = (0.0, 0.5, 0.67, 0.8, 0.9, 0.95)
# What is left out of a manifest where it says nothing, since it came later; what is told in a way of its own, or not at
# all, since it is this machine's; and what no plan file gives.
LATER, APART = ("kv_budgets", "own_lengths", "pruned"), ("files", "plugins", "folders")
DERIVED = ("files", "own_lengths", "plugins", "folders")


@dataclass(frozen=True)
class PrunedCheckpoint:
    """A checkpoint of one of the plan's models that ``method`` pruned elsewhere; ``level`` is what it was asked for."""

    model: str
    folder: str
    method: str
    level: float

    @property
    def sparsifier(self) -> Checkpoint:
        """What imposes it."""
        return Checkpoint(self.method, self.folder)


@dataclass(frozen=True)
class Plan:
    """Everything that decides the answers; two equal plans give the same rows. Build it with `make` or `from_yaml`."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    sparsifiers: tuple[tuple[str, Options], ...]
    levels: tuple[float, ...]
    context_lengths: tuple[int, ...]
    items: int
    seed: int = 0
    phase: str = "both"
    dtype: str = "float32"
    batch_size: int = 32
    max_new_tokens: int | None = None
    kv_budgets: tuple[int, ...] = ()
    # (task, context lengths) of the tasks that do not take `context_lengths`
    own_lengths: tuple[tuple[str, tuple[int, ...]], ...] = ()
    # (path, sha256) of the files of questions among the tasks: the same plan is the same questions
    files: tuple[tuple[str, str], ...] = ()
    pruned: tuple[PrunedCheckpoint, ...] = ()
    # (kind, name, package and version) of the sparsifiers and tasks that are not ours: what they answer depends on it
    plugins: tuple[tuple[str, str, str], ...] = ()
    # where this machine finds the modules of those that are named module:Class
    folders: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        """The plan on one screen."""
        lines = {
            "Plan for": ", ".join(self.models),
            "tasks": ", ".join(self.tasks),
            "sparsifiers": ", ".join(f"{name} {dict(of)}" if of else name for name, of in self.sparsifiers),
            "levels": ", ".join(f"{level:g}" for level in self.levels),
            "kv_budgets": ", ".join(map(str, self.kv_budgets)),
            "context_lengths": ", ".join(map(str, self.context_lengths)),
            "items": f"{self.items} a task, seed {self.seed}, phase {self.phase}, {self.dtype}",
            "pruned": ", ".join(one.folder for one in self.pruned),
        }
        told = (f"{name}: {text}" for name, text in lines.items() if text)
        return "\n".join(textwrap.shorten(line, 80, placeholder=" ...") for line in told)

    @classmethod
    def make(cls, source: str = "plan", **given: Any) -> "Plan":  # noqa: ANN401 - checked field by field
        """Check every field; ``source`` names the plan in messages.

        Raises:
            SchemaError: naming the field, the value seen, what is expected.
        """
        return cls._of(plan_checks.checked(source, given, _given(), folders=[Path.cwd()]))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan file. Modules of sparsifiers and tasks are also looked for beside it.

        Raises:
            SchemaError: the file cannot be read, or a field is wrong.
        """
        path = Path(path)
        given = plan_checks.read(path, _given())
        return cls._of(plan_checks.checked(str(path), given, _given(), folders=[path.resolve().parent, Path.cwd()]))

    @classmethod
    def _of(cls, checked: dict[str, Any]) -> "Plan":
        return cls(**{**checked, "pruned": tuple(PrunedCheckpoint(**one) for one in checked["pruned"])})

    def to_dict(self) -> dict[str, Any]:
        """For the manifest; plain JSON types. A field that came later is left out where it says nothing.

        Files of questions are known by name and content, wherever they lie.
        """
        told = [f.name for f in fields(self) if f.name not in APART and (f.name not in LATER or getattr(self, f.name))]
        plain = {name: _plain(getattr(self, name)) for name in told}
        if self.own_lengths:
            plain["own_lengths"] = {name: list(lengths) for name, lengths in self.own_lengths}
        if self.pruned:
            plain["pruned"] = [asdict(one) for one in self.pruned]
        plain["sparsifiers"] = [{name: dict(options)} for name, options in self.sparsifiers]
        if self.files:
            plain["tasks"] = [Path(name).name if task_registry.is_file(name) else name for name in self.tasks]
            plain["files"] = {Path(path).name: sha256 for path, sha256 in self.files}
        if self.plugins:
            plain["plugins"] = {f"{kind} {name}": source for kind, name, source in self.plugins}
        return plain

    def series(self) -> Iterator[tuple[str, int, int]]:
        """Every task with a context length and how many items it has there; a file's questions have their own."""
        own = dict(self.own_lengths)
        for context in dict.fromkeys([*self.context_lengths, *(n for some in own.values() for n in some)]):
            for name in self.tasks:
                if not task_registry.is_file(name) and context in own.get(name, self.context_lengths):
                    yield name, context, self.items
        for name in self.tasks:
            task = task_registry.get(name)
            if isinstance(task, task_registry.FileTask):
                yield name, 0, min(self.items, len(task.rows))

    def require_files(self) -> None:
        """The files of questions are those that the plan was made with.

        Raises:
            SchemaError: one has changed.
        """
        for path, sha256 in self.files:
            if questions.read(path).sha256 != sha256:
                raise SchemaError(f"{path}: has changed since the plan was read. Run it again, into a new folder.")

    def require_plugins(self) -> None:
        """What answers the names that are not ours is here what it was where the plan was read.

        Raises:
            SchemaError: it is missing here, or another version.
        """
        plugins.search(self.folders)
        for kind, name, source in self.plugins:
            here = plan_checks.REGISTRIES[kind].source(name)
            if here != source:
                raise SchemaError(
                    f"{kind} {name!r}: is {here} here, and was {source} where the plan was read. Install the same on "
                    "every host, and start again."
                )

    def methods(self) -> list[Sparsifier]:
        """The sparsifiers, made."""
        plugins.search(self.folders)
        return [methods.get(name, **dict(options)) for name, options in self.sparsifiers]

    def methods_for(self, model: str) -> list[Sparsifier]:
        """The sparsifiers, and the checkpoints of this model that were pruned elsewhere."""
        return [*self.methods(), *(one.sparsifier for one in self.pruned if one.model == model)]

    def levels_of(self, method: Sparsifier) -> tuple[float, ...]:
        """The sparse levels that a method is asked for: the plan's, or those of them that its pattern allows."""
        return tuple(v for v in self.levels if v > 0 and (method.levels is None or v in method.levels))


def demo_plan(*, items: int, seed: int) -> Plan:
    """What `tolerance demo` collects: the shipped model, its tasks, two sparsifiers of attention, at 256 tokens."""
    return Plan.make(
        "demo",
        models=["tiny"],
        tasks=list(task_registry.PUZZLES),
        sparsifiers=list(DEMO_SPARSIFIERS),
        levels=list(DEMO_LEVELS),
        context_lengths=[256],
        items=items,
        seed=seed,
    )


def _given() -> list[str]:
    """Fields that a plan file may have."""
    return [f.name for f in fields(Plan) if f.name not in DERIVED]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
