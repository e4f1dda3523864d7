"""The version of the model stands for its values: saved draws are read exactly as long as they mean the same."""

import json

import pytest

from tests.model_values import TABLE, differing, table
from tolerance.model.version import MODEL

MEND = (
    "If that is meant, saved draws no longer mean the same: raise MODEL in tolerance/model/version.py, write the table "
    "anew with `uv run python -m tests.model_values`, and say so in the changelog."
)


@pytest.fixture(scope="module")
def held():
    return json.loads(TABLE.read_text())


def test_the_version_of_the_model_is_that_of_the_values_on_record(held):
    assert held["model"] == MODEL, f"{TABLE.name} is of {held['model']}: uv run python -m tests.model_values"


def test_the_model_has_the_values_that_its_version_stands_for(held):
    changed = differing(table(), held["values"])
    assert not changed, f"{MODEL} has other values than it had ({'; '.join(changed[:4])}). {MEND}"


def test_any_value_that_changes_comes_or_goes_is_noticed(held):
    values = held["values"]
    (design, names), *_ = values.items()
    for name, (first, *more) in names.items():
        without = {one: two for one, two in names.items() if one != name}
        for other in ({**names, name: [first + 0.1 * (1 + abs(first)), *more]}, without):
            assert differing({**values, design: other}, values) == [f"{design}: {name}"]
