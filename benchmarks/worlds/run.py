"""How often conclusions are right where the truth is known. `python -m benchmarks.worlds.run --help`.

One line of results a data set, appended as it is finished, so that a run can be cut short and gone on with.

    python -m benchmarks.worlds.run --sets 100 --posterior cellwise --out benchmarks/worlds/cellwise.csv
    python -m benchmarks.worlds.run --sets 100 --posterior mended --out benchmarks/worlds/mended.csv
    python -m benchmarks.worlds.run --table benchmarks/worlds/cellwise.csv benchmarks/worlds/mended.csv
"""

import argparse
import csv
import time
from pathlib import Path

import pandas as pd

from benchmarks.worlds.cellwise import Cellwise
from benchmarks.worlds.worlds import WORLDS, World, difference, right, simulate
from tolerance.axes.table import by_key
from tolerance.comparison.arms import parse
from tolerance.comparison.compare import Rules, compare
from tolerance.comparison.posterior import Fitted, Posterior
from tolerance.data.outcomes import validate
from tolerance.diagnostics import checks
from tolerance.diagnostics.refit import refitted
from tolerance.estimands.curves import type_curves
from tolerance.findings import Conclusions
from tolerance.inference.fit import fit
from tolerance.inference.settings import Settings

AXES = "compute,params,context,sparsity"
FIELDS = [
    "world",
    "seed",
    "n_items",
    "task_type",
    "axis",
    "verdict",
    "true",
    "label",
    "flip",
    "naive",
    "passed",
    "positive",
    "equivalent",
]


def posterior(outcomes: pd.DataFrame, kind: str, seed: int) -> Posterior | None:
    """Draws for one data set; None where the fit failed its checks. ``mended`` fits again as an analysis does."""
    if kind == "cellwise":
        return Cellwise.of(outcomes, seed=seed)
    if kind == "mended":
        done = refitted(outcomes, Settings(cores=1))
        return Fitted(done.fit) if checks.trustworthy(done.checks) else None
    fitted = fit(outcomes, settings=Settings(cores=1))
    passed = checks.trustworthy(checks.check(fitted, type_curves(fitted)))
    return Fitted(fitted) if passed else None


def rows(world: World, found: Conclusions, seed: int, n_items: int) -> list[dict[str, object]]:
    """One row for each task type and axis of which the truth is known."""
    return [
        {
            "world": world.name,
            "seed": seed,
            "n_items": n_items,
            "task_type": conclusion.task_type,
            "axis": one.axis,
            "verdict": one.verdict,
            "true": difference(world, seed, conclusion.task_type, one.axis),
            "label": conclusion.label,
            "flip": conclusion.prob_flip,
            "naive": conclusion.naive,
            "passed": found.fit_passed,
            "positive": one.prob_positive,
            "equivalent": one.prob_equivalent,
        }
        for conclusion in found.conclusions
        for one in conclusion.axes
        if one.axis in world.axes
    ]


def run(args: argparse.Namespace) -> None:
    """Worlds in turn, one data set after the other, until the sets or the budget are used up."""
    done = set()
    if args.out.is_file():
        seen = pd.read_csv(args.out)
        done = set(zip(seen["world"], seen["seed"], strict=True))
    with args.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if not done:
            writer.writeheader()
        for seed in range(args.first, args.first + args.sets):
            for world in WORLDS:
                if (world.name, seed) in done:
                    continue
                if time.process_time() > 60 * args.cpu_minutes:
                    return
                outcomes = validate(simulate(world, n_items=args.items, seed=seed))
                found = compare(
                    outcomes,
                    posterior(outcomes, args.posterior, seed),
                    parse(world.treatment),
                    parse(world.reference),
                    Rules(axes=by_key(AXES)),
                )
                writer.writerows(rows(world, found, seed, args.items))
                file.flush()


def table(path: Path) -> str:
    """A Markdown table of one file of results."""
    seen = pd.read_csv(path)
    lines = [
        "| world | sets | fits that passed | decisive | right | wrong | `no overlap` found | axis-dependent | robust |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for world in WORLDS:
        mine = seen[seen["world"] == world.name]
        if mine.empty:
            continue
        passed = mine[mine["passed"]]
        decisive = passed[passed["verdict"].isin(["better", "worse", "equivalent"])]
        true = [None if pd.isna(one) else float(one) for one in decisive["true"]]
        n_right = sum(right(str(verdict), one) for verdict, one in zip(decisive["verdict"], true, strict=True))
        nowhere = passed[passed["true"].isna()]
        missed = (nowhere["verdict"] != "no overlap").sum()
        labels = passed.drop_duplicates(["seed", "task_type"])["label"]
        said = passed[passed["true"].notna()].groupby(["seed", "task_type"])["verdict"].agg(frozenset)
        robust = sum(len(verdicts) == 1 and "undecided" not in verdicts for verdicts in said)
        lines.append(
            f"| {world.name}: {world.about} | {mine['seed'].nunique()} | {passed['seed'].nunique()} | "
            f"{len(decisive)} of {len(passed) - len(nowhere)} | {n_right} ({n_right / max(len(decisive), 1):.1%}) | "
            f"{len(decisive) - n_right} | {f'{len(nowhere) - missed} of {len(nowhere)}' if len(nowhere) else '-'} | "
            f"{(labels == 'axis-dependent').sum()} of {len(labels)} | {robust} of {len(labels)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, or print tables of what was run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--posterior", choices=["cellwise", "fit", "mended"], default="cellwise")
    parser.add_argument("--cpu-minutes", type=float, default=1e9)
    parser.add_argument("--out", type=Path, default=Path("worlds.csv"))
    parser.add_argument("--table", type=Path, nargs="+")
    args = parser.parse_args()
    if args.table:
        for path in args.table:
            print(f"{path.name}\n\n{table(path)}\n")
    else:
        run(args)


if __name__ == "__main__":
    main()
