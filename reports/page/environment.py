"""Jinja as every template finds it: whose templates come first, filters, escaping, and no name that is undefined."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import (
    ChoiceLoader,
    DictLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    PrefixLoader,
    StrictUndefined,
)
from jinja2.exceptions import TemplateError

from tolerance.errors import DesignError
from tolerance.reports.sections.section import Section
from tolerance.reports.words import glyphs, numbers, phrases

BLOCKS = "blocks.html.j2"
# Numbers in templates of others follow the one rounding rule by these; `docs/reports.md` has them.
FILTERS: dict[str, Callable[..., Any]] = {
    "accuracy": numbers.accuracy,
    "capitalised": phrases.capitalised,
    "glyph": glyphs.state,
    "level": numbers.level,
    "listed": phrases.listed,
    "probability": numbers.probability,
    "quantity": numbers.quantity,
    "thousands": numbers.count,
}

# Name and text of templates that are no files of ours.
type Texts = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Templates:
    """Templates with their values -> text. ``folder``: a team's, which is looked into first."""

    folder: Path | None
    jinja: Environment

    def text(self, name: str, values: Mapping[str, object], *, blame: str | None = None) -> str:
        """What a template says. ``blame``: the template that a message names, by default this one.

        Raises:
            DesignError: the template is missing, is none, or names what it is not given.
        """
        try:
            return self.jinja.get_template(name).render(values)
        except TemplateError as error:
            where = self.folder or "templates"
            raise DesignError(f"{where}: {blame or name} cannot be rendered ({error}).") from error


def templates(folder: Path | None = None, sections: Iterable[Section] = ()) -> Templates:
    """A team's templates first, then ours and those that sections bring; the latter also under ``shipped/``.

    Raises:
        DesignError: there is no such folder.
    """
    if folder is not None and not folder.is_dir():
        raise DesignError(f"{folder}: no such folder. Give the folder of your templates.")
    return Templates(folder, _environment(folder, _texts(list(sections))))


@lru_cache(maxsize=8)
def _environment(folder: Path | None, texts: Texts) -> Environment:
    ours = ChoiceLoader([PackageLoader("tolerance", "templates"), DictLoader(dict(texts))])
    theirs = [] if folder is None else [FileSystemLoader(folder)]
    made = Environment(
        loader=ChoiceLoader([*theirs, PrefixLoader({"shipped": ours}), ours]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters.update(FILTERS)
    return made


def _texts(sections: Sequence[Section]) -> Texts:
    """The templates that sections bring: their own, and a page in which each is a block that a team may replace."""
    own = [(section_template(one.id), text) for one in sections if (text := one.source) is not None]
    blocks = "".join(map(_block, sections))
    page = f'{{% extends "shipped/base.html.j2" %}}\n{{% block sections %}}\n{blocks}{{% endblock %}}\n'
    return ((BLOCKS, page), *own)


def _block(section: Section) -> str:
    """A section as a block; an empty line after each of ours, while others leave no trace where they say nothing."""
    line = f"{{% block {section.id} %}}{{{{ sections['{section.id}'] }}}}{{% endblock %}}\n"
    return f"{line}\n" if section.title and section.template is None else line


def section_template(name: str) -> str:
    """Where a section's template is looked for."""
    return f"sections/{name}.html.j2"


@cache
def shipped(name: str) -> str:
    """A file of our templates."""
    return files("tolerance").joinpath("templates", name).read_text(encoding="utf-8")
