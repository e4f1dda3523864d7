"""Items: the answer follows from the prompt, ids are stable, lengths are kept, answers are judged by rule."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tests.tiny_models import save_llama
from tolerance import SchemaError
from tolerance.runners.tasks import PUZZLES, TASKS, grade
from tolerance.runners.tasks.dialects import Words, dialect
from tolerance.runners.tiny import batches, words

indices = st.integers(0, 5000)
contexts = st.sampled_from([64, 128, 256, 512])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return AutoTokenizer.from_pretrained(save_llama(tmp_path_factory.mktemp("model")))


def words_facts(prompt: str) -> dict[str, str]:
    """key -> value, read back from the text of a prompt."""
    tokens = prompt.split()
    slots = [tokens[i : i + 4] for i in range(0, len(tokens) - 3, 4)]
    return {slot[1]: slot[2] for slot in slots if slot[0] == slot[3] == ";"}


@given(contexts, indices)
def test_the_answer_of_a_look_up_stands_in_the_prompt(context, index):
    item = TASKS["kv-lookup"].item(Words(), context, 0, index)
    assert words_facts(item.prompt)[item.prompt.split()[-1]] == item.answer


@given(contexts, indices)
def test_the_answer_of_two_hops_follows_from_two_facts(context, index):
    item = TASKS["two-hop"].item(Words(), context, 0, index)
    facts = words_facts(item.prompt)
    assert facts[facts[item.prompt.split()[-1]]] == item.answer
    assert 0 <= item.dispersion <= 1


@given(contexts, indices)
def test_the_most_common_word_is_the_answer_by_far(context, index):
    item = TASKS["common-word"].item(Words(), context, 0, index)
    (first, n), (_, second) = Counter(item.prompt.split()[:context]).most_common(2)
    assert first == item.answer
    assert n > 2 * second


@pytest.mark.parametrize("task", PUZZLES.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("context", [64, 256])
def test_words_are_one_token_each_and_none_is_unknown(task, context, tokenizer):
    for item in task.items(5, Words(), context, 0):
        ids = tokenizer(item.prompt).input_ids
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.unk_token_id not in ids
        assert len(ids) == 1 + context + 3
        assert tokenizer.unk_token_id not in tokenizer(item.answer).input_ids


@pytest.mark.parametrize(("name", "trained"), [("kv-lookup", "lookup"), ("two-hop", "two-hop")])
def test_prompts_have_the_form_that_the_model_was_trained_on(name, trained, tokenizer):
    batch = batches.make(256, {trained: 4}, torch.Generator().manual_seed(0))
    made = [tokenizer.decode(row[1:]) for row in batch.tokens[:, : 1 + 256 + 4]]
    item = TASKS[name].item(Words(), 256, 0, 0)
    asked = f"{item.prompt} {item.answer}"
    assert len(words_facts(asked)) == len(words_facts(made[0]))
    assert asked.split()[256:258] == made[0].split()[256:258]
    for text in made:
        facts = words_facts(text[: text.rindex(";")])
        key, value = text.split()[-2:]
        assert value == (facts[key] if trained == "lookup" else facts[facts[key]])


def test_training_answers_stand_where_they_are_learned():
    batch = batches.make(64, dict.fromkeys(batches.TASKS, 3), torch.Generator().manual_seed(1))
    assert batch.tokens.shape == (15, batches.total_length(64))
    assert (batch.targets >= words.FIRST_ENTITY).all()
    assert set(batch.tasks.tolist()) == set(range(len(batches.TASKS)))


@pytest.mark.parametrize("task", PUZZLES.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("context", [48, 64, 100, 128, 400, 1000])
def test_english_fills_the_context_and_never_overfills_it(task, context):
    english = dialect("english", Spaces())
    for item in task.items(6, english, context, 0):
        middle = item.prompt.split("\n\n")[1]
        assert 0.9 * context <= len(Spaces().encode(middle)) <= context
        assert item.answer in middle
        assert item.prompt.endswith("Answer:")


class Spaces:
    """A tokenizer of two tokens a word."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[str]:
        return [half for word in text.split() for half in (word[:2], word[2:])]


def test_a_chat_template_is_used_where_there_is_one():
    class Chat(Spaces):
        chat_template = "yes"

        def apply_chat_template(self, turns, tokenize, add_generation_prompt, **others):
            return f"<user>{turns[0]['content']}<assistant>"

    chat = dialect("english", Chat())
    item = TASKS["kv-lookup"].item(chat, 128, 0, 0)
    assert item.prompt.startswith("<user>")
    assert item.prompt.endswith("<assistant>")
    assert not chat.adds_special_tokens


@pytest.mark.parametrize(
    ("name", "text", "k", "parse_ok"),
    [
        ("words", "{answer}", 1, True),
        ("words", "{other}", 0, True),
        ("words", ";", 0, False),
        ("words", "", 0, False),
        ("english", " The code is {answer}.", 1, True),
        ("english", " {other}", 0, True),
        ("english", " 42!", 0, False),
    ],
)
def test_answers_are_judged_by_rule(name, text, k, parse_ok):
    spoken = dialect(name, Spaces())
    item = TASKS["kv-lookup"].item(spoken, 128, 0, 0)
    other = next(word for word in words.entities() if word != item.answer)
    judged = grade(item, text.format(answer=item.answer, other=other), stopped=True)
    assert (judged.k, judged.n, judged.parse_ok) == (k, 1, parse_ok)


@pytest.mark.parametrize("task", PUZZLES.values(), ids=lambda t: t.name)
@pytest.mark.parametrize("context", [48, 128])
def test_there_are_always_two_answers_to_choose_from(task, context):
    assert all(0 < item.chance <= 0.5 for item in task.items(800, dialect("english", Spaces()), context, 0))


def test_facts_that_do_not_fit_a_context_are_refused_with_a_length_that_does():
    with pytest.raises(SchemaError, match=r"context_lengths: 32: 4 facts take 48 .* at least 96"):
        TASKS["two-hop"].item(dialect("english", Spaces()), 32, 0, 0)
