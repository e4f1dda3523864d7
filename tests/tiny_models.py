"""Small models with random weights, saved as folders that the runner loads like any other."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PretrainedConfig

from tolerance.runners.models.load import LoadedModel, load
from tolerance.runners.tiny.words import N_WORDS, save_tokenizer

COMMON: dict[str, Any] = {
    "vocab_size": N_WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def save(config: PretrainedConfig, folder: Path, *, dialect: str = "words", seed: int = 0) -> Path:
    """Save a random model of this configuration, with the word tokenizer."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        # Random weights as initialised give nearly flat logits, which would hide a wrong attention.
        for parameter in model.parameters():
            parameter.mul_(3.0)
    model.save_pretrained(folder)
    save_tokenizer(folder, max_length=512)
    (folder / "tolerance.json").write_text(f'{{"dialect": "{dialect}"}}')
    assert AutoTokenizer.from_pretrained(folder) is not None
    return folder


def save_llama(folder: Path, **changes: Any) -> Path:
    return save(LlamaConfig(**{**COMMON, "num_key_value_heads": 2, **changes}), folder)


def load_random(config: PretrainedConfig, folder: Path) -> LoadedModel:
    return load(str(save(config, folder)), device="cpu")
