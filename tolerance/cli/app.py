"""The command: its commands in the order of `tolerance --help`. Each imports what it does when it does it."""

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

import tolerance
from tolerance.cli.audit import audit
from tolerance.cli.collect import collect
from tolerance.cli.command import as_command
from tolerance.cli.compare import compare
from tolerance.cli.console import hushed
from tolerance.cli.demo import demo
from tolerance.cli.fit import fit
from tolerance.cli.guard import DEBUG, guarded
from tolerance.cli.import_logs import import_
from tolerance.cli.models import fetch_model
from tolerance.cli.options import Quiet
from tolerance.cli.quick import quick
from tolerance.cli.report import report
from tolerance.cli.show import show

app = typer.Typer(
    name="tolerance",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="How much sparsity does a language model tolerate, by task type, and what was held constant?",
)
models = typer.Typer(no_args_is_help=True, help="Pretrained models that can be had without a model hub.")

# Name -> what does it, and the words of its example.
COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "demo": (demo, "--out tolerance-demo"),
    "collect": (collect, "plan.yaml --out run"),
    "import": (import_, "answers.parquet --mapping kvpress-ruler --out run"),
    "fit": (fit, "run --out analysis"),
    "quick": (quick, "run"),
    "compare": (compare, "snapkv@0.9 dense --analysis analysis --hold compute,params,kv"),
    "audit": (audit, "snapkv-92 --evidence cells.csv"),
    "report": (report, "analysis --out report"),
    "show": (show, "run --json"),
}
for name, (command, example) in COMMANDS.items():
    app.command(name, epilog=f"Example: tolerance {name} {example}")(as_command(command))
models.command("fetch", epilog="Example: tolerance models fetch smollm2")(as_command(fetch_model))
app.add_typer(models, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tolerance {tolerance.__version__}")
        raise typer.Exit


@app.callback()
def before(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: Quiet = False,
    traceback: Annotated[
        bool, typer.Option("--traceback", help=f"Of an error also print the trace, as {DEBUG}=1 does.")
    ] = False,
) -> None:
    """What holds for every command."""
    if traceback:
        os.environ[DEBUG] = "1"
    context.with_resource(hushed(quiet))


def main() -> None:
    """Run the command; whatever goes wrong is one line and exit code 1."""
    sys.exit(guarded(lambda: app(prog_name="tolerance")))
