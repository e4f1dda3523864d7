"""What nobody recorded stays unknown: it is not 0 in an axis, a table or a sentence."""

import json

import pandas as pd
import pytest

from tests.simulated import outcomes
from tolerance import validate
from tolerance.axes.accounts import MissingError, context, kv_tokens
from tolerance.cli.quick import quick
from tolerance.comparison.conditions import keyed
from tolerance.data.importers import import_published, import_run
from tolerance.data.summary import summarise_run


@pytest.fixture
def frame():
    return outcomes(n_items=6, levels=(0.5,), sparsifiers=("top-k",), tasks={"a": "single-qa", "b": "multi-hop"})


@pytest.fixture
def imported(tmp_path):
    def make(frame, importing=import_run):
        frame.to_csv(tmp_path / "log.csv", index=False)
        importing(tmp_path / "log.csv", None, tmp_path / "run")
        return tmp_path / "run"

    return make


@pytest.mark.parametrize("axis", [context, kv_tokens])
def test_a_context_that_was_not_recorded_is_no_axis(frame, axis):
    rows = keyed(validate(frame.drop(columns="context_length").assign(sparsity_kind="kv-cache")))
    with pytest.raises(MissingError, match=r"is missing in \d+ of 24 rows"):
        axis(rows, {})


def test_a_recorded_context_is_measured(frame):
    values, accounting = context(keyed(validate(frame)), {})
    assert set(values) == {256}
    assert accounting == "measured"


def test_show_says_which_contexts_were_not_recorded(frame, imported):
    frame["context_length"] = frame["context_length"].where(frame["task"] == "a")
    summary = summarise_run(imported(frame))
    assert set(summary.to_text()["context"]) == {"256", "not recorded"}
    assert {cell["context_length"] for cell in json.loads(json.dumps(summary.to_dict()))["cells"]} == {256, None}


def test_show_says_which_means_are_of_an_unknown_number_of_items(frame, imported):
    by = ["task", "task_type", "model", "sparsifier", "sparsity_requested", "chance"]
    means = frame.groupby(by, as_index=False).agg(score=("score", "mean"), n_items=("score", "size"))
    means["n_items"] = means["n_items"].where(means["task"] == "a")
    summary = summarise_run(imported(means, import_published))
    assert list(summary.to_text()["answers"]) == ["unknown"] * 2 + ["6"] * 2
    assert list(summary.to_text()["90% int."])[:2] == ["none"] * 2
    assert [cell["lower"] is None for cell in summary.to_dict()["cells"]] == [True, True, False, False]


def test_quick_names_the_tasks_whose_floor_is_unknown(frame, imported, capsys):
    run = imported(frame.assign(chance=frame["chance"].where(frame["task"] == "a")))
    quick(run)
    assert "guessing floor unknown: b." in capsys.readouterr().err
    quick(run, as_json=True)
    assert capsys.readouterr().err.count("guessing floor") == 0


def test_nothing_is_unknown_where_all_is_recorded(frame, imported, capsys):
    run = imported(frame)
    quick(run)
    assert "unknown" not in capsys.readouterr().err
    assert not pd.DataFrame(summarise_run(run).to_dict()["cells"]).isna().any(axis=None)
