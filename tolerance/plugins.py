"""Doors for others: what answers a name is ours, registered from Python, of an installed package, or ``module:name``.

    from tolerance.runners.sparsifiers import SPARSIFIERS

    @SPARSIFIERS.register("value-norm")
    class ValueNorm(Eviction): ...

A package opens the same door with an entry point, which every process that has the package finds, workers on other
hosts too:

    [project.entry-points."tolerance.sparsifiers"]
    value-norm = "my_package:ValueNorm"

Groups: ``tolerance.sparsifiers``, ``.tasks``, ``.importers``, ``.axes``, ``.sections``. Nothing is imported before its
name is looked up.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from tolerance.errors import SchemaError

# Names of ours may hold a colon too (magnitude-2:4), but no identifier stands on both sides of it.
_LOOSE = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")


class Registry[T](Mapping[str, T]):
    """Things of one kind by name, loaded at the first look-up.

    Iterating gives ours in the order in which they were registered, then those of installed packages by name.

    group: of the entry points, ``tolerance.sparsifiers``. what: the kind, in messages. fits: whether a thing is of
    this kind. ours: name -> the thing, or ``"module:name"`` of it. aliases: other word -> name. needs: what a thing of
    this kind is, in messages. made: makes the thing out of what was found, an instance of a class; it is asked before
    ``fits``.
    """

    def __init__(
        self,
        group: str,
        what: str,
        fits: Callable[[Any], bool],
        ours: Mapping[str, T | str] | None = None,
        *,
        aliases: Mapping[str, str] | None = None,
        needs: str = "",
        made: Callable[[Any], Any] | None = None,
    ) -> None:
        self.group, self.what, self.fits, self.needs = group, what, fits, needs
        self.aliases: dict[str, str] = dict(aliases or {})
        self._made = made or (lambda found: found)
        self._here: dict[str, T | str] = dict(ours or {})
        self._ours = tuple(self._here)
        # The module that registered a name: a thing may be an instance of a class of ours.
        self._by: dict[str, str] = {}
        self._loaded: dict[str, T] = {}
        self._entries: dict[str, list[metadata.EntryPoint]] = {}
        self._read_for: tuple[str, ...] | None = None

    @property
    def ours(self) -> tuple[str, ...]:
        """Names of what ships with us."""
        return self._ours

    def register[R](self, name: str) -> Callable[[R], R]:
        """A decorator that registers what it decorates under a name, in this process alone.

        Raises:
            SchemaError: the name is taken by something else, or this is no such thing.
        """
        by = str(sys._getframe(1).f_globals.get("__name__", "__main__"))

        def decorate(thing: R) -> R:
            self._require_free(name, thing)
            self._loaded[name] = self._checked(name, thing)
            self._here[name], self._by[name] = thing, by  # type: ignore[assignment]
            return thing

        return decorate

    def lazily(self, name: str, target: str) -> None:
        """Register ``module:name``, which is imported when it is first asked for.

        Raises:
            SchemaError: the name is taken by something else.
        """
        self._require_free(name, target)
        self._here[name], self._by[name] = target, target.partition(":")[0]

    def __getitem__(self, name: str) -> T:
        """What answers a name or an alias; ``module:name`` is looked up without being registered.

        Raises:
            KeyError: nothing does.
            SchemaError: several do, what does cannot be imported, or it is no such thing.
        """
        name = self.name_of(name)
        if name not in self._loaded:
            target = self._target(name)
            if target is None:
                raise KeyError(name)
            self._loaded[name] = self._load(name, target)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        """Whether a name is ours, registered or an installed package's; ``module:name`` is none."""
        return name in self.aliases or name in self._here or name in self._packages

    def __iter__(self) -> Iterator[str]:
        """Names, without loading what they stand for."""
        yield from self._here
        yield from sorted(self._packages.keys() - self._here.keys())

    def __len__(self) -> int:
        """How many names there are."""
        return len(self._here.keys() | self._packages.keys())

    def name_of(self, word: str) -> str:
        """The name that an alias stands for; any other word is itself."""
        return self.aliases.get(word, word)

    def find(self, name: str, *, hint: str = "") -> T:
        """What answers a name, or an error that lists what there is.

        Raises:
            SchemaError: nothing does; ``hint`` says what else may be given. Or see `__getitem__`.
        """
        if name not in self and not is_loose(name):
            also = hint or "or module:name of your own"
            raise SchemaError(f"{self.what} {name!r} unknown. Known: {', '.join(self)}; {also}.")
        return self[name]

    def source(self, name: str) -> str | None:
        """What answers a name: package and version, or a loose module and its file's SHA-256; None for what is ours.

        Raises:
            KeyError: nothing does.
            SchemaError: see `__getitem__`.
        """
        name = self.name_of(name)
        if name in self._ours:
            self._require_one(name)
            return None
        if name in self._here:
            held = self._here[name]
            return _origin(self._by.get(name) or str(getattr(held, "__module__", "") or type(held).__module__))
        if name in self._packages:
            dist = self._require_one(name).dist
            return "unknown package" if dist is None else _release(dist)
        if not is_loose(name):
            raise KeyError(name)
        assert self[name] is not None  # imported now, so that its file is known
        return _origin(name.partition(":")[0])

    def sources(self, names: Iterable[str]) -> dict[str, str]:
        """Those of some names that are not ours, with what answers them (`source`)."""
        return {name: found for name in names if (found := self.source(name)) is not None}

    def forget(self, name: str) -> None:
        """Undo a registration from Python; for tests and notebooks.

        Raises:
            KeyError: nobody registered it.
        """
        del self._by[name]
        del self._here[name]
        self._loaded.pop(name, None)

    def _target(self, name: str) -> object:
        """The thing, an entry point or ``module:name``; None if nothing answers the name."""
        if name in self._here or name in self._packages:
            self._require_one(name)
        if name in self._here:
            return self._here[name]
        if name in self._packages:
            return self._packages[name][0]
        return name if is_loose(name) else None

    def _load(self, name: str, target: object) -> T:
        who = f"{self.what} {name!r}"
        if isinstance(target, metadata.EntryPoint):
            package = "" if target.dist is None else f" of {_release(target.dist)}"
            return self._checked(name, _imported(target.value, f"{who}{package}"))
        return self._checked(name, _imported(target, who) if isinstance(target, str) else target)

    def _checked(self, name: str, found: object) -> T:
        thing = self._made(found)
        if not self.fits(thing):
            needs = self.needs or "See CONTRIBUTING.md for what one must have"
            raise SchemaError(f"{self.what} {name!r}: {found!r} is none. {needs}.")
        return thing  # type: ignore[no-any-return]

    def _require_free(self, name: str, thing: object) -> None:
        # a notebook's cell that is run again defines the same thing anew
        again = name in self._by and _written(self._here[name]) == _written(thing)
        if name in self.aliases or (name in self._here and not again):
            raise SchemaError(f"{self.what} {name!r} is there already. Give yours another name.")

    def _require_one(self, name: str) -> metadata.EntryPoint:
        """The one entry point of a name, or the first of none at all where the name is ours."""
        entries = self._packages.get(name, [])
        owners = ["tolerance"] * (name in self._here)
        owners += [f"{entry.dist.name if entry.dist else 'unknown package'} ({entry.value})" for entry in entries]
        if len(owners) > 1:
            raise SchemaError(
                f"{self.what} {name!r} is the name of several: {', '.join(owners)}. Say which as module:name, or "
                "uninstall one of them."
            )
        return entries[0] if entries else metadata.EntryPoint(name, "", self.group)

    @property
    def _packages(self) -> dict[str, list[metadata.EntryPoint]]:
        """Entry points of installed packages by name, read once for each path.

        Those of one distribution that is found twice on the path count once.
        """
        if self._read_for != tuple(sys.path):
            found: dict[str, dict[str, metadata.EntryPoint]] = {}
            for entry in metadata.entry_points(group=self.group):
                found.setdefault(entry.name, {}).setdefault(f"{entry.dist and entry.dist.name} {entry.value}", entry)
            self._entries = {name: list(entries.values()) for name, entries in found.items()}
            self._read_for = tuple(sys.path)
        return self._entries


def is_loose(name: str) -> bool:
    """Whether a name is of the form ``module:name``."""
    return _LOOSE.fullmatch(name) is not None


def search(folders: Iterable[str | Path]) -> None:
    """Let modules in these folders be imported, behind everything that is installed."""
    for folder in map(str, folders):
        if folder not in sys.path:
            sys.path.append(folder)


def _imported(target: str, who: str) -> object:
    """What ``module:name`` stands for.

    Raises:
        SchemaError: the module cannot be imported, or has no such name.
    """
    module, _, path = target.partition(":")
    try:
        found: object = import_module(module)
    except Exception as error:  # whatever somebody's module raises while it is imported
        if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
            mend = "Install the package it is of, or put the file beside the plan or into the working directory"
        else:
            mend = "Mend that module, or ask those who wrote it"
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        raise SchemaError(f"{who}: {module} cannot be imported ({reason}). {mend}.") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise SchemaError(f"{who}: {module} has no {path}. Name what it defines.") from error
    return found


def _written(thing: object) -> object:
    """Where a thing is defined, if it says so."""
    return (getattr(thing, "__module__", None), getattr(thing, "__qualname__", thing))


def _origin(module: str) -> str | None:
    """Package and version of a module, or its file's hash where it is of none that is installed; None for ours."""
    top = module.partition(".")[0]
    if top == __name__.partition(".")[0]:
        return None
    told = getattr(sys.modules.get(module), "__file__", None)
    file = None if told is None else Path(told).resolve()
    for package in metadata.packages_distributions().get(top, []):
        dist = metadata.distribution(package)
        # a folder of one's own may bear the name of something installed
        if file is None or file.is_relative_to(Path(str(dist.locate_file(""))).resolve()):
            return _release(dist)
    if file is None or not file.is_file():
        return f"{module} (no file)"
    return f"{module} (sha256 {hashlib.sha256(file.read_bytes()).hexdigest()})"


def _release(dist: metadata.Distribution) -> str:
    return f"{dist.name} {dist.version}"


# Finding -> text. Whoever writes HTML stands above findings, which therefore ask for it by name.
VIEWS: Registry[Callable[[Any], str]] = Registry("tolerance.views", "view", callable)
