"""A Llama's forward pass for training: two functions, compiled once, serve every layer of every size.

What stands between them is torch's own attention. Rows times tokens of a batch is the same for all widths, so that
one compiled shape serves all. `difference` compares with the pass of transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel

HALF = torch.bfloat16


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return (x * cos + torch.cat([-b, a], -1) * sin).to(HALF)


def _before(
    x: Tensor, cos: Tensor, sin: Tensor, norm: Tensor, q: Tensor, k: Tensor, v: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values ``(token, head, width)``, ``(token, all)`` for values; weights stay in float32."""
    h = _norm(x, norm, eps).to(HALF)
    width = cos.shape[-1]
    queries, keys = ((h @ w.to(HALF).T).view(len(x), -1, width).float() for w in (q, k))
    return _turned(queries, cos, sin), _turned(keys, cos, sin), h @ v.to(HALF).T


def _after(x: Tensor, a: Tensor, norm: Tensor, o: Tensor, gate: Tensor, up: Tensor, down: Tensor, eps: float) -> Tensor:
    """The residual stream behind a layer's attention and its MLP."""
    x = x + (a @ o.to(HALF).T).float()
    h = _norm(x, norm, eps).to(HALF)
    return x + ((F.silu(h @ gate.to(HALF).T) * (h @ up.to(HALF).T)) @ down.to(HALF).T).float()


@dataclass(frozen=True)
class Pass:
    """The forward pass, as it is or compiled."""

    before: Callable[..., tuple[Tensor, Tensor, Tensor]] = _before
    after: Callable[..., Tensor] = _after

    @classmethod
    def compiled(cls, backend: str = "inductor") -> "Pass":
        """Compiled for one number of tokens."""
        return cls(*(torch.compile(f, dynamic=False, backend=backend) for f in (_before, _after)))

    def hidden(self, model: PreTrainedModel, ids: Tensor) -> Tensor:
        """The last hidden states ``(row x token, width)`` of token ids ``(row, token)``."""
        rows, n = ids.shape
        config, body = model.config, model.model
        eps, groups = config.rms_norm_eps, config.num_attention_heads // config.num_key_value_heads
        width = config.hidden_size // config.num_attention_heads
        x = body.embed_tokens(ids).flatten(0, 1)
        cos, sin = _rotation(config.rope_parameters["rope_theta"], width, rows, n, ids.device)
        for layer in body.layers:
            s, m = layer.self_attn, layer.mlp
            weights = layer.input_layernorm.weight, s.q_proj.weight, s.k_proj.weight, s.v_proj.weight
            q, k, v = self.before(x, cos, sin, *weights, eps)
            q, k, v = (y.view(rows, n, -1, width).transpose(1, 2) for y in (q, k, v))
            k, v = (y.repeat_interleave(groups, 1) for y in (k, v))
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(rows * n, -1)
            weights = s.o_proj.weight, m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight
            x = self.after(x, a, layer.post_attention_layernorm.weight, *weights, eps)
        return _norm(x, body.norm.weight, eps)

    def logits(self, model: PreTrainedModel, ids: Tensor, at: Tensor) -> Tensor:
        """Logits behind the tokens at ``at`` (of all rows in one line)."""
        return self.hidden(model, ids)[at].to(HALF) @ model.get_output_embeddings().weight.to(HALF).T


def _rotation(theta: float, width: int, rows: int, n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    frequency = 1 / (theta ** (torch.arange(0, width, 2, device=device).float() / width))
    angle = (torch.arange(n, device=device)[:, None] * frequency).repeat(rows, 2)
    return angle.cos()[:, None], angle.sin()[:, None]


@torch.no_grad()
def difference(model: PreTrainedModel, ids: Tensor) -> float:
    """Largest difference from transformers' own logits, in parts of the largest logit."""
    theirs = model(ids).logits.float().flatten(0, 1)
    ours = Pass().logits(model, ids, torch.arange(ids.numel(), device=ids.device)).float()
    return float((theirs - ours).abs().max() / theirs.abs().max())


def shrink(model: PreTrainedModel, n_layers: int) -> PreTrainedModel:
    """Fewer layers, evenly spaced, the first and the last kept; in place."""
    layers = model.model.layers
    if n_layers < len(layers):
        kept = [round(i * (len(layers) - 1) / (n_layers - 1)) for i in range(n_layers)]
        model.model.layers = torch.nn.ModuleList([layers[i] for i in kept])
        for i, layer in enumerate(model.model.layers):
            layer.self_attn.layer_idx = i
        model.config.num_hidden_layers = n_layers
    return model
