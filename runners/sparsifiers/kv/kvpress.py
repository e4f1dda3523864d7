"""Scores of NVIDIA's kvpress (2510.00636), everything else ours: experimental, and never a dependency.

kvpress is installed apart, without what it asks for, since it pins an older transformers: ``pip install --no-deps
kvpress``, then what it imports (requests, datasets, cachetools, fire). Only ``press.score`` is called, for one prompt
at a time and up to where compression ends; ranking, budgets, caches and counting are those of every other method. A
press whose scores depend on its compression ratio has no one ranking for all levels, and is refused. What scoring takes
is not known and is recorded as such.

Of kvpress 0.5.5 beside transformers 5.23, KnormPress, KeyDiffPress, TOVAPress and CURPress pass the self-check on a
small Llama. SnapKVPress asks for longer prompts than the check has, ExpectedAttentionPress for a module that
transformers no longer has, StreamingLLMPress and LeverageScorePress score anew each time. Our own methods do.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from tolerance.errors import RunnerError, SchemaError
from tolerance.runners.sparsifiers.kv.base import Eviction, Seen

if TYPE_CHECKING:
    import torch

RATIOS = (0.25, 0.75)


@dataclass(frozen=True)
class KVPress(Eviction):
    """``press`` is the name of a scorer of kvpress, made with its defaults: KnormPress, SnapKVPress ..."""

    press: str = ""
    name: ClassVar[str] = "kvpress"
    reads_hidden: ClassVar[bool] = True
    known_cost: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.press, str) or not self.press.isidentifier():
            raise SchemaError(
                f"sparsifier {self.name!r}: press: {self.press!r}, expected the name of a class of kvpress, like "
                "KnormPress."
            )

    @property
    def label(self) -> str:
        """With the press."""
        return super().label.replace(self.name, f"{self.name}-{self.press}")

    def score(self, seen: Seen) -> "torch.Tensor":
        """See `Eviction.score`.

        Raises:
            RunnerError: kvpress is not there, or the press is not one that scores once for all ratios.
        """
        import torch
        import torch.nn.functional as F

        press, n = self._made(), seen.keys.shape[2]
        rows = []
        for row, end in enumerate(seen.end.tolist()):
            one, two = (self._of_row(press, ratio, seen, row, end) for ratio in RATIOS)
            if one.shape != two.shape or not torch.equal(one, two):
                raise RunnerError(
                    f"sparsifier {self.label}: its scores depend on the compression ratio, so levels cannot share "
                    "them. Leave it out."
                )
            if one.shape != (1, seen.keys.shape[1], end):
                raise RunnerError(
                    f"sparsifier {self.label}: scores of shape {tuple(one.shape)}, expected one for each of {end} "
                    "entries and head. Leave it out."
                )
            rows.append(F.pad(one.float(), (0, n - end)))
        return torch.cat(rows)

    def _made(self) -> Any:  # noqa: ANN401 - kvpress is not there when types are checked
        try:
            made = getattr(import_module("kvpress"), self.press)()
        except Exception as error:  # whatever a package beside another transformers than its own raises
            raise RunnerError(
                f"sparsifier {self.label}: kvpress has no usable {self.press} ({type(error).__name__}: {error}). It is "
                "an experimental extra: pip install --no-deps kvpress and what it imports, or use one of our own "
                "methods."
            ) from error
        if not hasattr(made, "score"):
            raise RunnerError(f"sparsifier {self.label}: {self.press} has no score of its own. Leave it out.")
        return made

    def _of_row(self, press: Any, ratio: float, seen: Seen, row: int, end: int) -> "torch.Tensor":  # noqa: ANN401
        """Scores of the first ``end`` entries ``(1, kv head, entry)``."""
        import torch

        assert seen.inside is not None
        press.compression_ratio = ratio
        one, inside = slice(row, row + 1), seen.inside
        at = torch.arange(end, device=seen.keys.device)
        whole: dict[str, Any] = {"cache_position": at, "position_ids": at[None]}
        if inside.rotations is not None:
            whole["position_embeddings"] = tuple(t[one if len(t) > 1 else slice(None), :end] for t in inside.rotations)
        try:
            made: torch.Tensor = press.score(
                inside.module, inside.hidden[one, :end], seen.keys[one, :, :end], seen.values[one, :, :end], None, whole
            )
        except Exception as error:  # whatever a press that wants more than we give raises
            raise RunnerError(
                f"sparsifier {self.label}: it cannot score here ({type(error).__name__}: {error}). Leave it out."
            ) from error
        return made
