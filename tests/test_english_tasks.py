"""English tasks: every answer is recomputed from the prompt's text alone, and lengths are kept for two tokenizers."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tolerance import RunnerError, SchemaError
from tolerance.runners.tasks import ENGLISH, TASKS, grade
from tolerance.runners.tasks.dialects import LEAST_FILLED, Words, dialect, english
from tolerance.runners.tasks.graders import blind_score
from tolerance.runners.tiny.words import save_tokenizer

CONTEXTS = (800, 2048)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """One word a token, and a byte-pair encoding of 700 tokens trained on prompts of ours."""
    folder = tmp_path_factory.mktemp("words")
    save_tokenizer(folder, max_length=512)
    text = [task.item(dialect("english", Split()), 800, 1, 0).prompt for task in ENGLISH.values()]
    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pairs.train_from_iterator(text, trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False))
    return {
        "words": AutoTokenizer.from_pretrained(folder),
        "pairs": PreTrainedTokenizerFast(tokenizer_object=pairs, eos_token="<eos>"),
    }


class Split:
    """Words and marks are tokens."""

    chat_template = None

    def encode(self, text: str, add_special_tokens: bool = False) -> list[str]:
        return re.findall(r"\w+|[^\w\s]", text)


def parts(prompt: str) -> tuple[str, str]:
    """Context and question."""
    _, context, question = prompt.split("\n\n")
    return context, question


def codes(prompt: str) -> set[str]:
    context, question = parts(prompt)
    asked = re.findall(r"the (\w+ \w+)(?=[,?]| and)", question)
    return {code for key, code in re.findall(r"code of the (\w+ \w+) is (\d+)\.", context) if key in asked}


def variables(prompt: str) -> set[str]:
    context, question = parts(prompt)
    held: dict[str, str] = {}
    for name, source in re.findall(r"Set (\w+) to (\w+)\.", context):
        # in the order of the text: a variable that is read before it is set would fail here
        held[name] = source if source.isdigit() else held[source]
    (number,) = re.findall(r"\d{5}", question)
    return {name for name, value in held.items() if value == number}


def most_common(prompt: str) -> set[str]:
    context, question = parts(prompt)
    n = int(re.findall(r"\d+", question)[0])
    counts = Counter(context.split(", ")).most_common(n + 1)
    assert counts[n - 1][1] > counts[n][1]
    return {word for word, _ in counts[:n]}


def orders(prompt: str) -> list[str]:
    context, question = parts(prompt)
    (dish,) = re.findall(r"ordered (\w+)\?", question)
    return [name for name, what in re.findall(r"([A-Z]\w+ [A-Z]\w+) ordered (\w+)\.", context) if what == dish]


def birthplace(prompt: str) -> set[str]:
    context, question = parts(prompt)
    name = r"[A-Z]\w+ [A-Z]\w+"
    born = dict(re.findall(rf"({name}) was born in (\w+) ", context))
    mentor = dict(re.findall(rf"The mentor of ({name}) was ({name})\.", context))
    (person,) = re.findall(rf"({name}) born\?", question)
    for _ in range(question.count("the mentor of")):
        person = mentor[person]
    return {born[person]}


SOLVERS = {
    "niah": codes,
    "variable": variables,
    "common": most_common,
    "frequent": most_common,
    "filtering": lambda prompt: set(orders(prompt)),
    "counting": lambda prompt: {str(len(orders(prompt)))},
    "biographies": birthplace,
}


@pytest.mark.parametrize("name", ENGLISH)
@pytest.mark.parametrize("tokenizer", ["words", "pairs"])
@given(index=st.integers(0, 10_000), context=st.sampled_from(CONTEXTS))
@settings(max_examples=8, deadline=None)
def test_the_answer_follows_from_the_text_alone_and_the_length_is_kept(tokenizers, tokenizer, name, index, context):
    spoken = english(tokenizers[tokenizer])
    item = ENGLISH[name].item(spoken, context, 0, index)
    assert SOLVERS[name.split("-")[0]](item.prompt) == set(item.answers)
    assert len(set(item.answers)) == len(item.answers)
    assert set(item.answers) <= set(item.candidates)
    taken = len(tokenizers[tokenizer].encode(parts(item.prompt)[0], add_special_tokens=False))
    assert LEAST_FILLED * context <= taken <= context
    assert 0 < item.scope <= context
    assert 0 <= item.dispersion <= 1
    assert 0 <= item.chance <= 0.5


def test_long_contexts_are_kept_too(tokenizers):
    spoken = english(tokenizers["pairs"])
    for name in ("niah-multi-key", "common-words", "filtering", "biographies-3"):
        item = ENGLISH[name].item(spoken, 16_384, 0, 0)
        assert LEAST_FILLED * 16_384 <= len(tokenizers["pairs"].encode(parts(item.prompt)[0])) <= 16_384
        assert SOLVERS[name.split("-")[0]](item.prompt) == set(item.answers)


def test_ids_name_the_tokenizer_and_puzzles_do_not_depend_on_it(tokenizers):
    items = [TASKS["niah-single"].item(english(t), 800, 0, 0) for t in tokenizers.values()]
    assert items[0].item_id != items[1].item_id
    assert items[0].answers == items[1].answers


def test_a_chat_template_is_part_of_what_an_id_names(tokenizers):
    plain = english(tokenizers["pairs"])
    tokenizers["pairs"].chat_template = "{{ messages[0].content }}"
    try:
        assert english(tokenizers["pairs"]).name != plain.name
    finally:
        tokenizers["pairs"].chat_template = None
    assert english(tokenizers["pairs"]).name == plain.name


@pytest.mark.parametrize("name", ENGLISH)
def test_a_perfect_answer_is_right_a_dump_of_everything_is_not(tokenizers, name):
    item = ENGLISH[name].item(english(tokenizers["pairs"]), 800, 0, 0)
    perfect = grade(item, f" {item.answer}.\n\nQuestion: and now?", stopped=False)
    assert (perfect.k, perfect.n, perfect.parse_ok, perfect.truncated) == (len(item.answers), perfect.n, True, False)
    assert perfect.n == len(item.answers)
    if len(item.candidates) >= 2 * len(item.answers):
        assert grade(item, ", ".join(item.candidates), stopped=True).k == 0
    assert not grade(item, "%!", stopped=True).parse_ok


@pytest.mark.parametrize("name", ENGLISH)
def test_a_context_that_is_too_short_is_refused_with_one_that_is_not(tokenizers, name):
    spoken = english(tokenizers["pairs"])
    try:
        ENGLISH[name].item(spoken, 32, 0, 0)
    except SchemaError as error:
        (enough,) = re.findall(r"Ask for at least (\d+)", str(error))
        assert ENGLISH[name].item(spoken, int(enough), 0, 0)


def test_hops_are_what_the_names_say(tokenizers):
    spoken = english(tokenizers["words"])
    for hops in (1, 2, 3, 4):
        assert len(ENGLISH[f"variable-tracking-{hops}"].item(spoken, 800, 0, 0).answers) == hops + 1
    for hops in (1, 2, 3):
        question = parts(ENGLISH[f"biographies-{hops}"].item(spoken, 800, 0, 0).prompt)[1]
        assert question.count("the mentor of") == hops - 1


def test_a_model_that_reads_no_english_is_refused_by_name():
    with pytest.raises(RunnerError, match=r"task niah-single is written in English, .* the dialect 'words' alone"):
        ENGLISH["niah-single"].item(Words(), 256, 0, 0)


@pytest.mark.parametrize(("right", "candidates"), [(1, 2), (1, 40), (2, 8), (4, 48), (10, 100)])
def test_the_chance_by_rule_is_what_blind_guessers_score(right, candidates):
    rng = random.Random(0)
    best = 0.0
    for named in range(1, 2 * right):
        hits = [sum(c < right for c in rng.sample(range(candidates), named)) for _ in range(4_000)]
        best = max(best, sum(max(0, 2 * h - named) for h in hits) / len(hits) / right)
    assert blind_score(right, candidates) == pytest.approx(best, abs=0.02)
    assert blind_score(1, candidates) == 1 / candidates
