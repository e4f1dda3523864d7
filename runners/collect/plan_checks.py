"""Reading and checking a plan, before anything is loaded: every message names the field and the value it refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tolerance import plugins
from tolerance.data.outcomes import DENSE
from tolerance.data.yaml_file import read_yaml
from tolerance.errors import SchemaError
from tolerance.plugins import Registry
from tolerance.runners import sparsifiers as methods
from tolerance.runners import tasks as task_registry
from tolerance.runners.sparsifiers import Eviction, Option
from tolerance.runners.tasks import from_file as questions

DTYPES = ("float32", "bfloat16", "float16", "float64")
PHASES = {"prefill": ("prefill",), "decode": ("decode",), "both": ("prefill", "decode")}
REGISTRIES: dict[str, Registry[Any]] = {"sparsifier": methods.SPARSIFIERS, "task": task_registry.TASKS}
Options = tuple[tuple[str, Option], ...]
# Items, rows of a batch and new tokens, and tokens of a context: what lies above is a slip, and would fill the memory.
MOST, MOST_TOKENS = 1_000_000, 100_000_000


def read(path: Path, known: Sequence[str]) -> dict[str, Any]:
    """The fields of a plan file, not checked yet.

    Raises:
        SchemaError: the file cannot be read, or is no mapping.
    """
    if not path.is_file():
        raise SchemaError(f"{path}: no such plan file.")
    given = read_yaml(path, expected="a plan")
    if not isinstance(given, dict):
        raise SchemaError(f"{path}: a plan is a mapping of {', '.join(known)}.")
    return {str(key): value for key, value in given.items()}


def checked(
    source: str, given: Mapping[str, Any], known: Sequence[str], *, folders: Sequence[Path] = ()
) -> dict[str, Any]:
    """Every field of a plan, checked, by name; ``source`` names the plan in messages.

    ``folders`` are where modules of sparsifiers and tasks named ``module:Class`` are looked for, if there are any.

    Raises:
        SchemaError: naming the field, the value seen, what is expected.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise SchemaError(f"{source}: field {', '.join(unknown)} unknown. Known: {', '.join(known)}.")
    loose = [str(folder) for folder in dict.fromkeys(folders)] if _names_modules(given) else []
    plugins.search(loose)
    return {**_Checked(source, given).fields(), "folders": tuple(loose)}


def _names_modules(given: Mapping[str, Any]) -> bool:
    """Whether some sparsifier or task is named ``module:Class``."""
    entries = [entry for kind in ("sparsifiers", "tasks") for entry in _entries(given.get(kind))]
    names = [str(name) for entry in entries for name in (entry if isinstance(entry, dict) else [entry])]
    return any(plugins.is_loose(name) and not task_registry.is_file(name) for name in names)


def _entries(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else []


@dataclass(frozen=True)
class _Checked:
    """One reading of a plan's fields; every method names the field it refuses."""

    source: str
    given: Mapping[str, Any]

    def fields(self) -> dict[str, Any]:
        entries, own_lengths = self._own_lengths()
        tasks, files = self._tasks(entries)
        sparsifiers = self._sparsifiers()
        return {
            "models": self._names("models", self._list("models")),
            "tasks": tasks,
            "files": files,
            "own_lengths": own_lengths,
            "sparsifiers": sparsifiers,
            "levels": self._levels(),
            "context_lengths": self._shared_lengths(tasks, dict(own_lengths)),
            "items": self._whole("items", least=1),
            "seed": self._whole("seed", least=0, default=0),
            "phase": self._phase(),
            "dtype": self._choice("dtype", DTYPES, "float32"),
            "batch_size": self._whole("batch_size", least=1, default=32),
            "max_new_tokens": None
            if self.given.get("max_new_tokens") is None
            else self._whole("max_new_tokens", least=1),
            "kv_budgets": () if self.given.get("kv_budgets") is None else self._kv_budgets(),
            "pruned": () if self.given.get("pruned") is None else self._pruned(),
            "plugins": self._plugins(tasks, [name for name, _ in sparsifiers]),
        }

    def _max_new_tokens(self) -> int | None:
        return None if self.given.get("max_new_tokens") is None else self._whole("max_new_tokens", least=1)

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
        self._distinct("tasks", [task_registry.get(name).name for name in names])
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
            made.append((methods.SPARSIFIERS.name_of(name), tuple(sorted(options.items()))))
        # the outcome table knows a method by its label alone
        self._distinct("sparsifiers", labels)
        return tuple(made)

    def _plugins(self, tasks: Sequence[str], sparsifiers: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
        """(kind, name, what answers it) of the names that are not ours."""
        named = {"sparsifier": sparsifiers, "task": [name for name in tasks if not task_registry.is_file(name)]}
        return tuple(
            (kind, name, source)
            for kind, names in named.items()
            for name, source in sorted(REGISTRIES[kind].sources(names).items())
        )

    def _pruned(self) -> tuple[dict[str, Any], ...]:
        """Checkpoints pruned elsewhere; a method of theirs has a name of its own, and one checkpoint a level."""
        known = ["model", "folder", "method", "level"]
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
            made.append({**entry, "level": float(level)})
        taken = {methods.get(name, **dict(options)).label for name, options in self._sparsifiers()} | {DENSE}
        clash = [one["method"] for one in made if one["method"] in taken]
        if clash:
            raise SchemaError(
                f"{self.source}: pruned: method: {clash[0]!r} is what another sparsifier is called. Give another name."
            )
        self._distinct("pruned", ["{method} {level:g} of {model}".format(**one) for one in made])
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
            if isinstance(length, bool) or not isinstance(length, int) or not 32 <= length <= MOST_TOKENS:
                raise SchemaError(
                    f"{self.source}: {field}: {length!r}, expected tokens, at least 32 and at most {MOST_TOKENS:,}."
                )
        return self._distinct(field, lengths)

    def _kv_budgets(self) -> tuple[int, ...]:
        budgets = self._list("kv_budgets")
        for tokens in budgets:
            if isinstance(tokens, bool) or not isinstance(tokens, int) or not 1 <= tokens <= MOST_TOKENS:
                raise SchemaError(f"{self.source}: kv_budgets: {tokens!r}, expected tokens, 1 to {MOST_TOKENS:,}.")
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
        most = 2**63 - 1 if field == "seed" else MOST
        if value > most:
            raise SchemaError(f"{self.source}: {field}: {str(value)[:30]}, expected at most {most:,}.")
        return value

    def _choice(self, field: str, among: tuple[str, ...], default: str) -> str:
        value = self.given.get(field, default)
        if value not in among:
            raise SchemaError(f"{self.source}: {field}: {value!r}, expected one of {', '.join(among)}.")
        return str(value)
