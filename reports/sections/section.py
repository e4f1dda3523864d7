"""What a section of a report's page is, and where it stands.

from tolerance.reports.sections import SECTIONS, Section

SECTIONS.register("energy")(
Section(id="energy", title="Energy", rows=lambda report: report.extra.get("energy"), template=TEXT, after="data")
)
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.resources.abc import Traversable

from tolerance.errors import DesignError
from tolerance.findings import Report


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section: its place in page and contents, what it says of a report, and the template that places it.

    Attributes:
        id: its anchor, and the name of its block and of its template.
        title: its name in the contents. A section without one is a note: it has no heading and is not in the contents.
        rows: report -> what the template may name, as a dataclass or a mapping; None where the page lacks this section.
        heading: what stands above it, by default the title; or a function of the report that says it.
        template: what stands below the heading, as text or as a file; by default ``templates/sections/<id>.html.j2``.
        after: id of the section that it follows; by default it comes last.
    """

    id: str
    title: str
    rows: Callable[[Report], object]
    heading: str | Callable[[Report], str] = ""
    template: str | Traversable | None = None
    after: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9_]*", self.id):
            raise DesignError(f"report section {self.id!r}: an id has small letters, digits and _ alone.")

    @property
    def source(self) -> str | None:
        """The text of a template that is not ours."""
        if self.template is None or isinstance(self.template, str):
            return self.template
        return self.template.read_text(encoding="utf-8")

    def headed(self, report: Report) -> "Section":
        """The section with the heading that a report gives it."""
        return self if isinstance(self.heading, str) else replace(self, heading=self.heading(report))

    def values(self, report: Report) -> dict[str, object] | None:
        """Names and values that the template gets; None where the page does not have this section.

        Raises:
            DesignError: ``rows`` gave neither a dataclass nor a mapping nor None.
        """
        rows = self.rows(report)
        if rows is None:
            return None
        if is_dataclass(rows):
            return {field.name: getattr(rows, field.name) for field in fields(rows)}
        if isinstance(rows, Mapping):
            return dict(rows)
        kind = type(rows).__name__
        raise DesignError(f"report section {self.id!r}: its rows are a {kind}. Give a dataclass, a mapping, or None.")


def placed(sections: Iterable[Section]) -> list[Section]:
    """Sections in the order of the page: as they come, and each that follows another directly after it.

    Raises:
        DesignError: two have one id, or one follows what is not there.
    """
    waiting, order = list(sections), list[Section]()
    while waiting:
        known = {one.id: i for i, one in enumerate(order)}
        if twice := [one.id for one in waiting if one.id in known]:
            raise DesignError(f"report section {twice[0]!r} is there twice. Give yours another id.")
        found = next((one for one in waiting if one.after is None or one.after in known), None)
        if found is None:
            lost = waiting[0]
            raise DesignError(f"report section {lost.id!r} follows {lost.after!r}. There is: {', '.join(known)}.")
        waiting.remove(found)
        order.insert(len(order) if found.after is None else known[found.after] + 1, found)
    return order
