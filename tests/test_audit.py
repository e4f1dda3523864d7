"""Claims held against evidence: verdicts, what an average hides, errors that name field and mend."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import DesignError, SchemaError, validate
from tolerance.auditing.audit import audit
from tolerance.auditing.claims import Claim, find_claim, library, read_claim
from tolerance.auditing.evidence import answered, published
from tolerance.reports.words.audit_sentences import sentences

AUDITS = Path(__file__).parent.parent / "docs" / "audits"
FIELDS = {
    "format": "tolerance-claim/1",
    "id": "mine",
    "statement": "keeps nearly all",
    "citation": {"source": "a paper"},
    "claimed": {"kind": "retention", "number": 1.0, "unit": "share of dense", "tolerance": 0.05},
    "axis": "KV tokens",
    "scope": {"methods": ["m"]},
}


def claim(**changes):
    return Claim.model_validate({**FIELDS, **changes})


def cells(tmp_path, rows, **columns):
    """A CSV of published cells: task, its type, score and dense score in percent, number of items."""
    table = pd.DataFrame(rows, columns=["task", "task_type", "score", "dense_score", "n_items"])
    fixed = {
        "source": "s",
        "table_or_figure": "t",
        "method": "m",
        "model": "llm",
        "score_scale": "0-100",
        "sparsity": 0.9,
    }
    path = tmp_path / "cells.csv"
    table.assign(**{**fixed, **columns}).to_csv(path, index=False)
    return path


def two(tmp_path, low=40, n=2000, **columns):
    return published(cells(tmp_path, [["qa", "single-qa", 80, 80, n], ["hop", "multi-hop", low, 80, n]], **columns))


def test_a_claim_that_holds_everywhere_is_supported(tmp_path):
    found = audit(claim(), two(tmp_path, low=80))
    assert found.verdict == "supported"
    assert [one.verdict for one in found.by_task_type] == ["holds", "holds"]


def test_a_claim_that_holds_for_one_type_is_supported_only_for_it(tmp_path):
    found = audit(claim(), two(tmp_path))
    assert (found.verdict, found.only_for, found.against[0]) == ("supported only for", ["single-qa"], "multi-hop")
    assert found.weakest[0].name == "multi-hop"
    assert found.weakest[0].probability > 0.99
    assert found.overall.value == pytest.approx(0.75)


def test_a_mean_that_hides_a_loss_says_so(tmp_path):
    rows = [["a", "single-qa", 60, 50, 2000], ["b", "multi-hop", 40, 50, 2000], ["c", "knowledge", 99, 99, 2000]]
    found = audit(claim(), published(cells(tmp_path, rows)))
    hidden = {one.kind: one for one in found.hidden}
    assert hidden["gains and losses cancel"].names == ["a", "b"]
    assert hidden["gains and losses cancel"].probability > 0.99
    assert hidden["not as claimed, unlike the mean"].names == ["b"]
    assert hidden["one task carries the mean"].names == ["a"]
    assert hidden["at the ceiling"].names == ["c"]


def test_without_item_counts_nothing_is_identified_and_the_range_is_labelled(tmp_path):
    found = audit(claim(), two(tmp_path, n=None))
    assert found.verdict == "not identifiable"
    assert found.overall.interval is None
    assert found.n_without_items == 2
    assert [one.n_items for one in found.assumed] == [50, 200, 1000]
    assert any(said.startswith("Sensitivity, not evidence") for said in sentences(found))


def test_cells_without_item_counts_are_left_out_of_those_with(tmp_path):
    rows = [["qa", "single-qa", 80, 80, 2000], ["hop", "multi-hop", 10, 80, None]]
    found = audit(claim(), published(cells(tmp_path, rows)))
    assert (found.verdict, found.n_without_items, found.overall.n_cells) == ("supported", 1, 1)


def test_an_exact_number_is_not_contradicted_by_few_items(tmp_path):
    exact = {"kind": "retention", "number": 0.994, "unit": "share of dense", "tolerance": 0.002, "sense": "equal"}
    assert audit(claim(claimed=exact), two(tmp_path, low=80, n=50)).verdict == "not identifiable"
    assert audit(claim(claimed=exact), two(tmp_path, low=40)).verdict == "contradicted"


def test_other_levels_are_shown_along_their_axis(tmp_path):
    rows = [["qa", "single-qa", 80, 80, 2000], ["qa", "single-qa", 20, 80, 2000]]
    evidence = published(cells(tmp_path, rows, sparsity=[0.5, 0.9], kv_budget_tokens=[512, 64]))
    found = audit(claim(scope={"methods": ["m"], "sparsity": 0.5}), evidence)
    assert found.verdict == "supported"
    assert {one.axis: one.state for one in found.axes}["KV tokens"] == "depends"
    assert {one.axis: one.state for one in found.axes}["context length"] == "not recorded"


def test_a_reference_can_be_another_method(tmp_path):
    rows = [["qa", "single-qa", 80, None, 2000], ["qa", "single-qa", 60, None, 2000]]
    evidence = published(cells(tmp_path, rows, method=["m", "other"], model=["big", "small"]))
    difference = {"kind": "difference", "number": 0.0, "unit": "accuracy"}
    found = audit(claim(claimed=difference, scope={"methods": ["m"], "reference": "other"}), evidence)
    assert found.verdict == "supported"
    assert found.overall.value == pytest.approx(0.2)


def test_published_correlations_are_judged_as_printed(tmp_path):
    rows = [["maths", "reasoning", 0.91, None, 5], ["maths", "reasoning", -0.13, None, None]]
    evidence = published(cells(tmp_path, rows, score_scale="correlation", table_or_figure=["five means", "items"]))
    strong = {"kind": "association", "number": 0.9, "unit": "correlation", "tolerance": 0.1}
    found = audit(claim(claimed=strong), evidence)
    assert (found.basis, found.verdict, found.overall.interval) == ("published levels", "contradicted", None)
    means = audit(claim(claimed=strong, scope={"methods": ["m"], "table": "five"}), evidence)
    assert means.verdict == "supported"


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)))
def test_the_order_of_cells_does_not_matter(tmp_path_factory, order):
    rows = [[f"t{i}", "single-qa" if i % 2 else "multi-hop", 50 + 5 * i, 80, 300] for i in range(6)]
    folder = tmp_path_factory.mktemp("cells")
    first = audit(claim(), published(cells(folder, rows)))
    again = audit(claim(), published(cells(folder, [rows[i] for i in order])))
    assert [one.prob_holds for one in first.by_task] == [one.prob_holds for one in again.by_task]
    assert first.verdict == again.verdict


def test_answers_are_evidence_too_and_keep_their_pairing():
    table = validate(outcomes(n_items=200, scales={("chain", "top-k"): 1.0, ("look-up", "top-k"): 9.0}))
    evidence = answered(table)
    found = audit(claim(scope={"methods": ["top-k"], "sparsity": 0.8, "within": 0.02}), evidence)
    assert found.basis == "answers"
    assert found.weakest[0].name == "multi-hop"
    same = table.assign(score=np.where(table["task"] == "look-up", 1.0, table["score"]))
    unchanged = audit(claim(scope={"methods": ["top-k"], "tasks": ["look-up"]}), answered(same))
    assert unchanged.overall.interval.lower > 0.98


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"axes": "none stated"}, "axes: no such field. Did you mean axis?"),
        ({"scope": {"method": ["m"]}}, "scope.method: no such field. Did you mean methods?"),
        ({"claimed": {"kind": "retention", "number": 0.98}}, "unit: missing. Say what 0.98 is in: 'share of dense'"),
        (
            {"claimed": {"kind": "retention", "number": 98, "unit": "share of dense"}},
            r"number: 98 is impossible as share of dense \(0 to 2\). Is it percent\? Then give 0.98",
        ),
        ({"claimed": {"kind": "retention", "unit": "share of dense"}}, "number: missing"),
        ({"claimed": {"kind": "threshold", "number": 0.1, "unit": "accuracy"}}, "does not fit a threshold"),
        ({"scope": {"sparsity": 1.2}}, "scope.sparsity: Input should be less than 1"),
        ({"axis": "memory"}, "axis"),
    ],
)
def test_a_wrong_claim_file_names_field_and_mend(tmp_path, changes, words):
    path = tmp_path / "claim.json"
    path.write_text(json.dumps({**FIELDS, **changes}))
    with pytest.raises(SchemaError, match=words):
        read_claim(path)


def test_evidence_that_does_not_mention_the_method_is_an_error_that_names_what_there_is(tmp_path):
    with pytest.raises(DesignError, match=r"scope.methods mm: nothing in the evidence. Did you mean m\? There is: m"):
        audit(claim(scope={"methods": ["mm"]}), two(tmp_path))
    with pytest.raises(SchemaError, match="Did you mean snapkv-92"):
        find_claim("snapkv-93")
    path = cells(tmp_path, [["qa", "x", 1, 1, 1]])
    pd.read_csv(path).drop(columns="task_type").to_csv(path, index=False)
    with pytest.raises(SchemaError, match="column task_type missing"):
        published(path)


def test_every_claim_that_ships_is_valid_and_named_as_its_file():
    claims = library()
    assert len(claims) >= 12
    assert all(find_claim(one.id) == one for one in claims)
    assert {one.id for one in claims if one.citation.second_hand} >= {"mobilellm-depth", "sparsegpt-24"}


def test_published_cells_contradict_what_they_are_known_to():
    """Counts and shares as read off the sources' tables, independently of this code."""
    evidence = published(AUDITS / "cells.csv")
    kv = audit(find_claim("sf-tiers-kv"), evidence)
    assert kv.lowest["Qwen/Qwen3-8B"]["retrieval"] == 13
    assert sum(kv.lowest["meta-llama/Llama-3.1-8B-Instruct"].values()) == 20
    assert audit(find_claim("sf-tiers-longctx"), evidence).overall.value == pytest.approx(5 / 48)
    rkv = audit(find_claim("rkv-10"), evidence)
    assert [one.verdict for one in rkv.by_cell].count("fails") == 3
    assert len(rkv.reversals) == 2
    assert "LongBench GovReport" in audit(find_claim("snapkv-92"), evidence).against
    seer = audit(find_claim("seer-r-2048"), evidence)
    assert (seer.only_for, "AIME25" in seer.against) == (["MATH500"], True)
    assert audit(find_claim("sparsegpt-24"), evidence).verdict == "not identifiable"


@pytest.mark.parametrize("name", ["rkv-10"])
def test_committed_audits_are_what_the_command_prints(name):
    command = [sys.executable, "-m", "tolerance", "audit", name, "--evidence", str(AUDITS / "cells.csv")]
    done = subprocess.run(
        [*command, "--fail-on", "contradicted,supported only for"],
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "150", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(AUDITS.parent.parent)},
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == (AUDITS / f"{name}.txt").read_text()
