"""How to sample, and what is sampled."""

from dataclasses import dataclass, field
from typing import Literal

from tolerance.model.priors import PRIORS, Priors

# Whether cells that asked the same items are correlated, and whether cells may depart from the curve.
Likelihood = Literal["paired", "over-dispersed", "independent"]


@dataclass(frozen=True)
class Settings:
    """How to sample. The pilot runs on two chains; ``cores`` change no draw.

    ``after`` is the key of an earlier fit of the same outcomes, from whose draws this one begins instead of a pilot.
    """

    chains: int = 4
    tune: int = 150
    draws: int = 700
    pilot_tune: int = 100
    pilot_draws: int = 100
    target_accept: float = 0.85
    cores: int = 2
    likelihood: Likelihood = "paired"
    priors: Priors = field(default_factory=lambda: PRIORS)
    after: str = ""
