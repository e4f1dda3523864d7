"""How deep a model is, as something that a comparison may hold constant."""

from tolerance.axes.accounts import column
from tolerance.axes.table import Axis

DEPTH = Axis(
    key="depth",
    name="depth",
    unit="layers",
    source="counted",
    moved_by=("model",),
    formula=column("n_layers"),
)
