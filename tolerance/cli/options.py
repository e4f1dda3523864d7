"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
WithoutDense = Annotated[
    bool, typer.Option("--without-dense", help="Accept outcomes with no dense baseline: accuracy by level alone.")
]
Retention = Annotated[float, typer.Option(help="Share of dense accuracy above the floor that must be kept.")]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Instead of --retention: accuracy points below dense that may be lost, 0.02 for two percent points."
    ),
]
AssumeItems = Annotated[
    int | None,
    typer.Option(min=1, help="Items behind every published mean that came without a number: a sensitivity analysis."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the sampler; follows from the data unless given.")]
PageFolder = Annotated[Path | None, typer.Option("--out", "-o", help="Also write a page and its numbers there.")]
Script = Annotated[
    bool, typer.Option("--script/--no-script", help="Buttons to save numbers; --no-script for pages sent by mail.")
]
TemplateDir = Annotated[
    Path | None, typer.Option(help="Folder of your templates, looked into first (docs/reports.md).")
]
Cores = Annotated[int, typer.Option(min=1, help="CPU cores for sampling.")]
