"""The tables of docs/runner-speed.md, from what the benchmarks left beside this file.

python -m benchmarks.runner.table
"""

import csv
import json
from pathlib import Path

HERE = Path(__file__).parent


def levels(found: dict) -> str:
    model, items = f"{found['model']} at {found['tokens']:,}", found["items"]
    ours, single, batched = (
        found["seconds_ours"],
        found["seconds_naive_single_all_items"],
        found["seconds_naive_batched"],
    )
    return (
        f"| {model} | {found['conditions']} x {items} | {ours:.1f} | {single:.0f} | {batched:.0f} | "
        f"{single / ours:.0f} | {batched / ours:.1f} |"
    )


def ties(found: dict) -> list[str]:
    names = {
        "ours_against_naive_batched": "ours, naive in batches",
        "ours_against_naive_single": "ours, naive one at a time",
        "naive_batched_against_single": "naive in batches, one at a time",
        "float32_against_naive": "float32: ours, naive in batches of 4",
    }
    rows = []
    for key, name in names.items():
        if key in found:
            leads = found[key]["leads"]
            within = [sum(lead <= most for lead in leads) for most in (0.0, 0.125, 0.25)]
            counts = " | ".join(map(str, [found[key]["differ"], *within]))
            rows.append(f"| {found['model']} | {name} | {found[key]['of']} | {counts} | {max(leads, default=0):g} |")
    return rows


def prefills(found: dict) -> list[str]:
    top = found["ceiling_flops_per_second"]
    return [
        f"| {found['model']}{name} | {e['rows']} x {e['tokens']:,} | {1e3 * e['seconds']:.0f} | "
        f"{e['flops_per_second'] / 1e12:.0f} | {e['flops_per_second'] / top:.0%} |"
        for name, key in (("", "prefill"), (", fused", "prefill_fused"))
        for e in found.get(key, [])
        if key in found and not (name == "" and "prefill_fused" in found)
    ]


def parts(found: dict) -> str:
    took = found["parts"]
    known = took["reading"] + took["ranking"]
    whole = took["whole_once_captured"]
    return (
        f"| {found['model']} | {took['rows']} | {took['reading']:.2f} | {took['ranking']:.2f} | {whole - known:.2f} | "
        f"{whole / known:.1f} |"
    )


def blocks(rows: list[dict]) -> list[str]:
    lines = []
    for row in rows:
        over = f"{float(row['over_proportional']):.2f}" if row["over_proportional"] else "-"
        lines.append(
            f"| {row['what']} | {float(row['density']):.3f} | {float(row['ms']):.2f} | {float(row['dense_ms']):.2f} | "
            f"{float(row['speedup']):.2f} | {over} |"
        )
    return lines


def main() -> None:
    found = [json.loads((HERE / f"speed-{name}.json").read_text()) for name in ("smollm2", "llama-1b", "smollm2-fused")]
    print("| model | conditions x items | ours, s | naive one at a time, s | naive batched, s | times | times |")
    print("|---|---|---|---|---|---|---|")
    print(*map(levels, found[:2]), sep="\n")
    print("\n| model | compared | answers | differ | lead 0 | up to .125 | up to .25 | largest |")
    print("|---|---|---|---|---|---|---|---|")
    print(*(line for one in found[:2] for line in ties(one)), sep="\n")
    print("\n| model | items | reading, s | ranking, s | copying and decoding, s | times at most |")
    print("|---|---|---|---|---|---|")
    print(*map(parts, found[:2]), sep="\n")
    print("\n| model | rows x tokens | ms | TFLOP/s | of the ceiling |\n|---|---|---|---|---|")
    print(*(line for one in found for line in prefills(one)), sep="\n")
    with (HERE / "blocks.csv").open() as file:
        print("\n| what | density | ms | dense, ms | times | over proportional |\n|---|---|---|---|---|---|")
        print(*blocks(list(csv.DictReader(file))), sep="\n")


if __name__ == "__main__":
    main()
