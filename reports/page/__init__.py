"""Findings -> one self-contained page: no outside resource, the numbers inside, and under 1 KB of script or none.

    from tolerance.reports.page import render, write
    render(report)                              # the benchmark report card
    render(report, kind="comparison")           # A against B, from the report's conclusions
    render(audit, kind="audit")                 # one claim, or several

What a finding's state says is not to be read is taken out before anything is rendered. Sections say what stands on the
page (`tolerance.reports.sections`); templates place and escape it.
"""

from tolerance.reports.page.figure import panel_svg, svg_style
from tolerance.reports.page.files import schema, write
from tolerance.reports.page.rendering import Kind, render

__all__ = ["Kind", "panel_svg", "render", "schema", "svg_style", "write"]
