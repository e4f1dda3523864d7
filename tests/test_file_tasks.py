"""Questions from a file: read, checked by row, answered, and part of the plan's identity."""

import json

import pandas as pd
import pytest
from transformers import LlamaConfig

from tests.tiny_models import COMMON, save, save_llama
from tolerance import SchemaError, StoreError
from tolerance.runners.collect.blocks import blocks
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.tasks import from_file, get

FIELDS = {"sparsifiers": ["streaming"], "levels": [0, 0.5], "context_lengths": [64], "items": 3, "max_new_tokens": 3}
ROW = {"prompt": "The capital of Bada is Kolo. The capital of Bada?", "answer": "Kolo", "task": "capitals"}
QUESTIONS = [
    {**ROW, "task_type": "single-qa", "chance": 0.25, "scope": 7, "dispersion": 0.0, "context_length": 12},
    {**ROW, "prompt": "Name the colours: red, blue.", "answer": ["red", "blue"], "task_type": "single-qa"},
    *({**ROW, "prompt": f"{n} + {n}?", "answer": str(2 * n), "task": "sums", "task_type": "reasoning"} for n in (1, 2)),
]


def write(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@pytest.fixture
def model(tmp_path):
    """A model that reads English, or at least is asked in it."""
    return save(LlamaConfig(**COMMON, num_key_value_heads=2), tmp_path / "model", dialect="english")


def test_every_question_is_answered_at_every_level(tmp_path, model):
    path = write(tmp_path / "questions.jsonl", QUESTIONS)
    plan = Plan.make(models=[str(model)], tasks=[str(path), "kv-lookup"], **FIELDS)
    table = collect(plan, tmp_path / "run", device="cpu").read()
    assert table.groupby("task")["item_id"].nunique().to_dict() == {"capitals": 2, "kv-lookup": 3, "sums": 2}
    assert table.groupby("item_id").size().eq(2).all()
    capitals = table[(table["task"] == "capitals") & (table["sparsifier"] == "dense")].sort_values("n")
    assert capitals["n"].tolist() == [1, 2]
    assert capitals["chance"].tolist()[0] == 0.25
    assert capitals["chance"].isna().tolist() == [False, True]
    assert capitals["context_length"].isna().tolist() == [False, True]


def test_parquet_says_the_same_as_jsonl(tmp_path):
    write(tmp_path / "questions.jsonl", QUESTIONS)
    rows = [
        {**row, "answer": row["answer"] if isinstance(row["answer"], list) else [row["answer"]]} for row in QUESTIONS
    ]
    pd.DataFrame(rows).astype({"context_length": "Int64"}).to_parquet(tmp_path / "questions.parquet")
    one, other = (from_file.read(str(tmp_path / f"questions.{end}")).tasks for end in ("jsonl", "parquet"))
    assert {name: task.rows for name, task in one.items()} == {name: task.rows for name, task in other.items()}


def test_a_plan_is_its_questions_wherever_they_lie(tmp_path):
    plans = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        path = write(tmp_path / folder / "questions.jsonl", QUESTIONS)
        plans.append(Plan.make(models=["tiny"], tasks=[str(path)], **FIELDS))
    assert plans[0].to_dict() == plans[1].to_dict()
    assert [b.name for b in blocks(plans[0])] == [b.name for b in blocks(plans[1])]
    assert plans[0].to_dict()["tasks"] == ["questions.jsonl#capitals", "questions.jsonl#sums"]


def test_other_questions_under_the_same_name_are_another_plan(tmp_path, model):
    path = write(tmp_path / "questions.jsonl", QUESTIONS)
    old = Plan.make(models=[str(model)], tasks=[str(path)], **FIELDS)
    collect(old, tmp_path / "run", device="cpu")
    write(path, QUESTIONS[:3])
    with pytest.raises(StoreError, match="holds a run of another plan"):
        collect(Plan.make(models=[str(model)], tasks=[str(path)], **FIELDS), tmp_path / "run", device="cpu")
    with pytest.raises(SchemaError, match=r"questions\.jsonl: has changed since the plan was read"):
        collect(old, tmp_path / "new", device="cpu")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": ""}, "row 1: prompt: '', expected a text"),
        ({"prompt": None}, "row 1: prompt missing"),
        ({"answer": []}, "row 1: answer: [], expected a text or a list"),
        ({"answer": "%"}, "row 1: answer: '%', expected at least one letter or digit"),
        ({"task_type": "retreival"}, "row 1: task_type: 'retreival': did you mean retrieval"),
        ({"grader": "judge"}, "row 1: grader: 'judge', expected one of exact, contains, any, choice, number"),
        (
            {"grader": "choice", "answer": "B", "chance": None},
            "grader 'choice' needs chance. Give 1 / number of options",
        ),
        ({"grader": "choice", "answer": "yes", "chance": 0.5}, "expected one capital letter"),
        ({"grader": "number"}, "answer: 'Kolo', expected a number"),
        ({"chance": 1.5}, "row 1: chance: 1.5, expected a number, at least 0 and below 1"),
        ({"dispersion": 2}, "row 1: dispersion: 2, expected a number, at least 0 and at most 1"),
        ({"max_new_tokens": 0}, "row 1: max_new_tokens: 0, expected a whole number, at least 1"),
        ({"level": 3}, "row 1: column level unknown. Known: prompt, answer"),
    ],
)
def test_a_bad_row_is_named_before_anything_is_loaded(tmp_path, changes, said):
    path = write(tmp_path / "questions.jsonl", [{**QUESTIONS[0], **changes}])
    with pytest.raises(SchemaError) as error:
        Plan.make(models=["tiny"], tasks=[str(path)], **FIELDS)
    assert f"{path} {said}" in str(error.value) or said in str(error.value)
    assert str(path) in str(error.value)


def test_files_that_are_no_files_of_questions_are_named(tmp_path):
    broken, empty = tmp_path / "broken.jsonl", tmp_path / "empty.jsonl"
    broken.write_text('{"prompt": "a"\n')
    empty.write_text("")
    (tmp_path / "bad.parquet").write_text("no")
    twice = write(tmp_path / "twice.jsonl", [QUESTIONS[0], QUESTIONS[0]])
    mixed = write(tmp_path / "mixed.jsonl", [QUESTIONS[0], {**QUESTIONS[1], "grader": "any"}])
    for path, said in (
        (broken, "row 1: not JSON"),
        (empty, "holds no questions"),
        (tmp_path / "bad.parquet", "not a readable Parquet file"),
        (twice, "row 2: the same question as row 1"),
        (mixed, "task 'capitals' has grader any and contains"),
        (tmp_path / "nothing.jsonl", "no such file of questions"),
    ):
        with pytest.raises(SchemaError, match=said):
            from_file.read(str(path))
    with pytest.raises(SchemaError, match=r"task 'rivers' unknown\. It holds capitals"):
        get(f"{write(tmp_path / 'q.jsonl', QUESTIONS)}#rivers")


def test_the_longest_question_is_held_against_the_models_positions(tmp_path):
    from tolerance import RunnerError

    long = {**ROW, "task_type": "single-qa", "prompt": "word " * 600}
    path = write(tmp_path / "questions.jsonl", [QUESTIONS[0], long])
    model = save_llama(tmp_path / "model")
    with pytest.raises(RunnerError, match="more than the model's 512 positions"):
        collect(Plan.make(models=[str(model)], tasks=[str(path)], **FIELDS), tmp_path / "run", device="cpu")
