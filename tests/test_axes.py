"""Axes: measured where the run has it, estimated from a shape, otherwise unavailable with the reason."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulated import outcomes
from tolerance import DesignError, SchemaError, validate
from tolerance.axes.model_shape import ModelShape, read_shapes
from tolerance.axes.table import AXES, by_key

SHAPE = ModelShape(
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=32, linear_weights=20_000
)


def rows(**columns):
    frame = outcomes(n_items=2, sparsifiers=("snapkv",), levels=(0.5, 0.75)).assign(
        sparsity_kind=lambda f: np.where(f.sparsifier == "dense", "none", "kv-cache"),
        phase=lambda f: np.where(f.sparsifier == "dense", "none", "prefill"),
        prompt_tokens=256,
        generated_tokens=5,
    )
    return validate(frame.assign(**columns))


def account(key, table, shapes=None):
    (axis,) = by_key(key)
    return axis.account(table, shapes)


def test_what_was_measured_is_taken_as_it_is():
    table = rows(flops_linear=1e6, flops_attention=2e5, flops_selection=3e4, kv_bytes_allocated=4096.0)
    assert (account("compute", table).values == 1.23e6).all()
    assert account("compute", table).accounting == "measured"
    assert account("kv", table).accounting == "measured"


def test_one_row_without_a_measurement_makes_all_rows_estimates():
    table = rows(flops_linear=1e6, flops_attention=2e5, flops_selection=0.0)
    table.loc[0, "flops_linear"] = np.nan
    found = account("compute", table, {"simulated": SHAPE})
    assert found.accounting == "estimated"
    assert found.values.max() < 2e7
    assert (found.values[table["sparsifier"] == "dense"]).nunique() == 1


def test_prefill_and_decode_are_the_closed_forms():
    table, shapes = rows(), {"simulated": SHAPE}
    dense = table["sparsifier"] == "dense"
    prefill, decode = (account(key, table, shapes) for key in ("prefill", "decode"))
    pair = 4 * 2 * 4 * 8
    assert prefill.values[dense].iloc[0] == 2 * 20_000 * 256 + pair * 256 * 257 / 2
    assert decode.values[dense].iloc[0] == 2 * 20_000 * 4 + pair * (256 * 4 + 10)
    # evicting after the prefill saves decoding alone
    assert prefill.values.nunique() == 1
    assert decode.values[table["sparsity_requested"] == 0.75].iloc[0] == 2 * 20_000 * 4 + pair * (64 * 4 + 10)
    np.testing.assert_allclose(account("compute", table, shapes).values, prefill.values + decode.values)


def test_kv_memory_in_tokens_and_in_bytes():
    table = rows()
    tokens = account("kv-tokens", table)
    assert tokens.accounting == "measured"
    assert sorted(set(tokens.values)) == [64, 128, 256]
    held = account("kv", table, {"simulated": SHAPE})
    assert held.accounting == "estimated"
    np.testing.assert_allclose(held.values, (tokens.values + 5) * 2 * 2 * 2 * 8 * 2)


def test_requested_levels_make_tokens_an_estimate():
    table = rows(sparsity_realised=np.nan)
    assert account("kv-tokens", table).accounting == "estimated"
    assert account("sparsity", table).accounting == "requested"


@pytest.mark.parametrize(
    ("key", "columns", "reason"),
    [
        ("kv", {}, "KV heads of 'simulated'"),
        ("compute", {}, "params_active of 'simulated'"),
        ("budget", {"generated_tokens": None}, "generated_tokens is missing in 18 of 18 rows"),
        ("active", {}, "params_active is missing"),
        ("decode", {"generated_tokens": 1}, "nothing was decoded"),
        (
            "decode",
            {"sparsity_kind": "weight", "params_active": 9, "n_layers": 2, "hidden_size": 4},
            "of kind weight saves depends on the kernel",
        ),
    ],
)
def test_what_is_not_known_is_unavailable_with_the_reason(key, columns, reason):
    found = account(key, rows(**columns))
    assert found.accounting == "unavailable"
    assert found.values is None
    assert reason in found.reason


def test_fractions_of_different_things_share_no_axis():
    table = rows()
    table.loc[table["sparsity_requested"] == 0.5, "unit"] = "kv-entries"
    assert "different things" in account("sparsity", table).reason


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 10_000), st.integers(2, 500))
def test_an_estimate_never_grows_with_sparsity_and_both_phases_add_up(prompt, generated):
    table = rows(prompt_tokens=prompt, generated_tokens=generated)
    for key in ("compute", "prefill", "decode", "kv", "kv-tokens"):
        found = account(key, table, {"simulated": SHAPE})
        means = found.values.groupby(table["sparsity_requested"]).mean()
        assert np.all(np.diff(means) <= 1e-6)


def test_an_unknown_key_names_the_known_ones():
    assert by_key("all") == tuple(AXES.values())
    with pytest.raises(DesignError, match=r"'flops' is no axis.*compute"):
        by_key("flops")


def test_shapes_are_read_from_configs_and_faults_are_named(tmp_path):
    (tmp_path / "config.json").write_text(
        '{"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "other": 1}'
    )
    (tmp_path / "shapes.yaml").write_text("a: config.json\n")
    assert read_shapes(tmp_path / "shapes.yaml")["a"].width == 8
    (tmp_path / "shapes.yaml").write_text("a: {num_hidden_layers: 0, num_attention_heads: 4, hidden_size: 32}\n")
    with pytest.raises(SchemaError, match=r"a: num_hidden_layers: .*greater than or equal to 1"):
        read_shapes(tmp_path / "shapes.yaml")
    (tmp_path / "shapes.yaml").write_text("a: nowhere.json\n")
    with pytest.raises(SchemaError, match=r"nowhere\.json: cannot be read"):
        read_shapes(tmp_path / "shapes.yaml")
