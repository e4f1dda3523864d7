"""Every figure of a report as a file of its own, for papers: SVG with its colours inside, PNG where a browser is.

from tolerance.reports.pictures import figures
pictures.write(report, Path("figures"))
"""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from markupsafe import escape

from tolerance.errors import StoreError
from tolerance.findings import Report
from tolerance.reports import page
from tolerance.reports.pictures import screenshot
from tolerance.reports.svg import panels
from tolerance.reports.withhold import withhold

# Pixels of a PNG for each unit of the SVG.
SCALE = 4
LEGEND = 18.0


def svgs(report: Report) -> Iterator[tuple[str, str]]:
    """File name and standalone SVG of every panel, its title and legend inside."""
    for panel in panels.panels(withhold(report)):
        yield f"{panel.id}-{_slug(panel.title)}.svg", _standalone(panel)


def write(report: Report, folder: Path) -> list[Path]:
    """Write the figures of a report into a folder; returns their paths, PNGs only where chromium is installed.

    Raises:
        StoreError: the folder cannot be written to.
    """
    drawn: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in svgs(report):
            path = folder / name
            path.write_text(text, encoding="utf-8")
            drawn.append(path)
    except OSError as error:
        raise StoreError(f"{folder}: figures cannot be written ({error}). Give a folder that can be.") from error
    if any(map(shutil.which, screenshot.BROWSERS)):
        drawn += [_png(path) for path in list(drawn)]
    return drawn


def _standalone(panel: panels.Panel) -> str:
    """The panel as it stands in the page, under its title and a legend, with light colours and white behind."""
    drawing = page.panel_svg(panel)
    body = drawing[drawing.index(">") + 1 : drawing.rindex("</svg>")]
    top = 22 + LEGEND * len(panel.series)
    height = top + panel.height
    legend = "".join(
        f'<g class="m{one.style}" transform="translate(8 {26 + LEGEND * i})"><path class="line" d="M0 6H32"/>'
        f'<path class="point" d="{one.marker}" transform="translate(16 6)"/>'
        f'<text class="legend" x="42" y="10">{escape(one.method)}: {escape(one.said)}</text></g>'
        for i, one in enumerate(panel.series)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {panels.WIDTH:g} {height:g}" '
        f'width="{panels.WIDTH:g}" height="{height:g}" role="img" '
        f'aria-labelledby="{panel.id}-title {panel.id}-desc">'
        f"<style>{page.svg_style()}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/><text class="name" x="8" y="16">{escape(panel.title)}</text>'
        f'{legend}<g transform="translate(0 {top:g})">{body}</g></svg>\n'
    )


def _png(svg: Path) -> Path:
    """A screenshot of the SVG at several pixels a unit."""
    text = svg.read_text(encoding="utf-8")
    width, height = (round(SCALE * float(size)) for size in re.findall(r' (?:width|height)="([\d.]+)"', text)[:2])
    with tempfile.TemporaryDirectory() as folder:
        holder = Path(folder) / "figure.html"
        large = re.sub(r' width="[\d.]+" height="[\d.]+"', f' width="{width}" height="{height}"', text, count=1)
        holder.write_text(
            f"<!DOCTYPE html><meta charset=utf-8><style>body{{margin:0}}svg{{display:block}}</style>{large}",
            encoding="utf-8",
        )
        return screenshot.take(holder, svg.with_suffix(".png"), width=width, height=height)


def _slug(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "figure"
