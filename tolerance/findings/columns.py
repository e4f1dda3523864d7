"""Findings laid flat: an estimate ``x`` is the columns ``x``, ``x_lower``, ``x_upper`` and ``x_prob``.

What is withheld, or was not answered, is null in all four.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tolerance.stats.intervals import Estimate, Interval

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
SPARSITY = "fraction removed"
# Where a row has a `level_unit`, its levels are in that instead.
IN_ITS_UNIT = "in `level_unit` where there is one"
LEVEL = f"{SPARSITY}; {IN_ITS_UNIT}"
ACCURACY = "share of right answers"
SHARE = "share of dense accuracy above the floor"


def fields(found: BaseModel, *, but: Sequence[str] = ()) -> Row:
    """The fields of a finding as they are, without those that have columns of their own."""
    return {name: value for name, value in found if name not in but}


def interval(name: str, found: Interval | None) -> Row:
    """Ends of an interval, and how much of the probability lies between them."""
    ends = (None, None, None) if found is None else (found.lower, found.upper, found.prob)
    return dict(zip((f"{name}_lower", f"{name}_upper", f"{name}_prob"), ends, strict=True))


def estimate(name: str, found: Estimate | None) -> Row:
    """A posterior median with its interval."""
    return {name: None if found is None else found.value, **interval(name, None if found is None else found.interval)}


def frame(rows: Iterable[Row], units: Mapping[str, str]) -> "pd.DataFrame":
    """A data frame of rows, with the unit of each column that has one in ``attrs["units"]``.

    ``units`` are given by estimate: that of ``x`` holds for its ends too. Without rows there are no columns.
    """
    import pandas as pd

    made = pd.DataFrame(list(rows))
    ends = {f"{name}{end}": unit for name, unit in units.items() for end in ("", "_lower", "_upper")}
    made.attrs["units"] = {name: unit for name, unit in ends.items() if name in made}
    return made
