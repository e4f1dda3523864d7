"""Other people's logs become outcomes, or the file, column and mend are named."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tolerance import SchemaError, StoreError, import_table, read_run
from tolerance.data.importers import IMPORTERS, Mapping, import_any, import_run, read_mapping, shipped_mappings

THEIRS = pd.DataFrame(
    {
        "question": ["q1", "q2", "q1", "q2"],
        "subset": ["vt", "cwe", "vt", "cwe"],
        "lm": "their/model",
        "press": ["no_press", "no_press", "snapkv", "snapkv"],
        "ratio": [0, 0, 50, 50],
        "points": [100.0, 60.0, 0.0, 60.0],
    }
)
MAPPING = """
columns: {item_id: question, task: subset, task_type: subset, model: lm, sparsifier: press,
          sparsity_requested: ratio, score: points}
values: {sparsifier: {no_press: dense}, task_type: {vt: multi-hop, cwe: aggregation}}
scale: {sparsity_requested: 0.01, score: 0.01}
constants: {unit: kv-entries}
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    THEIRS.to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    return tmp_path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_mapped_file_becomes_outcomes(theirs, suffix):
    if suffix == "parquet":
        THEIRS.to_parquet(theirs / "log.parquet")
    table = import_table(theirs / f"log.{suffix}", theirs / "mapping.yaml")
    assert list(table["sparsifier"]) == ["dense", "dense", "snapkv", "snapkv"]
    assert list(table["sparsity_requested"]) == [0, 0, 0.5, 0.5]
    assert list(table["score"]) == [1.0, 0.6, 0.0, 0.6]
    assert list(table["task_type"]) == ["multi-hop", "aggregation"] * 2


def test_importing_twice_gives_the_same_run_and_another_file_is_refused(theirs):
    out = theirs / "run"
    import_run(theirs / "log.csv", theirs / "mapping.yaml", out)
    folder, n_rows = import_run(theirs / "log.csv", theirs / "mapping.yaml", out)
    assert len(read_run(out)) == n_rows == 4
    assert json.loads((out / "manifest.json").read_text())["origin"] == "imported"
    THEIRS.assign(points=0.0).to_csv(theirs / "other.csv", index=False)
    with pytest.raises(StoreError, match="holds a run of another plan"):
        import_run(theirs / "other.csv", theirs / "mapping.yaml", out)
    assert read_run(out)["score"].max() == 1.0
    assert folder.manifest.run_id == read_run(out)["run_id"][0]


def test_percentages_that_were_not_scaled_are_refused(theirs):
    mapping = Mapping.model_validate({**read_mapping(theirs / "mapping.yaml").model_dump(), "scale": {}})
    with pytest.raises(SchemaError, match="a percentage is divided by 100"):
        import_table(theirs / "log.csv", mapping)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("columns: {item_id: nowhere}", "column nowhere is named by the mapping but not in the file"),
        ("columns: {itemid: question}", "itemid is no outcome column"),
        ("colums: {}", "colums: Extra inputs are not permitted. Fields: columns, values, scale, complement, constants"),
        ("columns: [", "not YAML"),
    ],
)
def test_a_bad_mapping_is_named(theirs, text, said):
    (theirs / "mapping.yaml").write_text(text)
    with pytest.raises(SchemaError) as error:
        import_table(theirs / "log.csv", theirs / "mapping.yaml")
    assert said in str(error.value)


def test_a_file_that_is_missing_or_of_another_kind_is_named(theirs):
    with pytest.raises(SchemaError, match="no such file"):
        import_table(theirs / "nothing.csv")
    with pytest.raises(SchemaError, match=r"Give one of \.csv, .*\.parquet"):
        import_table(theirs / "mapping.yaml")
    with pytest.raises(SchemaError, match=r"Shipped mappings: .*kvpress-ruler"):
        import_table(theirs / "log.csv", "no-such-mapping")
    (theirs / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(SchemaError, match=r"broken\.parquet: cannot be read"):
        import_table(theirs / "broken.parquet")


class Lines:
    """A format that is no table: one JSON object a line, in words of its own."""

    name = "lines"

    def recognises(self, path):
        return path.suffix == ".lines"

    def read(self, path):
        return pd.DataFrame([{**json.loads(line), "task_type": "other"} for line in path.read_text().splitlines()])


@pytest.fixture
def lines(tmp_path):
    """A file of that format, and the format registered."""
    row = {"task": "vt", "model": "lm", "sparsifier": "dense", "sparsity_requested": 0.0, "score": 1.0}
    path = tmp_path / "log.lines"
    path.write_text("\n".join(json.dumps({**row, "item_id": f"q{i}"}) for i in range(3)))
    IMPORTERS.register("lines")(Lines)
    yield path
    IMPORTERS.forget("lines")


@pytest.mark.parametrize("named", [None, "lines", "tests.test_importers:Lines"])
def test_a_format_of_somebody_s_is_read_by_name_or_recognised_and_noted(lines, named):
    assert list(import_table(lines, format=named)["item_id"]) == ["q0", "q1", "q2"]
    folder, n_rows = import_run(lines, None, lines.parent / "run", format=named)
    assert n_rows == len(folder.read()) == 3
    plan = json.loads((folder.path / "manifest.json").read_text())["plan"]
    assert plan["format"] == (named or "lines")
    assert "tests.test_importers (sha256 " in plan["plugins"][named or "lines"]


def test_published_means_have_no_other_format(lines):
    with pytest.raises(SchemaError, match="with published means, which are tables"):
        import_any(lines, None, lines.parent / "run", aggregates=True, format="lines")


def test_a_format_that_nobody_or_two_know_is_named(lines):
    with pytest.raises(SchemaError, match=r"format 'lnes' unknown\. Known: table, lines"):
        import_table(lines, format="lnes")
    with pytest.raises(SchemaError, match=r"unknown kind of file '\.yaml'.* or one of the formats table, lines"):
        import_table(lines.with_suffix(".yaml"))
    with pytest.raises(SchemaError, match="An importer has a name, recognises"):
        import_table(lines, format="json:loads")
    IMPORTERS.register("too")(Lines)
    try:
        with pytest.raises(SchemaError, match="recognised by the formats lines, too"):
            import_table(lines)
    finally:
        IMPORTERS.forget("too")


@pytest.mark.parametrize("name", shipped_mappings())
def test_shipped_mappings_are_valid(name):
    assert read_mapping(name).columns
