"""docs/tasks.md says of every task what the code says."""

import re
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tolerance.runners.models.load import TINY_FOLDER
from tolerance.runners.tasks import PUZZLES, TASKS
from tolerance.runners.tasks.dialects import english
from tolerance.runners.tasks.from_file import MAX_NEW_TOKENS, OPTIONAL, REQUIRED
from tolerance.runners.tasks.graders import FOR_FILES, GRADERS

TEXT = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text()
CONTEXT = 2048


@pytest.fixture(scope="module")
def spoken():
    return english(AutoTokenizer.from_pretrained(TINY_FOLDER))


def rows(head: str) -> list[list[str]]:
    """Cells of the table that starts with this column."""
    table = re.search(rf"^\| {head} \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]


def test_every_task_has_its_row(spoken):
    told = {row[0].strip("`"): row[1:] for row in rows("task")}
    assert list(told) == list(TASKS.ours)
    for name in TASKS.ours:
        task = TASKS[name]
        item = task.item(spoken, CONTEXT, 0, 0)
        expected = [task.task_type, str(len(item.answers)), f"{item.chance:.2g}", str(task.answer_tokens(spoken))]
        assert told[name][:4] == expected, name


def test_all_generated_tasks_are_graded_by_the_same_rule(spoken):
    assert {task.item(spoken, CONTEXT, 0, 0).grader for task in map(TASKS.get, TASKS.ours)} == {"named"}
    assert set(PUZZLES) == {"kv-lookup", "two-hop", "common-word"}


def test_every_rule_and_column_is_named():
    assert {row[0].strip("`") for row in rows("rule")} == set(GRADERS)
    assert {row[0].strip("`") for row in rows("rule") if row[2] == "yes"} == set(FOR_FILES)
    assert {row[0].strip("`") for row in rows("column")} == {*REQUIRED, *OPTIONAL}
    assert f"{MAX_NEW_TOKENS} tokens" in TEXT
