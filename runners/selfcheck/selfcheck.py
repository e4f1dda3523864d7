"""Is what we impose exactly what we say? Run on every model before a sweep; what fails is refused by name.

The checks catch mistakes that are silent otherwise: a model that ignores our function, a mask that forgets padding,
positions that restart, future tokens that leak, level 0 that is not dense.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from tolerance.errors import RunnerError
from tolerance.runners.attention.control import imposing
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.pruning.weights import Weights
from tolerance.runners.selfcheck import activations as selfcheck_activations
from tolerance.runners.selfcheck import kv as selfcheck_kv
from tolerance.runners.selfcheck import reference
from tolerance.runners.selfcheck import weights as selfcheck_weights
from tolerance.runners.selfcheck.judge import EXACT, Judge, named
from tolerance.runners.selfcheck.upcast import computing_with, widened
from tolerance.runners.sparsifiers import AttentionPattern, Eviction, Sparsifier, Teal, WeightMethod

LENGTH, SHORT, ROWS = 48, 29, 2


@dataclass(frozen=True)
class SelfCheck:
    """What was checked: relative differences by check, and the share of layers with attention of ours.

    ``reference`` says what the differences are held against, in which precision, and how large they may be;
    ``rounding`` the same of a model in 16 bits, with the unit and the differences in that precision.
    """

    covered_layers: float
    differences: dict[str, float] = field(default_factory=dict)
    realised: dict[str, float] = field(default_factory=dict)
    dtype: str = "float32"
    reference: dict[str, Any] = field(default_factory=dict)
    rounding: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


@torch.inference_mode()
def check(loaded: LoadedModel, sparsifiers: Sequence[Sparsifier], weights: Weights | None = None) -> SelfCheck:
    """Check a model with the sparsifiers that will be used; ``weights`` is what will impose those on weights.

    A model in 16 bits is checked twice: in float32, where it must be exact, and as it is, where it must not round worse
    than transformers does.

    Raises:
        RunnerError: naming the check that failed, by how much, and what it means.
    """
    ids, dtype = _random_ids(loaded), loaded.model.dtype
    finest = dtype if dtype in EXACT else torch.float32
    ill = (lambda: reference.rounded(loaded, ids, _logits)) if finest == torch.float32 else None
    exact = own = Judge(loaded, EXACT[finest], ill)
    if dtype in EXACT:
        dense, covered = _dense(loaded, ids)
        reference.exactly(loaded, ids, dense, _logits, exact)
    else:
        truth = _in_float32(loaded, ids, sparsifiers, exact)
        dense, covered = _dense(loaded, ids)
        own = reference.rounding(loaded, ids, dense, truth, _logits)
    realised = _attention(loaded, ids, dense, sparsifiers, own)
    realised |= _linear(loaded, ids, dense, sparsifiers, weights or Weights(loaded, Calibrations(loaded)), own)
    return SelfCheck(
        covered,
        exact.differences,
        realised,
        dtype=named(dtype),
        reference=reference.said(exact, finest),
        rounding=None if own.unit is None else reference.said_of_rounding(own, own.unit),
    )


def _in_float32(
    loaded: LoadedModel, ids: torch.Tensor, sparsifiers: Sequence[Sparsifier], exact: Judge
) -> torch.Tensor:
    """The dense answer of a model of 16 bits in float32, after all that must be exact was found to be."""
    with computing_with(widened, loaded.model):
        dense, _ = _dense(loaded, ids)
        reference.exactly(loaded, ids, dense, _logits, exact)
        _attention(loaded, ids, dense, sparsifiers, exact, count=False)
    return dense


def _attention(
    loaded: LoadedModel,
    ids: torch.Tensor,
    dense: torch.Tensor,
    sparsifiers: Sequence[Sparsifier],
    judge: Judge,
    *,
    count: bool = True,
) -> dict[str, float]:
    """Padding, causality, caches, and what patterns (their sparsity if ``count``) and evictions do."""
    compare = judge.compare
    alone = _logits(loaded, ids[:1, -SHORT:])
    compare("padded batch", _padded(loaded, ids), alone, "Padding reaches the answer.")
    compare("causality", _logits(loaded, ids[:, :SHORT]), dense[:, :SHORT], "Later tokens change earlier answers.")
    compare("decoding with a cache", _stepwise(loaded, ids), dense[:, -1:], "Cached keys or positions are wrong.")
    realised = {}
    for sparsifier in sparsifiers:
        if isinstance(sparsifier, AttentionPattern):
            with imposing(sparsifier, 0.0):
                compare(f"{sparsifier.label} at level 0", _logits(loaded, ids), dense, "Level 0 must be dense.")
            if count:
                realised[sparsifier.label] = _realised_at_half(loaded, ids, sparsifier)
    evictions = [sparsifier for sparsifier in sparsifiers if isinstance(sparsifier, Eviction)]
    if evictions:
        realised |= selfcheck_kv.check(loaded, ids, dense, evictions, compare, exact=judge.unit is None)
    return realised


def _linear(
    loaded: LoadedModel,
    ids: torch.Tensor,
    dense: torch.Tensor,
    sparsifiers: Sequence[Sparsifier],
    weights: Weights,
    judge: Judge,
) -> dict[str, float]:
    """What methods on weights and on inputs of linear layers do; the dense answer must be back afterwards."""
    realised: dict[str, float] = {}
    on_weights = [sparsifier for sparsifier in sparsifiers if isinstance(sparsifier, WeightMethod)]
    if on_weights:
        realised |= selfcheck_weights.check(
            loaded, lambda: _logits(loaded, ids), dense, on_weights, weights, judge.compare
        )
    on_inputs = [sparsifier for sparsifier in sparsifiers if isinstance(sparsifier, Teal)]
    if on_inputs:
        realised |= selfcheck_activations.check(
            loaded, ids, lambda some: _logits(loaded, some), dense, on_inputs, weights.calibrations, judge.compare
        )
    return realised


def _dense(loaded: LoadedModel, ids: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Dense logits through our function, which no layer may call twice, and the share of layers that called it."""
    with imposing() as control:
        logits = _logits(loaded, ids)
    if not control.calls:
        raise RunnerError(
            f"self-check of {loaded.name} ({loaded.architecture}) failed: our attention function was never called, so "
            "nothing could be made sparse."
        )
    if max(control.calls.values()) > 1:
        raise RunnerError(
            f"self-check of {loaded.name} failed: a layer calls attention {max(control.calls.values())} times."
        )
    return logits, len(control.calls) / loaded.n_layers


def _realised_at_half(loaded: LoadedModel, ids: torch.Tensor, sparsifier: AttentionPattern) -> float:
    """Realised sparsity at level 0.5, which must be near it: budgets round up, so it lies a little below."""
    grain, least, most = sparsifier.grain, 0.4, 0.5
    if grain > 1:
        # a query keeps less than one block more than half: over eight blocks, a quarter of the pairs at most
        ids, least = ids.repeat(1, -(-8 * grain // LENGTH))[:, : 8 * grain], 0.25
        window = getattr(loaded.model.config.get_text_config(), "sliding_window", None)
        if window is not None and window < 8 * grain:
            # few blocks are seen in a window, some in part
            least, most = 0.0, 0.67
    if sparsifier.level_of == "mass":
        # how many pairs hold half of the mass is the text's affair
        least, most = 0.0, 0.99
    with imposing(sparsifier, 0.5) as control:
        _logits(loaded, ids)
    pairs = control.pairs["prefill"]
    realised = 1 - float(pairs.kept.sum()) / float(pairs.visible.sum())
    if not least <= realised <= most:
        raise RunnerError(
            f"self-check of {loaded.name} failed: {sparsifier.name} at level 0.5 realised {realised:.3f} on "
            f"{ids.shape[1]} tokens. It is not doing what it says."
        )
    return realised


def _random_ids(loaded: LoadedModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = min(loaded.model.config.get_text_config().vocab_size, len(loaded.tokenizer))
    return torch.randint(0, size, (ROWS, LENGTH), generator=generator).to(loaded.device)


def _logits(loaded: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits


def _padded(loaded: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    """The last tokens of the first row behind padding, beside a longer row."""
    n_pad = LENGTH - SHORT
    mask = torch.ones_like(ids)
    mask[0, :n_pad] = 0
    batch = ids.clone()
    batch[0, :n_pad] = loaded.tokenizer.pad_token_id or 0
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with imposing() as control:
        control.real = mask.bool()
        padded = loaded.model(input_ids=batch, attention_mask=mask, position_ids=positions, use_cache=False).logits
    return torch.as_tensor(padded[:1, n_pad:])


def _stepwise(loaded: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    """The last token decoded on a cache of the others."""
    mask = torch.ones_like(ids)
    with imposing() as control:
        first = loaded.model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], use_cache=True)
        control.phase = "decode"
        logits = loaded.model(
            input_ids=ids[:, -1:], attention_mask=mask, past_key_values=first.past_key_values, use_cache=True
        ).logits
    return torch.as_tensor(logits)
