"""The command as a user types it: the whole chain, and one clear line for everything that is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from transformers import BloomConfig

from tests.simulated import outcomes
from tests.tiny_models import save


def tolerance(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tolerance", *map(str, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def refused(*words: str | Path, cwd: Path) -> str:
    """The one line of an error; nothing may be left behind."""
    before = {p: p.stat().st_mtime_ns for p in cwd.rglob("*")}
    done = tolerance(*words, cwd=cwd)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    assert {p: p.stat().st_mtime_ns for p in cwd.rglob("*")} == before
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert not done.stdout.strip()
    return line


@pytest.fixture
def plan(tmp_path):
    fields = {
        "models": ["tiny"],
        "tasks": ["kv-lookup"],
        "sparsifiers": ["top-k"],
        "levels": [0, 0.5],
        "context_lengths": [64],
        "items": 8,
    }

    def write(**changes):
        path = tmp_path / "plan.yaml"
        path.write_text(json.dumps({**fields, **changes}))
        return path

    return write


def test_the_demo_measures_the_shipped_model_and_ends_with_headlines_and_a_report(demo):
    folder, said = demo
    page = (folder / "tolerance-demo" / "report.html").read_text()
    report = json.loads((folder / "tolerance-demo" / "report.json").read_text())
    assert "report -> tolerance-demo/report.html" in said
    assert "90% credible interval" in said
    assert report["data"]["models"] == ["tolerance-tiny"]
    assert report["data"]["n_rows"] == 16 * 3 * 11
    assert report["provenance"]["command"].startswith("tolerance demo")
    assert "How much sparsity does tolerance-tiny tolerate" in page.replace("\u2011", "-")


def test_the_shipped_model_answers_densely_and_streaming_breaks_retrieval_not_aggregation(demo):
    folder, _ = demo
    cells = json.loads(tolerance("show", "tolerance-demo/run", "--json", cwd=folder).stdout)["cells"]
    accuracy = {(c["task"], c["sparsifier"], c["sparsity_requested"]): c["accuracy"] for c in cells}
    for task in ("kv-lookup", "two-hop", "common-word"):
        assert accuracy[task, "dense", 0.0] >= 0.9
    assert accuracy["kv-lookup", "streaming", 0.8] < 0.5 < accuracy["common-word", "streaming", 0.8]


def test_a_saved_analysis_is_compared_at_equal_everything(demo):
    folder, _ = demo
    sides = ("compare", "streaming@0.8", "dense", "--analysis", "tolerance-demo/analysis")
    done = tolerance(*sides, "--hold", "params,compute,sparsity", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["format"] == "tolerance-conclusions/1"
    assert found["provenance"]["sources"] == ["tolerance-demo/run"]
    (retrieval,) = [one for one in found["conclusions"] if one["task_type"] == "single-qa"]
    at = {one["axis"]: one for one in retrieval["axes"]}
    assert at["parameters"]["verdict"] == "worse"
    assert at["parameters"]["check"]["n_answers"] == 32
    assert at["compute"]["verdict"] == "no overlap"
    assert at["compute"]["difference"] is None
    by_plan = tolerance("compare", "top-k@0.8", *sides[2:], "--hold", "params", "-q", "--json", cwd=folder)
    assert json.loads(by_plan.stdout)["treatment"] == "oracle-top-k@0.8"
    assert by_plan.stderr == ""
    gated = tolerance(*sides, "--hold", "params", "--fail-on", "axis-dependent,untestable", cwd=folder)
    assert gated.returncode == 2
    assert "worse at equal parameters" in gated.stdout
    assert "Levels asked for" in refused("compare", "streaming@0.7", "dense", *sides[3:], cwd=folder)
    assert "is no axis to hold" in refused(*sides, "--hold", "flops", cwd=folder)
    assert "--fail-on 'bad' is none of" in refused(*sides, "--fail-on", "bad", cwd=folder)


def test_each_step_of_the_demo_can_be_repeated_alone(demo):
    folder, _ = demo
    shown = tolerance("show", "tolerance-demo/run", cwd=folder).stdout
    assert "528 answers of tolerance-tiny" in shown
    fitted = tolerance("fit", "tolerance-demo/run", "--out", "tolerance-demo/analysis", "--json", cwd=folder)
    assert json.loads(fitted.stdout)["format"] == "tolerance-report/1"
    made = tolerance("report", "tolerance-demo/analysis", "--out", "page", cwd=folder)
    assert made.returncode == 0
    assert (folder / "page" / "report.html").is_file()


def test_the_instant_answer_comes_alone_and_before_the_fit(demo):
    folder, said = demo
    assert said.index("The instant answer") < said.index("90% credible interval")
    shown = tolerance("quick", "tolerance-demo/run", cwd=folder).stdout
    assert "528 answers" in shown
    assert "Against dense, on the same items" in shown
    found = json.loads(tolerance("quick", "tolerance-demo/run", "--json", cwd=folder).stdout)
    report = json.loads((folder / "tolerance-demo" / "report.json").read_text())
    assert found == report["instant"]
    assert len([c for c in found["contrasts"] if c["second"] == "dense"]) == 30


def test_the_instant_answer_of_no_run_is_one_line(tmp_path):
    assert "nowhere: no run folder" in refused("quick", "nowhere", cwd=tmp_path)


def test_logs_of_others_go_from_file_to_refusal_or_report_without_a_dense_baseline(tmp_path):
    frame = outcomes(n_items=30, with_dense=False, sparsifiers=("snapkv",))
    frame.rename(columns={"sparsifier": "press"}).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "map.yaml").write_text("columns: {sparsifier: press}")
    made = tolerance("import", "log.csv", "-m", "map.yaml", "--out", "run", cwd=tmp_path)
    assert "450 answers -> run" in made.stdout
    line = refused("fit", "run", "--out", "analysis", cwd=tmp_path)
    assert "no dense baseline: the lowest level is 0.5" in line
    assert "--without-dense" in line


@pytest.mark.parametrize("command", [[], ["demo"], ["collect"], ["import"], ["fit"], ["quick"], ["report"], ["show"]])
def test_every_command_has_help_with_an_example(command, tmp_path):
    done = tolerance(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert not command or "Example: tolerance" in done.stdout


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"levels": [0, 1.4]}, "levels: 1.4 is outside [0, 1)"),
        ({"sparsifiers": ["h2o"]}, "sparsifier 'h2o' unknown. Known: top-k, streaming"),
        ({"levels": [0.5]}, "no dense baseline"),
        ({"models": ["./nowhere"]}, "model ./nowhere: no such folder"),
        ({"models": ["./empty"]}, "has no config.json"),
    ],
)
def test_a_plan_that_cannot_be_collected_is_one_line(plan, tmp_path, changes, said):
    (tmp_path / "empty").mkdir()
    assert said in refused("collect", plan(**changes), "--out", "run", cwd=tmp_path)


def test_an_architecture_that_cannot_be_made_sparse_is_one_line(plan, tmp_path):
    config = BloomConfig(vocab_size=1024, hidden_size=32, n_layer=2, n_head=4)
    save(config, tmp_path / "bloom")
    assert "BloomForCausalLM does not use" in refused("collect", plan(models=["./bloom"]), "--out", "r", cwd=tmp_path)


def test_a_table_with_the_wrong_schema_is_one_line(tmp_path):
    pd.DataFrame({"question": [1], "accuracy": [0.5]}).to_csv(tmp_path / "log.csv", index=False)
    line = refused("import", "log.csv", "--out", "run", cwd=tmp_path)
    assert "log.csv: column item_id, task, task_type, model, sparsifier, sparsity_requested, score missing" in line


def test_published_means_go_from_file_to_refusal_without_a_number_of_items(tmp_path):
    frame = outcomes(n_items=4, levels=(0.5,), sparsifiers=("snapkv",))
    keys = ["task", "task_type", "model", "sparsifier", "sparsity_requested"]
    means = frame.groupby(keys, as_index=False)["score"].mean()
    means.assign(score=100 * means["score"]).to_csv(tmp_path / "percent.csv", index=False)
    means.to_csv(tmp_path / "means.csv", index=False)
    assert "divide them by 100" in refused("import", "percent.csv", "--aggregates", "--out", "run", cwd=tmp_path)
    made = tolerance("import", "means.csv", "--aggregates", "--out", "run", cwd=tmp_path)
    assert "6 means -> run" in made.stdout
    assert "6 of 6 published means have no number of items" in refused("fit", "run", "--out", "a", cwd=tmp_path)
    assert "margin 2 is outside (0, 1)" in refused("fit", "run", "--margin", "2", "--out", "a", cwd=tmp_path)


def test_an_import_says_what_it_did_not_use_and_what_is_odd(tmp_path):
    frame = outcomes(n_items=4, levels=(0.5,), sparsifiers=("snapkv",)).assign(prompt="?", chance_rate=0.25)
    frame.drop(columns="chance").to_csv(tmp_path / "log.csv", index=False)
    line = refused("import", "log.csv", "--out", "run", cwd=tmp_path)
    assert "`chance_rate`: did you mean `chance`?" in line
    made = tolerance("import", "log.csv", "--ignore", "chance_rate", "--out", "run", cwd=tmp_path)
    assert "24 answers -> run" in made.stdout
    assert "note: not used: column prompt, chance_rate" in made.stderr
    assert "note: guessing floor unknown: chain, count, look-up." in made.stderr


def test_an_empty_run_no_run_and_a_foreign_folder_are_one_line_each(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    assert "nowhere: no run folder" in refused("fit", "nowhere", "--out", "analysis", cwd=tmp_path)
    assert "nowhere: no run folder" in refused("show", "nowhere", cwd=tmp_path)
    assert "thesis: no analysis" in refused("report", "thesis", cwd=tmp_path)
    assert "thesis: exists and is no analysis folder" in refused("fit", "nowhere", "--out", "thesis", cwd=tmp_path)
    pd.DataFrame(columns=["item_id"]).to_csv(tmp_path / "empty.csv", index=False)
    assert "empty.csv: " in refused("import", "empty.csv", "--out", "run", cwd=tmp_path)
