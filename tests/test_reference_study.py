"""The reference study: rows for training say what graders want, and the document says what the shipped answers say."""

import itertools
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.reference import seeds, tables
from benchmarks.reference.curves import Curve, halves
from benchmarks.reference.llama import Pass, difference, shrink
from benchmarks.reference.rows import BUCKETS, MIX, STYLES, WEIGHTS, bucket_of, turns
from benchmarks.reference.train import Batch
from tolerance import validate
from tolerance.runners.tasks import get, grade
from tolerance.runners.tasks.dialects import dialect

DOCUMENT = Path(__file__).parent.parent / "docs" / "reference-study.md"


class Chat:
    """Words and marks are tokens; the template is SmolLM2's, bare."""

    chat_template = "yes"

    def encode(self, text: str, add_special_tokens: bool = False) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text)

    def apply_chat_template(self, turns, **others):
        return f"<|im_start|>user\n{turns[0]['content']}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", WEIGHTS)
def test_what_is_learnt_is_graded_as_right(name, style):
    for item in get(name).items(5, dialect("english", Chat()), 800, 3):
        own, more = turns(item, style, random.Random(0))
        assert grade(item, own, stopped=True).score == 1
        assert all(answer and question not in item.prompt for question, answer in more)


def test_steps_lead_to_the_direct_answer():
    for name in ("two-hop", "biographies-3", "counting"):
        item = get(name).item(dialect("english", Chat()), 800, 3, 0)
        steps, direct = (turns(item, style, random.Random(0))[0] for style in STYLES)
        assert steps.endswith(direct)
        assert len(steps) > len(direct)


def test_a_step_has_the_same_tokens_in_every_bucket():
    assert all(36_864 % width == 0 and width > max(lengths) for lengths, width in BUCKETS)
    assert all(sum(shares) == pytest.approx(1) for _, shares in MIX)
    late = {bucket_of(0, number, 1000) for number in range(900, 1000)}
    assert {bucket_of(0, number, 1000) for number in range(100)} == {0, 1}
    assert late == {0, 1, 2}


def test_a_batch_predicts_each_learnt_token_from_the_one_before():
    made = np.zeros((2, 2, 5), np.int32)
    made[:, 0] = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    made[0, 1, 3:] = made[1, 1, 4] = 1
    batch = Batch.of(made, "cpu")
    assert batch.at.tolist() == [2, 3, 8]
    assert batch.target.tolist() == [4, 5, 10]
    assert batch.row.tolist() == [0, 0, 1]


def test_the_pass_for_training_is_that_of_transformers():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=50, num_hidden_layers=4, tie_word_embeddings=True, **sizes))
    ids = torch.randint(50, (2, 7))
    assert difference(model, ids) < 0.02  # bfloat16
    small = shrink(model, 2)
    assert len(small.model.layers) == 2
    assert Pass().hidden(small, ids).shape == (14, 32)


def test_half_of_dense_lies_between_levels():
    levels = np.array([0, 0.5, 0.9])
    means = np.array([[1, 0.8, 0.2], [1, 1, 0.5], [0.8, 0.3, 0.6]])
    assert halves(levels, means) == pytest.approx([0.7, np.inf, 0.4])


def test_pairs_of_trainings_have_students_interval():
    apart = np.array([0.10, 0.08, 0.12])
    mean, low, high = seeds.paired(apart)
    expected = stats.ttest_1samp(apart, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((apart.mean(), expected.low, expected.high))
    wider = stats.ttest_1samp(apart, 0).confidence_interval(1 - 0.05 / 6)
    assert seeds.paired(apart, at_once=6)[1:] == pytest.approx((wider.low, wider.high))


def test_cells_of_both_sizes_are_compared_where_all_can_be_answered(monkeypatch):
    items = ("a", "b")

    def curve(half: float, dense: float = 1.0) -> Curve:
        # falls to 0 at twice the half, between the first two levels
        return Curve(items, np.array([0, 2 * half, 0.9]), np.array([[dense, 0, 0]] * 2))

    found = {}
    for layers, seed, task, method in itertools.product((30, 20), (0, 3), seeds.TASKS, seeds.METHODS):
        low = 0.5 if (task, layers, seed) == ("counting", 20, 3) else 1.0
        found[layers, seed, 512, task, method] = curve(0.3 if layers == 30 else 0.2, low)
    monkeypatch.setattr(seeds, "curves", lambda: found)
    seeds.whole.cache_clear()
    seeds.table.cache_clear()
    try:
        assert seeds.whole() == (0, 3)
        assert len(seeds.table()) == (len(seeds.TASKS) - 1) * len(seeds.METHODS)
        assert seeds.table()[30].to_numpy() == pytest.approx(0.3)
        assert seeds.table()[20].to_numpy() == pytest.approx(0.2)
    finally:
        seeds.whole.cache_clear()
        seeds.table.cache_clear()


@pytest.mark.slow
def test_the_document_says_what_the_answers_say():
    text = DOCUMENT.read_text()
    assert set(re.findall(r"<!-- table: ([\w-]+) -->", text)) == set(tables.TABLES)
    assert tables.written(text) == text


@pytest.mark.slow
def test_the_shipped_answers_are_outcomes():
    plans = [file.stem for file in tables.DATA.glob("*.parquet")]
    n = sum(len(validate(pd.read_parquet(tables.DATA / f"{plan}.parquet"), source=plan)) for plan in plans)
    assert f"{n:,} answers ship" in DOCUMENT.read_text()
