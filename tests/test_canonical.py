"""The order of rows, of columns and of files, and the types that hold values, make no difference to any number."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import validate
from tolerance.data.canonical import canonical, table_hash
from tolerance.data.cells import collapse
from tolerance.data.manifest import Manifest
from tolerance.data.prepared import content_hash
from tolerance.data.published import validate_aggregates
from tolerance.data.run_folder import RunFolder, read_run
from tolerance.inference.saved import seed_of


def graded(**more) -> pd.DataFrame:
    """Graded scores, realised sparsities that differ from item to item, two models: sums that rounding touches."""
    rng = np.random.default_rng(3)
    parts = [outcomes(n_items=7, levels=(0.5, 0.9), **more).assign(model=name, params=n) for name, n in MODELS]
    frame = pd.concat(parts, ignore_index=True)
    away = rng.random(len(frame)) * 0.01
    realised = np.where(frame["sparsity_requested"] > 0, frame["sparsity_requested"] - away, 0.0)
    return frame.assign(score=frame["score"] * rng.random(len(frame)), sparsity_realised=realised)


MODELS = (("small", 1000), ("large", 9000))


def hashes(table: pd.DataFrame) -> tuple[str, str, int]:
    cells = collapse(table)
    return table_hash(table), content_hash(cells), seed_of(content_hash(cells))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_shuffled_rows_and_columns_are_the_same_outcomes(seed):
    frame = graded()
    columns = list(np.random.default_rng(seed).permutation(frame.columns))
    shuffled = frame.sample(frac=1, random_state=seed)[columns]
    assert hashes(validate(shuffled)) == hashes(validate(frame))


def test_rows_shuffled_after_validation_are_the_same_cells_to_the_bit():
    table = validate(graded())
    one, other = collapse(table), collapse(table.sample(frac=1, random_state=5))
    pd.testing.assert_frame_equal(one.frame, other.frame, check_exact=True)
    for a, b in zip(one.pairs, other.pairs, strict=True):
        np.testing.assert_array_equal(a.products, b.products)
        np.testing.assert_array_equal(a.common, b.common)
    assert one.chance == other.chance


@pytest.mark.parametrize(
    "types",
    [
        {"params": "float64", "context_length": "int32", "chance": "float32", "task": "category"},
        {"params": "object", "sparsity_requested": "object", "model": "object", "context_length": "uint16"},
    ],
)
def test_other_types_of_the_same_values_are_the_same_outcomes(types):
    frame = graded()
    assert hashes(validate(frame.astype(types))) == hashes(validate(frame))


def test_files_in_another_order_are_the_same_run(tmp_path):
    frame = graded()
    order = np.random.default_rng(0).permutation(len(frame))
    for name, rows in (("a", frame), ("b", frame.iloc[order])):
        folder = RunFolder.create(tmp_path / name, Manifest("simulated", {}, created="2026-01-01T00:00:00+00:00"))
        with folder.writing():
            for block, part in enumerate(np.array_split(np.arange(len(rows)), 3)):
                folder.write(f"{block}", rows.iloc[part].to_dict("records"))
    assert hashes(read_run(tmp_path / "a")) == hashes(read_run(tmp_path / "b"))


def test_shuffled_means_are_the_same_outcomes():
    means = graded().groupby(["task", "task_type", "model", "params", "sparsifier", "unit", "sparsity_requested"])
    frame = means.agg(score=("score", "mean"), n_items=("score", "size")).reset_index()
    table, shuffled = (validate_aggregates(one) for one in (frame, frame.sample(frac=1, random_state=1)))
    assert hashes(table) == hashes(shuffled)
    pd.testing.assert_frame_equal(canonical(table), canonical(shuffled))


@pytest.mark.parametrize(
    ("column", "value"), [("score", 0.25), ("item_id", "other"), ("params", 7), ("seconds", 2.0), ("chance", 0.1)]
)
def test_another_value_is_another_table(column, value):
    table = validate(graded().assign(seconds=1.0))
    changed = table.copy()
    changed.loc[3, column] = value
    assert table_hash(changed) != table_hash(table)


def test_values_that_change_places_between_columns_are_another_table():
    table = validate(graded().assign(seconds=1.0, flops_linear=2.0))
    swapped = table.rename(columns={"seconds": "flops_linear", "flops_linear": "seconds"})
    assert table_hash(swapped) != table_hash(table)


@pytest.mark.parametrize(("column", "value"), [("params", 10), ("chance", 0.1), ("task_type", "knowledge")])
def test_what_enters_the_likelihood_beside_scores_enters_its_hash(column, value):
    frame = graded(tasks={"a": "single-qa", "b": "multi-hop"})
    mine = frame["model"] == "small" if column == "params" else frame["task"] == "a"
    other = frame.assign(**{column: frame[column].where(~mine, value)})
    assert hashes(validate(other))[1] != hashes(validate(frame))[1]
