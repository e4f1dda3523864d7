"""Block-sparse prefill that really skips what is dropped: compiled `flex_attention` over a table of kept blocks.

Blocks before the diagonal are whole, so they are passed as full blocks, without a mask; only diagonal ones are masked.
Uncompiled, flex_attention ignores the table and silently attends to everything. torch falls back to just that once it
has compiled one function for too many shapes, so here a pass that cannot be compiled whole is an error. The masked path
is the oracle (`benchmarks/runner/blocks.py` compares them on a GPU).
"""

import functools
from typing import Any

import torch
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from tolerance.errors import RunnerError

# What flex_attention's kernel takes blocks in.
BLOCK = 128


# Shapes that one process may meet; each is compiled once, for some seconds.
SHAPES = 256


@functools.cache
def _compiled() -> Any:  # noqa: ANN401 - what torch.compile returns
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, SHAPES)
    # fullgraph: no falling back to the uncompiled function, whatever the reason
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def _causal(row: torch.Tensor, head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    return query >= key


def _fastest(query: torch.Tensor) -> dict[str, Any]:
    """Bulk copies where the device has them (measured in docs/runner-speed.md)."""
    return {"USE_TMA": True} if query.is_cuda and torch.cuda.get_device_capability(query.device) >= (9, 0) else {}


def table(kept: torch.Tensor, n: int) -> BlockMask:
    """The kept blocks ``(row, head, query block, key block)`` of ``n`` tokens, for flex_attention."""
    own = torch.eye(kept.shape[-1], dtype=torch.bool, device=kept.device)
    masked, whole = (_listed(blocks) for blocks in (kept & own, kept & ~own))
    return BlockMask.from_kv_blocks(
        *masked, *whole, BLOCK_SIZE=BLOCK, mask_mod=_causal, seq_lengths=(n, n), compute_q_blocks=False
    )


def _listed(blocks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many blocks each block of queries has, and which, these first."""
    order = torch.sort(blocks.to(torch.uint8), dim=-1, descending=True, stable=True).indices
    return blocks.sum(-1, dtype=torch.int32), order.to(torch.int32)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    kept: torch.Tensor,
    scaling: float,
    options: dict[str, Any] | None = None,
) -> torch.Tensor:
    """Causal attention over kept blocks of `BLOCK` ``(row, head, query, dim)``; every row keeps its own block.

    Raises:
        RunnerError: the kernel cannot be compiled.
    """
    try:
        out: torch.Tensor = _compiled()(
            query,
            key,
            value,
            block_mask=table(kept, query.shape[2]),
            scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
            kernel_options={"ROWS_GUARANTEED_SAFE": True, **_fastest(query), **(options or {})},
        )
    except (TorchDynamoException, FailOnRecompileLimitHit) as error:
        raise RunnerError(
            f"block-sparse attention over {query.shape[2]} tokens cannot be compiled here "
            f"({type(error).__name__}: {str(error).strip().splitlines()[0]}). Use blocks of another size than {BLOCK}, "
            "which takes the masked path, or restart to compile for fewer shapes."
        ) from error
    return out
