"""Claims of a level: where a share and a number of tokens say different things."""

from collections.abc import Iterator
from itertools import combinations

from tolerance import findings
from tolerance.auditing.parts import HeldClaim


def reversals(held: HeldClaim) -> Iterator[findings.Reversal]:
    """Tasks that need more as a share and less in tokens, by model and method."""
    for (model, method), mine in held.cells.groupby(["model", "method"], sort=True):
        means = mine.groupby("task")[["score", "kv_tokens"]].mean()
        share, tokens = means["score"], means["kv_tokens"]
        for a, b in combinations(share.index, 2):
            if (share[a] - share[b]) * (tokens[a] - tokens[b]) < 0:
                yield findings.Reversal(
                    within=f"{method}, {model}",
                    first=str(a),
                    second=str(b),
                    axis="sparsity fraction",
                    other="KV tokens",
                    on_axis=[float(share[a]), float(share[b])],
                    on_other=[float(tokens[a]), float(tokens[b])],
                )
