"""What is asked of the data, fixed before fitting and printed in every report."""

from dataclasses import dataclass

from tolerance.errors import DesignError


@dataclass(frozen=True)
class Question:
    """What must be kept, and how sure and how large an answer must be.

    retention: share of dense accuracy above the floor that must be kept. margin: if given, this rule holds instead:
    accuracy at most so many points below dense (0.02 is two percent points). equivalence: differences of accuracy or
    retention within plus and minus this are equivalent in practice.
    """

    retention: float = 0.95
    interval_prob: float = 0.90
    decision_prob: float = 0.95
    margin: float | None = None
    equivalence: float = 0.02

    def __repr__(self) -> str:
        """What is asked, on two lines that can be typed again."""
        kept = f"retention={self.retention:g}, margin={self.margin}"
        probabilities = f"interval_prob={self.interval_prob:g}, decision_prob={self.decision_prob:g}"
        return f"Question({kept}, {probabilities},\n         equivalence={self.equivalence:g})"

    def __post_init__(self) -> None:
        """Refuse shares outside (0, 1)."""
        for name, value in vars(self).items():
            if value is not None and not 0 < value < 1:
                raise DesignError(f"{name} {value:g} is outside (0, 1). Give a share, not a percentage.")
