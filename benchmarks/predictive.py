"""A picture of observed accuracy against what the fitted curves predict for new answers, task by task.

    tolerance import answers.parquet --mapping kvpress-ruler --out run
    tolerance fit run --without-dense --out analysis
    python -m benchmarks.predictive analysis --out docs/predictive.svg

A line is the 90% predictive interval of a cell (task x method x level, configurations together), a mark what was
observed; a ring says that the cell is unlike its prediction. Also printed: every check, what was tried, which tasks
defeat the family. A fit whose draws are no posterior has no intervals to draw.
"""

import argparse
from html import escape
from math import log2
from pathlib import Path

from tolerance import read_report
from tolerance.findings import Predicted, Report

COLUMNS, WIDE, HIGH, PAD, TOP = 4, 230, 150, 34, 44
COLOURS = ("#1f5fa8", "#b3541e", "#2d7d46", "#7b4a9e", "#a3323f", "#5c6670")
STEP = 7.0


def picture(report: Report) -> str:
    """The whole SVG."""
    tasks = sorted({one.task for one in report.predicted})
    methods = sorted({one.sparsifier for one in report.predicted}, key=lambda name: (name != "dense", name))
    last = max(one.sparsity for one in report.predicted)
    rows = -(-len(tasks) // COLUMNS)
    keys_at = TOP + rows * (HIGH + PAD)
    width, height = COLUMNS * (WIDE + PAD) + PAD, keys_at + 16 * len(methods) + 12
    model = ", ".join(report.data.models)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{PAD}" y="22" font-size="15">{escape(model)}: observed accuracy and 90% predictive intervals</text>',
    ]
    for i, task in enumerate(tasks):
        x, y = PAD + (i % COLUMNS) * (WIDE + PAD), TOP + (i // COLUMNS) * (HIGH + PAD)
        parts += _panel(task, [one for one in report.predicted if one.task == task], methods, last, x, y)
    for i, method in enumerate(methods):
        colour = COLOURS[i % len(COLOURS)]
        y = keys_at + 16 * i
        parts.append(f'<circle cx="{PAD + 4}" cy="{y - 4}" r="3.5" fill="{colour}"/>')
        parts.append(f'<text x="{PAD + 14}" y="{y}">{escape(method)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(task: str, cells: list[Predicted], methods: list[str], last: float, x: float, y: float) -> list[str]:
    """One task: level along, accuracy up."""
    bottom = y + HIGH - 16
    scale = (WIDE - 40) / -log2(1 - last)
    out = [f'<text x="{x}" y="{y - 4}" font-weight="bold">{escape(task)}</text>']
    for share in (0.0, 0.5, 1.0):
        at = bottom - share * (HIGH - 20)
        out.append(f'<path d="M{x} {at:.1f}H{x + WIDE}" stroke="#ddd"/>')
        out.append(f'<text x="{x - 4}" y="{at + 4:.1f}" text-anchor="end" fill="#555">{share:g}</text>')
    for level in sorted({one.sparsity for one in cells}):
        at = x + 20 - log2(1 - level) * scale
        out.append(f'<text x="{at:.1f}" y="{bottom + 14}" text-anchor="middle" fill="#555">{100 * level:g}%</text>')
    for one in cells:
        place = methods.index(one.sparsifier)
        aside = STEP * (place - (len(methods) - 1) / 2) if one.sparsifier != "dense" else 0.0
        at = x + 20 - log2(1 - one.sparsity) * scale + aside
        colour = COLOURS[place % len(COLOURS)]
        if one.lower is not None and one.upper is not None:
            ends = [bottom - share * (HIGH - 20) for share in (one.lower, one.upper)]
            out.append(f'<path d="M{at:.1f} {ends[0]:.1f}V{ends[1]:.1f}" stroke="{colour}" stroke-width="2.5"/>')
        seen = bottom - one.observed * (HIGH - 20)
        out.append(f'<circle cx="{at:.1f}" cy="{seen:.1f}" r="2.6" fill="#fff" stroke="{colour}" stroke-width="1.4"/>')
        if one.unlike:
            out.append(f'<circle cx="{at:.1f}" cy="{seen:.1f}" r="6.5" fill="none" stroke="#c00" stroke-width="1.5"/>')
    return out


def told(report: Report) -> list[str]:
    """Checks, attempts, and how many observations lie inside their interval."""
    lines = [
        f"{'passed' if one.passed else 'FAILED'}: {one.name}: {one.worst:.4g} ({one.sense} {one.limit:g})"
        + ("" if one.passed else f": {one.meaning}")
        for one in report.checks
    ]
    lines += [f"tried: {one.change}: {', '.join(one.failed) or 'passed'}" for one in report.attempts]
    drawn = [one for one in report.predicted if one.lower is not None and one.upper is not None]
    inside = sum(one.lower <= one.observed <= one.upper for one in drawn)
    lines.append(f"{inside} of {len(drawn)} cells inside their 90% predictive interval")
    unlike = [one for one in report.predicted if one.unlike]
    lines += [
        f"unlike: {one.task} under {one.sparsifier} at {one.sparsity:g}: {one.observed:.3f}, p {one.p:.2g}"
        for one in unlike
    ]
    lines += [
        f"shape: {one.task_type} under {one.sparsifier}: {one.kind} ({one.probability:.3f})" for one in report.shapes
    ]
    lines += [
        f"prior felt: {one.task_type} under {one.sparsifier}: {one.leaning}"
        for one in report.sensitivities
        if one.leaning
    ]
    lines += [f"left out by {one.unit}: {one.high_k} of {one.n_units} with high k" for one in report.left_out]
    return lines


def main() -> None:
    """Draw, and print what the fit says of itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("analysis", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    report = read_report(given.analysis)
    given.out.write_text(picture(report))
    print("\n".join(told(report)))


if __name__ == "__main__":
    main()
