"""How much sparsity does a language model tolerate, by task type, and what was held constant?

    from tolerance import analyse, read_run
    report = analyse(read_run("run"))

Names are loaded when first used: importing this package loads neither pandas, PyMC, torch nor Jinja.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tolerance.analysis.analyse import Question, analyse, read_report
    from tolerance.data.importers import import_table
    from tolerance.data.outcomes import validate
    from tolerance.data.run_folder import read_run
    from tolerance.diagnostics.model_comparison import compare_families
    from tolerance.errors import DesignError, RunnerError, SchemaError, StoreError, ToleranceError
    from tolerance.findings.report import Report
    from tolerance.inference.fit import Fit, Settings, fit
    from tolerance.instant.answer import instant_answer
    from tolerance.reports.page import render

__version__ = "0.1.0"
_HOMES = {
    "analysis": ("Question", "analyse", "read_report"),
    "errors": ("DesignError", "RunnerError", "SchemaError", "StoreError", "ToleranceError"),
    "families": ("compare_families",),
    "findings": ("Report",),
    "inference": ("Fit", "Settings", "fit"),
    "instant": ("instant_answer",),
    "importers": ("import_table",),
    "outcomes": ("validate",),
    "reports.page": ("render",),
    "store": ("read_run",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
__all__ = [
    "DesignError",
    "Fit",
    "Question",
    "Report",
    "RunnerError",
    "SchemaError",
    "Settings",
    "StoreError",
    "ToleranceError",
    "analyse",
    "compare_families",
    "fit",
    "import_table",
    "instant_answer",
    "read_report",
    "read_run",
    "render",
    "validate",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'tolerance' has no attribute {name!r}")
    return getattr(import_module(f"tolerance.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
