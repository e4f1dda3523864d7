"""Plots of the draws, which a caller gives beside a report."""

from collections.abc import Sequence
from dataclasses import dataclass

from tolerance.findings import Plot
from tolerance.reports.sections.section import Section


@dataclass(frozen=True)
class Values:
    """The plots: name, what each shows in words, and the image in base64."""

    plots: Sequence[Plot]


def section(plots: Sequence[Plot]) -> Section:
    """The section that shows these plots; the page does not have it where there are none."""
    return Section(
        id="plots",
        title="Plots of the draws",
        rows=lambda _: Values(plots) if plots else None,
        after="checks",
    )
