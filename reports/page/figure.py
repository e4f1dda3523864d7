"""One panel alone: its SVG as it stands in the page, and the rules of the page's style sheet that it needs."""

from tolerance.reports.page.environment import shipped, templates
from tolerance.reports.svg.panels import Panel


def panel_svg(panel: Panel) -> str:
    """The SVG of one panel."""
    template = templates().jinja.get_template("_panel.svg.j2")
    return str(template.make_module().panel(panel))  # type: ignore[attr-defined]


def svg_style() -> str:
    """The rules that a figure needs when it stands alone: light colours, and those of its own classes."""
    css = shipped("report.css")
    colours = css[css.index(":root {") : css.index("@media screen")]
    methods = css[css.index(".m1 {") : css.index("/* Page */")]
    marks = css[css.index("svg text {") : css.index("@media (min-width: 1080px)")]
    marks = marks[: marks.index("/* Verdicts */")]
    return f"{colours}{methods}{marks}.name {{ font-size: 13px; font-weight: 650; fill: var(--fg); }}"
