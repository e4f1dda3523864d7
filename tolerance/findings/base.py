"""What every finding is.

A finding names its status. One whose fit failed its checks is ``withheld`` and carries no estimate, so its number
cannot appear anywhere; one that the data cannot answer is ``unanswerable`` with the reason.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from tolerance.plugins import VIEWS

Status = Literal["ok", "withheld", "unanswerable"]
Reason = Literal[
    "fit failed its checks",
    "no dense baseline",
    "dense accuracy is at the guessing floor",
    "no task and configuration in common",
    "levels of different units",
]


class Finding(BaseModel):
    """What every finding is: immutable, nothing unnamed, with an id that stays the same between runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Told(Finding):
    """A finding that is printed in words, by whoever writes them, on at most one screen."""

    def __repr__(self) -> str:
        return VIEWS["text"](self)

    def __str__(self) -> str:
        return VIEWS["text"](self)


class Shown(Told):
    """A finding that a notebook shows in words, by whoever writes HTML."""

    def _repr_html_(self) -> str:
        return VIEWS["html"](self)
