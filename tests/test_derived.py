"""Columns that a mapping makes: ratios, parts of a text, types and floors of a benchmark."""

import pandas as pd
import pytest

from tolerance import SchemaError, import_table
from tolerance.data.derived import benchmark, benchmarks
from tolerance.data.importers import Mapping, import_any, said_of_import
from tolerance.data.outcomes import TASK_TYPES
from tolerance.data.vocabularies import near_miss

LOGS = pd.DataFrame(
    {
        "example": ["niah_single_1/0", "niah_single_1/1", "vt/0", "vt/1"] * 2,
        "method": ["none"] * 4 + ["press"] * 4,
        "ratio": [0.0] * 4 + [0.7] * 4,
        "kept": [200, 100, 50, 80, 60, 31, 15, 24],
        "seen": [200, 100, 50, 80] * 2,
        "points": [1.0, 1.0, 0.5, 1.0, 0.0, 1.0, 0.5, 0.0],
    }
)
MAPPING = Mapping(
    columns={
        "item_id": "example",
        "task": "example",
        "sparsifier": "method",
        "sparsity_requested": "ratio",
        "score": "points",
    },
    values={"sparsifier": {"none": "dense"}},
    pattern={"task": "^(.*)/"},
    ratio={"sparsity_realised": ("kept", "seen")},
    complement=["sparsity_realised"],
    constants={"model": "m"},
    types="ruler",
)


def written(folder, table=LOGS):
    table.to_csv(folder / "log.csv", index=False)
    return folder / "log.csv"


def test_tasks_shares_and_types_are_made_by_the_mapping(tmp_path):
    table = import_table(written(tmp_path), MAPPING)
    assert list(table["task"].unique()) == ["niah_single_1", "vt"]
    assert dict(zip(table["task"], table["task_type"], strict=True)) == {
        "niah_single_1": "retrieval",
        "vt": "multi-hop",
    }
    assert (table["chance"] == 0).all()
    assert list(table["sparsity_realised"])[4:] == pytest.approx([0.7, 0.69, 0.7, 0.7])
    folder, _ = import_any(tmp_path / "log.csv", MAPPING, tmp_path / "run")
    assert not any("kept" in one or "seen" in one for one in said_of_import(folder.manifest))


def test_a_file_s_own_types_and_floors_stand(tmp_path):
    own = LOGS.assign(task_type=["retrieval", "retrieval", "reasoning", "reasoning"] * 2, chance=0.1)
    table = import_table(written(tmp_path, own), MAPPING)
    assert set(table["task_type"]) == {"retrieval", "reasoning"}
    assert set(table["chance"]) == {0.1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"types": "rulers"}, "'rulers' is no benchmark that ships. There is: lm-eval, longbench, ruler"),
        ({"types": "lm-eval"}, "task niah_single_1, vt: the types of lm-eval have no such task"),
        ({"ratio": {"sparsity_realised": ("kept", "all")}}, "column all is named by the mapping's 'ratio'"),
        ({"ratio": {"sparsity_realised": ("kept", "method")}}, "row 0, column method: 'none' is no number"),
        ({"pattern": {"task": "^([a-z]+)_"}}, "row 2: 'vt/0' does not fit the mapping's pattern of task"),
        ({"pattern": {"task": "^(("}}, "is none"),
        ({"pattern": {"task": "^a"}}, "has 0 groups, expected 1"),
    ],
)
def test_what_cannot_be_made_is_named(tmp_path, changed, said):
    with pytest.raises(SchemaError, match=said):
        import_table(written(tmp_path), MAPPING.model_copy(update=changed))


@pytest.mark.parametrize("name", benchmarks())
def test_the_benchmarks_that_ship_use_words_that_are_taken(name):
    for task, said in benchmark(name).items():
        assert set(said) <= {"task_type", "chance"}, task
        assert near_miss(str(said["task_type"]), TASK_TYPES) is None
        assert 0 <= float(str(said.get("chance", 0.0))) < 1
