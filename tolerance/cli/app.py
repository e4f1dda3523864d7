"""The command: its commands in the order of `tolerance --help`. Each imports what it does when it does it."""

import sys

import typer

from tolerance.cli.audit import audit
from tolerance.cli.collect import collect
from tolerance.cli.compare import compare
from tolerance.cli.console import console, plain
from tolerance.cli.demo import demo
from tolerance.cli.fit import fit
from tolerance.cli.import_logs import import_
from tolerance.cli.models import fetch_model
from tolerance.cli.quick import quick
from tolerance.cli.report import report
from tolerance.cli.show import show
from tolerance.errors import ToleranceError

app = typer.Typer(
    name="tolerance",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="How much sparsity does a language model tolerate, by task type, and what was held constant?",
)

models = typer.Typer(no_args_is_help=True, help="Pretrained models that can be had without a model hub.")
app.add_typer(models, name="models")

app.command(epilog="Example: tolerance demo --out tolerance-demo")(demo)
app.command(epilog="Example: tolerance collect plan.yaml --out run")(collect)
app.command("import", epilog="Example: tolerance import answers.parquet --mapping kvpress-ruler --out run")(import_)
app.command(epilog="Example: tolerance fit run --out analysis")(fit)
app.command(epilog="Example: tolerance quick run")(quick)
app.command(epilog="Example: tolerance compare snapkv@0.9 dense --analysis analysis --hold compute,params,kv")(compare)
app.command(epilog="Example: tolerance audit snapkv-92 --evidence cells.csv")(audit)
app.command(epilog="Example: tolerance report analysis --out report")(report)
app.command(epilog="Example: tolerance show run --json")(show)
models.command("fetch", epilog="Example: tolerance models fetch smollm2")(fetch_model)


def main() -> None:
    """Run the command; errors about input or machine are one clear line and exit code 1."""
    try:
        app()
    except ToleranceError as error:
        console(stderr=True).print(f"[bold red]error:[/] {plain(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(1)
