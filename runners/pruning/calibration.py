"""What linear layers receive while a model reads seeded prompts: what Wanda scores weights by, and TEAL's thresholds.

The prompts are puzzles of our own generators (look-up, two hops, most common word), in the model's dialect, with seeds
that no plan can name, so none of them is ever an item. That is not the web text of the papers: a method calibrated on
it may do better here than a published figure, and worse on other text. The manifest says what was read.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from tolerance.data.manifest import digest
from tolerance.errors import RunnerError
from tolerance.runners.attention.control import imposing
from tolerance.runners.decoding.generate import last_only
from tolerance.runners.models.linear import linears
from tolerance.runners.models.load import LoadedModel
from tolerance.runners.sparsifiers.prompts import Prompts
from tolerance.runners.tasks import PUZZLES
from tolerance.runners.tasks.dialects import dialect

# Magnitudes that are kept of one prompt and layer, and how finely their distribution is noted.
DRAWN, STEPS = 8192, 1024


@dataclass(frozen=True)
class Inputs:
    """What one linear layer received, over all tokens.

    ``norms`` ``(input,)`` are the 2-norms of its input features; ``magnitudes`` ``(step,)`` evenly spaced quantiles of
    the absolute values of all its inputs, from the smallest to the largest.
    """

    norms: torch.Tensor
    magnitudes: torch.Tensor

    def threshold(self, level: float) -> float:
        """The magnitude below which a share ``level`` of the inputs lies."""
        place = level * (len(self.magnitudes) - 1)
        below = int(place)
        low, high = self.magnitudes[below : below + 2].tolist()
        return float(low + (place - below) * (high - low))


@dataclass(frozen=True)
class Calibration:
    """Inputs of each linear layer by name, and what was read."""

    inputs: dict[str, Inputs]
    tokens: int
    sha256: str


class Calibrations:
    """Calibrations of one model, each made once."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.made: dict[Prompts, Calibration] = {}

    def of(self, prompts: Prompts) -> Calibration:
        """What these prompts show; the model must be dense."""
        if prompts not in self.made:
            self.made[prompts] = calibrate(self.loaded, prompts)
        return self.made[prompts]

    def to_dict(self) -> list[dict[str, Any]]:
        """For the manifest."""
        return [
            {**asdict(prompts), "tasks": list(PUZZLES), "tokens": made.tokens, "sha256": made.sha256}
            for prompts, made in self.made.items()
        ]


@torch.inference_mode()
def calibrate(loaded: LoadedModel, prompts: Prompts) -> Calibration:
    """Read the prompts one by one.

    Raises:
        RunnerError: they are longer than the model's positions.
    """
    written = texts(loaded, prompts)
    read = encoded(loaded, written)
    most = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    longest = max(ids.shape[1] for ids in read)
    if most is not None and longest > most:
        raise RunnerError(
            f"model {loaded.name}: calibration prompts of length {prompts.length} take {longest} tokens, more than its "
            f"{most} positions. Set length lower."
        )
    squares: dict[str, torch.Tensor] = {}
    drawn: dict[str, list[torch.Tensor]] = {}
    generator = torch.Generator().manual_seed(prompts.seed)

    def note(name: str, given: torch.Tensor, at: torch.Tensor) -> None:
        flat = given.reshape(-1, given.shape[-1])
        squares[name] = squares.get(name, 0) + flat.double().pow(2).sum(0)
        everything = flat.flatten()
        drawn.setdefault(name, []).append(everything[(at * len(everything)).long()].abs().float().cpu())

    for ids in read:
        at = torch.rand(DRAWN, generator=generator, dtype=torch.float64).to(loaded.device)
        hooks = [
            layer.register_forward_pre_hook(lambda _, given, name=name, at=at: note(name, given[0], at))
            for name, layer in linears(loaded.model).items()
        ]
        try:
            # whatever is imposed or counted around here
            with imposing():
                loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, **last_only(loaded))
        finally:
            for hook in hooks:
                hook.remove()
    steps = torch.linspace(0, 1, STEPS + 1, dtype=torch.float64)
    return Calibration(
        {name: Inputs(squares[name].sqrt().float(), _quantiles(torch.cat(drawn[name]), steps)) for name in squares},
        tokens=sum(ids.shape[1] for ids in read),
        sha256=digest(written),
    )


def texts(loaded: LoadedModel, prompts: Prompts) -> list[str]:
    """The prompts. Seeds of plans are not negative."""
    spoken, tasks = dialect(loaded.dialect, loaded.tokenizer), list(PUZZLES.values())
    return [
        tasks[i % len(tasks)].item(spoken, prompts.length, -1 - prompts.seed, i).prompt for i in range(prompts.samples)
    ]


def encoded(loaded: LoadedModel, written: Sequence[str]) -> list[torch.Tensor]:
    """Tokens of each text ``(1, token)``."""
    special = dialect(loaded.dialect, loaded.tokenizer).adds_special_tokens
    return [
        loaded.tokenizer(text, return_tensors="pt", add_special_tokens=special, verbose=False)["input_ids"].to(
            loaded.device
        )
        for text in written
    ]


def _quantiles(values: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
    """Like torch.quantile, which takes no more than 16 million values."""
    ordered = values.sort().values
    place = steps * (len(ordered) - 1)
    below = place.long().clamp(max=max(len(ordered) - 2, 0))
    low, high = ordered[below].double(), ordered[(below + 1).clamp(max=len(ordered) - 1)].double()
    return low + (place - below) * (high - low)
