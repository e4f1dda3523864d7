"""Prompts -> answers: greedy decoding of a batch in our own loop, so that the phase is known and pairs are counted.

A row is over when the model ends it, or with the token that shows that its answer is whole (a line or paragraph has
ended), since what would follow is not graded. Its tokens and pairs are counted up to there, whatever its batch does.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from tolerance.runners.attention.control import Control, PairCounts
from tolerance.runners.models.load import LoadedModel

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


@dataclass(frozen=True)
class PhasePairs:
    """Kept and visible (query, key) pairs of one row in one phase, over all layers and heads."""

    kept: int = 0
    visible: int = 0


@dataclass(frozen=True)
class Answer:
    """One row's answer and what it took."""

    text: str
    prompt_tokens: int
    generated_tokens: int
    stopped: bool
    prefill: PhasePairs
    decode: PhasePairs
    entries: "Entries | None" = None
    products: "Products | None" = None
    # rows x slots of the batch it was decoded in, where that is not the batch of its prompt
    batch_shape: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Products:
    """Multiply-adds of the linear layers of one row, kept of all, where their inputs were made sparse."""

    prefill: PhasePairs
    decode: PhasePairs


@dataclass(frozen=True)
class Entries:
    """Entries of the KV cache of one row, over all layers and kv heads.

    ``kept`` of ``held`` when compression ended, after ``end`` tokens; ``last`` are held when the answer ends.
    """

    kept: int
    held: int
    last: int
    end: int


# Whether a text holds the whole answer; None: it may always go on.
Rule = Callable[[str], bool] | None
END_OF_THOUGHT = "</think>"


class Ends:
    """Where the answers of a batch are whole, one rule a row."""

    def __init__(self, loaded: LoadedModel, rules: Sequence[Rule]) -> None:
        self.loaded, self.rules = loaded, list(rules)
        self.marks = _line_ends(loaded.tokenizer) if any(rules) else torch.zeros(0, dtype=torch.long)
        self._on_device = self.marks.to(loaded.device)
        # A model that thinks first gives its answer behind that, wherever lines end before.
        self._thinks = any(rules) and END_OF_THOUGHT in loaded.tokenizer.get_vocab()

    def marked(self, tokens: torch.Tensor) -> torch.Tensor:
        """Which tokens end a line, on the device, bool of the same shape; an answer is whole behind one of them."""
        return torch.isin(tokens, self._on_device) if len(self.marks) else torch.zeros_like(tokens, dtype=torch.bool)

    def of(self, row: int, ids: torch.Tensor) -> int | None:
        """With how many of a row's tokens ``(token,)``, on the host, its answer is whole; None: it is not yet."""
        rule = self.rules[row]
        if rule is None:
            return None
        for at in torch.isin(ids, self.marks).nonzero().flatten().tolist():
            text = self.loaded.tokenizer.decode(ids[: at + 1], skip_special_tokens=True)
            if (END_OF_THOUGHT in text or not self._thinks) and rule(text):
                return int(at) + 1
        return None


@functools.lru_cache(maxsize=4)
def _line_ends(tokenizer: "PreTrainedTokenizerBase") -> torch.Tensor:
    """Ids of tokens whose text holds a line break."""
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return torch.tensor([i for i, text in enumerate(texts) if "\n" in text], dtype=torch.long)


def encode(loaded: LoadedModel, prompts: Sequence[str], *, special_tokens: bool) -> "BatchEncoding":
    """Token ids and mask, padded on the left."""
    return loaded.tokenizer(
        list(prompts), return_tensors="pt", padding=True, padding_side="left", add_special_tokens=special_tokens
    ).to(loaded.device)


@torch.inference_mode()
def answer(
    loaded: LoadedModel,
    prompts: Sequence[str],
    control: Control,
    *,
    max_new_tokens: int,
    special_tokens: bool,
    ended: Sequence[Rule] | None = None,
) -> list[Answer]:
    """Answer a batch greedily under what `attention.imposing` set up; ``ended``: when each prompt's answer is whole."""
    ends = Ends(loaded, ended or [None] * len(prompts))
    batch = encode(loaded, prompts, special_tokens=special_tokens)
    mask = batch["attention_mask"]
    prompt_tokens = mask.sum(1)
    # One length, nothing padded: a mask of padding would only cost time.
    padded = bool((mask == 0).any())
    stops = stop_ids(loaded)
    control.phase = "prefill"
    control.real = mask.bool() if padded else None
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    out = loaded.model(
        input_ids=batch["input_ids"], attention_mask=mask, position_ids=positions, use_cache=True, **last_only(loaded)
    )
    tokens, position = [out.logits[:, -1].argmax(-1)], positions[:, -1:]
    control.phase, control.real = "decode", None
    stopped = torch.isin(tokens[0], stops)
    over = stopped | _whole(ends, tokens, stopped)
    n_tokens = torch.ones_like(stopped, dtype=torch.long)
    while len(tokens) < max_new_tokens and not bool(over.all()):
        # A row that is over rides along; its pairs are not counted.
        control.real = (~over)[:, None]
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        position = position + 1
        out = loaded.model(
            input_ids=tokens[-1][:, None],
            attention_mask=mask,
            position_ids=position,
            past_key_values=out.past_key_values,
            use_cache=True,
        )
        tokens.append(torch.where(over, tokens[-1], out.logits[:, -1].argmax(-1)))
        n_tokens = n_tokens + (~over).long()
        stopped = stopped | (torch.isin(tokens[-1], stops) & ~over)
        over = over | stopped | _whole(ends, tokens, over | stopped)
    return _answers(loaded, torch.stack(tokens, 1), prompt_tokens, n_tokens, stopped, stops, control)


def _whole(ends: Ends, tokens: Sequence[torch.Tensor], over: torch.Tensor) -> torch.Tensor:
    """Rows, of those not over, whose answer is whole with their last token ``(row,)``."""
    if not len(ends.marks):
        return torch.zeros_like(over)
    marked = (ends.marked(tokens[-1]) & ~over).cpu()
    found = torch.zeros_like(marked)
    for row in marked.nonzero().flatten().tolist():
        found[row] = ends.of(row, torch.stack([step[row] for step in tokens]).cpu()) is not None
    return found.to(over.device)


def _answers(
    loaded: LoadedModel,
    tokens: torch.Tensor,
    prompt_tokens: torch.Tensor,
    n_tokens: torch.Tensor,
    stopped: torch.Tensor,
    stops: torch.Tensor,
    control: Control,
) -> list[Answer]:
    rows = []
    prefill, decode = (_per_row(control.pairs.get(phase), len(tokens)) for phase in ("prefill", "decode"))
    multiplied = [_per_row(control.products.get(phase), len(tokens)) for phase in ("prefill", "decode")]
    for row, (ids, length, n, done) in enumerate(
        zip(tokens.cpu(), prompt_tokens.tolist(), n_tokens.tolist(), stopped.tolist(), strict=True)
    ):
        kept, text = read(loaded, ids[:n], stops)
        products = Products(multiplied[0][row], multiplied[1][row]) if control.products else None
        rows.append(Answer(text, length, len(kept), done, prefill[row], decode[row], products=products))
    return rows


def read(loaded: LoadedModel, ids: torch.Tensor, stops: torch.Tensor) -> tuple[torch.Tensor, str]:
    """The generated tokens without those that end an answer, and their text."""
    kept = ids[~torch.isin(ids, stops.cpu())]
    return kept, loaded.tokenizer.decode(kept, skip_special_tokens=True)


def _per_row(pairs: PairCounts | None, n_rows: int) -> list[PhasePairs]:
    if pairs is None:
        return [PhasePairs()] * n_rows
    return [PhasePairs(k, v) for k, v in zip(pairs.kept.tolist(), pairs.visible.tolist(), strict=True)]


def stop_ids(loaded: LoadedModel) -> torch.Tensor:
    """Tokens that end an answer: the generation config's, the tokenizer's."""
    configured = getattr(loaded.model.generation_config, "eos_token_id", None)
    ids = {*(configured if isinstance(configured, list) else [configured]), loaded.tokenizer.eos_token_id}
    return torch.tensor(sorted(i for i in ids if i is not None), device=loaded.device, dtype=torch.long)


def takes_logits_to_keep(loaded: LoadedModel) -> bool:
    """Whether logits of chosen positions alone can be asked for."""
    import inspect

    return "logits_to_keep" in inspect.signature(loaded.model.forward).parameters


def last_only(loaded: LoadedModel) -> dict[str, Any]:
    """Only the last position's logits are needed; most models can leave out the others."""
    return {"logits_to_keep": 1} if takes_logits_to_keep(loaded) else {}
