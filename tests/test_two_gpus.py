"""What the document says of two GPUs is what was measured, compared and shipped; how it is compared and estimated."""

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.devices import two_gpus_tables as tables

ROOT = Path(__file__).parent.parent
TOLD = json.loads((tables.HERE / "two-gpus.json").read_text())


def test_the_document_says_what_was_measured():
    text = (ROOT / "docs" / "grids.md").read_text()
    assert all(f"<!-- table: {name} -->" in text for name in tables.TABLES)
    assert tables.written(text, TOLD) == text


def test_the_answers_that_ship_are_those_that_were_compared():
    shipped = pd.read_parquet(tables.HERE / "two-gpus.parquet")
    assert len(shipped) == TOLD["answers"]
    assert not shipped.duplicated(tables.KEY).any()
    assert shipped["model"].nunique() == 2


def answers(texts: dict[str, str]) -> pd.DataFrame:
    fixed = {"model": "m", "task": "t", "context_length": 512, "sparsifier": "snapkv", "sparsity_requested": 0.5}
    rows = [
        {**fixed, "item_id": item, "answer": text, "score": float(text == "yes"), "sparsity_realised": 0.5}
        for item, text in texts.items()
    ]
    return pd.DataFrame(rows)


def test_rows_that_are_missing_twice_or_other_are_counted():
    one = answers({"a": "yes", "b": "yes", "c": "no"})
    other = pd.concat([answers({"a": "yes", "b": "No."}), answers({"a": "yes"})])
    found = tables.difference(one.set_index(tables.KEY), other.set_index(tables.KEY))
    assert (found["rows"], found["missing"], found["twice"]) == (3, 1, 1)
    assert (found["answer_differs"], found["score_differs"], found["sparsity_realised_differs"]) == (1, 1, 0)
    assert found["largest_difference_of_a_cell"] == 0.5


def made(loading: list[float], groups: list[list[float]], writing: float = 0.0) -> dict:
    return {"alone": {"loading": loading, "groups": groups, "writing": writing}, "times": {"two": {"ready": 10.0}}}


def test_what_more_gpus_bring_follows_the_parts():
    even = made([2, 3], [[5] * 4, [5] * 4])
    # one loads the second model when the first is done
    assert tables.wall(even, 1) == 10 + 20 + 3 + 20
    # each has a model of its own; the second loads a second longer
    assert tables.wall(even, 2) == 10 + 1 + 20
    assert tables.wall(even, 2, times=10) == 10 + 1 + 200
    # a group is not divided
    assert tables.wall(even, 100) == 10 + 1 + 5
    assert tables.wall(made([2, 3], [[5], [5]], writing=40), 8) == 50


def test_the_estimate_for_two_gpus_is_near_what_two_gpus_took():
    assert tables.wall(TOLD, 2) == pytest.approx(TOLD["times"]["two"]["last_row"], rel=0.05)
    seconds = [tables.wall(TOLD, n) for n in tables.GPUS]
    assert seconds == sorted(seconds, reverse=True)
