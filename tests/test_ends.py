"""A row is over once its answer is whole: the same verdict as before, counted as if nothing had followed."""

import json
from dataclasses import replace

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

from tests.tiny_models import COMMON, save
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding.batching import Condition, Prompt, Sizes
from tolerance.runners.decoding.generate import END_OF_THOUGHT, Ends, answer
from tolerance.runners.decoding.shared_prefill import answer_levels
from tolerance.runners.models.load import load
from tolerance.runners.sparsifiers import get
from tolerance.runners.tasks.base import Item
from tolerance.runners.tasks.graders import FOR_FILES, ends, grade

# what is written: an end, a line break, a space, a colon, a few letters
LETTERS = "abcdefghijkl"
VOCABULARY = ["<eos>", "Ċ", "Ġ", ":", *LETTERS]
TOKENS = 24


def save_writer(folder, thinks=False):
    """A random model that writes letters and often ends lines."""
    save(LlamaConfig(**{**COMMON, "vocab_size": 17, "num_key_value_heads": 2, "eos_token_id": 0}), folder)
    words = Tokenizer(models.BPE({token: i for i, token in enumerate(VOCABULARY)}, []))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    if thinks:
        words.add_tokens([AddedToken(END_OF_THOUGHT)])
    made = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", pad_token="<eos>", padding_side="left")
    made.save_pretrained(folder)
    (folder / "tolerance.json").unlink()
    return folder


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return load(str(save_writer(tmp_path_factory.mktemp("writer"))), device="cpu")


PROMPTS = ["".join(LETTERS[(7 * i + j * j) % 12] for j in range(12 + 3 * i)) for i in range(12)]


def item(grader, answers=("a",)):
    return Item("x", "t", "other", 0, "", answers, None, None, None, 0, grader)


RULES = {"one line": item("any"), "a paragraph": item("contains", ("a", "b"))}


def ask(loaded, prompts, rule, tokens=TOKENS):
    with imposing(get("streaming"), 0.5) as control:
        told = [rule] * len(prompts)
        return answer(loaded, prompts, control, max_new_tokens=tokens, special_tokens=True, ended=told)


@pytest.mark.parametrize("name", RULES)
def test_the_verdict_is_that_of_the_whole_text_and_the_cost_that_of_what_was_needed(writer, name):
    asked = RULES[name]
    whole, cut = ask(writer, PROMPTS, None), ask(writer, PROMPTS, ends(asked))
    shorter = 0
    for prompt, full, got in zip(PROMPTS, whole, cut, strict=True):
        assert full.text.startswith(got.text)
        verdicts = [grade(asked, one.text, stopped=one.stopped) for one in (full, got)]
        assert replace(verdicts[0], answer="") == replace(verdicts[1], answer="")
        if got.generated_tokens < full.generated_tokens:
            shorter += 1
            assert ask(writer, [prompt], None, got.generated_tokens) == [got]
        else:
            assert got == full
    # and it can fail: some are cut, some are not
    assert 0 < shorter < len(PROMPTS) or (name == "one line" and shorter)


@pytest.mark.parametrize("name", RULES)
def test_a_row_does_not_depend_on_how_long_others_go_on(writer, name):
    rule = ends(RULES[name])
    assert ask(writer, PROMPTS, rule) == [ask(writer, [prompt], rule)[0] for prompt in PROMPTS]


@pytest.mark.parametrize("name", RULES)
def test_evicted_caches_end_their_answers_alike(writer, name):
    rule = ends(RULES[name])
    ids = [tuple(writer.tokenizer(prompt).input_ids) for prompt in PROMPTS]
    tried = [Condition(), Condition(get("key-norm"), 0.5), Condition(get("key-norm", question="visible"), 0.5)]

    def levels(rule, some=ids, sizes=None, tokens=TOKENS):
        asked = [Prompt(one, len(one) - 3, rule) for one in some]
        return answer_levels(writer, asked, tried, max_new_tokens=tokens, sizes=sizes)

    whole, cut = levels(None), levels(rule)
    assert cut == levels(rule, sizes=Sizes(prefill_tokens=1, kept_bytes=1, capture=False))
    with imposing() as control:
        plain = answer(
            writer, PROMPTS, control, max_new_tokens=TOKENS, special_tokens=True, ended=[rule] * len(PROMPTS)
        )
    assert [one.text for one in cut[0]] == [one.text for one in plain]
    shorter = 0
    for c in range(len(tried)):
        for i, (full, got) in enumerate(zip(whole[c], cut[c], strict=True)):
            assert full.text.startswith(got.text)
            if got.generated_tokens < full.generated_tokens:
                shorter += 1
                if shorter % 4 == 1:
                    assert levels(None, [ids[i]], tokens=got.generated_tokens)[c] == [got]
    assert shorter


def test_decoding_ends_with_the_last_answer(writer, monkeypatch):
    steps = []
    original = type(writer.model).forward

    def counted(self, *args, **kwargs):
        steps.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(type(writer.model), "forward", counted)
    got = ask(writer, PROMPTS, ends(RULES["one line"]))
    over = [one.generated_tokens + one.stopped for one in got]
    assert len(steps) == max(over)
    assert max(over) <= TOKENS


def test_a_model_that_thinks_first_is_not_cut_short_before_its_answer(tmp_path):
    loaded = load(str(save_writer(tmp_path, thinks=True)), device="cpu")
    told = Ends(loaded, [ends(RULES["one line"])])
    end, line, thought, a = 0, 1, loaded.tokenizer.convert_tokens_to_ids(END_OF_THOUGHT), 4
    assert told.of(0, torch.tensor([a, line, a, line])) is None
    assert told.of(0, torch.tensor([a, line, thought, line, a, line, a, end])) == 6


def test_rules_that_read_one_word_may_always_go_on(writer):
    assert ends(item("word")) is None
    assert all(ends(item(grader))("a\n") for grader in FOR_FILES if grader != "contains")
    assert not ends(item("contains"))("a\nb")
    assert ends(item("contains"))("a\n\nb")
    assert not ends(item("any"))("it is:\nb")


def test_collected_answers_end_with_their_line(writer, tmp_path):
    questions = [
        {"prompt": prompt, "answer": "a", "task": "t", "task_type": "other", "grader": "any"} for prompt in PROMPTS
    ]
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, questions)))
    plan = Plan.make(
        models=[str(writer.model.config._name_or_path)],
        tasks=[str(path)],
        sparsifiers=["streaming", {"key-norm": {"question": "visible"}}],
        levels=[0, 0.5],
        context_lengths=[32],
        items=12,
        max_new_tokens=TOKENS,
    )
    table = collect(plan, tmp_path / "run", device="cpu").read()
    assert set(table.groupby("sparsifier").size()) == {12}
    assert not table["answer"].str.contains("[a-l]\n", regex=True).any()
    assert (table["generated_tokens"] < TOKENS).any()
