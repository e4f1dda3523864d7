"""The 1,024 words of the shipped model, one token each, and the folder that makes them a tokenizer.

The model reads a compact dialect: facts are slots of four words, ``; key value ;``, hidden among slots of filler words;
a question is ``; ? key``. Word-level tokens make the length of a context exact and an answer one token long.
"""

from functools import cache
from itertools import product
from pathlib import Path

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
SLOT, ASK, ASK_TWO_HOPS, ASK_WITH_STEP, MOST, IS = ";", "?", "??", "?~", "most", "="
MARKS = (PAD, BOS, EOS, UNKNOWN, SLOT, ASK, ASK_TWO_HOPS, ASK_WITH_STEP, MOST, IS)
FIRST_ENTITY, N_ENTITIES = 16, 512
FIRST_FILLER, N_FILLERS = 528, 496
N_WORDS = 1024
SLOT_WIDTH = 4


@cache
def vocabulary() -> tuple[str, ...]:
    """All words in the order of their token ids: marks, unused places, entities (``bada``), fillers (``bad``)."""
    consonants, vowels = "bdfgklmnprstvz", "aeiou"
    syllables = ["".join(pair) for pair in product(consonants, vowels)]
    entities = [first + second for first, second in product(syllables, syllables) if first != second]
    fillers = [syllable + end for syllable, end in product(syllables, consonants)]
    unused = [f"<unused{i}>" for i in range(FIRST_ENTITY - len(MARKS))]
    return (*MARKS, *unused, *entities[::9][:N_ENTITIES], *fillers[:N_FILLERS])


@cache
def entities() -> tuple[str, ...]:
    """The words that can be keys and answers."""
    return vocabulary()[FIRST_ENTITY : FIRST_ENTITY + N_ENTITIES]


@cache
def fillers() -> tuple[str, ...]:
    """The words that only take up room."""
    return vocabulary()[FIRST_FILLER : FIRST_FILLER + N_FILLERS]


def lookup_facts(context: int) -> int:
    """Key-value facts in a look-up context: half of its slots, 48 at most."""
    return max(2, min(context // 8, 48))


def two_hop_chains(context: int) -> int:
    """Two-hop chains in a context: half of its slots hold their facts, 16 chains at most."""
    return max(1, min(context // 16, 16))


def save_tokenizer(folder: Path, *, max_length: int) -> None:
    """Write a word-level tokenizer for ``transformers.AutoTokenizer``; every text starts with ``<bos>``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=max_length,
    ).save_pretrained(folder)
