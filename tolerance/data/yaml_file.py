"""YAML and JSON that people write: mappings, plans, claims, shapes. One reader, with a bound on what a file becomes."""

import os
from pathlib import Path
from typing import Any

import yaml

from tolerance.errors import SchemaError

MOST_BYTES = 8_000_000
# Values after aliases are followed: a few lines of aliases to aliases stand for billions.
MOST_VALUES = 200_000
# What PyYAML's constructors of numbers, dates and tags raise besides its own errors.
_MISFITS = (ValueError, TypeError, AttributeError, IndexError, KeyError, OverflowError)


def read_yaml(path: str | os.PathLike[str], *, expected: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """The value of a YAML or JSON file; ``expected`` says in messages what it should be, "a plan" for example.

    Raises:
        SchemaError: no such file, not UTF-8, not YAML, a key twice, nested too deeply, or too large once its aliases
            are followed; naming the file, the line and the mend.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SchemaError(f"{path}: larger than {MOST_BYTES:,} bytes, so it is not {expected}. Give another file.")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path}: not UTF-8 (byte {error.start}). Save it as UTF-8.") from error
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise SchemaError(f"{path}: cannot be read ({said}). Give the path of {expected}.") from error
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Bounded(path).size(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SchemaError(f"{path}: not YAML ({_first_line(error)}). Give {expected}.") from error
    except RecursionError as error:
        raise SchemaError(f"{path}: nested too deeply. Give {expected}.") from error
    except _MISFITS as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(f"{path}: a value cannot be read ({_first_line(error)}). Quote it if it is text.") from error


def _first_line(error: Exception) -> str:
    """What an error says, with the line of the file where it knows it."""
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return f"line {mark.line + 1}: {said}" if mark is not None else str(said)


class _Bounded:
    """Counts the values that a document becomes, and refuses what makes it ambiguous or endless."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[int, int] = {}
        self.open: set[int] = set()

    def size(self, node: yaml.Node) -> int:
        """Values below a node, itself included, with aliases followed."""
        if id(node) in self.sizes:
            return self.sizes[id(node)]
        if id(node) in self.open:
            raise SchemaError(f"{self._at(node)}: an alias that holds itself. Write the value out.")
        self.open.add(id(node))
        total = 1 + sum(self.size(one) for one in self._inside(node))
        if total > MOST_VALUES:
            raise SchemaError(
                f"{self._at(node)}: more than {MOST_VALUES:,} values once aliases are followed. Shorten it."
            )
        self.open.discard(id(node))
        self.sizes[id(node)] = total
        return total

    def _inside(self, node: yaml.Node) -> list[yaml.Node]:
        if isinstance(node, yaml.MappingNode):
            self._refuse_twice(node)
            return [one for pair in node.value for one in pair]
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise SchemaError(f"{self._at(node)}: half a character (a lone surrogate). Write it out or leave it away.")
        return []

    def _refuse_twice(self, node: yaml.MappingNode) -> None:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise SchemaError(f"{self._at(key)}: {key.value!r} stands here a second time. Keep one of the two.")
                seen.add((key.tag, key.value))

    def _at(self, node: yaml.Node) -> str:
        return f"{self.path}, line {node.start_mark.line + 1}"
