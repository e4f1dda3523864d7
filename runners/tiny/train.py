"""Train the shipped model.

    python -m tolerance.runners.tiny.train --out FOLDER --minutes 9 --width 256 --layers 4

Needs one CUDA device for the real thing (``--device cpu --minutes 0.2`` only exercises the code). The schedule runs on
the clock, so two runs differ in steps and in weights; ``training.json`` in the folder says what this one did.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM

from tolerance.runners.tiny import batches, words

MAX_POSITIONS = 4096
# Shares of a batch's rows. Copying opens the way to look-up; later the hardest task gets the room.
EARLY = {"copy": 0.20, "lookup": 0.30, "two-hop-written": 0.15, "two-hop": 0.20, "most-common": 0.15}
LATE = {"copy": 0.04, "lookup": 0.21, "two-hop-written": 0.10, "two-hop": 0.40, "most-common": 0.25}
# (until this share of the time, lengths drawn from): short contexts first, or nothing is found to attend to.
CURRICULUM = ((0.20, (64,)), (0.35, (64, 128)), (0.60, (128, 256)), (1.0, (128, 256, 256, 512)))


@dataclass(frozen=True)
class TrainingSettings:
    """Everything a run depends on besides the clock."""

    width: int = 256
    layers: int = 4
    heads: int = 8
    feed_forward: int = 640
    minutes: float = 9.0
    tokens_per_step: int = 65536
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.01
    seed: int = 0


@dataclass
class Log:
    """What a run did, written beside the weights."""

    settings: dict[str, float]
    parameters: int
    device: str
    torch: str = torch.__version__
    transformers: str = transformers.__version__
    steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    accuracy: dict[str, dict[str, float]] = field(default_factory=dict)


def build(settings: TrainingSettings) -> LlamaForCausalLM:
    """A Llama with random weights and tied embeddings."""
    config = LlamaConfig(
        vocab_size=words.N_WORDS,
        hidden_size=settings.width,
        intermediate_size=settings.feed_forward,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=words.MARKS.index(words.BOS),
        eos_token_id=words.MARKS.index(words.EOS),
        pad_token_id=words.MARKS.index(words.PAD),
        attn_implementation="sdpa",
    )
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(config)


def rows_per_task(progress: float, context: int, tokens_per_step: int) -> dict[str, int]:
    """Rows of each task in a step, moving from the early to the late shares over the first half of the time."""
    n_rows = max(len(batches.TASKS), tokens_per_step // batches.total_length(context))
    late = min(1.0, 2 * progress)
    return {t: max(1, round(n_rows * ((1 - late) * EARLY[t] + late * LATE[t]))) for t in batches.TASKS}


def learning_rate(progress: float, step: int, peak: float) -> float:
    """Linear warm-up over 300 steps, flat, then linear to zero over the last half."""
    return peak * min(1.0, (step + 1) / 300) * min(1.0, 2 * (1 - progress))


def train(settings: TrainingSettings, device: torch.device) -> tuple[LlamaForCausalLM, Log]:
    """Train until the clock runs out."""
    model = build(settings).to(device)
    log = Log(asdict(settings), sum(p.numel() for p in model.parameters()), _device_name(device))
    generator = torch.Generator(device=device).manual_seed(settings.seed + 1)
    lengths = torch.Generator().manual_seed(settings.seed + 2)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    body = torch.compile(model.model) if device.type == "cuda" else model.model
    started = time.monotonic()
    while (progress := (time.monotonic() - started) / (60 * settings.minutes)) < 1:
        choices = next(lengths_ for until, lengths_ in CURRICULUM if progress < until)
        context = choices[int(torch.randint(len(choices), (), generator=lengths))]
        batch = batches.make(context, rows_per_task(progress, context, settings.tokens_per_step), generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress, log.steps, settings.learning_rate)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            hidden = body(batch.tokens, use_cache=False).last_hidden_state[batch.rows, batch.positions - 1]
            logits = model.lm_head(hidden)
        losses = torch.nn.functional.cross_entropy(logits.float(), batch.targets, reduction="none")
        # Each task counts the same, however many of its positions are learned.
        counts = torch.bincount(batch.tasks, minlength=len(batches.TASKS))
        loss = (losses / counts[batch.tasks]).sum() / len(batches.TASKS)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if log.steps % 250 == 0:
            right = (logits.argmax(-1) == batch.targets).float() / counts[batch.tasks]
            by_task = torch.zeros(len(batches.TASKS), device=device).scatter_add_(0, batch.tasks, right)
            entry = dict(zip(batches.TASKS, (round(a, 3) for a in by_task.tolist()), strict=True))
            log.history.append({"step": log.steps, "progress": round(progress, 3), "context": context, **entry})
            print(log.history[-1], flush=True)
        log.steps += 1
    log.seconds = round(time.monotonic() - started, 1)
    return model, log


@torch.no_grad()
def evaluate(model: LlamaForCausalLM, context: int, device: torch.device, n_rows: int = 256) -> dict[str, float]:
    """Dense accuracy by task on fresh text, all questions of a row counted."""
    generator = torch.Generator(device=device).manual_seed(10_000 + context)
    result = {}
    for task in batches.TASKS:
        batch = batches.make(context, {task: n_rows}, generator)
        right = []
        for part in range(0, n_rows, 64):
            logits = model(batch.tokens[part : part + 64]).logits
            chosen = (batch.rows >= part) & (batch.rows < part + 64)
            predicted = logits[batch.rows[chosen] - part, batch.positions[chosen] - 1].argmax(-1)
            right.append((predicted == batch.targets[chosen]).float())
        result[task] = round(torch.cat(right).mean().item(), 4)
    return result


def main() -> None:
    """Train, evaluate what will be shipped (16-bit weights), save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    for name, value in asdict(TrainingSettings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    out, device = options.pop("out"), torch.device(options.pop("device"))
    model, log = train(TrainingSettings(**options), device)
    model = model.to(torch.float16).float().eval()
    for context in (128, 256, 512):
        log.accuracy[str(context)] = evaluate(model, context, device)
        print(context, log.accuracy[str(context)], flush=True)
    model.to(torch.float16).save_pretrained(out)
    words.save_tokenizer(out, max_length=MAX_POSITIONS)
    (out / "training.json").write_text(json.dumps(asdict(log), indent=1) + "\n")
    print(f"{log.parameters:,} parameters, {log.steps:,} steps in {log.seconds:.0f} s -> {out}")


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


if __name__ == "__main__":
    main()
