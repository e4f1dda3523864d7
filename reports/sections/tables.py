"""Where the command line looks for `tolerance.reports.words.chips.warnings` until it follows it there."""

from tolerance.reports.words.chips import warnings

__all__ = ["warnings"]
