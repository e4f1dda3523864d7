"""The sections of a report's page, a file each: what a section says and where it stands.

`SECTIONS` is their one list. It is the order of the page and of its contents, and the door for sections of others.
"""

from collections.abc import Sequence

from tolerance.findings import Plot
from tolerance.plugins import Registry
from tolerance.reports.sections import (
    axes,
    budgets,
    checks,
    comparisons,
    contrasts,
    copy,
    curves,
    cut,
    data,
    glossary,
    held,
    instant,
    limits,
    methods,
    plots,
    provenance,
    thresholds,
    verdicts,
)
from tolerance.reports.sections.section import Section, placed

OURS = (
    verdicts.SECTION,
    cut.SECTION,
    held.SECTION,
    curves.SECTION,
    thresholds.SECTION,
    comparisons.SECTION,
    contrasts.SECTION,
    budgets.SECTION,
    axes.SECTION,
    instant.SECTION,
    data.SECTION,
    checks.SECTION,
    methods.SECTION,
    limits.SECTION,
    provenance.SECTION,
    copy.SECTION,
    glossary.SECTION,
)
SECTIONS: Registry[Section] = Registry(
    "tolerance.sections",
    "report section",
    lambda thing: isinstance(thing, Section),
    {one.id: one for one in OURS},
)


def sections(given: Sequence[Plot] = ()) -> list[Section]:
    """Every section in the order of the page, those of others in the places that they state."""
    return placed([*(SECTIONS[name] for name in SECTIONS), plots.section(given)])
