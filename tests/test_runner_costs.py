"""What choosing costs: closed forms against `torch.utils.flop_counter.FlopCounterMode`, while items are answered."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.tiny_models import COMMON, save_llama
from tolerance.runners.attention.control import imposing
from tolerance.runners.collect import costs
from tolerance.runners.decoding.batching import Condition, Prompt, Sizes
from tolerance.runners.decoding.generate import answer
from tolerance.runners.decoding.shared_prefill import Levels
from tolerance.runners.models.load import load
from tolerance.runners.sparsifiers import EVICTIONS, PATTERNS, BlockPattern, get
from tolerance.runners.tasks import TASKS
from tolerance.runners.tasks.dialects import Words

LAYERS, HEADS, KV_HEADS = COMMON["num_hidden_layers"], COMMON["num_attention_heads"], 2
DIM = COMMON["hidden_size"] // HEADS
# What torch has no formula for: a square and a sum for each element of a norm, a multiply-add for each of a product of
# real numbers that is summed (masks and numbers that are drawn are neither).
ELEMENTWISE = {
    torch.ops.aten.linalg_vector_norm: lambda x, *_, **__: 2 * x.numel(),
    torch.ops.aten.mul: lambda x, y, *_, **__: 2 * x.numel() * _real(x) * _real(y),
}
for formula in ELEMENTWISE.values():
    formula._get_raw = True


def _real(x) -> bool:
    return torch.is_tensor(x) and x.is_floating_point()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_llama(tmp_path_factory.mktemp("model"))), device="cpu")


@pytest.mark.parametrize("phases", [("prefill", "decode"), ("prefill",), ("decode",)], ids="+".join)
@pytest.mark.parametrize(
    "method", [cls(block=8) for cls in PATTERNS if issubclass(cls, BlockPattern)], ids=lambda m: m.name
)
def test_choosing_blocks_costs_the_products_that_torch_counts_and_the_means(method, phases, loaded, monkeypatch):
    original, counts = type(method).worth, []

    def counted(self, query, key, first):
        with FlopCounterMode(display=False) as counter:
            worth = original(self, query, key, first)
        counts.append(counter.get_total_flops())
        return worth

    monkeypatch.setattr(type(method), "worth", counted)
    prompt = TASKS["kv-lookup"].item(Words(), 64, 0, 0).prompt
    with imposing(method, 0.5, frozenset(phases)) as control:
        (got,) = answer(loaded, [prompt], control, max_new_tokens=6, special_tokens=True)
    steps = got.generated_tokens - (not got.stopped)
    assert steps > 2
    assert len(counts) == LAYERS * (("prefill" in phases) + steps * ("decode" in phases))
    means = 0
    if method.name != "quest":
        # sums, which torch does not count: of all queries and keys, then of one key a step
        means += ("prefill" in phases) * (HEADS + KV_HEADS) * got.prompt_tokens
        means += ("decode" in phases) * KV_HEADS * steps
    cost = costs.cost(costs.shape(loaded), got, method, frozenset(phases))
    assert cost.flops_selection == sum(counts) + 2 * LAYERS * DIM * means


@pytest.mark.parametrize("name", ["key-norm", "keydiff", "streaming-eviction", "random-eviction"])
def test_scoring_without_products_of_matrices_costs_its_norms_and_products_of_vectors(name, loaded):
    method, n = get(name), 90
    run = Levels(loaded, [Condition(method, 0.5)], 1, Sizes.of(loaded))
    ids = torch.randint(16, 1000, (n,), generator=torch.Generator().manual_seed(0))
    made = run.prefill([Prompt(tuple(ids.tolist()), n)])
    with FlopCounterMode(display=False, custom_mapping=ELEMENTWISE) as counter, torch.inference_mode():
        made.ranking(method, 0)
    said = 2 * method.multiply_adds(n, heads=HEADS, kv_heads=KV_HEADS, dim=DIM, value_dim=DIM)
    # but for the one mean key
    assert said <= counter.get_total_flops() <= said * (1 + 2 / n)


def test_every_method_that_evicts_has_its_cost_compared():
    here = {"key-norm", "keydiff", "streaming-eviction", "random-eviction"}
    # products of matrices: tests/test_runner_levels.py
    assert {cls.name for cls in EVICTIONS} == here | {"snapkv", "tova", "expected-attention"}
