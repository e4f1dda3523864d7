"""Doors for others: what answers a name is ours, registered from Python, of an installed package, or ``module:name``.

    from tolerance.runners.sparsifiers import SPARSIFIERS

    @SPARSIFIERS.register("value-norm")
    class ValueNorm(Eviction): ...

A package opens the same door with an entry point, which every process that has the package finds, workers on other
hosts too:

    [project.entry-points."tolerance.sparsifiers"]
    value-norm = "my_package:ValueNorm"
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module, metadata
from typing import Any

from tolerance.errors import SchemaError


class Registry[T](Mapping[str, T]):
    """Things of one kind by name, loaded at the first look-up.

    Iterating gives ours in the order in which they were registered, then those of installed packages by name.

    group: of the entry points, ``tolerance.sparsifiers``. what: the kind, in messages. fits: whether a thing is of
    this kind. ours: name -> the thing, or ``"module:name"`` of it.
    """

    def __init__(
        self, group: str, what: str, fits: Callable[[Any], bool], ours: Mapping[str, T | str] | None = None
    ) -> None:
        self.group, self.what, self.fits = group, what, fits
        self._here: dict[str, T | str] = dict(ours or {})
        self._loaded: dict[str, T] = {}

    def register[R](self, name: str) -> Callable[[R], R]:
        """A decorator that registers what it decorates under a name.

        Raises:
            SchemaError: the name is taken by something else, or this is no such thing.
        """

        def decorate(thing: R) -> R:
            if name in self._here and self._here[name] is not thing:
                raise SchemaError(f"{self.what} {name!r} is there already. Give yours another name.")
            self._here[name] = self._checked(name, thing)
            return thing

        return decorate

    def lazily(self, name: str, target: str) -> None:
        """Register ``module:name``, which is imported when it is first asked for."""
        self._here[name] = target

    def __getitem__(self, name: str) -> T:
        """What answers a name; ``module:name`` is looked up without being registered.

        Raises:
            KeyError: nothing does.
            SchemaError: what does cannot be imported, or is no such thing.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        """Whether a name is ours or an installed package's."""
        return name in self._here or name in self._entries()

    def __iter__(self) -> Iterator[str]:
        """Names, without loading what they stand for."""
        yield from self._here
        yield from sorted(self._entries().keys() - self._here.keys())

    def __len__(self) -> int:
        """How many names there are."""
        return len(list(iter(self)))

    def find(self, name: str, *, hint: str = "") -> T:
        """What answers a name, or an error that lists what there is.

        Raises:
            SchemaError: nothing does; ``hint`` says what else may be given.
        """
        try:
            return self[name]
        except KeyError:
            also = hint or "or module:name of your own"
            raise SchemaError(f"{self.what} {name!r} unknown. Known: {', '.join(self)}; {also}.") from None

    def source(self, name: str) -> str | None:
        """Package and version of what answers a name; None for what ships with us."""
        if (entry := self._entries().get(name)) is not None and name not in self._here and entry.dist is not None:
            return f"{entry.dist.name} {entry.dist.version}"
        module = str(getattr(self[name], "__module__", None) or type(self[name]).__module__)
        top = module.partition(".")[0]
        if top == "tolerance":
            return None
        packages = metadata.packages_distributions().get(top, [])
        return f"{packages[0]} {metadata.version(packages[0])}" if packages else f"{module} (not installed)"

    def sources(self, names: Mapping[str, str] | list[str]) -> dict[str, str]:
        """Those of some names that are not ours, with package and version."""
        return {name: found for name in names if (found := self.source(name)) is not None}

    def _load(self, name: str) -> T:
        if name in self._here:
            held = self._here[name]
            return self._checked(name, _imported(held, f"{self.what} {name!r}") if isinstance(held, str) else held)
        if (entry := self._entries().get(name)) is not None:
            return self._checked(name, _imported(entry.value, f"{self.what} {name!r} of {entry.dist}"))
        if ":" in name and "/" not in name:
            return self._checked(name, _imported(name, f"{self.what} {name!r}"))
        raise KeyError(name)

    def _checked(self, name: str, thing: object) -> T:
        if not self.fits(thing):
            raise SchemaError(f"{self.what} {name!r}: {thing!r} is none. See CONTRIBUTING.md for what one must have.")
        return thing  # type: ignore[return-value]

    def _entries(self) -> dict[str, metadata.EntryPoint]:
        return {entry.name: entry for entry in metadata.entry_points(group=self.group)}


def _imported(target: str, who: str) -> object:
    """What ``module:name`` stands for.

    Raises:
        SchemaError: the module cannot be imported, or has no such name.
    """
    module, _, path = target.partition(":")
    try:
        found: object = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise SchemaError(f"{who}: {target} cannot be imported ({error}). Install what it is of.") from error
    return found


# Finding -> text. Whoever writes HTML stands above findings, which therefore ask for it by name.
VIEWS: Registry[Callable[[Any], str]] = Registry("tolerance.views", "view", callable)
