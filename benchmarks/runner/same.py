"""Every method on a CPU and on CUDA, steps captured there: the same rows in float32?

    python -m benchmarks.runner.same --items 16

The shipped model, every method, three levels; the words dialect with eight tokens to generate, so that steps are taken.
Then patterns of blocks on random queries and keys, where a kernel skips blocks on CUDA: how far off the masked path,
and do they keep as many pairs?
"""

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

from tolerance.runners.attention.attention import Softmax, _attend_blocks
from tolerance.runners.attention.block_sparse import BLOCK
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.sparsifiers import EVICTIONS, PATTERNS, PRUNINGS, BlockPattern, Teal, get

KEY = ["task", "sparsifier", "sparsity_requested", "kv_budget_tokens", "item_id"]


def plan(items: int) -> Plan:
    methods = [{p.name: {"block": 16}} if issubclass(p, BlockPattern) else p.name for p in PATTERNS]
    methods += [c.name for c in EVICTIONS] + [{c.name: {"question": "visible"}} for c in EVICTIONS]
    methods += [{c.name: {"allocation": "per-head"}} for c in EVICTIONS if c.per_head]
    methods += [p.name for p in PRUNINGS] + [Teal.name]
    return Plan.make(
        models=["tiny"],
        tasks=["kv-lookup", "two-hop"],
        sparsifiers=methods,
        levels=[0, 0.5, 0.8, 0.95],
        kv_budgets=[32],
        context_lengths=[256],
        items=items,
        max_new_tokens=8,
    )


def kernels(device: str, tokens: int = 2000) -> None:
    """Attention over blocks of the kernel's size on a device, against float32 with masks on a CPU."""
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, heads, tokens, 64, generator=draw) for heads in (8, 2, 2))
    visible = torch.ones(1, 1, tokens, tokens, dtype=torch.bool).tril()
    how = Softmax(0.1, None, None)
    for name in ("block-top-k", "block-top-p", "quest"):
        for level in (0.5, 0.9):
            chooser = get(name, block=BLOCK)
            wanted, pairs = _attend_blocks(query, key, value, visible, how, chooser, level)
            moved = (part.to(device) for part in (query, key, value, visible))
            found, kept = _attend_blocks(*moved, how, chooser, level)
            off = float((found.cpu() - wanted).norm() / wanted.norm())
            print(f"{name} at {level}: off by {off:.1e}, pairs differ at {int((kept.cpu() != pairs).sum())} queries")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=16)
    parser.add_argument("--devices", nargs=2, default=["cpu", "cuda"])
    options = parser.parse_args()
    tables = []
    for number, device in enumerate(options.devices):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = collect(plan(options.items), Path(folder) / str(number), device=device)
            # as they were written: a machine that only collects need not have what checks tables
            table = pd.concat([pd.read_parquet(shard) for shard in run.shards()])
        print(f"{device}: {len(table)} rows in {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(table.sort_values(KEY, ignore_index=True))
    one, other = tables
    for column in ("answer", "score", "sparsity_realised", "kv_bytes_allocated", "flops_attention", "flops_selection"):
        print(
            f"{column}: {int(((one[column] != other[column]) & one[column].notna()).sum())} of {len(one)} rows differ"
        )
    print(one.groupby("sparsifier")["score"].mean().round(3).to_string())
    kernels(options.devices[1])
    print(torch.__version__)


if __name__ == "__main__":
    main()
