"""Sets a model's weights to what a method leaves of them, and back.

The model's own weights are kept in the host's memory from the first change on; every level is masked out of them, never
out of pruned ones, and afterwards they are restored bit for bit.
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from tolerance.errors import RunnerError
from tolerance.runners.models.linear import covered, linears, matrix, plain_linears
from tolerance.runners.models.load import LoadedModel, read_model, require_folder, revision_of
from tolerance.runners.pruning.calibration import Calibrations
from tolerance.runners.sparsifiers.prompts import Calibrated
from tolerance.runners.sparsifiers.weights import Checkpoint, WeightMethod, WeightPruning

# What of a configuration weights alone do not show and outputs depend on.
DECIDING = (
    *("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act", "hidden_activation", "sliding_window"),
    *("rms_norm_eps", "layer_norm_eps", "rope_parameters", "rope_theta", "rope_scaling", "tie_word_embeddings"),
)


@dataclass(frozen=True)
class Pruned:
    """Weights in place: those of linear layers, how many of them are not zero, in which share of the layers they are.

    ``revision`` is that of a checkpoint pruned elsewhere.
    """

    weights: int
    kept: int
    covered_layers: float
    params: int
    revision: str | None = None

    @property
    def sparsity(self) -> float:
        """The share of the linear layers' weights that are zero."""
        return 1 - self.kept / self.weights

    @property
    def params_active(self) -> int:
        """Parameters of the whole model, less the zeros."""
        return self.params - self.weights + self.kept


class Weights:
    """The weights of one loaded model. ``made`` is what is in place now, None where they are its own."""

    def __init__(self, loaded: LoadedModel, calibrations: Calibrations) -> None:
        self.loaded, self.calibrations = loaded, calibrations
        self._own: dict[str, torch.Tensor] = {}
        self._revisions: dict[str, str | None] = {}
        self._changed = False
        self._now: tuple[WeightMethod | None, float] = (None, 0.0)
        self.made: Pruned | None = None

    def impose(self, method: WeightMethod | None, level: float) -> Pruned | None:
        """Leave in place what a method keeps at a level; its own weights, and None, without a method.

        Raises:
            RunnerError: the method does not fit the model.
        """
        level = 0.0 if isinstance(method, Checkpoint) else level
        if (method, level) != self._now:
            self.restore()
            if method is not None:
                try:
                    self.made = self._load(method) if isinstance(method, Checkpoint) else self._prune(method, level)
                except BaseException:
                    self.restore()
                    raise
                self._now = method, level
        return self.made

    @torch.no_grad()
    def restore(self) -> None:
        """The model's own weights, bit for bit."""
        if self._changed:
            for name, parameter in self.loaded.model.named_parameters():
                if name in self._own:
                    parameter.copy_(self._own[name])
        self._changed, self._now, self.made = False, (None, 0.0), None

    def intact(self) -> bool:
        """Whether every weight that was ever changed is the model's own again, bit for bit."""
        return all(
            torch.equal(parameter.detach().cpu(), self._own[name])
            for name, parameter in self.loaded.model.named_parameters()
            if name in self._own
        )

    @cached_property
    def share(self) -> float:
        """The share of all parameters that stand in the linear layers: what methods act on."""
        return sum(matrix(layer).numel() for layer in linears(self.loaded.model).values()) / self.loaded.params

    @property
    def checkpoints(self) -> dict[str, str | None]:
        """Revisions of the checkpoints that were read so far, by folder."""
        return dict(self._revisions)

    def _keep_own(self, names: set[str]) -> None:
        for name, parameter in self.loaded.model.named_parameters():
            if name in names and name not in self._own:
                self._own[name] = parameter.detach().to("cpu", copy=True)
        self._changed = True

    @torch.no_grad()
    def _prune(self, method: WeightMethod, level: float) -> Pruned:
        assert isinstance(method, WeightPruning)
        layers = plain_linears(self.loaded, method.label)
        inputs = self.calibrations.of(method.prompts).inputs if isinstance(method, Calibrated) else {}
        self._keep_own({f"{name}.weight" for name in layers})
        for name, layer in layers.items():
            weight = matrix(layer)
            weight.masked_fill_(~method.keep(weight, inputs[name].norms if inputs else None, level), 0)
        return self._counted(layers)

    @torch.no_grad()
    def _load(self, method: Checkpoint) -> Pruned:
        own = self.loaded.model
        dtype = str(own.dtype).removeprefix("torch.")
        require_folder(method.folder, method.folder)
        other = read_model(method.folder, method.folder, dtype)
        theirs, mine = dict(other.named_parameters()), dict(own.named_parameters())
        configs = own.config.get_text_config(), other.config.get_text_config()
        wrong = [f for f in DECIDING if getattr(configs[0], f, None) != getattr(configs[1], f, None)]
        wrong += sorted(theirs.keys() ^ mine.keys())[:1]
        wrong += [name for name in mine if name in theirs and theirs[name].shape != mine[name].shape][:1]
        if wrong or type(other) is not type(own):
            raise RunnerError(
                f"pruned checkpoint {method.folder}: differs from {self.loaded.name} in "
                f"{wrong[0] if wrong else 'architecture'}, so it is not a pruned {self.loaded.name}. Give a checkpoint "
                "that was pruned out of this very model."
            )
        self._keep_own(set(mine))
        for name, parameter in mine.items():
            parameter.copy_(theirs[name])
        revision = revision_of(method.folder, other)
        if self._revisions.setdefault(method.folder, revision) != revision:
            raise RunnerError(f"pruned checkpoint {method.folder}: has changed since it was checked. Start again.")
        made = self._counted(plain_linears(self.loaded, method.label), revision)
        if made.sparsity < 0.01:
            raise RunnerError(
                f"pruned checkpoint {method.folder}: {made.sparsity:.2%} of the weights of its linear layers are zero. "
                "It is not pruned, or it was saved without its zeros."
            )
        return made

    def _counted(self, layers: dict[str, torch.nn.Module], revision: str | None = None) -> Pruned:
        names = list(layers)
        return Pruned(
            weights=sum(matrix(layer).numel() for layer in layers.values()),
            kept=sum(int(matrix(layer).count_nonzero()) for layer in layers.values()),
            covered_layers=covered(self.loaded, names),
            params=self.loaded.params,
            revision=revision,
        )
