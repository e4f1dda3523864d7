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
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.errors import SchemaError
from tolerance.runners import sparsifiers as methods
from tolerance.runners import tasks as task_registry
from tolerance.runners.sparsifiers import Checkpoint, Eviction, Option, Sparsifier
from tolerance.runners.tasks import from_file as questions

DTYPES = ("float32", "bfloat16", "float16", "float64")
PHASES = {"prefill": ("prefill",), "decode": ("decode",), "both": ("prefill", "decode")}
DEMO_SPARSIFIERS = ("top-k", "streaming")
DEMO_LEVELS = (0.0, 0.5, 0.67, 0.8, 0.9, 0.95)
Options = tuple[tuple[str, Option], ...]
# What is left out of a manifest where it says nothing, since it came later; and what no plan file gives.
LATER, DERIVED = ("kv_budgets", "own_lengths", "pruned"), ("files", "own_lengths")


@dataclass(frozen=True)
class Pruned:
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
    pruned: tuple[Pruned, ...] = ()

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
        return _Checked(source, given).plan()

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> "Plan":
        """Read a plan file.

        Raises:
            SchemaError: the file cannot be read, or a field is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise SchemaError(f"{path}: no such plan file.")
        try:
            given = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise SchemaError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
        if not isinstance(given, dict):
            raise SchemaError(f"{path}: a plan is a mapping of {', '.join(_given())}.")
        return cls.make(str(path), **{str(key): value for key, value in given.items()})

    def to_dict(self) -> dict[str, Any]:
        """For the manifest; plain JSON types. A field that came later is left out where it says nothing.

        Files of questions are known by name and content, wherever they lie.
        """
        told = [f.name for f in fields(self) if f.name != "files" and (f.name not in LATER or getattr(self, f.name))]
        plain = {name: _plain(getattr(self, name)) for name in told}
        if self.own_lengths:
            plain["own_lengths"] = {name: list(lengths) for name, lengths in self.own_lengths}
        if self.pruned:
            plain["pruned"] = [asdict(one) for one in self.pruned]
        plain["sparsifiers"] = [{name: dict(options)} for name, options in self.sparsifiers]
        if self.files:
            plain["tasks"] = [Path(name).name if task_registry.is_file(name) else name for name in self.tasks]
            plain["files"] = {Path(path).name: sha256 for path, sha256 in self.files}
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

    def methods(self) -> list[Sparsifier]:
        """The sparsifiers, made."""
        return [methods.get(name, **dict(options)) for name, options in self.sparsifiers]

    def methods_for(self, model: str) -> list[Sparsifier]:
        """The sparsifiers, and the checkpoints of this model that were pruned elsewhere."""
        return [*self.methods(), *(one.sparsifier for one in self.pruned if one.model == model)]

    def levels_of(self, method: Sparsifier) -> tuple[float, ...]:
        """The sparse levels that a method is asked for: the plan's, or those of them that its pattern allows."""
        return tuple(v for v in self.levels if v > 0 and (method.levels is None or v in method.levels))


@dataclass(frozen=True)
class Block:
    """A slice of items under one condition: the unit that is answered, written and resumed."""

    model: str
    task: str
    context_length: int
    sparsifier: Sparsifier | None
    level: float
    first: int
    n: int
    tokens: int | None = None

    @property
    def condition(self) -> str:
        """Method and level, readable."""
        if self.sparsifier is None:
            return DENSE
        return (
            f"{self.sparsifier.label} {self.level:g}"
            if self.tokens is None
            else f"{self.sparsifier.label} {self.tokens} tokens"
        )

    @property
    def name(self) -> str:
        """Readable and safe as a file name, and different for every block of a plan."""
        method = DENSE if self.sparsifier is None else self.sparsifier.label
        level = f"{self.level:g}" if self.tokens is None else f"{self.tokens}t"
        # a file of questions is the same one in another folder
        task = self.task.rpartition("/")[2] if task_registry.is_file(self.task) else self.task
        identity = [self.model, task, self.context_length, repr(self.sparsifier), self.level, self.first, self.n]
        whole = digest(identity if self.tokens is None else [*identity, self.tokens])
        task, method = (re.sub(r"[^\w.-]+", "-", text) for text in (task, method))
        return f"{task}-{self.context_length}-{method}-{level}-{self.first:06d}-{whole[:10]}"


def blocks(plan: Plan) -> list[Block]:
    """All blocks of a plan, model by model; the dense level once, shared by all sparsifiers."""
    return [
        Block(model, task, context, method, level, first, min(plan.batch_size, items - first), tokens)
        for model in plan.models
        for task, context, items in plan.series()
        for method, level, tokens in _conditions(plan, model)
        for first in range(0, items, plan.batch_size)
    ]


def _conditions(plan: Plan, model: str) -> Iterator[tuple[Sparsifier | None, float, int | None]]:
    """Method, level and budget in tokens."""
    yield None, 0.0, None
    for method in plan.methods():
        yield from ((method, level, None) for level in plan.levels_of(method))
        yield from ((method, 0.0, tokens) for tokens in plan.kv_budgets if isinstance(method, Eviction))
    yield from ((one.sparsifier, one.level, None) for one in plan.pruned if one.model == model)


def together(todo: Sequence[Block]) -> list[list[Block]]:
    """Blocks that share a prefill: the same items, dense or with cache entries evicted; all others alone.

    In the order of the first of each group.
    """
    groups: dict[tuple[object, ...], list[Block]] = {}
    sharing = {_items(block) for block in todo if isinstance(block.sparsifier, Eviction)}
    for block in todo:
        shares = block.sparsifier is None or isinstance(block.sparsifier, Eviction)
        key = _items(block) if shares and _items(block) in sharing else (block.name,)
        groups.setdefault(key, []).append(block)
    return list(groups.values())


def _items(block: Block) -> tuple[object, ...]:
    return block.model, block.task, block.context_length, block.first, block.n


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


@dataclass(frozen=True)
class _Checked:
    """One reading of a plan's fields; every method names the field it refuses."""

    source: str
    given: Mapping[str, Any]

    def plan(self) -> Plan:
        known = _given()
        unknown = sorted(set(self.given) - set(known))
        if unknown:
            raise SchemaError(f"{self.source}: field {', '.join(unknown)} unknown. Known: {', '.join(known)}.")
        entries, own_lengths = self._own_lengths()
        tasks, files = self._tasks(entries)
        return Plan(
            models=self._names("models", self._list("models")),
            tasks=tasks,
            files=files,
            own_lengths=own_lengths,
            sparsifiers=self._sparsifiers(),
            levels=self._levels(),
            context_lengths=self._shared_lengths(tasks, dict(own_lengths)),
            items=self._whole("items", least=1),
            seed=self._whole("seed", least=0, default=0),
            phase=self._phase(),
            dtype=self._choice("dtype", DTYPES, "float32"),
            batch_size=self._whole("batch_size", least=1, default=32),
            max_new_tokens=None if self.given.get("max_new_tokens") is None else self._whole("max_new_tokens", least=1),
            kv_budgets=() if self.given.get("kv_budgets") is None else self._kv_budgets(),
            pruned=() if self.given.get("pruned") is None else self._pruned(),
        )

    def _phase(self) -> str:
        """When methods on attention and activations act; each must be able to."""
        phase = self._choice("phase", tuple(PHASES), "both")
        for name, options in self._sparsifiers():
            method = methods.get(name, **dict(options))
            if not method.acts_in & set(PHASES[phase]):
                raise SchemaError(
                    f"{self.source}: phase: {phase!r}, but sparsifier {method.label!r} acts in "
                    f"{' and '.join(sorted(method.acts_in))} alone. Change the phase, or leave the sparsifier out."
                )
        return phase

    def _list(self, field: str) -> Sequence[Any]:
        return self._filled(field, self.given.get(field))

    def _filled(self, field: str, value: object) -> Sequence[Any]:
        if not isinstance(value, list | tuple) or not value:
            raise SchemaError(f"{self.source}: {field}: {value!r}, expected a list with at least one entry.")
        return value

    def _names(self, field: str, names: Sequence[object]) -> tuple[str, ...]:
        wrong = [name for name in names if not isinstance(name, str) or not name]
        if wrong:
            raise SchemaError(f"{self.source}: {field}: {wrong[0]!r}, expected a name.")
        return self._distinct(field, names)

    def _distinct(self, field: str, values: Sequence[Any]) -> tuple[Any, ...]:
        twice = [value for i, value in enumerate(values) if value in values[:i]]
        if twice:
            raise SchemaError(f"{self.source}: {field}: {twice[0]!r} is given twice. Name each once.")
        return tuple(values)

    def _own_lengths(self) -> tuple[list[object], tuple[tuple[str, tuple[int, ...]], ...]]:
        """The entries of tasks without what they say of lengths, and that: ``{name: {context_lengths: [...]}}``."""
        entries: list[object] = []
        own: list[tuple[str, tuple[int, ...]]] = []
        for entry in self._list("tasks"):
            if not isinstance(entry, dict):
                entries.append(entry)
                continue
            name, options = self._named("tasks", entry, "{name: {context_lengths: [tokens]}}")
            if set(options) != {"context_lengths"} or task_registry.is_file(name):
                raise SchemaError(
                    f"{self.source}: tasks: {entry!r}, expected a name or {{name: {{context_lengths: [tokens]}}}}; a "
                    "file's questions have lengths of their own."
                )
            entries.append(name)
            own.append((name, self._lengths(f"tasks: {name}: context_lengths", options["context_lengths"])))
        return entries, tuple(own)

    def _tasks(self, entries: Sequence[object]) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        """Names of tasks, a file's all, and the files with their hashes."""
        names: list[str] = []
        files: list[tuple[str, str]] = []
        for name in self._names("tasks", entries):
            try:
                if task_registry.is_file(name):
                    file = questions.read(name)
                    files.append((name, file.sha256))
                    names += [f"{name}{questions.MARK}{task}" for task in file.tasks]
                else:
                    task_registry.get(name)
                    names.append(name)
            except SchemaError as error:
                raise SchemaError(f"{self.source}: tasks: {error}") from error
        self._distinct("tasks", [Path(path).name for path, _ in files])
        # the outcome table knows a task by its name alone
        self._distinct("tasks", [name.rpartition(questions.MARK)[2] for name in names])
        return tuple(names), tuple(files)

    def _sparsifiers(self) -> tuple[tuple[str, Options], ...]:
        made, labels = [], []
        if not self.given.get("sparsifiers") and self.given.get("pruned"):
            return ()
        for entry in self._list("sparsifiers"):
            name, options = (
                (entry, {}) if isinstance(entry, str) else self._named("sparsifiers", entry, "{name: {option: value}}")
            )
            try:
                labels.append(methods.get(name, **options).label)
            except SchemaError as error:
                raise SchemaError(f"{self.source}: sparsifiers: {error}") from error
            made.append((name, tuple(sorted(options.items()))))
        # the outcome table knows a method by its label alone
        self._distinct("sparsifiers", labels)
        return tuple(made)

    def _pruned(self) -> tuple[Pruned, ...]:
        """Checkpoints pruned elsewhere; a method of theirs has a name of its own, and one checkpoint a level."""
        known = [f.name for f in fields(Pruned)]
        made = []
        for entry in self._list("pruned"):
            if not isinstance(entry, dict) or set(entry) != set(known):
                raise SchemaError(f"{self.source}: pruned: {entry!r}, expected {', '.join(known)} of each checkpoint.")
            wrong = [field for field in known[:3] if not isinstance(entry[field], str) or not entry[field]]
            if wrong:
                raise SchemaError(f"{self.source}: pruned: {wrong[0]}: {entry[wrong[0]]!r}, expected a name.")
            if entry["model"] not in self._names("models", self._list("models")):
                raise SchemaError(
                    f"{self.source}: pruned: model: {entry['model']!r} is none of the plan's models, so there is no "
                    "dense baseline. Name the model that it was pruned out of."
                )
            level = entry["level"]
            if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
                raise SchemaError(f"{self.source}: pruned: level: {level!r}, expected a fraction between 0 and 1.")
            made.append(Pruned(**{**entry, "level": float(entry["level"])}))
        taken = {methods.get(name, **dict(options)).label for name, options in self._sparsifiers()} | {DENSE}
        clash = [one.method for one in made if one.method in taken]
        if clash:
            raise SchemaError(
                f"{self.source}: pruned: method: {clash[0]!r} is what another sparsifier is called. Give another name."
            )
        self._distinct("pruned", [f"{one.method} {one.level:g} of {one.model}" for one in made])
        return tuple(made)

    def _named(self, field: str, entry: object, form: str) -> tuple[str, dict[str, Any]]:
        if not (isinstance(entry, dict) and len(entry) == 1 and isinstance(next(iter(entry.values())), dict)):
            raise SchemaError(f"{self.source}: {field}: {entry!r}, expected a name or {form}.")
        ((name, options),) = entry.items()
        return str(name), {str(key): value for key, value in options.items()}

    def _levels(self) -> tuple[float, ...]:
        levels = self._list("levels")
        for level in levels:
            if isinstance(level, bool) or not isinstance(level, int | float) or not 0 <= level < 1:
                raise SchemaError(
                    f"{self.source}: levels: {level!r} is outside [0, 1). A level is the fraction removed"
                    f"{f'; was {level!r} given in percent' if isinstance(level, int | float) and level >= 1 else ''}?"
                )
        if 0 not in levels:
            raise SchemaError(
                f"{self.source}: levels: no dense baseline in {list(levels)}. Add level 0: without it nothing can be "
                "said of the share of accuracy that is kept."
            )
        if len(levels) < 2 and self._sparsifiers():
            raise SchemaError(f"{self.source}: levels: {list(levels)} has no sparse level. Add at least one above 0.")
        for name, options in self._sparsifiers():
            method = methods.get(name, **dict(options))
            if method.levels is not None and not set(method.levels) & set(levels):
                only = ", ".join(f"{level:g}" for level in method.levels)
                raise SchemaError(
                    f"{self.source}: levels: sparsifier {method.label!r} has {only} alone, which is not in "
                    f"{list(levels)}. Add it, or leave the sparsifier out."
                )
        return tuple(sorted(float(level) for level in self._distinct("levels", levels)))

    def _shared_lengths(self, tasks: Sequence[str], own: Mapping[str, object]) -> tuple[int, ...]:
        """Those of the tasks that name none of their own; needed by no other."""
        if self.given.get("context_lengths") is None and own and set(tasks) <= set(own):
            return ()
        return self._lengths("context_lengths", self.given.get("context_lengths"))

    def _lengths(self, field: str, value: object) -> tuple[int, ...]:
        lengths = self._filled(field, value)
        for length in lengths:
            if isinstance(length, bool) or not isinstance(length, int) or length < 32:
                raise SchemaError(f"{self.source}: {field}: {length!r}, expected tokens, at least 32.")
        return self._distinct(field, lengths)

    def _kv_budgets(self) -> tuple[int, ...]:
        budgets = self._list("kv_budgets")
        for tokens in budgets:
            if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
                raise SchemaError(f"{self.source}: kv_budgets: {tokens!r}, expected whole tokens, at least 1.")
        if not any(issubclass(methods.SPARSIFIERS[name], Eviction) for name, _ in self._sparsifiers()):
            raise SchemaError(
                f"{self.source}: kv_budgets: {list(budgets)}, but no sparsifier evicts cache entries. Add one "
                f"({', '.join(cls.name for cls in methods.EVICTIONS)}), or leave kv_budgets out."
            )
        return self._distinct("kv_budgets", budgets)

    def _whole(self, field: str, *, least: int, default: int | None = None) -> int:
        value = self.given.get(field, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SchemaError(f"{self.source}: {field}: {value!r}, expected a whole number, at least {least}.")
        return value

    def _choice(self, field: str, among: tuple[str, ...], default: str) -> str:
        value = self.given.get(field, default)
        if value not in among:
            raise SchemaError(f"{self.source}: {field}: {value!r}, expected one of {', '.join(among)}.")
        return str(value)


def _given() -> list[str]:
    """Fields that a plan file may have."""
    return [f.name for f in fields(Plan) if f.name not in DERIVED]


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
