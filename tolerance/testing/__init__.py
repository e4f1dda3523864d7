"""What every sparsifier, task and importer must hold, ours and anybody's: call one of these in your own tests.

    from tolerance.testing import check_sparsifier

    def test_value_norm():
        check_sparsifier(ValueNorm)

Each raises an AssertionError that says what is wrong and how to mend it, and returns nothing. No pytest is needed.
"""

from tolerance.testing.importers import check_importer
from tolerance.testing.sparsifiers import check_sparsifier
from tolerance.testing.tasks import check_task

__all__ = ["check_importer", "check_sparsifier", "check_task"]
