"""Evicted caches: one prefill for all levels gives the answers of one level at a time; budgets are kept exactly."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import DeepseekV3Config, Gemma3TextConfig, GPT2Config, MistralConfig

from benchmarks.runner import naive
from tests.test_runner_attention import ARCHITECTURES, GROUPED
from tests.tiny_models import COMMON, load_random, save_llama
from tolerance import RunnerError, SchemaError
from tolerance.runners.attention.attention import NAME
from tolerance.runners.collect import costs
from tolerance.runners.collect.blocks import blocks, together
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding import decode, shared_prefill
from tolerance.runners.decoding.batching import Condition, Prompt, Sizes, encode
from tolerance.runners.decoding.generate import stop_ids
from tolerance.runners.decoding.shared_prefill import answer_levels
from tolerance.runners.models.load import load
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import EVICTIONS, get
from tolerance.runners.sparsifiers.base import kept_of
from tolerance.runners.sparsifiers.kv.base import Seen, kept_by_head, rank
from tolerance.runners.tasks import PUZZLES, TASKS
from tolerance.runners.tasks.dialects import Words, dialect
from tolerance.runners.tasks.question_span import question_at

METHODS = [cls() for cls in EVICTIONS]
ADA = [cls(allocation="per-head") for cls in EVICTIONS if cls.per_head]
LEVELS = (0.5, 0.9)
LENGTHS = (60, 90, 45)
ASKED = 7


def prompts(lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [Prompt(tuple(torch.randint(16, 1000, (n,), generator=generator).tolist()), n - ASKED) for n in lengths]


def conditions(methods):
    made = [Condition()]
    for method in methods:
        for question in ("hidden", "visible"):
            asked = replace(method, question=question)
            made += [*(Condition(asked, level) for level in LEVELS), Condition(asked, tokens=9)]
    return made


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load(str(save_llama(tmp_path_factory.mktemp("model"))), device="cpu")


def texts(answers):
    return [[got.text for got in row] for row in answers]


def test_answers_equal_those_of_one_level_and_one_item_at_a_time(loaded):
    asked, tried = prompts(), conditions(METHODS)
    ours = texts(answer_levels(loaded, asked, tried, max_new_tokens=6))
    stops = stop_ids(loaded)
    loaded.model.set_attn_implementation(naive.NAME)
    try:
        theirs = [
            [
                loaded.tokenizer.decode(
                    naive.answer(loaded.model, [p], c, stops, 6)[0].tokens, skip_special_tokens=True
                )
                for p in asked
            ]
            for c in tried
        ]
    finally:
        loaded.model.set_attn_implementation(NAME)
    assert ours == theirs
    # and the test can fail: most conditions change most answers
    assert np.mean([a != b for row in ours[1:] for a, b in zip(row, ours[0], strict=True)]) > 0.8


def test_answers_do_not_depend_on_what_is_answered_beside_them(loaded):
    asked, tried = prompts(), conditions([METHODS[1], *ADA[-2:]])
    together_ = answer_levels(loaded, asked, tried, max_new_tokens=5)
    small = Sizes(prefill_tokens=1, kept_bytes=1, capture=False)
    assert answer_levels(loaded, asked, tried, max_new_tokens=5, sizes=small) == together_
    alone = answer_levels(loaded, asked[1:2], tried[-2:], max_new_tokens=5)
    assert [row[0] for row in alone] == [row[1] for row in together_[-2:]]


@pytest.mark.parametrize("at_most", [1, 3])
def test_running_out_of_memory_makes_batches_smaller_and_changes_no_answer(loaded, monkeypatch, at_most):
    asked, tried = prompts(), conditions(METHODS[:2])
    whole = answer_levels(loaded, asked, tried, max_new_tokens=4)
    widths = []

    def limited(original):
        def work(self, *args):
            rows = len(args[1] if original is decoding else args[0])
            if rows > at_most:
                raise torch.OutOfMemoryError("injected")
            widths.append(rows)
            return original(self, *args)

        return work

    decoding, prefill = shared_prefill.Levels._decode, shared_prefill.Levels.prefill
    monkeypatch.setattr(shared_prefill.Levels, "_decode", limited(decoding))
    monkeypatch.setattr(shared_prefill.Levels, "prefill", limited(prefill))
    assert answer_levels(loaded, asked, tried, max_new_tokens=4) == whole
    assert max(widths) == at_most


class Captures:
    """Steps as on CUDA, on a CPU: shapes are rounded as where steps are captured, few enough that none is."""

    sizes = Sizes(prefill_tokens=16_384, kept_bytes=2**30, capture=True)

    def __init__(self, monkeypatch, fits=lambda cache: True):
        self.made = []
        original = decode.KeptCache.__init__

        def remember(cache, like, rows, for_kept, for_new):
            original(cache, like, rows, for_kept, for_new)
            self.made.append(cache)
            if not fits(cache):
                raise torch.OutOfMemoryError("injected")

        monkeypatch.setattr(decode.KeptCache, "__init__", remember)
        monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)


def test_back_off_reaches_one_row_and_allocates_one_row(loaded, monkeypatch):
    asked, tried = prompts(), conditions(METHODS[:2])
    whole = answer_levels(loaded, asked, tried, max_new_tokens=4)
    captures = Captures(monkeypatch, fits=lambda cache: cache.rows == 1)
    assert answer_levels(loaded, asked, tried, max_new_tokens=4, sizes=captures.sizes) == whole
    assert {cache.rows for cache in captures.made} == {1, 2, 4}
    assert captures.made[-1].rows == 1


def test_what_is_planned_is_what_is_allocated(loaded, monkeypatch):
    captures = Captures(monkeypatch)
    most, tried = 100_000, conditions(METHODS[:2])
    sizes = replace(captures.sizes, kept_bytes=most)
    answer_levels(loaded, prompts(), tried, max_new_tokens=4, sizes=sizes)
    taken = [sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers) for cache in captures.made]
    # two rows fit, where four would go together
    assert 0.8 * most < max(taken) <= most
    steps = decode.Steps(loaded, capture=True, most_bytes=0)
    assert [steps.room(rows, [100, 129], 33) for rows in (1, 3, 5, 9)] == [
        (rows, [128, 256], 64) for rows in (1, 4, 8, 16)
    ]


def test_an_item_that_does_not_fit_alone_is_one_clear_line(loaded, monkeypatch):
    def never(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.\nlong story")

    monkeypatch.setattr(shared_prefill.Levels, "prefill", never)
    with pytest.raises(RunnerError, match="one item alone does not fit") as error:
        answer_levels(loaded, prompts(), [Condition()], max_new_tokens=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_passes_the_self_check_of_evicted_caches(name, tmp_path):
    local = load_random(ARCHITECTURES[name], tmp_path)
    # two rotations in one model: that one method is refused, by name
    tried = [m for m in (*METHODS, *ADA) if name != "gemma3" or not m.reads_moments]
    checked = selfcheck.check(local, tried)
    assert set(checked.realised) == {m.label for m in tried}
    assert max(checked.differences.values()) < 1e-4


@pytest.mark.parametrize(
    ("config", "method", "said"),
    [
        (
            DeepseekV3Config(
                **{**COMMON, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16},
                qk_rope_head_dim=4,
                qk_nope_head_dim=8,
                v_head_dim=8,
                n_routed_experts=4,
                n_group=1,
                topk_group=1,
                num_experts_per_tok=2,
                moe_intermediate_size=16,
            ),
            "key-norm",
            "DeepseekV3ForCausalLM: its cache has latent vectors",
        ),
        (Gemma3TextConfig(**GROUPED, sliding_window=16), "expected-attention", "has no single rotation by position"),
        (
            GPT2Config(vocab_size=1024, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
            "expected-attention",
            "has no single rotation by position",
        ),
    ],
)
def test_models_that_a_method_cannot_be_imposed_on_exactly_are_refused_by_name(config, method, said, tmp_path):
    with pytest.raises(RunnerError, match=said):
        selfcheck.check(load_random(config, tmp_path), [get(method)])


def test_a_self_check_finds_positions_that_restart(loaded, monkeypatch):
    original = shared_prefill.KeptCache.expect
    monkeypatch.setattr(shared_prefill.KeptCache, "expect", lambda self, at: original(self, at - at.min()))
    with pytest.raises(RunnerError, match="cache with nothing evicted is off by"):
        selfcheck.check(loaded, [get("key-norm")])


def test_a_self_check_finds_a_cache_that_keeps_other_entries_than_it_says(loaded, monkeypatch):
    original = shared_prefill.KeptCache.keep

    def shifted(self, layer, first, of, rows, order, counts):
        original(self, layer, first, of, rows, order.roll(1, 2) if int(counts.max()) < 40 else order, counts - 1)

    monkeypatch.setattr(shared_prefill.KeptCache, "keep", shifted)
    with pytest.raises(RunnerError, match=r"is off by"):
        selfcheck.check(loaded, [get("key-norm")])


def seen(seed, rows=2, heads=4, kv_heads=2, n=40, dim=8, ends=(40, 23), window=32):
    draw = torch.Generator().manual_seed(seed)
    end = torch.tensor(ends)
    at = end[:, None] - window + torch.arange(window)
    return Seen(
        layer=1,
        keys=torch.randn(rows, kv_heads, n, dim, generator=draw),
        values=torch.randn(rows, kv_heads, n, dim, generator=draw),
        real=(torch.arange(n) < end[:, None])[:, None],
        end=end,
        queries=torch.randn(rows, heads, window, dim, generator=draw),
        query_positions=at,
        scaling=0.3,
        softcap=None,
        s_aux=None,
        salt=torch.tensor([5, 6]),
    )


SIMPLE = [m for m in METHODS if not m.reads_moments]


def kept(method, shown, level):
    scores = method.score(shown)
    order = rank(scores, shown.real)
    counts = kept_by_head(scores, order, shown.real, kept_of(shown.end, level), method.allocation)
    chosen = torch.arange(order.shape[-1]) < counts[..., None]
    return torch.zeros_like(chosen).scatter(2, order, chosen), counts


def test_per_head_budgets_follow_the_scores_and_keep_a_floor(loaded):
    shown = seen(4, ends=(40, 40))
    shown.queries[:, :2] *= 8.0  # the first kv head attends to few entries, with much mass on each
    _, counts = kept(get("snapkv", allocation="per-head", window=4), shown, 0.5)
    assert (counts.sum(1) == 40).all()
    assert (counts >= 4).all()
    assert (counts[:, 0] != counts[:, 1]).any()


def test_streaming_keeps_the_latest_then_sinks_then_the_latest():
    order = rank(get("streaming-eviction", sinks=2).score(seen(0)), seen(0).real)
    assert order[0, 0, :5].tolist() == [39, 0, 1, 38, 37]
    assert order[1, 0, :5].tolist() == [22, 0, 1, 21, 20]


def test_snapkv_keeps_its_window_and_what_the_window_looks_at():
    shown = seen(1, ends=(40, 40), window=4)
    shown.keys[:, :, 11] = 30 * shown.queries[:, ::2, 0] / shown.queries[:, ::2, 0].norm(dim=-1, keepdim=True)
    order = rank(get("snapkv", window=4, kernel=1).score(shown), shown.real)
    assert order[0, 0, :4].tolist() == [39, 38, 37, 36]
    assert order[0, 0, 4] == 11


def test_key_norm_keydiff_and_tova_by_their_formulas():
    shown = seen(2, ends=(40, 40))
    assert torch.equal(rank(get("key-norm").score(shown), shown.real)[0, 0], shown.keys[0, 0].norm(dim=-1).argsort())
    unit = shown.keys / shown.keys.norm(dim=-1, keepdim=True)
    cosine = torch.cosine_similarity(shown.keys, unit.mean(2, keepdim=True), dim=-1)
    torch.testing.assert_close(get("keydiff").score(shown), -cosine)
    spread = shown.keys.repeat_interleave(2, 1)
    weights = (spread @ shown.queries[:, :, -1:].mT * 0.3).softmax(2)[..., 0].mean(1)
    torch.testing.assert_close(get("tova").score(shown), weights[:, None].expand(-1, 2, -1))


def test_random_eviction_differs_by_prompt_layer_head_and_seed_and_is_even():
    scores = get("random-eviction").score(seen(0, n=4096, ends=(4096, 4096)))
    assert len({tuple(row.tolist()) for row in scores.flatten(0, 1)}) == 4
    assert not torch.equal(scores, get("random-eviction", seed=1).score(seen(0, n=4096, ends=(4096, 4096))))
    assert abs(float(scores.mean()) / 2**24 - 0.5) < 0.01
    assert abs(float(torch.corrcoef(scores[0])[0, 1])) < 0.05


def test_expected_attention_is_the_mean_over_drawn_future_queries(loaded):
    """Against Monte Carlo: queries drawn with the prompt's mean and covariance, turned by each position to come."""
    run = shared_prefill.Levels(loaded, [Condition(get("expected-attention"), 0.5)], 1, Sizes.of(loaded))
    shown = run.prefill(prompts((90,))).cache.seen(0, 1)
    method = get("expected-attention", ahead=1, sinks=0)
    draw = torch.distributions.MultivariateNormal(
        shown.mean[0, 0].double(), shown.covariance[0, 0].double() + 1e-9 * torch.eye(8)
    )
    torch.manual_seed(0)
    drawn = draw.sample((200_000,)).float()
    turned = shown.rotation.turn(drawn[None, None], torch.full((1, len(drawn)), int(shown.end[0])))[0, 0]
    keys = shown.keys[0, 0, : int(shown.end[0])]
    expected = (turned @ keys.T * shown.scaling).double().exp().mean(0)
    first = {"mean": shown.mean[:, :1].expand(-1, 2, -1), "covariance": shown.covariance[:, :1].expand(-1, 2, -1, -1)}
    ours = method.score(replace(shown, **first))[0, 0, : int(shown.end[0])] / shown.values[
        0, 0, : int(shown.end[0])
    ].norm(dim=-1)
    torch.testing.assert_close(ours, (expected / expected.sum()).float(), rtol=0.05, atol=1e-4)


def test_expected_attention_without_covariance_is_another_method(loaded):
    with_it, without = get("expected-attention"), get("expected-attention", covariance=False)
    assert (with_it.label, without.label) == ("expected-attention", "expected-attention-mean")
    with pytest.raises(SchemaError, match="covariance: 'no', expected true or false"):
        get("expected-attention", covariance="no")


@pytest.mark.parametrize("name", ["snapkv", "tova", "expected-attention"])
def test_what_scoring_costs_equals_what_torch_counts(name, loaded):
    """Products alone: torch counts no norms, weighted sums of values' norms or averages."""
    method = get(name)
    run = shared_prefill.Levels(loaded, [Condition(method, 0.5)], 1, Sizes.of(loaded))
    heads, kv_heads, dim, n = 4, 2, 8, 90
    with FlopCounterMode(display=False) as reading:
        made = run.prefill([Prompt(prompts((n,))[0].ids, n)])
    with FlopCounterMode(display=False) as scoring:
        for layer in range(2):
            made.ranking(method, layer)
    counted = scoring.get_total_flops()
    said = 2 * 2 * method.multiply_adds(n, heads=heads, kv_heads=kv_heads, dim=dim, value_dim=dim)
    if method.reads_moments:
        # the covariance is made while reading; the quadratic form's last sum and the norms are not products
        moments = 2 * 2 * heads * n * dim * dim
        averaging = 2 * 2 * (heads * n * dim + kv_heads * n * dim)
        assert reading.get_total_flops() >= moments
        assert counted == said - moments - averaging
    else:
        assert counted == said


def test_costs_and_bytes_are_those_of_what_is_kept(loaded):
    asked = prompts((60,))
    tried = [Condition(), Condition(get("snapkv"), 0.8), Condition(get("snapkv", question="visible"), 0.8)]
    dense, hidden, visible = (row[0] for row in answer_levels(loaded, asked, tried, max_new_tokens=6))
    form = costs.shape(loaded)
    per_entry = 2 * 8 * 4  # key and value of one head, float32
    for got, method, end in ((dense, None, 60), (hidden, tried[1].method, 53), (visible, tried[2].method, 60)):
        steps = got.generated_tokens - 1 if not got.stopped else got.generated_tokens
        left = end if method is None else -(-end // 5)
        cost = costs.cost(form, got, method, frozenset())
        assert cost.kv_bytes_allocated == per_entry * 2 * 2 * (left + 60 - end + steps)
        queries = range(60 - end, 60 - end + steps)
        assert got.decode.kept == 2 * 4 * sum(left + i + 1 for i in queries)
        assert cost.kv_bytes_read == per_entry * 2 * 2 * sum(left + i + 1 for i in queries)
        assert (cost.flops_selection == 0) is (method is None)
    assert dense.entries.kept == dense.entries.held == 60 * 4
    assert hidden.prefill.visible == dense.prefill.visible == 2 * 4 * 60 * 61 // 2
    assert hidden.prefill.kept == 2 * 4 * (53 * 54 // 2 + sum(11 + i + 1 for i in range(7)))


def test_windows_forget_what_was_kept(tmp_path):
    windowed = load_random(MistralConfig(**COMMON, num_key_value_heads=4, sliding_window=16), tmp_path)
    tried = [Condition(), Condition(get("streaming-eviction", question="visible", sinks=0), 0.5)]
    dense, half = (row[0] for row in answer_levels(windowed, prompts((60,)), tried, max_new_tokens=12))
    assert dense.entries.held == half.entries.held == 15 * 8
    assert half.entries.kept == 8 * 8
    # with no sinks the latest 8 stay, which a window of 16 forgets one by one from its ninth step on
    steps = half.generated_tokens - (not half.stopped)
    assert half.decode.kept == 8 * sum(min(8 + i, 16) for i in range(1, steps + 1))
    assert dense.decode.kept == 8 * 16 * (dense.generated_tokens - (not dense.stopped))


FIELDS = {
    "tasks": ["kv-lookup"],
    "sparsifiers": ["top-k", "snapkv", {"random-eviction": {"allocation": "per-head"}}, "streaming-eviction"],
    "levels": [0, 0.5, 0.9],
    "kv_budgets": [6],
    "context_lengths": [32],
    "items": 6,
    "batch_size": 4,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = save_llama(tmp_path_factory.mktemp("model"))
    return collect(Plan.make(models=[str(folder)], **FIELDS), tmp_path_factory.mktemp("runs") / "run", device="cpu")


def test_rows_of_evicted_caches_are_complete(run):
    table = run.read()
    evicted = table[table["sparsity_kind"] == "kv-cache"]
    assert set(evicted["sparsifier"]) == {"snapkv", "ada-random-eviction", "streaming-eviction"}
    assert len(evicted) == 3 * 3 * 6
    assert set(evicted["unit"]) == {"kv-entries"}
    assert set(evicted["phase"]) == {"decode"}
    assert set(evicted["query_position"]) == {"no"}
    known = ["sparsity_realised", "flops_linear", "flops_attention", "kv_bytes_allocated", "batch_shape", "seconds"]
    assert not evicted[known].isna().any().any()
    below = evicted["sparsity_requested"] - evicted["sparsity_realised"]
    assert below.between(-1e-9, 0.03).all()
    by_tokens = evicted[evicted["kv_budget_tokens"].notna()]
    assert (by_tokens["kv_budget_tokens"] == 6).all()
    assert len(by_tokens) == 3 * 6
    dense = table[table["sparsifier"] == "dense"].set_index("item_id")["kv_bytes_allocated"]
    assert (evicted["kv_bytes_allocated"].to_numpy() < dense.loc[evicted["item_id"]].to_numpy()).all()


def test_the_self_check_of_evicting_methods_stands_in_the_manifest(run):
    (note,) = json.loads((run.path / "manifest.json").read_text())["notes"]["models"].values()
    assert {"snapkv against hiding what it evicts", "cache with nothing evicted"} <= set(
        note["self_check"]["differences"]
    )


def test_blocks_of_the_same_items_are_answered_together():
    made = blocks(Plan.make(models=["tiny"], **FIELDS))
    groups = together(made)
    assert sorted(b.name for group in groups for b in group) == sorted(b.name for b in made)
    assert sorted(len(group) for group in groups) == [*[1] * 4, 10, 10]
    assert len({b.name for b in made}) == len(made)
    without = blocks(Plan.make(models=["tiny"], **{**FIELDS, "sparsifiers": ["top-k"], "kv_budgets": None}))
    assert all(len(group) == 1 for group in together(without))


def test_a_run_that_lost_shards_gets_the_same_rows(run, tmp_path):
    plan = Plan.make(models=[run.manifest.plan["models"][0]], **FIELDS)
    again = collect(plan, tmp_path / "run", device="cpu")
    for shard in again.shards()[1::2]:
        shard.unlink()
    collect(plan, tmp_path / "run", device="cpu")
    key = ["sparsifier", "sparsity_requested", "kv_budget_tokens", "item_id"]
    untimed = ["seconds", "batch_shape", "run_id"]
    one, other = (t.read().drop(columns=untimed).sort_values(key, ignore_index=True) for t in (run, again))
    assert one.equals(other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sparsifiers": [{"snapkv": {"question": "seen"}}]}, "question: 'seen', expected one of hidden, visible"),
        ({"sparsifiers": [{"tova": {"allocation": "per-head"}}]}, "its scores are the same for every head"),
        ({"sparsifiers": [{"snapkv": {"kernel": 4}}]}, "kernel: 4, expected an odd number"),
        ({"sparsifiers": [{"snapkv": {"window": 0}}]}, "window: 0, expected a whole number, at least 1"),
        ({"kv_budgets": [0]}, "kv_budgets: 0, expected tokens, 1 to 100,000,000"),
        ({"sparsifiers": ["top-k"]}, "kv_budgets: [6], but no sparsifier evicts cache entries"),
        ({"sparsifiers": ["snapkv", {"snapkv": {"window": 8}}]}, "'snapkv' is given twice"),
    ],
)
def test_a_bad_plan_of_evictions_is_named(changes, said):
    with pytest.raises(SchemaError) as error:
        Plan.make(models=["tiny"], **{**FIELDS, **changes})
    assert said in str(error.value)


def test_a_method_and_its_variants_have_labels_of_their_own():
    plan = Plan.make(
        models=["tiny"],
        **{
            **FIELDS,
            "sparsifiers": [
                "snapkv",
                {"snapkv": {"question": "visible"}},
                {"snapkv": {"question": "visible", "allocation": "per-head"}},
            ],
        },
    )
    assert [m.label for m in plan.methods()] == ["snapkv", "snapkv-aware", "ada-snapkv-aware"]


def test_eviction_that_would_come_too_late_to_be_seen_is_refused(tmp_path):
    folder = save_llama(tmp_path / "model")
    plan = Plan.make(models=[str(folder)], **{**FIELDS, "sparsifiers": [{"tova": {"question": "visible"}}]})
    with pytest.raises(RunnerError, match="take one token here"):
        collect(plan, tmp_path / "run", device="cpu")


def test_a_question_that_cannot_be_found_cannot_be_hidden(loaded):
    with pytest.raises(RunnerError, match="1 of 2 prompts do not say where their question begins"):
        answer_levels(loaded, [*prompts((40,)), Prompt((5, 6, 7))], [Condition(get("snapkv"), 0.5)], max_new_tokens=1)


@pytest.mark.parametrize("task", PUZZLES)
def test_the_question_is_found_in_every_prompt_of_words(task, loaded):
    item = TASKS[task].item(Words(), 128, 0, 3)
    at = question_at(item, Words())
    assert item.prompt[at:].startswith(("; ?", "; most"))
    prompt = encode(loaded, item.prompt, at, special_tokens=True)
    assert loaded.tokenizer.decode(prompt.ids[prompt.question_at :]) == item.prompt[at:]


@pytest.mark.parametrize("task", TASKS)
def test_the_question_is_found_in_every_english_prompt(task, loaded):
    english = dialect("english", loaded.tokenizer)
    item = TASKS[task].item(english, 400, 0, 3)
    at = question_at(item, english)
    assert item.prompt[:at].endswith("\n\n")
    assert item.prompt[at:].startswith(("What", "Who", "Which", "How", "In which", "List", "Name"))
    prompt = encode(loaded, item.prompt, at, special_tokens=True)
    assert 2 <= len(prompt.ids) - prompt.question_at <= 80


def test_an_item_may_say_itself_where_its_question_begins(loaded):
    item = TASKS["kv-lookup"].item(Words(), 64, 0, 0)

    class Saying:
        prompt, question_at = item.prompt, 17

    assert question_at(Saying(), Words()) == 17


def test_attention_methods_shrink_their_batches_too(run, tmp_path, monkeypatch):
    from tolerance.runners.collect import worker

    original = worker.answer

    def limited(loaded, prompts, *args, **kwargs):
        if len(prompts) > 2:
            raise torch.OutOfMemoryError("injected")
        return original(loaded, prompts, *args, **kwargs)

    monkeypatch.setattr(worker, "answer", limited)
    plan = Plan.make(
        models=[run.manifest.plan["models"][0]], **{**FIELDS, "sparsifiers": ["top-k"], "kv_budgets": None}
    )
    again = collect(plan, tmp_path / "run", device="cpu").read()
    key = ["sparsity_requested", "item_id"]
    before = run.read()
    before = before[before["sparsifier"] == "oracle-top-k"].sort_values(key)
    after = again[again["sparsifier"] == "oracle-top-k"].sort_values(key)
    assert before["answer"].tolist() == after["answer"].tolist()
    assert before["sparsity_realised"].tolist() == after["sparsity_realised"].tolist()
