"""How much sparsity does a language model tolerate, by task type, and what was held constant?

    from tolerance import analyse, read_run
    print(analyse(read_run("run")))

Names are loaded when first used: importing this package loads neither pandas, PyMC, torch nor Jinja. They are the
library; what else can be imported may change between versions.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tolerance.checkout import explain_missing_links
from tolerance.plugins import VIEWS

if TYPE_CHECKING:
    from tolerance.analysis.analyse import analyse
    from tolerance.analysis.saved import read_report
    from tolerance.auditing.ask import audit
    from tolerance.auditing.claims import Claim
    from tolerance.comparison.arms import Arm
    from tolerance.comparison.ask import compare
    from tolerance.data.importers import import_means, import_published, import_run, import_table
    from tolerance.data.outcomes import validate
    from tolerance.data.run_folder import read_run
    from tolerance.diagnostics.model_comparison import compare_families
    from tolerance.errors import DesignError, OtherFitError, RunnerError, SchemaError, StoreError, ToleranceError
    from tolerance.estimands.draws import with_thresholds
    from tolerance.findings import Audit, Conclusions, Instant, Report
    from tolerance.inference.fit import fit
    from tolerance.inference.saved import Fit, read_fit
    from tolerance.inference.settings import Settings
    from tolerance.instant.answer import instant_answer
    from tolerance.model.priors import Priors
    from tolerance.question import Question
    from tolerance.reports.page import render, write
    from tolerance.reports.words.sentences import headlines
    from tolerance.runners.collect.collect import collect
    from tolerance.runners.collect.plan import Plan

__version__ = "0.1.0"
# Where public names live: module -> names.
_HOMES = {
    "analysis.analyse": "analyse",
    "analysis.saved": "read_report",
    "auditing.ask": "audit",
    "auditing.claims": "Claim",
    "comparison.arms": "Arm",
    "comparison.ask": "compare",
    "data.importers": "import_means import_published import_run import_table",
    "data.outcomes": "validate",
    "data.run_folder": "read_run",
    "diagnostics.model_comparison": "compare_families",
    "errors": "DesignError OtherFitError RunnerError SchemaError StoreError ToleranceError",
    "estimands.draws": "with_thresholds",
    "findings": "Audit Conclusions Instant Report",
    "inference.fit": "fit",
    "inference.saved": "Fit read_fit",
    "inference.settings": "Settings",
    "instant.answer": "instant_answer",
    "model.priors": "Priors",
    "question": "Question",
    "reports.page": "render write",
    "reports.words.sentences": "headlines",
    "runners.collect.collect": "collect",
    "runners.collect.plan": "Plan",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}
explain_missing_links()
VIEWS.lazily("html", "tolerance.reports.export.notebook:html")
VIEWS.lazily("text", "tolerance.reports.export.text:text")
__all__ = [
    "Arm",
    "Audit",
    "Claim",
    "Conclusions",
    "DesignError",
    "Fit",
    "Instant",
    "OtherFitError",
    "Plan",
    "Priors",
    "Question",
    "Report",
    "RunnerError",
    "SchemaError",
    "Settings",
    "StoreError",
    "ToleranceError",
    "analyse",
    "audit",
    "collect",
    "compare",
    "compare_families",
    "fit",
    "headlines",
    "import_means",
    "import_published",
    "import_run",
    "import_table",
    "instant_answer",
    "read_fit",
    "read_report",
    "read_run",
    "render",
    "validate",
    "with_thresholds",
    "write",
]


def __getattr__(name: str) -> object:
    """Load a public name from its module on first use."""
    if name not in _HOME:
        raise AttributeError(f"module 'tolerance' has no attribute {name!r}")
    return getattr(import_module(f"tolerance.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
