"""Figures in documents are what their scripts make of the data that ships, or say at which commit they were made."""

import re
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.calibration.scenarios import SCENARIOS
from benchmarks.calibration.study import QUANTITIES
from benchmarks.calibration.study import table as calibration
from benchmarks.runner import table as speed
from benchmarks.smollm2 import study as smollm2
from benchmarks.worlds.run import table as worlds

ROOT = Path(__file__).parent.parent
DOCS = {path.stem: path.read_text() for path in (ROOT / "docs").glob("*.md")}
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def printed(capsys) -> list[str]:
    """Rows of Markdown tables that a script printed, without heads and rules."""
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| ---")]


def test_speeds_of_the_runner_are_what_was_measured(capsys):
    speed.main()
    rows = printed(capsys)
    assert len(rows) > 20
    assert [row for row in rows if row not in DOCS["runner-speed"].splitlines()] == []


def test_accuracies_of_smollm2_are_those_of_the_answers_that_ship(capsys):
    smollm2.accuracies(str(ROOT / "benchmarks" / "smollm2"))
    # heads of tables, and counts of words that no table of the document shows
    rows = [
        row for row in printed(capsys) if not re.match(r"\| (task|sparsifier) \|", row) and re.search(r"\.\d\d", row)
    ]
    values = [set(NUMBER.findall(row.partition("|")[2])) for row in rows]
    told = [set(NUMBER.findall(line)) for line in DOCS["smollm2"].splitlines() if line.startswith("| ")]
    missing = [row for row in values if row and not any(row <= line for line in told)]
    assert len(values) > 40
    assert missing == []


def test_coverages_are_those_of_the_rows_that_ship():
    kept = pd.read_csv(ROOT / "benchmarks" / "calibration" / "results.csv")
    made = calibration(pd.read_parquet(ROOT / "benchmarks" / "calibration" / "rows" / "tolerance.parquet"))
    keys = ["scenario", "estimator", "quantity"]
    ours = kept[kept["estimator"].isin(set(made["estimator"]))].set_index(keys).sort_index()
    pd.testing.assert_frame_equal(made.set_index(keys).sort_index()[ours.columns].loc[ours.index], ours, atol=6e-5)


def test_the_table_of_coverages_is_that_of_the_results():
    kept = pd.read_csv(ROOT / "benchmarks" / "calibration" / "results.csv")
    ours = kept[kept["estimator"] == "tolerance"].set_index(["scenario", "quantity"])
    lines = [line for line in DOCS["calibration"].splitlines() if line.count("±") and re.search(r"\| \d+ \|", line)]
    made = []
    for name in SCENARIOS:
        mine = [ours.loc[name, q] for q in QUANTITIES if (name, q) in ours.index and ours["coverage"].notna()[name, q]]
        made.append([f"{one['coverage']:.2f} ± {one['se']:.2f}" for one in mine])
    assert [re.findall(r"\d\.\d\d ± \d\.\d\d", line) for line in lines] == made


@pytest.mark.parametrize("name", ["mended", "cellwise"])
def test_worlds_are_counted_as_the_document_says(name):
    rows = worlds(ROOT / "benchmarks" / "worlds" / f"{name}.csv").splitlines()[2:]
    lines = [line for line in DOCS["conclusions"].splitlines() if re.match(r"\| [a-e]:", line)]
    told = [
        [text.replace(",", "") for text in NUMBER.findall(line.partition("|")[2].partition("|")[2])] for line in lines
    ]
    for row in rows:
        decisive = re.findall(r"(\d+) of (\d+) \| (\d+)", row)[0]
        letter = row[2]
        mine = [
            line
            for line, numbers in zip(lines, told, strict=True)
            if line[2] == letter and set(decisive) <= set(numbers)
        ]
        assert mine, (name, row)


@pytest.mark.parametrize("name", DOCS)
def test_what_no_test_makes_anew_says_at_which_commit_it_was_made(name):
    """Commands of benchmarks that take longer than a test may, with the commit that their figures come from."""
    checked = ("benchmarks.runner.table", "calibration.study table", "worlds.run --table", "worlds.run --help")
    for paragraph in re.split(r"\n\s*\n", DOCS[name]):
        commands = re.findall(r"python -m (benchmarks\.[^`\n]*)", paragraph)
        long = [one for one in commands if not any(f"benchmarks.{known}".endswith(one.split()[0]) for known in checked)]
        long = [one for one in long if not any(known in f"{one}" for known in checked)]
        if long and name not in ("runner-speed", "calibration", "conclusions"):
            assert re.search(r"\(at [0-9a-f]{7}\)", paragraph), f"docs/{name}.md: {long[0]}: no commit"


@pytest.mark.parametrize("path", [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_files_that_a_document_names_are_there(path):
    named = re.findall(
        r"`((?:tolerance|runners|reports|templates|tests|benchmarks|docs)/[\w./-]+\.\w+)`", path.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
