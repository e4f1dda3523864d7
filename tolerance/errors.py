"""What can go wrong, by kind. Every message names the thing, the value seen, what was expected and the mend.

ToleranceError
├── SchemaError (ValueError)       a table, mapping or plan that does not say what it must
├── StoreError (OSError)           a run or analysis folder that cannot be used as asked
│   └── OtherFitError              saved draws of another model, other outcomes, or another fit than the report's
├── RunnerError (RuntimeError)     a model or method that cannot be run exactly as asked
├── DesignError (ValueError)       valid outcomes that cannot answer the question put to them
└── CheckoutError (ImportError)    a checkout that lacks its links
"""

from typing import Literal


class ToleranceError(Exception):
    """Root of all errors that are about the user's input or machine, not about a defect in this library."""


class SchemaError(ToleranceError, ValueError):
    """A table, mapping file or plan that does not say what it must."""


class StoreError(ToleranceError, OSError):
    """A run or analysis folder that cannot be used as asked."""


class OtherFitError(StoreError):
    """Saved draws that are not of what is asked; ``reason`` says of what they are instead."""

    def __init__(self, message: str, reason: Literal["another model", "other outcomes", "two fits"]) -> None:
        super().__init__(message)
        self.reason = reason


class RunnerError(ToleranceError, RuntimeError):
    """A model or sparsifier that cannot be run exactly as asked."""


class DesignError(ToleranceError, ValueError):
    """Valid outcomes that cannot answer the question put to them."""


class CheckoutError(ToleranceError, ImportError):
    """A checkout of this package that lacks the links which make it whole."""
