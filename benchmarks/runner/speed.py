"""How long many levels take, against the naive loop, and what share of the device's arithmetic a prefill uses.

    python -m benchmarks.runner.speed MODEL --items 32 --single 4 --batch 16 --out speed-MODEL.json

MODEL is `llama-1b` (random weights, 16,384 tokens) or `smollm2` (after `tolerance models fetch smollm2`; 4,096 tokens).
Three methods x eight levels and dense; the question is hidden from the methods. The naive loop
(`benchmarks.runner.naive`) asks ``--single`` items one at a time and all items in batches of ``--batch``. Prompts of a
model have one length.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import transformers

from benchmarks.runner import naive
from benchmarks.runner.fuse import fuse
from tolerance.runners.attention.attention import NAME, attach
from tolerance.runners.attention.cache import NO_MASK, PrefillCache, windows
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect import costs
from tolerance.runners.decoding.batching import Condition, Prompt, Sizes, encode
from tolerance.runners.decoding.generate import stop_ids
from tolerance.runners.decoding.shared_prefill import Levels, answer_levels
from tolerance.runners.models.load import LoadedModel, load
from tolerance.runners.sparsifiers import get
from tolerance.runners.tasks import TASKS
from tolerance.runners.tasks.dialects import dialect
from tolerance.runners.tasks.question_span import question_at

LEVELS = (0.5, 0.67, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
METHODS = ("snapkv", "key-norm", "streaming-eviction")
NEW_TOKENS = 16
FILLER = " The lamp in the hall was still on. Nobody had touched the bread."


def conditions() -> list[Condition]:
    return [Condition(), *(Condition(get(name), level) for name in METHODS for level in LEVELS)]


def llama_1b(device: str) -> LoadedModel:
    """A Llama of 1.1 billion random parameters: 16 layers, width 2048, 32 heads, 8 of keys and values."""
    config = transformers.LlamaConfig(
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=32_000,
        max_position_embeddings=32_768,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
    attach(model)
    params = sum(p.numel() for p in model.parameters())
    return LoadedModel(model, _Numbers(), "llama-1b", None, params, params, 16, 2048, "LlamaForCausalLM", "none")


class _Numbers:
    """Stands in for a tokenizer: texts are token ids."""

    eos_token_id = None

    def decode(self, ids, **_):
        return " ".join(map(str, ids.tolist()))


def random_prompts(n: int, length: int) -> list[Prompt]:
    draw = torch.Generator().manual_seed(1)
    return [Prompt(tuple(torch.randint(10, 31_000, (length,), generator=draw).tolist()), length - 16) for _ in range(n)]


def lookup_prompts(loaded: LoadedModel, n: int, length: int) -> list[Prompt]:
    """Items of our lookup task, filled up to one length with filler tokens between introduction and context."""
    spoken = dialect(loaded.dialect, loaded.tokenizer)
    filler = loaded.tokenizer(FILLER, add_special_tokens=False).input_ids
    made: dict[int, list[Prompt]] = {}
    for index in range(8 * n):
        item = TASKS["kv-lookup"].item(spoken, length - 200, 0, index)
        prompt = encode(loaded, item.prompt, question_at(item, spoken), special_tokens=spoken.adds_special_tokens)
        text = loaded.tokenizer(item.prompt, add_special_tokens=spoken.adds_special_tokens, return_offsets_mapping=True)
        begin = item.prompt.index("codes in it.") + len("codes in it.")
        at = next(i for i, (_, stop) in enumerate(text.offset_mapping) if stop > begin)
        more = length - len(prompt.ids)
        assert more >= 0, f"item {index} takes {len(prompt.ids)} tokens, more than {length}"
        extra = tuple((filler * (more // len(filler) + 1))[:more])
        filled = Prompt(prompt.ids[:at] + extra + prompt.ids[at:], prompt.question_at + more)
        # the naive loop batches questions of one length
        alike = made.setdefault(length - filled.question_at, [])
        alike.append(filled)
        if len(alike) == n:
            return alike
    raise SystemExit(f"error: no {n} items whose questions have one length")


def seconds(work) -> tuple[float, object]:
    torch.cuda.synchronize()
    started = time.perf_counter()
    result = work()
    torch.cuda.synchronize()
    return time.perf_counter() - started, result


def ceiling(n: int = 8192) -> float:
    """FLOP/s of a large bfloat16 matrix product of random numbers, median of 20."""
    a, b = torch.randn(2, n, n, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ b
    times = [seconds(lambda: a @ b)[0] for _ in range(20)]
    return 2 * n**3 / statistics.median(times)


@torch.inference_mode()
def prefill_flops(loaded: LoadedModel, prompts: list[Prompt]) -> dict[str, float]:
    """Achieved FLOP/s of a dense prefill of some prompts at once, median of 5."""
    config, ids = loaded.model.config, torch.tensor([p.ids for p in prompts], device="cuda")
    rows, n = ids.shape
    form = costs.shape(loaded)
    pairs = config.num_hidden_layers * config.num_attention_heads * n * (n + 1) // 2
    linear = 2 * n * form.linear_weights + 2 * form.output_weights
    flops = rows * (linear + 2 * (form.query_key_dim + form.value_dim) * pairs)
    layer_windows, at = windows(loaded.model), torch.arange(n, device="cuda").expand(rows, -1)

    def read():
        with imposing() as control:
            control.cache = PrefillCache(layer_windows, [])
            loaded.model(
                input_ids=ids,
                attention_mask=NO_MASK.cuda(),
                position_ids=at,
                past_key_values=control.cache,
                use_cache=True,
                logits_to_keep=1,
            )

    read()
    taken = statistics.median(seconds(read)[0] for _ in range(5))
    return {"rows": rows, "tokens": n, "seconds": taken, "flops": flops, "flops_per_second": flops / taken}


def naive_texts(loaded, prompts, tried, batch):
    """What the naive loop answers ``[condition][prompt]``."""
    loaded.model.set_attn_implementation(naive.NAME)
    stops = stop_ids(loaded)
    try:
        return [
            [
                told
                for first in range(0, len(prompts), batch)
                for told in naive.answer(loaded.model, prompts[first : first + batch], condition, stops, NEW_TOKENS)
            ]
            for condition in tried
        ]
    finally:
        loaded.model.set_attn_implementation(NAME)


def differing(loaded, ours, theirs) -> dict[str, float]:
    """Answers that differ, and the largest lead that was overturned where two first part."""
    n, leads = 0, []
    for row, told in zip(ours, theirs, strict=True):
        for text, naive_told in zip(row, told, strict=True):
            ids = torch.tensor(naive_told.tokens)
            if text == loaded.tokenizer.decode(ids, skip_special_tokens=True):
                continue
            n += 1
            same = 0
            while same < len(ids) and text.startswith(
                loaded.tokenizer.decode(ids[: same + 1], skip_special_tokens=True)
            ):
                same += 1
            leads.append(naive_told.leads[min(same, len(naive_told.leads) - 1)])
    return {"differ": n, "of": sum(map(len, theirs)), "largest_lead": max(leads, default=0.0), "leads": sorted(leads)}


def measure(loaded: LoadedModel, prompts: list[Prompt], options) -> dict:
    tried = conditions()
    answer_levels(loaded, prompts[:1], tried[:2], max_new_tokens=2)
    naive_texts(loaded, prompts[:1], tried[:2], 1)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    ours_seconds, ours = seconds(lambda: answer_levels(loaded, prompts, tried, max_new_tokens=NEW_TOKENS))
    peak = torch.cuda.max_memory_allocated()
    print(f"ours {ours_seconds:.1f} s, {peak / 2**30:.0f} GiB", flush=True)
    texts = [[got.text for got in row] for row in ours]
    torch.cuda.empty_cache()
    single_seconds, single = seconds(lambda: naive_texts(loaded, prompts[: options.single], tried, 1))
    print(f"naive, one at a time {single_seconds:.1f} s for {options.single} items", flush=True)
    torch.cuda.empty_cache()
    batched_seconds, batched = seconds(lambda: naive_texts(loaded, prompts, tried, options.batch))
    print(f"naive, batches of {options.batch} {batched_seconds:.1f} s", flush=True)
    first = [row[: options.single] for row in texts]
    batched_texts = [
        [loaded.tokenizer.decode(torch.tensor(t.tokens), skip_special_tokens=True) for t in row] for row in batched
    ]
    one_seconds = single_seconds * len(prompts) / options.single
    return {
        "model": loaded.name,
        "dtype": str(loaded.model.dtype),
        "tokens": len(prompts[0].ids),
        "items": len(prompts),
        "conditions": len(tried),
        "seconds_ours": ours_seconds,
        "peak_bytes_ours": peak,
        "items_naive_single": options.single,
        "seconds_naive_single": single_seconds,
        "seconds_naive_single_all_items": one_seconds,
        "seconds_naive_batched": batched_seconds,
        "naive_batch": options.batch,
        "speedup_single": one_seconds / ours_seconds,
        "speedup_batched": batched_seconds / ours_seconds,
        "ours_against_naive_batched": differing(loaded, texts, batched),
        "ours_against_naive_single": differing(loaded, first, single),
        "naive_batched_against_single": differing(loaded, [row[: options.single] for row in batched_texts], single),
        "distinct_answers": len({text for row in texts for text in row}),
    }


def where_time_goes(loaded: LoadedModel, prompts: list[Prompt]) -> dict[str, float]:
    """Seconds of our parts for one prefill batch: reading, ranking, and the rest (copying and decoding)."""
    with torch.inference_mode():
        run = Levels(loaded, conditions(), NEW_TOKENS, Sizes.of(loaded))
        rows = max(1, min(len(prompts), run.sizes.prefill_tokens // len(prompts[0].ids)))
        reading, made = seconds(lambda: run.prefill(prompts[:rows]))
        methods = {c.method for c in run.conditions if c.method is not None}
        ranking, _ = seconds(lambda: [made.ranking(m, i) for m in methods for i in range(len(run.windows))])
        whole, _ = seconds(lambda: run.answer(prompts[:rows]))
        again, _ = seconds(lambda: run.answer(prompts[:rows]))
    return {"rows": rows, "reading": reading, "ranking": ranking, "whole": whole, "whole_once_captured": again}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--single", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--fuse", action="store_true", help="norms and feed-forward blocks compiled")
    parser.add_argument("--exact", type=int, default=0, help="items asked in float32 as well")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    found = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "ceiling_flops_per_second": ceiling(),
    }
    if options.model == "llama-1b":
        loaded, length = llama_1b("cuda"), options.tokens or 16_384
        prompts, batches = random_prompts(options.items, length), (1, 4)
    else:
        loaded, length = load(options.model, dtype="bfloat16", device="cuda"), options.tokens or 4_096
        prompts, batches = lookup_prompts(loaded, options.items, length), (1, 32)
    found["prefill"] = [prefill_flops(loaded, prompts[: min(rows, len(prompts))]) for rows in batches]
    if options.fuse:
        fused, _ = seconds(lambda: (fuse(loaded.model), prefill_flops(loaded, prompts[: batches[-1]])))
        print(f"compiled in {fused:.0f} s, first passes included")
        found["prefill_fused"] = [prefill_flops(loaded, prompts[: min(rows, len(prompts))]) for rows in batches]
    for entry in [*found["prefill"], *found.get("prefill_fused", [])]:
        share = entry["flops_per_second"] / found["ceiling_flops_per_second"]
        print(
            f"prefill {entry['rows']} x {entry['tokens']}: {entry['flops_per_second'] / 1e12:.0f} TFLOP/s, {share:.0%}"
        )
    found["parts"] = where_time_goes(loaded, prompts)
    print(found["parts"], flush=True)
    options.out.write_text(json.dumps(found, indent=1))
    found |= measure(loaded, prompts, options)
    options.out.write_text(json.dumps(found, indent=1))
    if options.exact:
        del loaded
        loaded = load(options.model, dtype="float32", device="cuda")
        few = prompts[: options.exact]
        ours = answer_levels(loaded, few, conditions(), max_new_tokens=NEW_TOKENS)
        texts = [[got.text for got in row] for row in ours]
        found["float32_against_naive"] = differing(loaded, texts, naive_texts(loaded, few, conditions(), 4))
        options.out.write_text(json.dumps(found, indent=1))
    print(json.dumps({k: v for k, v in found.items() if k not in ("parts", "prefill")}, indent=1))


if __name__ == "__main__":
    main()
