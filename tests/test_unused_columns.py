"""No column of an imported file is dropped in silence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import SchemaError
from tolerance.data.importers import Mapping, import_any, import_run, import_table
from tolerance.data.outcomes import NAMES
from tolerance.data.unused_columns import near_miss


@pytest.fixture
def log(tmp_path):
    def write(sep=",", **changes):
        frame = outcomes(n_items=3, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa"})
        frame.rename(columns=changes.pop("rename", {})).assign(**changes).to_csv(
            tmp_path / "log.csv", index=False, sep=sep
        )
        return tmp_path / "log.csv"

    return write


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("sparsity_realized", "sparsity_realised"),
        ("contextlength", "context_length"),
        ("Context Length", "context_length"),
        ("chance_level", "chance"),
        ("n_params", "params"),
        ("sparsifer", "sparsifier"),
    ],
)
def test_a_misspelt_column_is_refused_with_the_near_miss(log, theirs, ours):
    with pytest.raises(SchemaError) as error:
        import_table(log(rename={ours: theirs}))
    assert f"`{theirs}`: did you mean `{ours}`?" in str(error.value)
    assert f"columns: {{{ours}: {theirs}}}" in str(error.value)


@given(
    st.sampled_from(NAMES), st.sampled_from([str.upper, str.title, lambda n: n.replace("_", " "), lambda n: f" {n}"])
)
def test_case_spaces_and_marks_are_slips(name, slip):
    assert near_miss(slip(name), NAMES) == name or name == "answer"


@pytest.mark.parametrize("theirs", ["question", "answers", "n_hit", "prompt", "layer", "dataset_name", "top_p"])
def test_other_columns_are_no_slips(theirs):
    assert near_miss(theirs, NAMES) is None


def test_a_column_that_the_file_has_is_not_asked_for(log):
    assert len(import_table(log(chance_level=0.5))) == 6


def test_a_near_miss_can_be_waved_through_and_is_not_part_of_the_plan(log, tmp_path):
    path = log(rename={"chance": "chance_level"})
    first, _ = import_any(path, None, tmp_path / "run", ignore=["chance_level"])
    second, _ = import_run(path, Mapping(ignore=["chance_level"]), tmp_path / "other")
    assert first.manifest.run_id == second.manifest.run_id
    assert "ignore" not in first.manifest.plan["mapping"]
    assert first.read()["chance"].isna().all()


def test_other_columns_are_listed_in_the_manifest(log, tmp_path):
    folder, _ = import_run(log(prompt="?", temperature=0.0), None, tmp_path / "run")
    assert json.loads((folder.path / "manifest.json").read_text())["notes"] == {
        "unused_columns": ["prompt", "temperature"]
    }


def test_a_column_that_stands_twice_is_refused(log):
    path = log()
    lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{lines[0]},score", *(f"{line},1" for line in lines[1:])]))
    with pytest.raises(SchemaError, match="column score stands there twice"):
        import_table(path)


@pytest.mark.parametrize("field", [{"scale": {"model": 0.01}}, {"complement": ["model"]}, {"scale": {"score": 2}}])
def test_a_mapping_calculates_with_numbers_alone(log, field):
    path = log(score="good") if "score" in str(field) else log()
    with pytest.raises(SchemaError, match=r"row 0, column (model|score): .* is no number, so the mapping's"):
        import_table(path, Mapping.model_validate(field))


@pytest.mark.parametrize(("raw", "said"), [(b"\xff\xfe", "not UTF-8"), (b"[" * 3000, "nested too deeply")])
def test_a_mapping_that_cannot_be_read_is_named(log, raw, said):
    path = log()
    path.with_suffix(".yaml").write_bytes(raw)
    with pytest.raises(SchemaError, match=said):
        import_table(path, path.with_suffix(".yaml"))


def test_what_is_missing_is_told_beside_what_looks_like_it(log):
    with pytest.raises(
        SchemaError, match=r"column task, score missing; the file has .*`Score`: did you mean `score`\?"
    ):
        import_table(log(rename={"task": "subset", "score": "Score"}))
