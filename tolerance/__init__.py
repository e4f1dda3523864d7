"""How much sparsity does a language model tolerate, by task type, and what was held constant?

    from tolerance import analyse, read_run
    report = analyse(read_run("run"))

Names are loaded when first used: importing this package loads neither pandas, PyMC, torch nor Jinja.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tolerance.plugins import VIEWS

if TYPE_CHECKING:
    from tolerance.analysis.analyse import analyse
    from tolerance.analysis.saved import read_report
    from tolerance.data.importers import import_table
    from tolerance.data.outcomes import validate
    from tolerance.data.run_folder import read_run
    from tolerance.diagnostics.model_comparison import compare_families
    from tolerance.errors import DesignError, RunnerError, SchemaError, StoreError, ToleranceError
    from tolerance.findings import Report
    from tolerance.inference.fit import fit
    from tolerance.inference.saved import Fit
    from tolerance.inference.settings import Settings
    from tolerance.instant.answer import instant_answer
    from tolerance.question import Question
    from tolerance.reports.page import render

__version__ = "0.1.0"
_HOMES = {
    "analysis.analyse": ("analyse",),
    "analysis.saved": ("read_report",),
    "question": ("Question",),
    "errors": ("DesignError", "RunnerError", "SchemaError", "StoreError", "ToleranceError"),
    "diagnostics.model_comparison": ("compare_families",),
    "findings": ("Report",),
    "inference.fit": ("fit",),
    "inference.saved": ("Fit",),
    "inference.settings": ("Settings",),
    "instant.answer": ("instant_answer",),
    "data.importers": ("import_table",),
    "data.outcomes": ("validate",),
    "reports.page": ("render",),
    "data.run_folder": ("read_run",),
}
VIEWS.lazily("html", "tolerance.reports.export.notebook:html")
VIEWS.lazily("text", "tolerance.reports.export.text:text")
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
