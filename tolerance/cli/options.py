"""Options that several commands share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
WithoutDense = Annotated[
    bool, typer.Option("--without-dense", help="Accept outcomes with no dense baseline: accuracy by level alone.")
]
LevelsAreSparsity = Annotated[
    bool,
    typer.Option("--levels-are-sparsity", help="Accept that accuracy rises with the level: it is what was removed."),
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
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", envvar="TOLERANCE_QUIET", help="Print the result and errors, nothing else."),
]
Script = Annotated[
    bool, typer.Option("--script/--no-script", help="Buttons to save numbers; --no-script for pages sent by mail.")
]
TemplateDir = Annotated[
    Path | None, typer.Option(help="Folder of your templates, looked into first (docs/reports.md).")
]
Cores = Annotated[int, typer.Option(min=1, help="CPU cores for sampling.")]


@dataclass(frozen=True)
class AnswerOptions:
    """How an answer is given that is printed, and written as a page where one asks for it."""

    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also write a page and its numbers there.")] = None
    script: Script = True
    template_dir: TemplateDir = None
    as_json: AsJson = False
