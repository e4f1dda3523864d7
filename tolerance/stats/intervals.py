"""An interval carries its kind and probability; draws are averaged before they are summarised, never after."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, PlainSerializer

# Six significant digits: enough for any report, and the same bytes on every machine.
Number = Annotated[float, PlainSerializer(lambda v: float(f"{v:.6g}"), return_type=float)]


class Interval(BaseModel):
    """``prob`` of the probability lies between the ends.

    ``eti``: equal posterior tails. The others are confidence intervals: ``wilson``, score interval of a share;
    ``robust``, from the spread between items; ``bootstrap``, percentiles over resampled items; ``normal``, over draws
    of the normal distribution that means of very many items have; ``newcombe``, of the difference of two shares of the
    same items.
    """

    model_config = ConfigDict(frozen=True)
    kind: Literal["eti", "wilson", "robust", "bootstrap", "normal", "newcombe"]
    prob: float
    lower: Number
    upper: Number


class Estimate(BaseModel):
    """A posterior median with its interval."""

    model_config = ConfigDict(frozen=True)
    value: Number
    interval: Interval


def summarise(draws: NDArray[np.float64], prob: float) -> Estimate:
    """Median and equal-tailed interval of draws of one quantity ``(draw,)``."""
    return summarise_each(draws[:, None], prob)[0]


def summarise_each(draws: NDArray[np.float64], prob: float) -> list[Estimate]:
    """Median and equal-tailed interval of each of several quantities ``(draw, quantity)``."""
    tail = (1 - prob) / 2
    ends = np.quantile(draws, [tail, 0.5, 1 - tail], axis=0).T.tolist()
    return [
        Estimate(value=middle, interval=Interval(kind="eti", prob=prob, lower=lower, upper=upper))
        for lower, middle, upper in ends
    ]


def probability_positive(draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of draws of differences ``(draw, ...)``, one probability each; a draw of exactly 0 counts half."""
    return np.asarray(np.mean(draws > 0, axis=0) + np.mean(draws == 0, axis=0) / 2)


def wilson(successes: float, trials: float, prob: float) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927), through statsmodels."""
    from statsmodels.stats.proportion import proportion_confint

    lower, upper = proportion_confint(successes, trials, alpha=1 - prob, method="wilson")
    return Interval(kind="wilson", prob=prob, lower=float(lower), upper=float(upper))


def quantiles(draws: NDArray[np.float64], prob: float) -> tuple[float, float, float]:
    """Lower end, median and upper end of draws that may be infinite ``(draw,)``: order statistics, not interpolated."""
    # without rounding, 1 - 0.95 is a little more than 0.05, which is the next order statistic
    tail = round((1 - prob) / 2, 12)
    lower, middle, upper = np.quantile(draws, [tail, 0.5, 1 - tail], method="inverted_cdf")
    return float(lower), float(middle), float(upper)


def lower_limit(draws: NDArray[np.float64], prob: float) -> float:
    """What draws that may be infinite ``(draw,)`` exceed with probability ``prob``: an order statistic."""
    return float(np.quantile(draws, round(1 - prob, 12), method="inverted_cdf"))
