"""Presses of kvpress, by stand-ins: only their scores are asked for, and what cannot be one ranking is refused."""

import sys
from types import SimpleNamespace

import pytest
import torch

from tests.test_runner_attention import ARCHITECTURES
from tests.test_runner_levels import LENGTHS, prompts
from tests.tiny_models import load_random, save_llama
from tolerance import RunnerError, SchemaError
from tolerance.runners.collect.collect import collect
from tolerance.runners.collect.plan import Plan
from tolerance.runners.decoding.batching import Condition
from tolerance.runners.decoding.shared_prefill import answer_levels
from tolerance.runners.models.load import load
from tolerance.runners.selfcheck import selfcheck
from tolerance.runners.sparsifiers import get


class Press:
    """As kvpress's scorers are called; its ratio is set, not given."""

    compression_ratio = 0.0


class KnormPress(Press):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return -keys.norm(dim=-1)


class ProjectingPress(Press):
    """Makes keys out of hidden states itself; rotation does not change their norm."""

    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        cosine, _ = kwargs["position_embeddings"]
        assert cosine.shape[1] == keys.shape[2] == len(kwargs["cache_position"]) == hidden_states.shape[1]
        made = module.k_proj(hidden_states).unflatten(2, (keys.shape[1], -1)).transpose(1, 2)
        return -made.norm(dim=-1)


class WindowPress(Press):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        n = keys.shape[2]
        return (torch.arange(n) >= n * self.compression_ratio).float().expand(*keys.shape[:3])


class NeedyPress(Press):
    def score(self, module, hidden_states, keys, values, attentions, kwargs):
        return attentions.mean(2)


class WrapperPress:
    pass


@pytest.fixture(autouse=True)
def kvpress(monkeypatch):
    made = SimpleNamespace(
        **{c.__name__: c for c in (KnormPress, ProjectingPress, WindowPress, NeedyPress, WrapperPress)}
    )
    monkeypatch.setitem(sys.modules, "kvpress", made)
    return made


@pytest.mark.parametrize("press", ["KnormPress", "ProjectingPress"])
@pytest.mark.parametrize("question", ["hidden", "visible"])
def test_a_press_is_scored_up_to_where_compression_ends_and_answers_as_our_own_method(llama, press, question):
    loaded = load(str(llama), device="cpu")
    own, theirs = (get(name, question=question, **o) for name, o in (("key-norm", {}), ("kvpress", {"press": press})))
    asked, levels = prompts(LENGTHS), (0.5, 0.9)
    ours, got = (
        answer_levels(loaded, asked, [Condition(m, level) for level in levels], max_new_tokens=5) for m in (own, theirs)
    )
    assert [[one.text for one in row] for row in got] == [[one.text for one in row] for row in ours]
    assert got[0] != got[1]


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2-softcap", "gpt-neox"])
def test_a_press_passes_the_self_check_of_evictions(name, tmp_path):
    checked = selfcheck.check(load_random(ARCHITECTURES[name], tmp_path), [get("kvpress", press="KnormPress")])
    assert 0.4 < checked.realised["kvpress-KnormPress"] <= 0.5


@pytest.mark.parametrize(
    ("press", "said"),
    [
        ("WindowPress", "kvpress-WindowPress: its scores depend on the compression ratio"),
        ("NeedyPress", "kvpress-NeedyPress: it cannot score here"),
        ("WrapperPress", "WrapperPress has no score of its own"),
        ("LostPress", "kvpress has no usable LostPress .* pip install --no-deps kvpress"),
    ],
)
def test_what_cannot_be_ranked_once_is_refused_by_name(llama, press, said):
    with pytest.raises(RunnerError, match=said):
        selfcheck.check(load(str(llama), device="cpu"), [get("kvpress", press=press)])


def test_without_kvpress_it_is_one_clear_line(llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "kvpress", None)
    with pytest.raises(RunnerError, match="an experimental extra"):
        selfcheck.check(load(str(llama), device="cpu"), [get("kvpress", press="KnormPress")])
    with pytest.raises(SchemaError, match="press: '', expected the name of a class of kvpress"):
        get("kvpress")


def test_rows_name_the_press_and_leave_open_what_scoring_took(tmp_path):
    folder = save_llama(tmp_path / "model")
    plan = Plan.make(
        models=[str(folder)],
        tasks=["kv-lookup"],
        sparsifiers=[{"kvpress": {"press": "KnormPress", "allocation": "per-head"}}],
        levels=[0, 0.5],
        context_lengths=[32],
        items=3,
    )
    table = collect(plan, tmp_path / "run", device="cpu").read()
    rows = table[table["sparsifier"] == "ada-kvpress-KnormPress"]
    assert len(rows) == 3
    assert rows["flops_selection"].isna().all()
    assert rows["flops_linear"].notna().all()
