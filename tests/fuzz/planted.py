"""Inputs that contradict themselves, planted one by one: each must be refused, in words that name it."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from tests.fuzz.entries import MAPPING, PLAN, QUESTION, _report_tree, cells, log, table_of_means
from tests.situations import CLAIM

# Name of the entry, what is planted, the input, and what the refusal must say.
Planted = tuple[str, str, Any, str]


def _log(**changes: Any) -> pd.DataFrame:
    return log().assign(**changes)


def _at(column: str, value: object, row: int = 7, table: Callable[[], pd.DataFrame] = log) -> pd.DataFrame:
    made = table().astype({column: object})
    made.iloc[row, list(made.columns).index(column)] = value
    return made


def _sparse_as_percent() -> pd.DataFrame:
    return _log(sparsity_requested=100 * log()["sparsity_requested"])


def _kept_as_removed() -> pd.DataFrame:
    """Accuracy that is perfect where most is said to be removed."""
    table = log()
    dense = table["sparsifier"] == "dense"
    score = (table["sparsity_requested"] > 0.6).astype(float).where(~dense, 1.0)
    return table.assign(score=score, correct=score == 1)


TABLES: list[Planted] = [
    ("csv", "levels in percent", _sparse_as_percent(), "a percentage is divided by 100"),
    ("csv", "a level of 1", _at("sparsity_requested", 1.0), "below 1"),
    ("csv", "scores in percent", _log(score=100 * log()["score"], correct=None), "Scale scores to 0..1"),
    ("csv", "a score that is no number", _at("score", "good"), "not a number"),
    ("csv", "an endless score", _at("score", "inf"), "finite|at most 1"),
    ("csv", "correct against score", _log(correct=log()["score"] == 0), "correct"),
    ("csv", "dense that is sparse", _at("sparsifier", "dense"), "sparsifier is 'dense' but sparsity is"),
    ("csv", "an item twice", pd.concat([log(), log().iloc[[7]]]), "second answer|same answer|twice"),
    ("csv", "a task of two types", _at("task_type", "reasoning"), "task"),
    ("csv", "a flag of 2", _at("truncated", 2), "true or false"),
    ("csv", "a count beyond 64 bits", _at("context_length", "1e19"), "whole number|at most"),
    ("csv", "seeds beyond 64 bits", _at("seed", "9" * 30), "whole number|number"),
    ("csv", "half an item count", _at("prompt_tokens", 0.5), "whole number"),
    ("csv", "invisible characters in a name", _at("sparsifier", "top-k\u200b"), "sparsifier|character"),
    ("csv", "an escape sequence in a name", _at("model", "m\x1b[2J"), "character"),
    ("csv", "names that differ by case", _at("sparsifier", "Top-K"), "case|spaces|differ"),
    ("csv", "two sizes of one model", _at("params", 2000), "params"),
    ("csv", "two floors of one task", _at("chance", 0.5), "chance"),
    ("csv", "endless seconds", _at("seconds", "inf"), "finite|at most"),
    ("csv", "a misspelt column", log().rename(columns={"chance": "chance_level"}), "did you mean `chance`"),
    ("csv", "a required column missing", log().drop(columns="score"), "score missing"),
    ("csv", "no row", log().iloc[:0], "no rows"),
    ("means", "percent", table_of_means().assign(score=lambda t: 100 * t["score"]), "If they are percent"),
    ("means", "an error of 0", table_of_means().assign(se=0.0), "standard error|se"),
    ("means", "an error above .5", table_of_means().assign(se=0.7), "0.5"),
    ("means", "no item", table_of_means().assign(n_items=0), "at least 1"),
    ("means", "a mean twice", pd.concat([table_of_means(), table_of_means().head(1)]), "second mean"),
    (
        "means",
        "dense that is sparse",
        _at("sparsifier", "dense", -1, table_of_means),
        "sparsifier is 'dense'|second mean",
    ),
    ("evidence", "a sparsity of 1", cells().assign(sparsity=1.0), "below 1"),
    ("evidence", "less than no item", cells().assign(n_items=-3), "at least 1"),
    ("evidence", "endless items", cells().assign(n_items="inf"), "whole number"),
    ("evidence", "a dense score beyond its scale", cells().assign(dense_score=50), "does not fit its score_scale"),
    ("evidence", "a score that is no number", cells().assign(score="n/a?"), "not a number"),
    ("evidence", "a cell twice", pd.concat([cells(), cells().head(1)]), "a second score"),
]
TREES: list[Planted] = [
    ("mapping", "an unknown field", {**MAPPING, "colums": {}}, "colums"),
    ("mapping", "an unknown column of ours", {**MAPPING, "columns": {"itemid": "question"}}, "no outcome column"),
    ("mapping", "a column that is not there", {**MAPPING, "columns": {"item_id": "id"}}, "not in the file"),
    ("mapping", "text that is scaled", {**MAPPING, "scale": {"sparsifier": 2}}, "nothing to calculate with"),
    ("claim", "a number without a unit", {**CLAIM, "claimed": {"kind": "retention", "number": 0.9}}, "unit: missing"),
    ("claim", "percent", {**CLAIM, "claimed": {**CLAIM["claimed"], "number": 95}}, "Is it percent"),  # type: ignore[dict-item]
    ("claim", "no axis of ours", {**CLAIM, "axis": "speed"}, "is no axis"),
    ("claim", "a level that nobody has", {**CLAIM, "scope": {"sparsity": 0.77}}, "nothing in the evidence"),
    ("plan", "levels in percent", {**PLAN, "levels": [0, 50]}, "levels"),
    ("plan", "no item", {**PLAN, "items": 0}, "items"),
    ("plan", "an unknown task", {**PLAN, "tasks": ["kv-lokup"]}, "kv-lokup"),
    ("plan", "an unknown field", {**PLAN, "itms": 3}, "itms"),
    ("plan", "endless items", {**PLAN, "items": 10**15}, "items"),
    ("shapes", "no layer", {"lm": {"num_hidden_layers": 0, "num_attention_heads": 1, "hidden_size": 8}}, "greater"),
    ("questions", "no prompt", {**QUESTION, "prompt": " "}, "expected a text"),
    ("questions", "a floor of 1", {**QUESTION, "chance": 1}, "below 1"),
    ("questions", "endless scope", {**QUESTION, "scope": float("inf")}, "scope"),
    ("questions", "a misspelt type", {**QUESTION, "task_type": "retreival"}, "did you mean retrieval"),
]


def _report_with(change: Callable[[Any], Any]) -> Any:
    import json

    tree = json.loads(json.dumps(_report_tree()))
    change(tree)
    return tree


def _band(tree: Any) -> Any:  # JSON
    return tree["curves"][0]["band"]


def _seen(tree: Any) -> Any:  # JSON
    return tree["curves"][0]["observed"][0]["interval"]


REPORTS: list[Planted] = [
    ("report", "bands of unequal length", _report_with(lambda t: _band(t)["median"].pop()), "lists of"),
    (
        "report",
        "a sparsity of 1",
        _report_with(lambda t: t["curves"][0]["band"]["sparsity"].__setitem__(-1, 1.0)),
        "no share",
    ),
    ("report", "no number", _report_with(lambda t: t["curves"][0]["band"]["median"].__setitem__(0, float("nan"))), "."),
    (
        "report",
        "an interval turned round",
        _report_with(lambda t: t["curves"][0]["observed"][0]["interval"].update(lower=9)),
        "ends",
    ),
    (
        "report",
        "a tolerated level of 1",
        _report_with(lambda t: t["thresholds"][0]["level"].update(upper=1.0)),
        "no share",
    ),
    ("report", "a probability of 7", _report_with(lambda t: t.update(decision_prob=7)), "no probability"),
]
PLANTED = [*TABLES, *TREES, *REPORTS]
