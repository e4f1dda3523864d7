"""What rows took: pairs by phase and entries of the cache, in closed form from what each row kept."""

from collections.abc import Sequence

import torch

from tolerance.runners.attention.cache import KeptCache
from tolerance.runners.decoding.batching import Job
from tolerance.runners.decoding.generate import Entries, PhasePairs
from tolerance.runners.models.load import LoadedModel


def tallies(
    loaded: LoadedModel,
    windows: Sequence[int | None],
    cache: KeptCache,
    jobs: list[Job],
    counts: list[torch.Tensor],
    ends: torch.Tensor,
    lengths: torch.Tensor,
    n_tokens: torch.Tensor,
) -> list[tuple[PhasePairs, PhasePairs, Entries]]:
    """Pairs of each row by phase and entries, in closed form; where windows forget, from the kept positions."""
    config = loaded.model.config.get_text_config()
    # positions of all queries after the end of compression, and of the one that would come next
    span = int((lengths - ends).max()) + int(n_tokens.max())
    at = ends[:, None] + torch.arange(span)
    kept, seen = torch.zeros_like(at), torch.zeros_like(at)
    dense, held = torch.zeros_like(ends), torch.zeros_like(ends)
    for layer, window in enumerate(windows):
        heads = counts[0].shape[2]
        own = torch.stack([counts[job.condition][layer, job.row].sum() for job in jobs])
        if window is None:
            left = own[:, None].expand_as(at)
            new, all_seen = at - ends[:, None] + 1, at + 1
            dense += heads * (ends * (ends + 1) // 2)
            held += heads * ends
        else:
            device = loaded.device
            left = cache.kept_after(layer, _padded(at, cache.rows).to(device) - window + 1).cpu()[: len(jobs)]
            new, all_seen = (at - ends[:, None] + 1).clamp(max=window), (at + 1).clamp(max=window)
            inside = ends.clamp(max=window)
            dense += heads * (inside * (inside + 1) // 2 + (ends - inside) * window)
            held += heads * ends.clamp(max=window - 1)
        kept += left + heads * new
        seen += heads * all_seen
    group = config.num_attention_heads // counts[0].shape[2]
    rows = []
    for i, job in enumerate(jobs):
        asked, steps = int(lengths[i] - ends[i]), int(n_tokens[i]) - 1
        prompt, answer = slice(0, asked), slice(asked, asked + steps)
        read_kept, read_seen = int(kept[i, prompt].sum()), int(seen[i, prompt].sum())
        # without the query's own entry, which the next one would bring
        last = int(kept[i, asked + steps]) - len(windows) * counts[0].shape[2]
        rows.append(
            (
                PhasePairs(group * (int(dense[i]) + read_kept), group * (int(dense[i]) + read_seen)),
                PhasePairs(group * int(kept[i, answer].sum()), group * int(seen[i, answer].sum())),
                Entries(int(counts[job.condition][:, job.row].sum()), int(held[i]), last, int(ends[i])),
            )
        )
    return rows


def _padded(rows: torch.Tensor, n: int) -> torch.Tensor:
    return torch.cat([rows, rows[:1].expand(n - len(rows), -1)]) if n > len(rows) else rows
